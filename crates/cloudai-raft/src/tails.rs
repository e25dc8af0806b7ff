//! Where the other masters' logs end. Comes in: the last log id in each answer to a request for votes, this master's own log, and openraft's
//! first requests to a follower. Goes out: the one question that settles them, and with its answer theirs. Knows neither frames nor
//! connections, and no clock.
//!
//! A new leader of openraft (0.10.0-alpha.37, `ProgressEntry::next_send`) knows nothing of a follower's log, and searches for the last entry
//! that both have: it halves the range between the beginning and its own end, one round trip per step. Its first own entry waits for
//! all of them: 8 steps after 4,000 entries, 12 after 70,000. But the follower said where its log ends when it gave its vote. So the first
//! question is whether it has the leader's entry there. If so, it has all before it, and openraft's steps are answered here as
//! they come; if not, they go their way.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tokio::time::Instant;

use crate::member::NodeId;
use crate::types::{LogId, Types, term_of};

/// The id of this master's own entry at an index; `None`: there is none.
pub type IdAt = Box<dyn Fn(u64) -> io::Result<Option<LogId>> + Send + Sync>;

pub struct Tails {
    own: IdAt,
    /// The index of the last entry, as each master said it last. Used once.
    last: Mutex<HashMap<NodeId, u64>>,
}

impl Tails {
    pub fn new(own: IdAt) -> Tails {
        Tails { own, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<NodeId, u64>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `from` answered a request for votes: its log ends with `last`.
    pub fn told(&self, from: NodeId, last: Option<LogId>) {
        match last {
            Some(id) => self.last().insert(from, id.index),
            None => self.last().remove(&from),
        };
    }

    /// Whether [`Tails::question`] may have one.
    pub fn knows(&self, target: NodeId) -> bool {
        self.last().contains_key(&target)
    }

    /// The question to ask `target` first, where `request` is openraft's first one: whether it has this master's entry where its own log
    /// ends. `None`: `request` is as good. Either way what was known about `target` is used up.
    pub fn question(&self, target: NodeId, request: &Request) -> io::Result<Option<Request>> {
        let Some(index) = self.last().remove(&target) else { return Ok(None) };
        if index <= reach(request).map_or(0, |id| id.index) {
            return Ok(None);
        }
        // Of the leader's own term it has none: they come from this leader only.
        let older = |id: &LogId| term_of(id) < request.vote.leader_id.term;
        Ok((self.own)(index)?.filter(older).map(|id| Request {
            vote: request.vote,
            prev_log_id: Some(id),
            entries: vec![],
            leader_commit: request.leader_commit,
        }))
    }
}

type Request = AppendEntriesRequest<Types>;

/// How far a follower's log goes that accepts the request.
fn reach(request: &Request) -> Option<LogId> {
    request.entries.last().map(|e| e.log_id).or(request.prev_log_id)
}

/// A follower that said yes: it has the leader's entries up to here.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    upto: Option<LogId>,
    /// Before the question left.
    asked: Instant,
}

impl Agreed {
    pub fn new(question: &Request, asked: Instant) -> Agreed {
        Agreed { upto: question.prev_log_id, asked }
    }

    /// The follower's answer to `request`, if it is known. It counts for the leader's lease as if it were given now: `late_after` says
    /// for how long that does no harm (see `late_answers.rs`).
    pub fn answer(&self, request: &Request, now: Instant, late_after: Duration) -> Option<StreamAppendResult<Types>> {
        let reach = reach(request);
        (reach <= self.upto && now.duration_since(self.asked) < late_after).then_some(Ok(reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, Vote};
    use openraft::EntryPayload;

    const ME_IN_TERM_5: (u64, NodeId) = (5, 1);

    /// A log of entries 1 to 100 of term 4 and one of term 5.
    fn tails() -> Tails {
        Tails::new(Box::new(|index| {
            let term = match index {
                1..=100 => 4,
                101 => 5,
                _ => return Ok(None),
            };
            Ok(Some(LogId::new_term_index(term, index)))
        }))
    }

    fn id(index: u64) -> Option<LogId> {
        Some(LogId::new_term_index(4, index))
    }

    /// As openraft begins its search: the entries after `prev`.
    fn probe(prev: u64, entries: u64) -> Request {
        let entry = |n| Entry { log_id: LogId::new_term_index(4, n), payload: EntryPayload::Blank };
        Request {
            vote: Vote::new_committed(ME_IN_TERM_5.0, ME_IN_TERM_5.1),
            prev_log_id: id(prev),
            entries: (prev + 1..=prev + entries).map(entry).collect(),
            leader_commit: id(40),
        }
    }

    #[test]
    fn the_first_question_is_about_the_end_of_the_followers_log() {
        let tails = tails();
        tails.told(2, id(98));
        let question = tails.question(2, &probe(50, 8)).unwrap().expect("58 is not 98");
        assert_eq!((question.prev_log_id, question.entries.len(), question.leader_commit), (id(98), 0, id(40)));
        assert_eq!(question.vote, probe(50, 8).vote);
        assert!(tails.question(2, &probe(50, 8)).unwrap().is_none(), "once: it may have said no");
    }

    #[test]
    fn a_yes_answers_the_steps_of_the_search_for_a_short_time() {
        let (asked, late) = (Instant::now(), Duration::from_millis(150));
        let agreed = Agreed::new(&probe(98, 0), asked);
        for (step, reach) in [(probe(50, 8), 58), (probe(74, 8), 82), (probe(90, 8), 98)] {
            assert_eq!(agreed.answer(&step, asked + late / 2, late), Some(Ok(id(reach))));
        }
        assert_eq!(agreed.answer(&probe(98, 1), asked, late), None, "the first entry that it may lack");
        assert_eq!(agreed.answer(&probe(50, 8), asked + late, late), None, "it may follow another leader by now");
    }

    #[test]
    fn a_request_that_reaches_as_far_stays() {
        let tails = tails();
        tails.told(2, id(58));
        assert!(tails.question(2, &probe(50, 8)).unwrap().is_none());
        assert!(!tails.knows(2), "used up");
        assert!(tails.question(3, &probe(50, 8)).unwrap().is_none(), "nothing is known of master 3");
    }

    #[test]
    fn only_entries_of_our_own_log_and_of_older_terms_are_asked_about() {
        let tails = tails();
        tails.told(2, Some(LogId::new_term_index(3, 200)));
        assert!(tails.question(2, &probe(50, 8)).unwrap().is_none(), "its log is longer than ours");
        tails.told(2, Some(LogId::new_term_index(3, 101)));
        assert!(tails.question(2, &probe(50, 8)).unwrap().is_none(), "our entry 101 is of our own term");
        tails.told(2, Some(LogId::new_term_index(3, 100)));
        let question = tails.question(2, &probe(50, 8)).unwrap().expect("ours is of term 4");
        assert_eq!(question.prev_log_id, id(100), "our entry there, and not its own");
    }

    #[test]
    fn the_latest_answer_counts() {
        let tails = tails();
        tails.told(2, id(98));
        tails.told(2, id(70));
        assert_eq!(tails.question(2, &probe(50, 8)).unwrap().expect("still further").prev_log_id, id(70));
        tails.told(2, id(98));
        tails.told(2, None);
        assert!(!tails.knows(2), "its log is empty");
    }
}
