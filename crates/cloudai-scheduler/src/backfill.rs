//! Backfill: who may start before a task that is ahead of it in the queue. Comes in: what is free, when the limits of running
//! tasks end, what the first blocked task needs. Goes out: its [`Reservation`], and for each candidate whether it may pass.
//! The order of the queue and the clock are deliberately not known here.
//!
//! A reservation is made from hard limits, never from predictions: a task is killed at its limit, so that the reserved time
//! can only come earlier. Predictions may order the queue (docs/adr/0014).
//!
//! Source: Lifka, "The ANL/IBM SP scheduling system", JSSPP'95 (EASY), as implemented for Gaussier et al., "Improving
//! backfilling by using machine learning to predict running times", SC'15; and the variant of Zhang et al., "RLScheduler",
//! SC'20.

/// Which candidates may pass the first blocked task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backfill {
    /// Nobody passes: strict order.
    None,
    /// Who ends by the reserved time, or needs no more than what is left beside the reservation.
    Easy,
    /// Who ends *before* the reserved time. No use is made of what is left beside the reservation.
    RlScheduler,
}

impl Backfill {
    pub const ALL: [Backfill; 3] = [Backfill::None, Backfill::Easy, Backfill::RlScheduler];

    /// The word in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Backfill::None => "none",
            Backfill::Easy => "easy",
            Backfill::RlScheduler => "rlscheduler",
        }
    }
}

/// A running task as a reservation sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// When its limit ends, in seconds.
    pub limit_s: u64,
    pub processors: u32,
}

/// When the first blocked task can start at the latest, and what it leaves free then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// "Shadow time", in seconds.
    pub shadow_s: u64,
    /// Processors that are free at that time beside the reservation.
    pub extra: u32,
}

/// Reserves for a task that needs more than is `free`. `running` comes sorted by the end of the limits. `None`: it would not
/// fit if everything had ended.
pub fn reserve(free: u32, need: u32, running: impl IntoIterator<Item = Release>) -> Option<Reservation> {
    let mut available = free;
    let mut shadow_s = None;
    for release in running {
        if shadow_s.is_some_and(|shadow_s| release.limit_s > shadow_s) {
            break;
        }
        available += release.processors;
        if available >= need && shadow_s.is_none() {
            // Those that end at the same time are counted as well: they are free beside the reservation.
            shadow_s = Some(release.limit_s);
        }
    }
    shadow_s.map(|shadow_s| Reservation { shadow_s, extra: available - need })
}

impl Reservation {
    /// May a task start now that fits what is free now? If so, what it takes from the extra processors is taken.
    pub fn admit(&mut self, rule: Backfill, now_s: u64, limit_s: u64, processors: u32) -> bool {
        let end_s = now_s.saturating_add(limit_s);
        match rule {
            Backfill::None => false,
            Backfill::RlScheduler => end_s < self.shadow_s,
            Backfill::Easy if end_s <= self.shadow_s => true,
            Backfill::Easy if processors <= self.extra => {
                self.extra -= processors;
                true
            }
            Backfill::Easy => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn running(ends: &[(u64, u32)]) -> Vec<Release> {
        ends.iter().map(|(limit_s, processors)| Release { limit_s: *limit_s, processors: *processors }).collect()
    }

    #[test]
    fn the_head_starts_when_enough_limits_have_ended() {
        let ends = running(&[(10, 2), (20, 4), (20, 3), (30, 8)]);
        for (free, need, expected) in [
            (1, 3, Some((10, 0))),
            (1, 4, Some((20, 6))),
            (1, 7, Some((20, 3))),
            (1, 10, Some((20, 0))),
            (1, 11, Some((30, 7))),
            (0, 17, Some((30, 0))),
            (0, 18, None),
        ] {
            let expected = expected.map(|(shadow_s, extra)| Reservation { shadow_s, extra });
            assert_eq!(reserve(free, need, ends.clone()), expected, "{need} with {free} free");
        }
    }

    #[test]
    fn easy_lets_pass_who_ends_in_time_or_takes_what_is_left_over() {
        let mut r = Reservation { shadow_s: 100, extra: 3 };
        assert!(r.admit(Backfill::Easy, 40, 60, 50), "it ends at the reserved time");
        assert!(!r.admit(Backfill::Easy, 40, 61, 4), "one second too long, one processor too many");
        assert!(r.admit(Backfill::Easy, 40, 61, 2), "beside the reservation");
        assert_eq!(r.extra, 1, "and what it took is not given twice");
        assert!(!r.admit(Backfill::Easy, 40, 61, 2));
    }

    #[test]
    fn rlscheduler_is_strict_and_knows_no_extra_processors() {
        let mut r = Reservation { shadow_s: 100, extra: 3 };
        assert!(r.admit(Backfill::RlScheduler, 40, 59, 50));
        assert!(!r.admit(Backfill::RlScheduler, 40, 60, 1));
        assert!(!r.admit(Backfill::None, 40, 1, 1));
        assert_eq!(r.extra, 3);
    }

    proptest! {
        /// The promise of EASY: whoever passes, the head still finds its room at the reserved time.
        #[test]
        fn who_passes_never_delays_the_head(
            ends in prop::collection::vec((1u64..50, 1u32..8), 1..12), free in 0u32..8, over in 1u32..40,
            candidates in prop::collection::vec((1u64..80, 1u32..8), 0..20),
        ) {
            let mut ends = running(&ends);
            ends.sort_by_key(|r| r.limit_s);
            let need = free + over;
            if let Some(reserved) = reserve(free, need, ends.clone()) {
                let (mut left, mut free_now) = (reserved, free);
                for (limit_s, processors) in candidates {
                    if processors <= free_now && left.admit(Backfill::Easy, 0, limit_s, processors) {
                        free_now -= processors;
                        ends.push(Release { limit_s, processors });
                    }
                }
                let back: u32 = ends.iter().filter(|r| r.limit_s <= reserved.shadow_s).map(|r| r.processors).sum();
                prop_assert!(free_now + back >= need, "{free_now} + {back} < {need}");
            }
        }
    }
}
