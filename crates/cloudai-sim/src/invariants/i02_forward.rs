//! I2: an attempt only moves forward.

use std::collections::BTreeMap;

use cloudai_core::rows::{AttemptRow, Family};
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::rows::Commit;

#[derive(Default)]
pub struct Forward {
    /// Task key → the number and state that were seen last.
    last: BTreeMap<Vec<u8>, (u32, i32)>,
}

impl Invariant for Forward {
    fn name(&self) -> &'static str {
        "I2"
    }

    /// A commit may begin with entries that others have applied before (a state that a power cut set back applies them again, in
    /// one batch with a new one). So each row must go forward within the commit, and what it ends with must not be behind what was
    /// seen before.
    fn on_commit(&mut self, commit: &Commit, is_first: bool, _: &View) -> Verdict {
        if !is_first {
            return Ok(());
        }
        let back = |before, now| Err(format!("at {}: attempt {before:?} became {now:?} (number, state)", commit.index));
        let mut within = BTreeMap::<&[u8], (u32, i32)>::new();
        for write in commit.writes.iter().filter(|w| w.family == Family::Attempt) {
            let Some(value) = &write.value else { continue };
            let row = AttemptRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
            let now = (row.number, row.state);
            match within.insert(&write.key, now) {
                Some(before) if now < before => return back(before, now),
                _ => {}
            }
        }
        for (key, now) in within {
            match self.last.insert(key.to_vec(), now) {
                Some(before) if now < before => return back(before, now),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloudai_core::rows::Write;

    use super::*;
    use crate::network::Net;
    use crate::oracle::Oracle;

    fn commit(index: u64, states: &[(u32, i32)]) -> Commit {
        let write = |(number, state): &(u32, i32)| Write {
            family: Family::Attempt,
            key: b"task".to_vec(),
            value: Some(AttemptRow { number: *number, state: *state, ..AttemptRow::default() }.encode_to_vec()),
        };
        Commit { master: 1, index, writes: Arc::new(states.iter().map(write).collect()) }
    }

    /// What `commits` come to, the first index of each seen for the first time.
    fn judged(commits: &[Commit]) -> Vec<bool> {
        let (oracle, net) = (Oracle::default(), Net::new(crate::dice::Dice::new(1)));
        let view = View { now_ms: 0, masters: &[], workers: &[], oracle: &oracle, net: &net };
        let mut forward = Forward::default();
        commits.iter().map(|c| forward.on_commit(c, true, &view).is_ok()).collect()
    }

    #[test]
    fn a_commit_that_begins_with_what_was_applied_before_is_no_step_back() {
        assert_eq!(judged(&[commit(5, &[(1, 0)]), commit(6, &[(1, 1)]), commit(7, &[(1, 0), (1, 1)])]), [true; 3]);
    }

    #[test]
    fn a_step_back_is_seen_between_commits_and_within_one() {
        assert_eq!(judged(&[commit(5, &[(1, 1)]), commit(6, &[(1, 0)])]), [true, false]);
        assert_eq!(judged(&[commit(5, &[(1, 0)]), commit(6, &[(1, 1), (1, 0)])]), [true, false]);
    }
}
