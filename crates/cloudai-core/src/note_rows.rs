//! The row of what is remembered of a job for people alone: why its tasks have waited, and who cancelled it. Comes in: notes. Goes out: the record,
//! with its protobuf tags. No decision reads it, and none of it is in hot state.

use cloudai_types::{WaitCause, limits};

/// A job of which nothing is noted has none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct JobNotesRow {
    /// Oldest first, at most [`limits::NOTES_OF_JOB_MAX`].
    #[prost(message, repeated, tag = "1")]
    pub notes: Vec<WaitNote>,
    /// Who asked for its cancel, `role/name`; empty: nobody.
    #[prost(string, tag = "2")]
    pub cancelled_by: String,
    /// Replicated time of that; 0: nobody did.
    #[prost(uint64, tag = "3")]
    pub cancelled_ms: u64,
}

/// The main reason for which tasks of a job waited, from some time on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct WaitNote {
    /// Replicated time at which it was noted.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    #[prost(enumeration = "WaitCause", tag = "2")]
    pub cause: i32,
    /// So many workers say so (of a turn: namespaces).
    #[prost(uint32, tag = "3")]
    pub workers: u32,
    /// Of so many.
    #[prost(uint32, tag = "4")]
    pub of: u32,
    /// Of those of its tasks that ask for so much memory; 0: as the spec says.
    #[prost(uint32, tag = "5")]
    pub memory_mib: u32,
}

impl JobNotesRow {
    /// The last note of these tasks says so already.
    pub fn says(&self, cause: WaitCause, memory_mib: u32) -> bool {
        let last = self.notes.iter().rev().find(|note| note.memory_mib == memory_mib);
        last.is_some_and(|last| last.cause == cause as i32)
    }

    /// False: the last note of the same tasks says the same.
    pub(crate) fn note(&mut self, note: WaitNote) -> bool {
        if self.says(note.cause(), note.memory_mib) {
            return false;
        }
        self.notes.push(note);
        if self.notes.len() > limits::NOTES_OF_JOB_MAX {
            // How it began is worth more than the middle.
            self.notes.remove(1);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(at_ms: u64, cause: WaitCause, memory_mib: u32) -> WaitNote {
        WaitNote { at_ms, cause: cause as i32, workers: 1, of: 2, memory_mib }
    }

    #[test]
    fn what_was_said_last_of_the_same_tasks_is_not_said_again() {
        let mut row = JobNotesRow::default();
        assert!(row.note(note(1, WaitCause::Busy, 0)));
        assert!(row.note(note(2, WaitCause::Busy, 48)), "others wait for the same");
        assert!(!row.note(WaitNote { workers: 2, ..note(3, WaitCause::Busy, 0) }), "a count is no reason");
        assert!(row.note(note(4, WaitCause::Label, 0)));
        assert!(row.note(note(5, WaitCause::Busy, 0)), "it came back");
        assert_eq!(row.notes.iter().map(|n| n.at_ms).collect::<Vec<_>>(), [1, 2, 4, 5]);
    }

    #[test]
    fn the_first_one_and_the_newest_are_kept() {
        let mut row = JobNotesRow::default();
        for at_ms in 0..100 {
            row.note(note(at_ms, if at_ms % 2 == 0 { WaitCause::Busy } else { WaitCause::Label }, 0));
        }
        assert_eq!(row.notes.len(), limits::NOTES_OF_JOB_MAX);
        let times: Vec<u64> = row.notes.iter().map(|n| n.at_ms).collect();
        assert_eq!((times[0], times[1], times[31]), (0, 69, 99));
    }
}
