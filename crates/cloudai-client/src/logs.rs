//! Reading one attempt's log, through any number of masters. Comes in: a task. Goes out: frames, each once and in order, also when
//! the stream breaks and another master sends it again from the beginning.

use std::time::Duration;

use cloudai_proto::v1::{LogFrame, LogsReply, LogsRequest};
use tonic::Streaming;

use crate::call::{Next, Repeat, Tries};
use crate::client::Client;
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// See [`Client::logs`].
pub struct LogStream {
    client: Client,
    request: LogsRequest,
    open: Option<(String, Streaming<LogsReply>)>,
    seen: Seen,
    complete: bool,
}

/// What was given out, so that a repetition is recognised.
#[derive(Default)]
struct Seen {
    /// Bytes of all frames, counted from the log's beginning; meaningful without `tail_lines`.
    bytes: u64,
    /// Of these, how many the stream at hand has yet to repeat.
    skip: u64,
    /// With `tail_lines` a repetition begins elsewhere: frames up to this time are skipped instead.
    time_ms: u64,
    by_time: bool,
}

impl Client {
    /// The log of one attempt. With `follow`, until the attempt has ended.
    pub fn logs(&self, request: LogsRequest) -> LogStream {
        let seen = Seen { by_time: false, ..Default::default() };
        LogStream { client: self.clone(), request, open: None, seen, complete: false }
    }
}

impl LogStream {
    /// The next frames; `None` after everything was sent. A worker that cannot be reached is an error at once, a master that
    /// cannot is one only after the client's retry time.
    pub async fn next(&mut self) -> Result<Option<LogsReply>, CallError> {
        if self.complete {
            return Ok(None);
        }
        let mut tries = Tries::new(self.client.shared.retry_for);
        loop {
            let (address, verdict) = match self.open.take() {
                None => {
                    let address = self.client.shared.preferred();
                    match self.connect(&address).await {
                        Ok(stream) => {
                            self.seen.begin_again(self.request.tail_lines > 0);
                            self.open = Some((address, stream));
                            continue;
                        }
                        Err(verdict) => (address, verdict),
                    }
                }
                Some((address, mut stream)) => match stream.message().await {
                    Ok(Some(mut reply)) => {
                        self.client.shared.prefer(&address);
                        if reply.attempt != 0 {
                            // A repetition must be of the same attempt, also when a newer one has begun.
                            self.request.attempt = reply.attempt;
                        }
                        reply.frames = self.seen.fresh(std::mem::take(&mut reply.frames));
                        self.complete = reply.complete;
                        self.open = Some((address, stream));
                        return Ok(Some(reply));
                    }
                    Ok(None) => {
                        (address, Verdict::Unknown("the master ended the stream before the log was complete".into()))
                    }
                    Err(status) => (address, judge(&status)),
                },
            };
            let next =
                tries.on_failure(&self.client, &address, Repeat::Safe, verdict).map_err(|e| self.client.as_read(e))?;
            match next {
                Next::Address(a) => self.client.shared.prefer(&a),
                Next::Pause(pause, a) => {
                    self.client.shared.prefer(&a);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// No limit on the wait for the first answer: with `follow` there may be no attempt for a long time. A master that has
    /// gone is noticed by the connection's own pings.
    async fn connect(&self, address: &str) -> Result<Streaming<LogsReply>, Verdict> {
        let mut control = self.client.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
        if self.request.follow {
            return control.logs(self.request.clone()).await.map(tonic::Response::into_inner).map_err(|s| judge(&s));
        }
        match tokio::time::timeout(Duration::from_secs(15), control.logs(self.request.clone())).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(judge(&status)),
            Err(_) => Err(Verdict::Unknown(format!("{address} did not answer within 15 s"))),
        }
    }
}

impl Seen {
    fn begin_again(&mut self, tail: bool) {
        self.by_time = tail && self.bytes > 0;
        self.skip = if tail { 0 } else { self.bytes };
    }

    /// Without what was given out before.
    fn fresh(&mut self, frames: Vec<LogFrame>) -> Vec<LogFrame> {
        let mut out = vec![];
        for mut f in frames {
            if self.by_time && f.time_ms <= self.time_ms {
                continue;
            }
            let len = f.data.len() as u64;
            if self.skip >= len && self.skip > 0 {
                self.skip -= len;
                continue;
            }
            if self.skip > 0 {
                let cut = usize::try_from(self.skip).expect("less than the frame's length");
                f.data = f.data.slice(cut..);
                self.skip = 0;
            }
            self.bytes += f.data.len() as u64;
            self.time_ms = self.time_ms.max(f.time_ms);
            out.push(f);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(time_ms: u64, data: &'static str) -> LogFrame {
        LogFrame { time_ms, source: 1, data: data.as_bytes().to_vec().into() }
    }

    fn text(frames: Vec<LogFrame>) -> String {
        frames.iter().map(|f| String::from_utf8_lossy(&f.data).into_owned()).collect()
    }

    #[test]
    fn a_repetition_is_cut_where_the_first_stream_broke_however_it_is_framed() {
        let mut seen = Seen::default();
        assert_eq!(text(seen.fresh(vec![frame(1, "hello "), frame(2, "wor")])), "hello wor");
        seen.begin_again(false);
        assert_eq!(text(seen.fresh(vec![frame(1, "hello world"), frame(3, "!")])), "ld!");
        seen.begin_again(false);
        assert_eq!(text(seen.fresh(vec![frame(1, "hello world!")])), "");
        assert_eq!(text(seen.fresh(vec![frame(4, "?")])), "?");
    }

    #[test]
    fn a_repeated_tail_is_cut_by_time() {
        let mut seen = Seen::default();
        seen.begin_again(true);
        assert_eq!(text(seen.fresh(vec![frame(5, "a"), frame(6, "b")])), "ab");
        seen.begin_again(true);
        assert_eq!(text(seen.fresh(vec![frame(6, "b"), frame(7, "c")])), "c");
    }
}
