//! Which attempts have news, and which news are on their way. Comes in: marks and acknowledgements. Goes out: the next batch.
//!
//! It holds ids only: the news themselves are the attempts' current states, so that what changes twice before it is sent
//! costs one report.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::AttemptId;
use cloudai_types::limits::{REPORTS_MAX, REPORTS_WINDOW};

use crate::attempt::Phase;

#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    news: BTreeSet<AttemptId>,
    in_flight: BTreeMap<u64, Vec<(AttemptId, Phase)>>,
    last_sequence: u64,
}

impl Outbox {
    /// Attempts with news, sent or not.
    pub fn len(&self) -> usize {
        self.news.len() + self.in_flight.values().map(Vec::len).sum::<usize>()
    }

    pub fn mark(&mut self, attempt: AttemptId) {
        self.news.insert(attempt);
    }

    pub fn forget(&mut self, attempt: AttemptId) {
        self.news.remove(&attempt);
    }

    /// A new session knows nothing of what the old one had on its way.
    pub fn session_up(&mut self) {
        self.in_flight.clear();
        self.last_sequence = 0;
    }

    /// The next batch, unless the window is full or there are no news.
    pub fn take(&mut self) -> Vec<AttemptId> {
        if self.in_flight.len() >= REPORTS_WINDOW {
            return vec![];
        }
        if self.news.len() <= REPORTS_MAX {
            return std::mem::take(&mut self.news).into_iter().collect();
        }
        let rest = self.news.iter().nth(REPORTS_MAX).copied().expect("there are more than REPORTS_MAX");
        let rest = self.news.split_off(&rest);
        std::mem::replace(&mut self.news, rest).into_iter().collect()
    }

    pub fn sent(&mut self, batch: Vec<(AttemptId, Phase)>) -> u64 {
        self.last_sequence += 1;
        self.in_flight.insert(self.last_sequence, batch);
        self.last_sequence
    }

    /// What the acknowledged message said; empty for a repeated or unknown acknowledgement.
    pub fn acked(&mut self, sequence: u64) -> Vec<(AttemptId, Phase)> {
        self.in_flight.remove(&sequence).unwrap_or_default()
    }
}
