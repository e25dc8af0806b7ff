//! How many tasks of each namespace were started lately. Comes in: how many a pass has placed, and when. Goes out: a count, and the time that it
//! stands for. The leader's memory only: a new leader begins with nothing. What follows from it is not known here.

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::command::PlaceGroup;
use cloudai_types::{JobId, NamespaceId, limits};

const MINUTE_MS: u64 = 60_000;
const MINUTES: usize = limits::PACE_MINUTES;

/// Times are the caller's, and any clock does.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Since when it was watched.
    since_ms: u64,
    /// Of those that started something in the last minutes.
    by_namespace: BTreeMap<NamespaceId, Ring>,
    /// In which the others were last looked for.
    minute: u64,
}

/// Starts by minute, each in the place of its number.
#[derive(Clone, Debug, Default)]
struct Ring {
    starts: [u32; MINUTES],
    /// The last one that has a start.
    minute: u64,
}

/// So many tasks of a namespace were started in so much time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lately {
    pub started: u64,
    /// At most [`limits::PACE_MINUTES`].
    pub of_ms: u64,
}

impl Pace {
    pub fn since(now_ms: u64) -> Self {
        Pace { since_ms: now_ms, ..Pace::default() }
    }

    /// So many tasks were started now.
    pub fn note(&mut self, namespace: NamespaceId, started: u32, now_ms: u64) {
        let minute = now_ms / MINUTE_MS;
        if minute != self.minute {
            self.minute = minute;
            self.by_namespace.retain(|_, ring| ring.minute.saturating_add(MINUTES as u64) > minute);
        }
        self.by_namespace.entry(namespace).or_default().add(minute, started);
    }

    pub fn lately(&self, namespace: NamespaceId, now_ms: u64) -> Lately {
        let minute = now_ms / MINUTE_MS;
        // The minute at hand, and the whole ones before it.
        let from_ms = minute.saturating_sub(MINUTES as u64 - 1).saturating_mul(MINUTE_MS).max(self.since_ms);
        let started = self.by_namespace.get(&namespace).map_or(0, |ring| ring.sum(minute));
        Lately { started, of_ms: now_ms.saturating_sub(from_ms) }
    }
}

impl Ring {
    fn add(&mut self, minute: u64, started: u32) {
        // A clock that was set back goes on where it was.
        let minute = minute.max(self.minute);
        for passed in self.minute.saturating_add(1)..=minute.min(self.minute.saturating_add(MINUTES as u64)) {
            self.starts[(passed % MINUTES as u64) as usize] = 0;
        }
        if minute > self.minute.saturating_add(MINUTES as u64) {
            self.starts = [0; MINUTES];
        }
        self.minute = minute;
        let here = &mut self.starts[(minute % MINUTES as u64) as usize];
        *here = here.saturating_add(started);
    }

    /// Of the minutes that end with this one.
    fn sum(&self, minute: u64) -> u64 {
        let first = minute.saturating_sub(MINUTES as u64 - 1);
        let own = self.minute.saturating_sub(MINUTES as u64 - 1)..=self.minute;
        own.filter(|kept| *kept >= first).map(|kept| u64::from(self.starts[(kept % MINUTES as u64) as usize])).sum()
    }
}

/// How many tasks of each namespace these groups place.
pub fn started(view: &Hot, groups: &[PlaceGroup]) -> BTreeMap<NamespaceId, u32> {
    let mut started = BTreeMap::new();
    for group in groups {
        let Some(job) = view.jobs.get(&JobId(group.job)) else { continue };
        let of: &mut u32 = started.entry(job.namespace).or_default();
        *of = of.saturating_add(group.indexes.len() as u32);
    }
    started
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: NamespaceId = NamespaceId(1);
    const B: NamespaceId = NamespaceId(2);

    fn lately(pace: &Pace, of: NamespaceId, minutes: u64) -> (u64, u64) {
        let Lately { started, of_ms } = pace.lately(of, minutes * MINUTE_MS);
        (started, of_ms / MINUTE_MS)
    }

    #[test]
    fn starts_are_counted_while_they_are_recent() {
        let mut pace = Pace::since(100 * MINUTE_MS);
        for minute in 101..=103 {
            pace.note(A, 10, minute * MINUTE_MS + 5_000);
        }
        pace.note(B, 1, 103 * MINUTE_MS);
        assert_eq!((lately(&pace, A, 104), lately(&pace, B, 104)), ((30, 4), (1, 4)), "watched for four minutes");
        assert_eq!(lately(&pace, A, 110), (30, 9));
        assert_eq!((lately(&pace, A, 111), lately(&pace, A, 113)), ((20, 9), (0, 9)));
        pace.note(A, 7, 114 * MINUTE_MS);
        assert_eq!((lately(&pace, A, 114), lately(&pace, B, 114)), ((7, 9), (0, 9)));
        assert_eq!(pace.by_namespace.len(), 1, "who starts nothing is forgotten");
    }

    proptest! {
        /// What the ring says is what a list of all starts says; clocks that jump do no harm.
        #[test]
        fn the_ring_is_the_list(steps in prop::collection::vec((0..25u64, 0..9u32), 0..40), look in 0..30u64) {
            let (mut pace, mut all, mut minute) = (Pace::since(0), vec![], 1_000);
            for (later, started) in steps {
                minute += later / 2;
                pace.note(A, started, minute * MINUTE_MS);
                all.push((minute, u64::from(started)));
            }
            let now = minute + look;
            let recent = all.iter().filter(|(at, _)| at + MINUTES as u64 > now).map(|(_, n)| n).sum::<u64>();
            prop_assert_eq!(pace.lately(A, now * MINUTE_MS).started, recent);
            pace.note(A, u32::MAX, 0);
            pace.note(A, u32::MAX, u64::MAX);
            pace.note(A, 1, u64::MAX);
            prop_assert!(pace.lately(A, u64::MAX).started >= 1);
        }
    }
}
