//! One request, many masters: the loop that every call goes through. Comes in: a request as a closure. Goes out: its reply, or what
//! is known about it when the time is up.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloudai_net::Backoff;
use cloudai_types::{Millis, limits};
use tonic::{Response, Status};

use crate::client::{Client, Control};
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// Whether a request may be sent a second time when nobody knows what became of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A read, or a write that the second time changes nothing more.
    Safe,
    /// A write that the second time would be another one.
    Never,
}

/// What the tries so far add up to. Decides when a call ends and how.
pub(crate) struct Tries {
    started: Instant,
    retry_for: Duration,
    backoff: Backoff,
    tried: BTreeSet<String>,
    distrusted: BTreeSet<String>,
    failures_since_pause: usize,
    maybe_done: bool,
    last: Verdict,
}

/// Where the next try goes.
pub(crate) enum Next {
    Address(String),
    /// After the pause.
    Pause(Duration, String),
}

impl Tries {
    pub(crate) fn new(retry_for: Duration) -> Self {
        Tries {
            started: Instant::now(),
            retry_for,
            backoff: Backoff::new(limits::CLIENT_BACKOFF_FIRST, limits::CLIENT_BACKOFF_MAX),
            tried: BTreeSet::new(),
            distrusted: BTreeSet::new(),
            failures_since_pause: 0,
            maybe_done: false,
            last: Verdict::NotReached("nothing was tried".into()),
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.retry_for.saturating_sub(self.started.elapsed())
    }

    /// Takes in one failed try at `address`.
    pub(crate) fn on_failure(
        &mut self,
        client: &Client,
        address: &str,
        repeat: Repeat,
        verdict: Verdict,
    ) -> Result<Next, CallError> {
        self.tried.insert(address.to_owned());
        self.last = verdict;
        let shared = &client.shared;
        let mut next = shared.after(address).to_owned();
        let mut pause = false;
        match &self.last {
            Verdict::Final(info) => return Err(CallError::Refused(Box::new(info.clone()))),
            Verdict::Certificate(reason) => {
                self.distrusted.insert(address.to_owned());
                if shared.addresses.iter().all(|a| self.distrusted.contains(a)) {
                    return Err(CallError::Untrusted { reason: reason.clone() });
                }
            }
            Verdict::NotReached(_) => {}
            Verdict::NotLeader { leader, .. } => {
                if let Some(l) = leader.as_ref().filter(|l| *l != address) {
                    next = l.clone();
                }
            }
            Verdict::NoLeader(_) | Verdict::TooBusy(_) => pause = true,
            Verdict::Unknown(said) => {
                if repeat == Repeat::Never {
                    return Err(CallError::OutcomeUnknown { after: self.started.elapsed(), last: said.clone() });
                }
                self.maybe_done = true;
                shared.repeats.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.failures_since_pause += 1;
        if self.failures_since_pause >= shared.addresses.len() {
            pause = true;
        }
        let left = self.left();
        if left.is_zero() {
            return Err(self.give_up());
        }
        if !pause {
            return Ok(Next::Address(next));
        }
        self.failures_since_pause = 0;
        let Millis(ms) = self.backoff.next(rand::random());
        Ok(Next::Pause(Duration::from_millis(ms).min(left), next))
    }

    /// The time is up.
    fn give_up(&mut self) -> CallError {
        let after = self.retry_for;
        let tried = self.tried.iter().cloned().collect();
        let (last, otherwise) = match &self.last {
            Verdict::Certificate(s) | Verdict::NotReached(s) | Verdict::Unknown(s) => {
                (s.clone(), CallError::Unreachable { tried, after, last: s.clone() })
            }
            // Final verdicts end a call where they come up.
            Verdict::Final(info) => (info.sentence(), CallError::Unreachable { tried, after, last: info.sentence() }),
            Verdict::NotLeader { said: s, .. } | Verdict::NoLeader(s) => {
                (s.clone(), CallError::NoLeader { after, last: s.clone() })
            }
            Verdict::TooBusy(s) => (s.clone(), CallError::TooBusy { after, last: s.clone() }),
        };
        if self.maybe_done { CallError::OutcomeUnknown { after, last } } else { otherwise }
    }
}

impl Client {
    /// Sends `op` to one master after the other until one answers, one decides, or the time is up.
    pub(crate) async fn call<R, F>(&self, repeat: Repeat, mut op: impl FnMut(Control) -> F) -> Result<R, CallError>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut tries = Tries::new(self.shared.retry_for);
        let mut address = self.shared.preferred();
        loop {
            let verdict = match self.control(&address) {
                Err(e) => Verdict::NotReached(e.to_string()),
                Ok(control) => {
                    let limit =
                        limits::CLIENT_CALL_TIMEOUT.as_duration().min(tries.left()).max(Duration::from_millis(1));
                    match tokio::time::timeout(limit, op(control)).await {
                        Ok(Ok(reply)) => {
                            self.shared.prefer(&address);
                            return Ok(reply.into_inner());
                        }
                        Ok(Err(status)) => judge(&status),
                        Err(_) => Verdict::Unknown(format!("{address} did not answer within {} ms", limit.as_millis())),
                    }
                }
            };
            tracing::debug!(address, ?verdict, "a try failed");
            address = match tries.on_failure(self, &address, repeat, verdict)? {
                Next::Address(a) => a,
                Next::Pause(pause, a) => {
                    tokio::time::sleep(pause).await;
                    a
                }
            };
        }
    }

    /// A read's outcome is never "unknown": it changes nothing.
    pub(crate) async fn read<R, F>(&self, op: impl FnMut(Control) -> F) -> Result<R, CallError>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.call(Repeat::Safe, op).await.map_err(|e| self.as_read(e))
    }

    pub(crate) fn as_read(&self, e: CallError) -> CallError {
        match e {
            CallError::OutcomeUnknown { after, last } => {
                CallError::Unreachable { tried: self.shared.addresses.clone(), after, last }
            }
            other => other,
        }
    }
}
