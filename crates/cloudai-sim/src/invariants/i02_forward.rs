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

    fn on_commit(&mut self, commit: &Commit, is_first: bool, _: &View) -> Verdict {
        for write in commit.writes.iter().filter(|w| is_first && w.family == Family::Attempt) {
            let Some(value) = &write.value else { continue };
            let row = AttemptRow::decode(value.as_slice()).map_err(|e| format!("a row does not decode: {e}"))?;
            let now = (row.number, row.state);
            if let Some(before) = self.last.insert(write.key.clone(), now)
                && now < before
            {
                return Err(format!("at {}: attempt {before:?} became {now:?} (number, state)", commit.index));
            }
        }
        Ok(())
    }
}
