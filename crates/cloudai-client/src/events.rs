//! Watching what happens in the cluster, through any number of masters. Comes in: from where on, and what is wanted. Goes out: events in the order of
//! the log, each once and none left out, also when the stream breaks and another master goes on with it. Where no master keeps what comes next,
//! that is an error.

use std::collections::BTreeMap;

use cloudai_proto::v1::{ErrorInfo, ErrorKind, EventPosition, WatchEventsReply, WatchEventsRequest};
use cloudai_types::limits;
use tonic::Streaming;

use crate::call::{Next, Repeat, Tries};
use crate::client::Client;
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// See [`Client::watch_events`].
pub struct EventStream {
    client: Client,
    /// Its `after` is how far everything was given out.
    request: WatchEventsRequest,
    open: Option<(String, Streaming<WatchEventsReply>)>,
    /// Masters that do not keep what comes next. One that started later keeps less than another.
    too_old: BTreeMap<String, ErrorInfo>,
    complete: bool,
}

impl Client {
    /// Events as the request wants them; with `follow` without an end.
    pub fn watch_events(&self, request: WatchEventsRequest) -> EventStream {
        EventStream { client: self.clone(), request, open: None, too_old: BTreeMap::new(), complete: false }
    }
}

impl EventStream {
    /// The next events, maybe none; `None` after everything was sent. An error means that no master could be asked for the whole of the
    /// client's retry time, or that none keeps what comes next.
    pub async fn next(&mut self) -> Result<Option<WatchEventsReply>, CallError> {
        if self.complete {
            return Ok(None);
        }
        let mut tries = Tries::new(self.client.shared.retry_for);
        loop {
            let (address, verdict) = match self.open.take() {
                None => {
                    let address = self.client.shared.preferred();
                    match self.connect(&address, &tries).await {
                        Ok(stream) => {
                            self.open = Some((address, stream));
                            continue;
                        }
                        Err(verdict) => (address, verdict),
                    }
                }
                Some((address, mut stream)) => match stream.message().await {
                    Ok(Some(reply)) => {
                        self.client.shared.prefer(&address);
                        self.open = Some((address, stream));
                        return Ok(Some(self.taken(reply)));
                    }
                    Ok(None) => (address, Verdict::Unknown("the master ended the stream".into())),
                    Err(status) => (address, judge(&status)),
                },
            };
            let verdict = match verdict {
                Verdict::Final(info) if info.kind() == ErrorKind::TooOld => {
                    let said = info.sentence();
                    self.too_old.insert(address.clone(), info);
                    if self.client.shared.addresses.iter().all(|a| self.too_old.contains_key(a)) {
                        return Err(self.none_keeps_it().expect("one has just said so"));
                    }
                    // Another one may have it still.
                    Verdict::NotReached(said)
                }
                other => other,
            };
            let next = tries.on_failure(&self.client, &address, Repeat::Safe, verdict);
            match next.map_err(|e| self.none_keeps_it().unwrap_or_else(|| self.client.as_read(e)))? {
                Next::Address(a) => self.client.shared.prefer(&a),
                Next::Pause(pause, a) => {
                    self.client.shared.prefer(&a);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// What one of them says; the others that could be asked say the same of other positions.
    fn none_keeps_it(&self) -> Option<CallError> {
        self.too_old.values().next().map(|info| CallError::Refused(Box::new(info.clone())))
    }

    /// Without what was given out before.
    fn taken(&mut self, mut reply: WatchEventsReply) -> WatchEventsReply {
        let given = self.request.after.map(place);
        reply.events.retain(|event| event.at.map(place) > given);
        self.request.after = [self.request.after, reply.reached].into_iter().flatten().max_by_key(|at| place(*at));
        self.too_old.clear();
        self.complete = reply.complete;
        reply
    }

    async fn connect(&self, address: &str, tries: &Tries) -> Result<Streaming<WatchEventsReply>, Verdict> {
        let mut control = self.client.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
        let limit =
            limits::CLIENT_CALL_TIMEOUT.as_duration().min(tries.left()).max(std::time::Duration::from_millis(1));
        match tokio::time::timeout(limit, control.watch_events(self.request.clone())).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(judge(&status)),
            Err(_) => Err(Verdict::Unknown(format!("{address} did not answer"))),
        }
    }
}

fn place(at: EventPosition) -> (u64, u32) {
    (at.index, at.number)
}
