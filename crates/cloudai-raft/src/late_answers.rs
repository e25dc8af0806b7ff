//! Holds back the answers on an append stream that openraft would take for younger than they are. Comes in: what is asked on one
//! stream and when a frame leaves, then each answer, in the same order. Goes out: whether openraft may see it now. Knows neither
//! frames nor connections, and no clock.
//!
//! openraft (0.10.0-alpha.37, `drain_acked`) finds the request that an answer belongs to by its last log id. A request that carries
//! nothing but a commit index has the same last log id as the one before it, so the answer to the older counts as one to the
//! younger: a majority seems to have confirmed this leader at a time when it may have had a successor already, and a read or a
//! renewal passes that must not. An answer that comes within a fraction of an election time-out does no harm: who gave it votes for
//! nobody else before an election time-out has passed since. A later one waits for the answer to the youngest such request, which
//! stands for it too.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::types::LogId;

/// One stream's requests that have no answer yet.
pub struct LateAnswers {
    late_after: Duration,
    /// The last log id of each request that openraft gave out, oldest first.
    asked: VecDeque<Option<LogId>>,
    /// Of each frame under way: when it left, and for how many of `asked` it stands.
    frames: VecDeque<(Instant, usize)>,
    /// How many of `asked` no frame stands for yet.
    unsent: usize,
}

impl LateAnswers {
    /// `late_after`: well below the shortest time in which a follower that just answered can vote for another.
    pub fn new(late_after: Duration) -> LateAnswers {
        LateAnswers { late_after, asked: VecDeque::new(), frames: VecDeque::new(), unsent: 0 }
    }

    /// openraft gave out a request that ends at `last`.
    pub fn asked(&mut self, last: Option<LogId>) {
        self.asked.push_back(last);
        self.unsent += 1;
    }

    /// A frame leaves. It stands for everything asked so far.
    pub fn sent(&mut self, now: Instant) {
        self.frames.push_back((now, std::mem::take(&mut self.unsent)));
    }

    /// The oldest frame under way was answered: the follower has everything up to `matching`. May openraft see that now?
    pub fn answered(&mut self, matching: Option<LogId>, now: Instant) -> bool {
        let Some((sent, stands_for)) = self.frames.pop_front() else { return true };
        self.asked.drain(..stands_for);
        let mistaken = self.asked.front().is_some_and(|next| *next <= matching);
        !mistaken || now.duration_since(sent) < self.late_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(150);

    fn id(index: u64) -> Option<LogId> {
        Some(LogId::new_term_index(5, index))
    }

    /// The stream of seed 944 of the simulation: entry 99, its answer held back by a cut, then a new commit index.
    #[test]
    fn a_late_answer_waits_for_the_one_to_the_younger_request() {
        let start = Instant::now();
        let mut answers = LateAnswers::new(LATE);
        answers.asked(id(99));
        answers.sent(start);
        answers.asked(id(99));
        answers.sent(start + Duration::from_secs(2));
        assert!(!answers.answered(id(99), start + Duration::from_secs(2)), "given in an older term, for all we know");
        assert!(answers.answered(id(99), start + Duration::from_secs(3)), "late, but nothing younger can be meant");
    }

    #[test]
    fn a_prompt_answer_passes() {
        let start = Instant::now();
        let mut answers = LateAnswers::new(LATE);
        answers.asked(id(99));
        answers.sent(start);
        answers.asked(id(99));
        assert!(answers.answered(id(99), start + LATE / 2));
    }

    #[test]
    fn a_late_answer_passes_when_the_younger_request_ends_later() {
        let start = Instant::now();
        let mut answers = LateAnswers::new(LATE);
        answers.asked(id(99));
        answers.sent(start);
        answers.asked(id(100));
        answers.sent(start);
        assert!(answers.answered(id(99), start + LATE * 2), "a slow disk must not hold up commits");
    }

    /// A commit index that waits for company is in openraft's queue already, before any frame carries it.
    #[test]
    fn a_request_that_no_frame_carries_yet_can_be_meant_as_well() {
        let start = Instant::now();
        let mut answers = LateAnswers::new(LATE);
        answers.asked(id(99));
        answers.sent(start);
        answers.asked(id(99));
        assert!(!answers.answered(id(99), start + LATE));
        answers.asked(id(100));
        answers.sent(start + LATE);
        assert!(answers.answered(id(100), start + LATE * 9), "one frame stood for both");
        assert!(answers.asked.is_empty() && answers.frames.is_empty());
    }
}
