//! L1: no worker is given up before the lease that it was promised has ended. (A deposed leader may still acknowledge for as long as
//! its own last majority counts as fresh, so the promise ends that much earlier.)

use std::collections::BTreeMap;

use cloudai_core::rows::{Family, WorkerRow, WorkerState};
use cloudai_types::limits;
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::rows::Commit;

#[derive(Default)]
pub struct Lease {
    states: BTreeMap<Vec<u8>, i32>,
}

impl Invariant for Lease {
    fn name(&self) -> &'static str {
        "L1"
    }

    fn on_commit(&mut self, commit: &Commit, is_first: bool, view: &View) -> Verdict {
        for write in commit.writes.iter().filter(|w| is_first && w.family == Family::Worker) {
            let row = WorkerRow::decode(write.value.as_deref().unwrap_or_default()).map_err(|e| e.to_string())?;
            let before = self.states.insert(write.key.clone(), row.state);
            if row.state() != WorkerState::Lost || before == Some(row.state) {
                continue;
            }
            let Some(worker) = view.workers.iter().find(|w| w.name == row.name) else { continue };
            let Some(renewed) = worker.belief().renewed else { continue };
            let promised = renewed.0 + limits::LEASE.0 - limits::QUORUM_ACK_AGE_MAX.0;
            if view.now_ms < promised {
                let (name, ago) = (&row.name, view.now_ms - renewed.0);
                return Err(format!("{name} was given up {ago} ms after it sent a renewal that was acknowledged"));
            }
        }
        Ok(())
    }
}
