//! The newest part of what happened in the cluster, in the order of the log. Comes in: the news of each entry. Goes out: what came after a
//! position, or that this is kept no more. Bounded in number and bytes; what is dropped is remembered by its position, so that nobody takes a gap
//! for silence. Who reads, and how it is told, is not known here.

use std::collections::VecDeque;

use cloudai_core::News;
use cloudai_types::limits;

/// A place in the stream of events: the same at every master.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// Of the log.
    pub index: u64,
    /// In the entry, from 0.
    pub number: u32,
}

/// What happened, where it stands, and when: replicated time; 0: the log does not say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub at: Position,
    pub at_ms: u64,
    pub news: News,
}

/// What is asked for is not all there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what came after {kept_after:?} is kept")]
pub struct TooOld {
    pub kept_after: Position,
}

/// Everything after [`EventRing::kept_after`].
#[derive(Debug)]
pub struct EventRing {
    kept: VecDeque<Told>,
    bytes: usize,
    kept_after: Position,
    most: usize,
    bytes_most: usize,
}

impl Default for EventRing {
    fn default() -> Self {
        EventRing::of(limits::EVENTS_KEPT_MAX, limits::EVENTS_KEPT_BYTES_MAX)
    }
}

impl Position {
    /// Behind all of an entry.
    pub fn behind(index: u64) -> Self {
        Position { index, number: u32::MAX }
    }
}

/// What people write after `--since`.
impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            u32::MAX => write!(f, "{}", self.index),
            number => write!(f, "{}.{number}", self.index),
        }
    }
}

impl EventRing {
    /// Keeps at most so many, in so many bytes.
    pub fn of(most: usize, bytes_most: usize) -> Self {
        EventRing { kept: VecDeque::new(), bytes: 0, kept_after: Position::default(), most, bytes_most }
    }

    /// The state is as of this log index, and nobody knows what came before.
    pub fn begin(&mut self, index: u64) {
        *self = EventRing { kept_after: Position::behind(index), ..EventRing::of(self.most, self.bytes_most) };
    }

    /// The news of one entry, in order. Entries come in the order of the log.
    pub fn add(&mut self, index: u64, at_ms: u64, news: Vec<News>) {
        self.add_some(index, at_ms, (0..).zip(news));
    }

    /// As many of an entry's as are wanted here, each with its number in the entry.
    pub fn add_some(&mut self, index: u64, at_ms: u64, news: impl IntoIterator<Item = (u32, News)>) {
        for (number, news) in news {
            self.bytes += size_of::<Told>() - size_of::<News>() + news.bytes();
            self.kept.push_back(Told { at: Position { index, number }, at_ms, news });
        }
        while self.kept.len() > self.most || self.bytes > self.bytes_most {
            let Some(told) = self.kept.pop_front() else { return };
            self.bytes -= size_of::<Told>() - size_of::<News>() + told.news.bytes();
            self.kept_after = told.at;
        }
    }

    /// What came after this position is kept, all of it.
    pub fn kept_after(&self) -> Position {
        self.kept_after
    }

    /// The next of them, at most so many.
    pub fn after(&self, position: Position, most: usize) -> Result<impl Iterator<Item = &Told>, TooOld> {
        if position < self.kept_after {
            return Err(TooOld { kept_after: self.kept_after });
        }
        let from = self.kept.partition_point(|told| told.at <= position);
        Ok(self.kept.range(from..).take(most))
    }

    /// The position after which so many that are wanted come, or as many as there are.
    pub fn tail(&self, most: usize, wanted: impl Fn(&News) -> bool) -> Position {
        let mut left = most;
        for told in self.kept.iter().rev() {
            if left == 0 {
                return told.at;
            }
            left -= usize::from(wanted(&told.news));
        }
        self.kept_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::news::What;
    use cloudai_types::{JobId, NamespaceId, WorkerId};

    fn of_worker(n: u32) -> News {
        News::of_worker(WorkerId(n), What::WorkerRegistered)
    }

    fn of_job(n: u64) -> News {
        News::of_job(NamespaceId(1), JobId(n), What::Submitted { tasks: 1, actor: String::new() })
    }

    fn at(index: u64, number: u32) -> Position {
        Position { index, number }
    }

    fn after(ring: &EventRing, position: Position) -> Result<Vec<Position>, TooOld> {
        Ok(ring.after(position, 100)?.map(|told| told.at).collect())
    }

    #[test]
    fn what_came_after_a_position_comes_once_and_in_order() {
        let mut ring = EventRing::default();
        ring.begin(10);
        ring.add(11, 5, vec![of_worker(1), of_worker(2), of_job(1)]);
        ring.add(14, 6, vec![of_job(2)]);
        let all = [at(11, 0), at(11, 1), at(11, 2), at(14, 0)];
        assert_eq!(after(&ring, Position::behind(10)), Ok(all.to_vec()));
        assert_eq!(after(&ring, at(11, 0)), Ok(all[1..].to_vec()));
        assert_eq!(after(&ring, Position::behind(11)), Ok(all[3..].to_vec()));
        assert_eq!(
            after(&ring, Position::behind(13)),
            Ok(all[3..].to_vec()),
            "an entry of which there is nothing to tell"
        );
        assert_eq!(after(&ring, at(14, 0)), Ok(vec![]));
        assert_eq!(ring.after(Position::behind(10), 2).map(Iterator::count), Ok(2));
        assert_eq!(after(&ring, at(10, 3)), Err(TooOld { kept_after: Position::behind(10) }), "before it began");
    }

    #[test]
    fn a_gap_is_told_and_never_passed_over() {
        let mut ring = EventRing::default();
        let two = limits::EVENTS_KEPT_MAX as u64 / 2 + 1;
        for index in 1..=two {
            ring.add(index, 0, vec![of_worker(1), of_job(index)]);
        }
        assert_eq!((ring.kept.len(), ring.kept_after()), (limits::EVENTS_KEPT_MAX, at(1, 1)));
        assert_eq!(after(&ring, at(1, 0)), Err(TooOld { kept_after: at(1, 1) }));
        assert_eq!(ring.after(at(1, 1), 1).unwrap().next().map(|told| told.at), Some(at(2, 0)));
        ring.begin(two + 5);
        assert_eq!(after(&ring, at(two, 1)), Err(TooOld { kept_after: Position::behind(two + 5) }));
        assert_eq!((ring.kept.len(), ring.bytes), (0, 0), "a snapshot took the place of what was there");
    }

    #[test]
    fn long_texts_are_bounded_too() {
        let mut ring = EventRing::default();
        for index in 1..200 {
            let actor = "x".repeat(1 << 20);
            ring.add(index, 0, vec![News::of_cluster(What::ConfigChanged { actor })]);
        }
        assert!(ring.bytes <= limits::EVENTS_KEPT_BYTES_MAX && ring.kept.len() < 30, "{}", ring.kept.len());
        let counted: usize = ring.kept.iter().map(|t| size_of::<Told>() - size_of::<News>() + t.news.bytes()).sum();
        assert_eq!(counted, ring.bytes);
    }

    #[test]
    fn a_tail_begins_before_the_last_that_are_wanted() {
        let mut ring = EventRing::default();
        ring.begin(3);
        ring.add(4, 0, vec![of_job(1), of_worker(1)]);
        ring.add(5, 0, vec![of_job(2), of_worker(1), of_worker(1)]);
        let jobs = |news: &News| news.job.is_some();
        assert_eq!(ring.tail(1, jobs), at(4, 1));
        assert_eq!(ring.tail(2, jobs), Position::behind(3));
        assert_eq!(ring.tail(9, jobs), Position::behind(3), "as many as there are");
        assert_eq!(ring.tail(1, |_| true), at(5, 1));
    }
}
