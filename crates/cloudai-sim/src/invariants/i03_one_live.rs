//! I3: at most one live attempt per task, and numbers only grow: every number from 1 on is used once, in order.

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;
use cloudai_core::rows::{AttemptRow, Family, TaskRow};
use prost::Message;

use super::{Invariant, MasterView, Verdict, View, core_says};
use crate::rows::Commit;

#[derive(Default)]
pub struct OneLive {
    /// Task key → the log index at which each attempt was assigned.
    assigned: BTreeMap<(Vec<u8>, u32), u64>,
}

impl Invariant for OneLive {
    fn name(&self) -> &'static str {
        "I3"
    }

    fn on_commit(&mut self, commit: &Commit, is_first: bool, _: &View) -> Verdict {
        for write in commit.writes.iter().filter(|_| is_first) {
            let Some(value) = &write.value else { continue };
            match write.family {
                Family::Attempt => {
                    let row =
                        AttemptRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    let key = (write.key.clone(), row.number);
                    let first = *self.assigned.entry(key).or_insert(row.assigned_index);
                    if first != row.assigned_index {
                        let at = row.assigned_index;
                        return Err(format!("attempt number {} was assigned at {first} and again at {at}", row.number));
                    }
                }
                Family::Task => {
                    let row = TaskRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
                    let numbers: Vec<u32> = row.attempts.iter().map(|a| a.number).collect();
                    if numbers.iter().zip(1u32..).any(|(n, expected)| *n != expected) {
                        return Err(format!("at {}: ended attempts are numbered {numbers:?}", commit.index));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn on_state(&mut self, master: &MasterView, _: &Hot, faults: &[CoreFault]) -> Verdict {
        core_says("I3", master, faults)
    }
}
