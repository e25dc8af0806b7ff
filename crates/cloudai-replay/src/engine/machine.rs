//! The machine: what is free, what runs, when it ends. Comes in: starts and the passing of time. Goes out: endings and what a
//! reservation needs. It refuses what no machine can do, at every event; who starts next is deliberately not known here.

use std::collections::BTreeSet;

use cloudai_scheduler::backfill::Release;

use crate::check::Broken;
use crate::trace::Job;

pub struct Machine<'a> {
    jobs: &'a [Job],
    capacity: u32,
    free: u32,
    /// (end, how many had started before it, place): equal ends go in the order of their starts.
    ends: BTreeSet<(u64, u64, u32)>,
    /// (end of the limit, place)
    limits: BTreeSet<(u64, u32)>,
    started: u64,
    ended: u64,
    start_s: Vec<Option<u64>>,
}

impl<'a> Machine<'a> {
    pub fn new(jobs: &'a [Job], capacity: u32) -> Self {
        Machine {
            jobs,
            capacity,
            free: capacity,
            ends: BTreeSet::new(),
            limits: BTreeSet::new(),
            started: 0,
            ended: 0,
            start_s: vec![None; jobs.len()],
        }
    }

    pub fn free(&self) -> u32 {
        self.free
    }

    pub fn has_room(&self, processors: u32) -> bool {
        processors <= self.free
    }

    /// When the next running job ends.
    pub fn next_end_s(&self) -> Option<u64> {
        self.ends.first().map(|(end_s, _, _)| *end_s)
    }

    /// Running jobs by the end of their limits.
    pub fn releases(&self) -> impl Iterator<Item = Release> + '_ {
        self.limits
            .iter()
            .map(|(limit_s, place)| Release { limit_s: *limit_s, processors: self.jobs[*place as usize].processors })
    }

    pub fn start(&mut self, place: u32, now_s: u64) -> Result<(), Broken> {
        let job = &self.jobs[place as usize];
        if now_s < job.submit_s {
            return Err(Broken::Early { job: job.id, at_s: now_s });
        }
        if self.start_s[place as usize].replace(now_s).is_some() {
            return Err(Broken::Twice { job: job.id, at_s: now_s });
        }
        self.free = self.free.checked_sub(job.processors).ok_or(Broken::Overfull { job: job.id, at_s: now_s })?;
        self.ends.insert((now_s.saturating_add(job.run_s), self.started, place));
        self.limits.insert((now_s.saturating_add(job.requested_s), place));
        self.started += 1;
        Ok(())
    }

    /// Ends the running job that ends first, and names it.
    pub fn end_next(&mut self) -> Result<Option<u32>, Broken> {
        let Some((end_s, _, place)) = self.ends.pop_first() else { return Ok(None) };
        let job = &self.jobs[place as usize];
        let start_s = self.start_s[place as usize].unwrap_or(0);
        self.limits.remove(&(start_s.saturating_add(job.requested_s), place));
        self.free += job.processors;
        self.ended += 1;
        let is_balanced = self.limits.len() == self.ends.len() && self.ended + self.ends.len() as u64 == self.started;
        if self.free > self.capacity || !is_balanced {
            return Err(Broken::Twice { job: job.id, at_s: end_s });
        }
        Ok(Some(place))
    }

    /// When each job started. An error where one never did.
    pub fn into_starts(self) -> Result<Vec<u64>, Broken> {
        let started = self.start_s.into_iter().zip(self.jobs);
        started.map(|(start_s, job)| start_s.ok_or(Broken::Never { job: job.id })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, submit_s: u64, processors: u32) -> Job {
        Job { id, submit_s, run_s: 10, requested_s: 30, processors, user: 0, deadline_s: None, parents: vec![] }
    }

    #[test]
    fn it_refuses_what_no_machine_can_do() {
        let jobs = [job(1, 5, 3), job(2, 5, 2)];
        let mut machine = Machine::new(&jobs, 4);
        assert_eq!(machine.start(0, 4), Err(Broken::Early { job: 1, at_s: 4 }));
        assert_eq!(machine.start(0, 5), Ok(()));
        assert_eq!(machine.start(0, 6), Err(Broken::Twice { job: 1, at_s: 6 }));
        assert_eq!(machine.start(1, 6), Err(Broken::Overfull { job: 2, at_s: 6 }));
        assert_eq!(Machine::new(&jobs, 4).into_starts(), Err(Broken::Never { job: 1 }));
    }

    #[test]
    fn jobs_end_by_time_and_equal_times_by_their_start() {
        let jobs = [job(1, 0, 1), job(2, 0, 1), job(3, 0, 1)];
        let mut machine = Machine::new(&jobs, 4);
        for (place, now_s) in [(2, 0), (1, 0), (0, 1)] {
            machine.start(place, now_s).unwrap();
        }
        assert_eq!(machine.next_end_s(), Some(10));
        let limits: Vec<u64> = machine.releases().map(|r| r.limit_s).collect();
        assert_eq!(limits, [30, 30, 31]);
        let mut ended = vec![];
        while let Some(place) = machine.end_next().unwrap() {
            ended.push(place);
        }
        assert_eq!((ended, machine.free(), machine.next_end_s()), (vec![2, 1, 0], 4, None));
    }
}
