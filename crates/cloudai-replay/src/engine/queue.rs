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
