//! Random workloads under every order and rule: the schedule holds every rule of `check`, repeats bit for bit, and is
//! complete.

#![allow(clippy::unwrap_used)]

use cloudai_replay::{Job, Setup, replay, replay_window};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::{self, Drift, Order, SortKey, Waiting};
use proptest::prelude::*;

const CAPACITY: u32 = 16;

fn workload() -> impl Strategy<Value = Vec<Job>> {
    let job = (0u64..40, 1u64..60, 0u64..60, 1..=CAPACITY, 0u64..3, any::<bool>());
    prop::collection::vec(job, 1..60).prop_map(|rows| {
        let mut at_s = 0;
        let mut jobs: Vec<Job> = vec![];
        for (place, (gap_s, run_s, spare_s, processors, user, has_parent)) in rows.into_iter().enumerate() {
            // Many submissions at the same second: ties matter.
            at_s += gap_s / 10 * 10;
            let parents = if has_parent && place > 0 { vec![place as u32 / 2] } else { vec![] };
            jobs.push(Job {
                id: place as u64,
                submit_s: at_s,
                run_s,
                requested_s: run_s + spare_s / 20 * 20,
                processors,
                user,
                deadline_s: None,
                parents,
            });
        }
        jobs
    })
}

/// Another order that claims to change all the time: the engine must then look at the whole queue after each event.
struct LooksAtAll(&'static (dyn Order + Sync));

impl Order for LooksAtAll {
    fn name(&self) -> &'static str {
        "looks_at_all"
    }

    fn key(&self, task: &Waiting, now_s: u64) -> SortKey {
        self.0.key(task, now_s)
    }

    fn drift(&self, _task: &Waiting) -> Drift {
        Drift::Always
    }
}

proptest! {
    /// An arrival behind a blocked head looks only at itself. The full look is the oracle.
    #[test]
    fn the_short_look_chooses_as_the_full_one(jobs in workload(), predict in any::<bool>()) {
        for name in ["fcfs", "aged_area", "saf"] {
            let order = order::by_name(name).unwrap();
            for backfill in Backfill::ALL {
                let run = |order: &(dyn Order + Sync)| replay(&jobs, &Setup { capacity: CAPACITY, order, backfill, predict }).unwrap().start_s;
                prop_assert_eq!(run(order), run(&LooksAtAll(order)), "{}", name);
            }
        }
    }

    #[test]
    fn every_schedule_is_one_and_repeats(jobs in workload(), predict in any::<bool>()) {
        for order in order::ALL {
            for backfill in Backfill::ALL {
                let setup = Setup { capacity: CAPACITY, order, backfill, predict };
                // `replay` checks the whole schedule before it gives it back.
                let run = replay(&jobs, &setup).unwrap();
                let again = replay(&jobs, &setup).unwrap();
                prop_assert_eq!((&run.start_s, &run.ready_s, &run.backfilled), (&again.start_s, &again.ready_s, &again.backfilled));
                prop_assert_eq!(run.backfilled.iter().any(|b| *b) && backfill == Backfill::None, false);
            }
        }
    }

    #[test]
    fn every_window_is_a_schedule_too(jobs in workload(), from in 0usize..10) {
        let alone: Vec<Job> = jobs.into_iter().map(|job| Job { parents: vec![], ..job }).collect();
        let from = from.min(alone.len() - 1);
        for order in order::ALL {
            for backfill in Backfill::ALL {
                let setup = Setup { capacity: CAPACITY, order, backfill, predict: false };
                let run = replay_window(&alone, from, alone.len() - from, &setup).unwrap();
                prop_assert_eq!(run.start_s.len(), alone.len() - from);
            }
        }
    }

    /// With strict order nobody starts before somebody ahead of him.
    #[test]
    fn strict_order_is_strict(jobs in workload()) {
        let alone: Vec<Job> = jobs.into_iter().map(|job| Job { parents: vec![], ..job }).collect();
        let order = order::by_name("fcfs").unwrap();
        let setup = Setup { capacity: CAPACITY, order, backfill: Backfill::None, predict: false };
        let starts = replay(&alone, &setup).unwrap().start_s;
        prop_assert!(starts.is_sorted(), "{starts:?}");
        let window = replay_window(&alone, 0, alone.len(), &setup).unwrap().start_s;
        prop_assert_eq!(window, starts, "the two protocols agree where nothing can pass");
    }
}
