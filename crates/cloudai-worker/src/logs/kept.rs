//! Which logs of ended attempts a worker has, and which of them goes next: into the store, or away. Comes in: what ended, what was stored. Goes
//! out: the oldest of either kind. Pure.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::AttemptId;

/// A small file occupies a block.
pub const FILE_BYTES_MIN: u64 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The store is to have it.
    Owed,
    /// It is on its way there.
    Sending,
    /// The store has it, or there is none: it may go.
    Spare,
}

#[derive(Clone, Copy, Debug)]
struct Log {
    /// When its attempt ended, in milliseconds since the epoch.
    age: u64,
    bytes: u64,
    standing: Standing,
}

#[derive(Default)]
pub struct Kept {
    pub bytes: u64,
    logs: BTreeMap<AttemptId, Log>,
    /// Oldest first; what is on its way is in neither.
    owed: BTreeSet<(u64, AttemptId)>,
    spare: BTreeSet<(u64, AttemptId)>,
    /// Successes that count when the store has these: few, and none of them spare.
    waited_for: BTreeSet<AttemptId>,
    /// The store has refused these at least once, and has not got them.
    refused: BTreeSet<AttemptId>,
}

/// What may be sent next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    Any,
    /// Only what somebody waits for and the store has not refused: a pause is for the others.
    FirstTry,
}

impl Kept {
    pub fn add(&mut self, attempt: AttemptId, age: u64, bytes: u64, standing: Standing) {
        self.remove(attempt);
        let bytes = bytes.max(FILE_BYTES_MIN);
        self.bytes += bytes;
        self.logs.insert(attempt, Log { age, bytes, standing });
        self.list(attempt, age, standing);
    }

    /// Whether it was here.
    pub fn remove(&mut self, attempt: AttemptId) -> bool {
        let Some(log) = self.logs.remove(&attempt) else { return false };
        self.bytes -= log.bytes;
        self.waited_for.remove(&attempt);
        self.refused.remove(&attempt);
        self.owed.remove(&(log.age, attempt));
        self.spare.remove(&(log.age, attempt));
        true
    }

    pub fn standing(&self, attempt: AttemptId) -> Option<Standing> {
        self.logs.get(&attempt).map(|log| log.standing)
    }

    pub fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Whether the store is to have it, and has not; somebody waits until that is no longer so.
    pub fn wait_for(&mut self, attempt: AttemptId) -> bool {
        match self.standing(attempt) {
            Some(Standing::Owed | Standing::Sending) => {
                self.waited_for.insert(attempt);
                true
            }
            Some(Standing::Spare) | None => false,
        }
    }

    /// Of what the store is to have, one that somebody waits for (rather one that was not refused), or else the oldest; from now on it is on
    /// its way.
    pub fn next_to_send(&mut self, turn: Turn) -> Option<AttemptId> {
        let is_owed = |a: &&AttemptId| self.standing(**a) == Some(Standing::Owed);
        let first_try = self.waited_for.difference(&self.refused).find(is_owed);
        let attempt = match turn {
            Turn::FirstTry => first_try.copied(),
            Turn::Any => {
                let waited_for = first_try.or_else(|| self.waited_for.iter().find(is_owed));
                waited_for.copied().or_else(|| self.owed.first().map(|(_, attempt)| *attempt))
            }
        }?;
        self.change(attempt, Standing::Sending);
        Some(attempt)
    }

    /// False: it is not here any more.
    pub fn change(&mut self, attempt: AttemptId, standing: Standing) -> bool {
        let Some(log) = self.logs.get_mut(&attempt) else { return false };
        log.standing = standing;
        let age = log.age;
        match standing {
            Standing::Owed => drop(self.refused.insert(attempt)),
            Standing::Sending => {}
            Standing::Spare => {
                self.waited_for.remove(&attempt);
                self.refused.remove(&attempt);
            }
        }
        self.owed.remove(&(age, attempt));
        self.spare.remove(&(age, attempt));
        self.list(attempt, age, standing);
        true
    }

    /// The one that goes when there is no room: what is stored before what is not, and then the oldest. What is on its way stays.
    pub fn next_to_go(&self) -> Option<(AttemptId, Standing)> {
        let (_, attempt) = self.spare.first().or_else(|| self.owed.first())?;
        self.standing(*attempt).map(|standing| (*attempt, standing))
    }

    fn list(&mut self, attempt: AttemptId, age: u64, standing: Standing) {
        match standing {
            Standing::Owed => self.owed.insert((age, attempt)),
            Standing::Spare => self.spare.insert((age, attempt)),
            Standing::Sending => false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    fn id(n: u32) -> AttemptId {
        AttemptId::new(JobId(1), n, 1)
    }

    #[test]
    fn the_oldest_is_sent_first_and_what_is_stored_goes_first() {
        let mut kept = Kept::default();
        for n in [3, 1, 2] {
            kept.add(id(n), u64::from(n), 10_000, Standing::Owed);
        }
        assert_eq!((kept.bytes, kept.owed()), (30_000, 3));
        assert_eq!(kept.next_to_send(Turn::Any), Some(id(1)));
        assert_eq!(kept.next_to_go(), Some((id(2), Standing::Owed)), "what is on its way stays");
        assert!(kept.change(id(1), Standing::Owed), "it did not arrive");
        assert_eq!(kept.next_to_send(Turn::Any), Some(id(1)));
        assert!(kept.change(id(1), Standing::Spare));
        assert_eq!(kept.next_to_send(Turn::Any), Some(id(2)));
        assert!(kept.change(id(2), Standing::Spare));
        assert_eq!(kept.next_to_go(), Some((id(1), Standing::Spare)));
        assert!(kept.remove(id(1)) && !kept.remove(id(1)));
        assert!(!kept.change(id(1), Standing::Spare), "it has gone");
        assert_eq!((kept.bytes, kept.owed(), kept.next_to_go()), (20_000, 1, Some((id(2), Standing::Spare))));
    }

    #[test]
    fn what_a_success_waits_for_goes_before_what_is_older() {
        let mut kept = Kept::default();
        (1..=4).for_each(|n| kept.add(id(n), u64::from(n), 1, Standing::Owed));
        assert!(kept.wait_for(id(3)) && kept.wait_for(id(4)));
        assert_eq!(kept.next_to_send(Turn::Any), Some(id(3)));
        assert!(kept.wait_for(id(3)), "it is on its way");
        assert!(kept.change(id(3), Standing::Owed), "it did not arrive");
        assert_eq!(
            (kept.next_to_send(Turn::Any), kept.next_to_send(Turn::Any), kept.next_to_send(Turn::Any)),
            (Some(id(4)), Some(id(3)), Some(id(1))),
            "and what was refused comes after what was not tried"
        );
        assert!(kept.change(id(3), Standing::Spare) && !kept.wait_for(id(3)), "it has arrived");
        assert!(kept.remove(id(4)) && !kept.wait_for(id(4)), "there was no more room");
        assert!(kept.waited_for.is_empty());
    }

    #[test]
    fn a_pause_is_for_what_was_refused_and_what_nobody_waits_for() {
        let mut kept = Kept::default();
        (1..=3).for_each(|n| kept.add(id(n), u64::from(n), 1, Standing::Owed));
        assert_eq!(kept.next_to_send(Turn::FirstTry), None, "nobody waits");
        assert!(kept.wait_for(id(2)) && kept.wait_for(id(3)));
        assert_eq!(kept.next_to_send(Turn::FirstTry), Some(id(2)));
        assert!(kept.change(id(2), Standing::Owed), "it is refused");
        assert_eq!(kept.next_to_send(Turn::FirstTry), Some(id(3)));
        assert!(kept.change(id(3), Standing::Spare), "it is stored");
        assert_eq!(kept.next_to_send(Turn::FirstTry), None);
        assert_eq!(kept.next_to_send(Turn::Any), Some(id(2)));
        assert!(kept.remove(id(2)) && kept.refused.is_empty());
    }

    #[test]
    fn one_log_counts_once() {
        let mut kept = Kept::default();
        kept.add(id(1), 1, 1, Standing::Owed);
        kept.add(id(1), 2, 9_000, Standing::Spare);
        assert_eq!((kept.bytes, kept.owed(), kept.next_to_send(Turn::Any)), (9_000, 0, None));
        kept.remove(id(1));
        assert_eq!((kept.bytes, kept.next_to_go()), (0, None));
    }
}
