//! I10: every queue, batch, retry and message stays within its limit.

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;
use cloudai_core::rows::{Family, TaskRow};
use cloudai_types::limits;
use prost::Message;

use super::{Invariant, MasterView, Verdict, View};
use crate::network::IN_FLIGHT_MAX;
use crate::rows::Commit;

#[derive(Default)]
pub struct Limits;

fn within(what: &str, found: usize, limit: usize) -> Verdict {
    if found <= limit { Ok(()) } else { Err(format!("{found} {what}, {limit} are allowed")) }
}

impl Invariant for Limits {
    fn name(&self) -> &'static str {
        "I10"
    }

    fn on_commit(&mut self, commit: &Commit, is_first: bool, _: &View) -> Verdict {
        for write in commit.writes.iter().filter(|w| is_first && w.family == Family::Task) {
            let row = TaskRow::decode(write.value.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
            within("attempts of one task", row.attempts.len(), (limits::ATTEMPTS_MAX + limits::LOSSES_MAX) as usize)?;
        }
        Ok(())
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        within("messages in flight", view.net.in_flight(), IN_FLIGHT_MAX)?;
        for worker in view.workers {
            let belief = worker.belief.lock().expect("no panic under it");
            within("reports in one message", belief.reports_in_message, limits::REPORTS_MAX)?;
            within("report messages without an answer", belief.reports_in_flight, limits::REPORTS_WINDOW)?;
        }
        Ok(())
    }

    fn on_state(&mut self, master: &MasterView, hot: &Hot, _: &[CoreFault]) -> Verdict {
        // One command more than the limit may have joined the batch.
        let most = limits::PROPOSAL_BYTES_MAX + limits::SPEC_BYTES_MAX + (1 << 10);
        within("bytes in one log entry", master.log.largest_entry(), most)?;
        for worker in hot.workers.values() {
            within("attempts on one worker", worker.active.len(), limits::WORKER_ATTEMPTS_MAX)?;
        }
        Ok(())
    }
}
