//! Watching what happens in the cluster, through any number of masters. Comes in: from where on, and what is wanted. Goes out: events in the order of
//! the log, each once and none left out, also when the stream breaks and another master goes on with it. Where no master keeps what comes next,
//! that is an error.

use std::collections::BTreeMap;

use cloudai_proto::v1::{ErrorInfo, ErrorKind, EventPosition, WatchEventsReply, WatchEventsRequest};
use cloudai_types::limits;

use crate::call::Tries;
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::judge::Verdict;
use crate::resumed::{Resumed, Step};

/// See [`Client::watch_events`].
pub struct EventStream {
    client: Client,
    /// Its `after` is how far everything was given out.
    request: WatchEventsRequest,
    stream: Resumed<WatchEventsReply>,
    /// Masters that do not keep what comes next. One that started later keeps less than another.
    too_old: BTreeMap<String, ErrorInfo>,
    complete: bool,
}

impl Client {
    /// Events as the request wants them; with `follow` without an end.
    pub fn watch_events(&self, request: WatchEventsRequest) -> EventStream {
        let (client, stream) = (self.clone(), Resumed::default());
        EventStream { client, request, stream, too_old: BTreeMap::new(), complete: false }
    }
}

impl EventStream {
    /// The next events, maybe none; `None` after everything was sent. An error means that no master could be asked for the whole of the
    /// client's retry time, or that none keeps what comes next.
    pub async fn next(&mut self) -> Result<Option<WatchEventsReply>, CallError> {
        let mut tries = Tries::new(self.client.shared.retry_for);
        while !self.complete {
            let ask = |mut control: Control| {
                let request = self.request.clone();
                async move { control.watch_events(request).await }
            };
            let within = limits::CLIENT_CALL_TIMEOUT.as_duration().min(tries.within());
            let (address, verdict) = match self.stream.step(&self.client, Some(within), ask).await {
                Step::Opened => continue,
                Step::Message(reply) => return Ok(Some(self.taken(reply))),
                Step::Broke(address, Verdict::Final(info)) if info.kind() == ErrorKind::TooOld => {
                    let said = info.sentence();
                    self.too_old.insert(address.clone(), info);
                    if self.client.shared.addresses.iter().all(|a| self.too_old.contains_key(a)) {
                        return Err(self.none_keeps_it().expect("one has just said so"));
                    }
                    // Another one may have it still.
                    (address, Verdict::NotReached(said))
                }
                Step::Broke(address, verdict) => (address, verdict),
            };
            let next = self.client.after_failure(&mut tries, &address, verdict).await;
            next.map_err(|e| self.none_keeps_it().unwrap_or(e))?;
        }
        Ok(None)
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
}

fn place(at: EventPosition) -> (u64, u32) {
    (at.index, at.number)
}
