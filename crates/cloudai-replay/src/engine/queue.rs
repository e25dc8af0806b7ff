//! The queue, kept in order. Comes in: jobs that became ready, endings to learn from, the time. Goes out: places of jobs, first
//! one first. Whether a job fits is deliberately not known here.

use std::collections::BTreeSet;

use cloudai_scheduler::expect::{Expectations, Likeness};
use cloudai_scheduler::order::{Drift, Order, SortKey, Waiting};

use crate::trace::Job;

/// A waiting job. Order: key, then place, which is the order of submission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    key: SortKey,
    pub place: u32,
    pub processors: u32,
    pub requested_s: u64,
}

pub struct Queue<'a> {
    jobs: &'a [Job],
    order: &'a (dyn Order + Sync),
    expectations: Option<Expectations>,
    /// Sorted, but for orders that always drift: those only after [`Queue::settle`].
    entries: Vec<Entry>,
    /// What the order knows of each job that waits; stale once it has started.
    waiting: Vec<Option<Waiting>>,
    /// Keys that change by themselves: (when, place).
    changes: BTreeSet<(u64, u32)>,
    /// Jobs that wait, by what they are like. Empty without expectations.
    alike: BTreeSet<(Likeness, u32)>,
    always_drifts: bool,
}

impl<'a> Queue<'a> {
    pub fn new(jobs: &'a [Job], order: &'a (dyn Order + Sync), predict: bool) -> Self {
        Queue {
            jobs,
            order,
            expectations: predict.then(Expectations::default),
            entries: vec![],
            waiting: vec![None; jobs.len()],
            changes: BTreeSet::new(),
            alike: BTreeSet::new(),
            always_drifts: false,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A job became ready.
    pub fn push(&mut self, place: u32, now_s: u64) {
        let job = &self.jobs[place as usize];
        let like = likeness(job);
        let expected_s = self.expectations.as_ref().and_then(|e| e.expected_s(&like)).unwrap_or(job.requested_s);
        let task = Waiting { submit_s: now_s, requested_s: job.requested_s, expected_s, processors: job.processors };
        match self.order.drift(&task) {
            Drift::Never => {}
            Drift::At(at_s) => _ = self.changes.insert((at_s, place)),
            Drift::Always => self.always_drifts = true,
        }
        if self.expectations.is_some() {
            self.alike.insert((like, place));
        }
        self.waiting[place as usize] = Some(task);
        self.insert(place, &task, now_s);
    }

    /// A job has ended: those like it that still wait are expected to run as long.
    pub fn learn(&mut self, place: u32, now_s: u64) {
        let job = &self.jobs[place as usize];
        let Some(expectations) = &mut self.expectations else { return };
        let like = likeness(job);
        expectations.learn(like, job.run_s);
        let Some(expected_s) = expectations.expected_s(&like) else { return };
        let alike: Vec<u32> = self.alike.range((like, 0)..=(like, u32::MAX)).map(|(_, place)| *place).collect();
        for place in alike {
            if let Some(task) = &mut self.waiting[place as usize]
                && task.expected_s != expected_s
            {
                task.expected_s = expected_s;
                let task = *task;
                self.entries.retain(|entry| entry.place != place);
                self.insert(place, &task, now_s);
            }
        }
    }

    /// Puts in its place what moved because time has passed; true when anything did. Before entries are looked at.
    pub fn settle(&mut self, now_s: u64) -> bool {
        let mut has_moved = self.always_drifts;
        if self.always_drifts {
            for entry in &mut self.entries {
                if let Some(task) = &self.waiting[entry.place as usize] {
                    entry.key = self.order.key(task, now_s);
                }
            }
            self.entries.sort_unstable();
        }
        while let Some((at_s, place)) = self.changes.first().copied().filter(|(at_s, _)| *at_s <= now_s) {
            self.changes.remove(&(at_s, place));
            if let Some(task) = self.waiting[place as usize] {
                self.entries.retain(|entry| entry.place != place);
                self.insert(place, &task, now_s);
                has_moved = true;
            }
        }
        has_moved
    }

    /// These have started; `places` need not be sorted.
    pub fn remove(&mut self, places: &[u32]) {
        for place in places {
            if self.waiting[*place as usize].take().is_some() && self.expectations.is_some() {
                self.alike.remove(&(likeness(&self.jobs[*place as usize]), *place));
            }
        }
        let waiting = &self.waiting;
        if !places.is_empty() {
            self.entries.retain(|entry| waiting[entry.place as usize].is_some());
        }
    }

    fn insert(&mut self, place: u32, task: &Waiting, now_s: u64) {
        let key = self.order.key(task, now_s);
        let entry = Entry { key, place, processors: task.processors, requested_s: task.requested_s };
        let at = self.entries.partition_point(|other| *other < entry);
        self.entries.insert(at, entry);
    }
}

fn likeness(job: &Job) -> Likeness {
    Likeness { user: job.user, processors: job.processors, requested_s: job.requested_s }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_scheduler::order::AgedArea;

    fn job(user: u64, requested_s: u64, run_s: u64) -> Job {
        Job { id: 0, submit_s: 0, run_s, requested_s, processors: 1, user, deadline_s: None, parents: vec![] }
    }

    fn places(queue: &Queue<'_>) -> Vec<u32> {
        queue.entries().iter().map(|entry| entry.place).collect()
    }

    #[test]
    fn an_ending_moves_those_like_it_that_wait_and_nobody_else() {
        let jobs = [job(1, 100, 5), job(2, 90, 1), job(1, 100, 99), job(1, 101, 1)];
        let mut queue = Queue::new(&jobs, &AgedArea::DEFAULT, true);
        for place in 0..4 {
            queue.push(place, 0);
        }
        // By limits: what they will run for is not known yet.
        assert_eq!(places(&queue), [1, 0, 2, 3]);
        queue.remove(&[0]);
        queue.learn(0, 5);
        assert_eq!(places(&queue), [2, 1, 3], "like the one that took 5 s: the same user, width and limit");
        let mut blind = Queue::new(&jobs, &AgedArea::DEFAULT, false);
        for place in 1..4 {
            blind.push(place, 0);
        }
        blind.learn(0, 5);
        assert_eq!(places(&blind), [1, 2, 3]);
    }

    #[test]
    fn who_waited_too_long_moves_when_the_queue_is_settled() {
        let jobs = [job(1, 1, 1), job(1, 50_000, 1)];
        let order = AgedArea { wait_max_s: 100, ..AgedArea::DEFAULT };
        let mut queue = Queue::new(&jobs, &order, false);
        queue.push(1, 0);
        queue.push(0, 50);
        assert_eq!((queue.settle(99), places(&queue)), (false, vec![0, 1]));
        assert_eq!((queue.settle(100), places(&queue)), (true, vec![1, 0]));
        assert_eq!((queue.settle(150), places(&queue)), (true, vec![1, 0]), "both are overdue, the older one first");
    }
}
