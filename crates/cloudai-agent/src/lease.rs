//! The worker's permission to go on (W3). Comes in: heartbeats sent and acknowledged. Goes out: until when what is allowed.
//!
//! A renewal counts from the moment the heartbeat was *sent*: the leader cannot have received it earlier.

use std::collections::VecDeque;

use cloudai_types::Timestamp;
use cloudai_types::limits::{STOP_KILL_AFTER, STOP_TERM_AFTER};

/// Heartbeats of one session that may be unanswered; an older one is forgotten, and its late answer renews nothing.
const UNANSWERED_MAX: usize = 32;

#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    renewed: Option<Timestamp>,
    sent: VecDeque<(u64, Timestamp)>,
}

impl Lease {
    pub fn restore(&mut self, renewed: Option<Timestamp>) {
        self.renewed = self.renewed.max(renewed);
    }

    pub fn session_up(&mut self, hello_sent: Timestamp) {
        self.sent.clear();
        self.renewed = self.renewed.max(Some(hello_sent));
    }

    pub fn on_sent(&mut self, sequence: u64, at: Timestamp) {
        self.sent.push_back((sequence, at));
        if self.sent.len() > UNANSWERED_MAX {
            self.sent.pop_front();
        }
    }

    /// An answer covers every heartbeat up to its own.
    pub fn on_acked(&mut self, sequence: u64) {
        if let Some(place) = self.sent.iter().position(|(s, _)| *s == sequence) {
            self.renewed = self.renewed.max(Some(self.sent[place].1));
            self.sent.drain(..=place);
        }
    }

    pub fn renewed(&self) -> Option<Timestamp> {
        self.renewed
    }

    /// Nothing new starts, and `stop` attempts get SIGTERM, from here on. Time zero without any renewal.
    pub fn term_at(&self) -> Timestamp {
        self.renewed.map_or(Timestamp(0), |r| r + STOP_TERM_AFTER)
    }

    /// `stop` attempts get SIGKILL from here on, whatever their grace says.
    pub fn kill_at(&self) -> Timestamp {
        lease_kill_at(self.renewed)
    }
}

/// When `stop` attempts get SIGKILL after this renewal; time zero without any.
pub fn lease_kill_at(renewed: Option<Timestamp>) -> Timestamp {
    renewed.map_or(Timestamp(0), |r| r + STOP_KILL_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_counts_from_sending() {
        let mut lease = Lease::default();
        lease.session_up(Timestamp(100));
        lease.on_sent(1, Timestamp(1_000));
        lease.on_sent(2, Timestamp(2_000));
        assert_eq!(lease.term_at(), Timestamp(6_100));
        lease.on_acked(1);
        assert_eq!(lease.term_at(), Timestamp(7_000));
        lease.on_acked(9);
        assert_eq!(lease.renewed(), Some(Timestamp(1_000)), "an answer to what was never sent renews nothing");
        lease.on_acked(2);
        assert_eq!(lease.renewed(), Some(Timestamp(2_000)));
    }

    #[test]
    fn an_answer_of_an_earlier_session_renews_nothing() {
        let mut lease = Lease::default();
        lease.session_up(Timestamp(100));
        lease.on_sent(1, Timestamp(5_000));
        lease.session_up(Timestamp(200));
        lease.on_acked(1);
        assert_eq!(lease.kill_at(), Timestamp(8_200));
    }
}
