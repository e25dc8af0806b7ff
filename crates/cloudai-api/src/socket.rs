//! One client's WebSocket. Comes in: a socket, and what there is to tell. Goes out: messages, one after the other: the next is asked for when the
//! last was taken, so that a slow client costs one message and no queue. Knows when a client is gone: it takes nothing, or does not answer pings.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use cloudai_types::limits;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::live::{Closed, Live, Said};

pub(crate) struct Client {
    pub socket: WebSocket,
    pub live: Arc<dyn Live>,
    pub said: BoxStream<'static, Said>,
    pub serving: watch::Receiver<()>,
    pub place: OwnedSemaphorePermit,
}

impl Client {
    /// Until either side ends it.
    pub(crate) async fn serve(mut self) {
        self.live.opened();
        let why = self.tell().await;
        if let Some(frame) = farewell(why) {
            // One that takes nothing does not take this either.
            let sent = self.socket.send(Message::Close(Some(frame)));
            let _ = timeout(limits::WS_CLOSE_WITHIN.as_duration(), sent).await;
        }
        self.live.closed(why);
        drop(self.place);
    }

    async fn tell(&mut self) -> Closed {
        let every = limits::WS_PING_EVERY.as_duration();
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let done = tokio::select! {
                biased;
                _ = self.serving.changed() => ControlFlow::Break(Closed::Stopping),
                received = self.socket.recv() => {
                    heard = Instant::now();
                    match received {
                        // What a client says means nothing here; pings are answered by the socket itself.
                        Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                            ControlFlow::Continue(())
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => ControlFlow::Break(Closed::ByClient),
                    }
                }
                _ = pings.tick() => match heard.elapsed() >= limits::TELEMETRY_WATCHER_STALLED.as_duration() {
                    true => ControlFlow::Break(Closed::Silent),
                    false => self.send(Message::Ping(Default::default())).await,
                },
                said = self.said.next() => match said {
                    Some(said) => self.pass_on(said).await,
                    None => ControlFlow::Break(Closed::Stopping),
                },
            };
            if let ControlFlow::Break(why) = done {
                return why;
            }
        }
    }

    async fn pass_on(&mut self, said: Said) -> ControlFlow<Closed> {
        match said {
            Said::Telemetry(messages) => {
                for message in messages {
                    self.send(Message::Text(message)).await?;
                }
                ControlFlow::Continue(())
            }
            Said::Lagged(dropped) => {
                self.live.dropped(dropped);
                self.send(text(format!("{{\"type\":\"lagged\",\"dropped\":{dropped}}}"))).await
            }
            Said::Resumed => self.send(text("{\"type\":\"resumed\"}".to_owned())).await,
            Said::State(message) => self.send(Message::Text(message)).await,
            Said::StatesLost => ControlFlow::Break(Closed::Behind),
        }
    }

    /// Returns when the connection has taken it.
    async fn send(&mut self, message: Message) -> ControlFlow<Closed> {
        let mut serving = self.serving.clone();
        let sent = timeout(limits::TELEMETRY_WATCHER_STALLED.as_duration(), self.socket.send(message));
        tokio::select! {
            sent = sent => match sent {
                Ok(Ok(())) => ControlFlow::Continue(()),
                Ok(Err(_)) => ControlFlow::Break(Closed::ByClient),
                Err(_) => ControlFlow::Break(Closed::Stalled),
            },
            _ = serving.changed() => ControlFlow::Break(Closed::Stopping),
        }
    }
}

fn text(text: String) -> Message {
    Message::Text(Utf8Bytes::from(text))
}

/// What it is told at the end, with a code for programs. Codes from 4000 on are ours.
fn farewell(why: Closed) -> Option<CloseFrame> {
    let (code, reason) = match why {
        Closed::ByClient => return None,
        Closed::Stalled => {
            (4008, "you took nothing for a minute; connect again, and read /workers for what has changed")
        }
        Closed::Silent => (4009, "you answered no ping for a minute; connect again"),
        Closed::Behind => {
            (4010, "you were too slow, and states were missed; connect again, and read /workers for what has changed")
        }
        Closed::Stopping => (close_code::AWAY, "this master stops; connect to another one"),
    };
    Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol allows 123 bytes for it.
    #[test]
    fn reasons_fit_into_a_close_frame() {
        for why in [Closed::Stalled, Closed::Silent, Closed::Behind, Closed::Stopping] {
            let frame = farewell(why).expect("it is told");
            assert!(frame.reason.len() <= 123, "{}", frame.reason);
        }
        assert!(farewell(Closed::ByClient).is_none());
    }
}
