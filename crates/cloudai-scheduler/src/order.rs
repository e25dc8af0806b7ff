//! The order of the queue: which waiting task is looked at first. Comes in: what is known of one waiting task, and the time.
//! Goes out: a [`SortKey`], smallest first; tasks with equal keys go in the order in which they were submitted. What fits
//! where, and who may pass whom ([`crate::backfill`]), is deliberately not known here.
//!
//! Keys are floating-point numbers, unlike ranks and capacities: an order never decides whether something fits, only the
//! leader evaluates it, and the log carries what came of it. On one machine the same inputs give the same key to the bit.

pub mod aged_area;
pub mod f1;
pub mod f2;
pub mod f3;
pub mod f4;
pub mod fcfs;
pub mod saf;
pub mod sjf;
pub mod unicep;
pub mod wfp3;

use std::cmp::Ordering;

pub use aged_area::AgedArea;

/// What is known of a task that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// When it became ready to run, in seconds since an origin that is the same for all tasks compared.
    pub submit_s: u64,
    /// The limit of its run time: it is killed at its end. At least 1.
    pub requested_s: u64,
    /// How long it is expected to run; the limit where nothing better is known. At least 1.
    pub expected_s: u64,
    /// What it takes of the machine. At least 1.
    pub processors: u32,
}

impl Waiting {
    /// How long it has waited by now.
    pub fn wait_s(&self, now_s: u64) -> u64 {
        now_s.saturating_sub(self.submit_s)
    }
}

/// A place in the queue: smaller is earlier.
#[derive(Clone, Copy, Debug)]
pub struct SortKey {
    /// 0 is before everything of rank 1, whatever the values are.
    pub rank: u8,
    pub value: f64,
}

impl SortKey {
    /// The rank of ordinary tasks.
    pub fn of(value: f64) -> Self {
        SortKey { rank: 1, value }
    }

    /// Before all ordinary tasks.
    pub fn first(value: f64) -> Self {
        SortKey { rank: 0, value }
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then(self.value.total_cmp(&other.value))
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SortKey {}

/// When a task's place among others may change while nothing happens but time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drift {
    /// A key once computed stays right.
    Never,
    /// The key changes once, at this time.
    At(u64),
    /// Keys have to be computed anew whenever they are compared.
    Always,
}

/// One way to order a queue.
pub trait Order {
    /// The word in flags and reports.
    fn name(&self) -> &'static str;

    /// The task's place at `now_s`.
    fn key(&self, task: &Waiting, now_s: u64) -> SortKey;

    /// When that place changes by itself.
    fn drift(&self, task: &Waiting) -> Drift;
}

/// Every order by its name, the default first. Sources are named in the files.
pub const ALL: [&(dyn Order + Sync); 10] = [
    &AgedArea::DEFAULT,
    &fcfs::Fcfs,
    &sjf::Sjf,
    &saf::Saf,
    &f1::F1,
    &f2::F2,
    &f3::F3,
    &f4::F4,
    &wfp3::Wfp3,
    &unicep::Unicep,
];

/// The order with this name; `fifo` is the queue's word for `fcfs`.
pub fn by_name(name: &str) -> Option<&'static (dyn Order + Sync)> {
    let name = if name == "fifo" { "fcfs" } else { name };
    ALL.into_iter().find(|order| order.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn task(submit_s: u64, requested_s: u64, processors: u32) -> Waiting {
        Waiting { submit_s, requested_s, expected_s: requested_s, processors }
    }

    /// Names the tasks in the order in which the queue looks at them.
    fn sorted(name: &str, now_s: u64, tasks: &[(&'static str, Waiting)]) -> String {
        let order = by_name(name).expect("a known order");
        let mut keyed: Vec<(SortKey, &str)> = tasks.iter().map(|(n, t)| (order.key(t, now_s), *n)).collect();
        keyed.sort_by_key(|(key, _)| *key);
        keyed.into_iter().map(|(_, n)| n).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_order_puts_first_what_its_name_says() {
        let tasks = [
            ("early", task(100, 5_000, 8)),
            ("short", task(300, 10, 64)),
            ("narrow", task(200, 600, 1)),
            ("large", task(150, 50_000, 100)),
        ];
        assert_eq!(sorted("fcfs", 400, &tasks), "early large narrow short");
        assert_eq!(sorted("fifo", 400, &tasks), "early large narrow short");
        assert_eq!(sorted("sjf", 400, &tasks), "short narrow early large");
        // 600, 640, 40,000 and 5,000,000 processor seconds.
        assert_eq!(sorted("saf", 400, &tasks), "narrow short early large");
        // Width counts less: 600 and 10 × 64^0.6 = 121.
        assert_eq!(sorted("aged_area", 400, &tasks), "short narrow early large");
    }

    #[test]
    fn the_published_formulas_are_what_the_papers_say() {
        let t = task(1_000, 100, 16);
        let value = |name: &str| by_name(name).expect("known").key(&t, 1_300).value;
        // By hand: log10(100) = 2, log10(1000) = 3, sqrt(100) = 10, sqrt(16) = 4; it has waited for 300 s.
        for (name, expected) in [
            ("f1", 2.0 * 16.0 + 870.0 * 3.0),
            ("f2", 10.0 * 16.0 + 25_600.0 * 3.0),
            ("f3", 100.0 * 16.0 + 6_860_000.0 * 3.0),
            ("f4", 100.0 * 4.0 + 530_000.0 * 3.0),
            ("wfp3", -27.0 * 16.0),
            ("unicep", -300.0 / (4.0 * 100.0)),
        ] {
            let off = (value(name) - expected).abs() / expected.abs();
            assert!(off < 1e-9, "{name}: {} instead of {expected}", value(name));
        }
    }

    #[test]
    fn waiting_moves_a_large_task_forward_where_the_order_ages() {
        let large = task(0, 10 * DAY, 100);
        for (name, moves) in [("aged_area", true), ("wfp3", true), ("unicep", true), ("saf", false), ("sjf", false)] {
            let at_once = sorted(name, 60, &[("large", large), ("small", task(30, 60, 2))]);
            let late = sorted(name, 90 * DAY + 60, &[("large", large), ("small", task(90 * DAY + 30, 60, 2))]);
            assert_eq!(at_once, "small large", "{name}");
            assert_eq!(late, if moves { "large small" } else { "small large" }, "{name}");
        }
    }

    #[test]
    fn a_key_that_never_drifts_keeps_the_order_of_any_two_tasks() {
        let tasks: Vec<Waiting> =
            (0..60).map(|i| task(i * 977 % 4_000, 1 + i * 7_919 % 90_000, 1 + i as u32 * 31 % 128)).collect();
        for order in ALL {
            for a in &tasks {
                for b in tasks.iter().filter(|b| order.drift(a) == Drift::Never && order.drift(b) == Drift::Never) {
                    let at = |now_s| order.key(a, now_s).cmp(&order.key(b, now_s));
                    assert_eq!(at(4_000), at(900_000), "{}: {a:?} {b:?}", order.name());
                }
            }
        }
    }

    #[test]
    fn names_are_unique_and_known() {
        for order in ALL {
            assert_eq!(ALL.iter().filter(|o| o.name() == order.name()).count(), 1, "{}", order.name());
            assert_eq!(by_name(order.name()).map(|o| o.name()), Some(order.name()));
        }
        assert!(by_name("sjf2").is_none());
    }

    #[test]
    fn not_a_number_has_a_place_too() {
        let mut keys = [SortKey::of(f64::NAN), SortKey::of(1.0), SortKey::first(9.0)];
        keys.sort();
        assert_eq!((keys[0].value, keys[1].value), (9.0, 1.0));
    }
}
