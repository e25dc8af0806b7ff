//! An operator. Comes in: deeds, with their times. Goes out: calls, one after the other: none begins before the one before it has its outcome.

use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_types::limits;

use super::User;
use crate::message::Call;
use crate::oracle::Outcome;
use crate::plan::rules::NIGHT;
use crate::plan::{Act, Deed};

/// The namespace of all schedules.
const CLOCK: &str = "clock";

impl User {
    pub async fn act(mut self, acts: Vec<Act>) {
        self.users.oracle.asks();
        let began = tokio::time::Instant::now();
        // A schedule that was acknowledged is there.
        let mut has_schedule = false;
        for (n, Act { at_ms, what }) in acts.into_iter().enumerate() {
            tokio::time::sleep_until(began + Duration::from_millis(at_ms)).await;
            let mut outcome = self.ask(self.call(n, &what)).await;
            // Nothing of what takes a taint away may be left undone: tasks wait for it.
            while matches!(what, Deed::Untaint { .. }) && outcome.is_err() {
                tokio::time::sleep(limits::CLIENT_BACKOFF_MAX.as_duration()).await;
                outcome = self.ask(self.call(n, &what)).await;
            }
            let outcome = outcome.map(|_| "done");
            self.say(format_args!("{what}: {outcome:?}"));
            match (&what, outcome) {
                (Deed::CreateSchedule { .. }, Ok(_)) => has_schedule = true,
                (Deed::RunNow { name } | Deed::Pause { name, .. }, Err(Outcome::Failed(why)))
                    if has_schedule && why.starts_with("NotFound") =>
                {
                    self.users.oracle.wrong("I6", format!("schedule {name} was acknowledged and is missed: {why}"));
                }
                _ => {}
            }
        }
        self.users.oracle.answered();
    }

    /// `n`: which of its deeds it is.
    fn call(&self, n: usize, what: &Deed) -> Call {
        let worker = |worker: &u8| format!("w{}", worker + 1);
        match what.clone() {
            Deed::Quota { namespace, change } => Call::Quota(pb::SetQuotaRequest { namespace, change: Some(change) }),
            Deed::Taint { worker: n } => {
                Call::Taint(pb::TaintWorkerRequest { name: worker(&n), key: NIGHT.into(), value: String::new() })
            }
            Deed::Untaint { worker: n } => {
                Call::Untaint(pb::UntaintWorkerRequest { name: worker(&n), key: NIGHT.into() })
            }
            Deed::CreateSchedule { name, spec } => Call::CreateSchedule(Box::new(pb::CreateScheduleRequest {
                namespace: CLOCK.into(),
                name,
                spec: Some(*spec),
                replace: false,
            })),
            Deed::Pause { name, paused } => {
                Call::PauseSchedule(pb::PauseScheduleRequest { namespace: CLOCK.into(), name, paused })
            }
            Deed::RunNow { name } => {
                let request_id = format!("{}-{n}", self.request);
                Call::RunSchedule(pb::RunScheduleRequest { request_id, namespace: CLOCK.into(), name })
            }
            Deed::ReplayDead => Call::ReplayDead(pb::DeadSelection::default()),
        }
    }
}
