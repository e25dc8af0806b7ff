//! How long a task will run, from how long its like ran. Comes in: endings, as they happen. Goes out: an expectation, or none.
//! Only what has ended is known here, so that nothing leaks from the future into a replay. An expectation may order the queue;
//! it must not make a reservation (ADR 0014).

use std::collections::{BTreeMap, VecDeque};

use cloudai_types::limits;

/// Runs that are alike: one user, one width, one limit. Which image or command it was is not in the published logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Likeness {
    pub user: u64,
    pub processors: u32,
    pub requested_s: u64,
}

/// The last runs of each likeness.
#[derive(Debug, Default)]
pub struct Expectations {
    runs: BTreeMap<Likeness, Runs>,
    /// Likenesses by when they were last heard of, for forgetting the oldest.
    by_age: BTreeMap<u64, Likeness>,
    clock: u64,
}

#[derive(Debug)]
struct Runs {
    last_s: VecDeque<u64>,
    heard: u64,
}

impl Expectations {
    /// A run has ended after `run_s`.
    pub fn learn(&mut self, like: Likeness, run_s: u64) {
        self.clock += 1;
        let runs = self.runs.entry(like).or_insert_with(|| Runs { last_s: VecDeque::new(), heard: 0 });
        self.by_age.remove(&runs.heard);
        runs.heard = self.clock;
        self.by_age.insert(self.clock, like);
        if runs.last_s.len() == limits::EXPECT_RUNS_MAX {
            runs.last_s.pop_front();
        }
        runs.last_s.push_back(run_s);
        if self.runs.len() > limits::EXPECT_LIKENESSES_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.runs.remove(&oldest);
        }
    }

    /// The 70 % quantile of the last runs (nearest rank), between 1 and the limit; `None` where nothing like it has ended yet.
    pub fn expected_s(&self, like: &Likeness) -> Option<u64> {
        let mut last: Vec<u64> = self.runs.get(like)?.last_s.iter().copied().collect();
        last.sort_unstable();
        let rank = (last.len() * limits::EXPECT_QUANTILE_PERCENT).div_ceil(100).max(1);
        last.get(rank - 1).map(|run_s| (*run_s).clamp(1, like.requested_s.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(user: u64) -> Likeness {
        Likeness { user, processors: 4, requested_s: 100 }
    }

    #[test]
    fn seven_of_the_last_ten_runs_were_no_longer() {
        let mut e = Expectations::default();
        assert_eq!(e.expected_s(&like(1)), None);
        e.learn(like(1), 50);
        assert_eq!((e.expected_s(&like(1)), e.expected_s(&like(2))), (Some(50), None));
        for run_s in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] {
            e.learn(like(1), run_s);
        }
        assert_eq!(e.expected_s(&like(1)), Some(7), "the run of 50 s is forgotten");
        e.learn(like(1), 900);
        e.learn(like(1), 900);
        e.learn(like(1), 900);
        assert_eq!(e.expected_s(&like(1)), Some(10));
        e.learn(like(1), 900);
        assert_eq!(e.expected_s(&like(1)), Some(100), "nothing runs past its limit");
    }

    #[test]
    fn the_likeness_not_heard_of_for_longest_is_forgotten_first() {
        let mut e = Expectations::default();
        for user in 0..limits::EXPECT_LIKENESSES_MAX as u64 {
            e.learn(like(user), 5);
        }
        e.learn(like(0), 6);
        e.learn(like(u64::MAX), 7);
        assert_eq!(e.runs.len(), limits::EXPECT_LIKENESSES_MAX);
        assert_eq!((e.expected_s(&like(0)), e.expected_s(&like(1))), (Some(6), None));
    }
}
