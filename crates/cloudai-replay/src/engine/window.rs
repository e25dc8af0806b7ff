//! One window of a log, in the event order of RLScheduler (Zhang et al., SC'20), so that its published table can be repeated:
//! the machine starts empty; whenever a job has started, the first of the queue becomes the head, and stays it until it starts;
//! one event at a time, arrivals at the time of an ending before it; while the head waits, jobs that fit are taken in the order
//! of their submission if they pass the reservation, which was made once, when the head blocked.
//!
//! RLScheduler's own code computes WFP3 and UNICEP with a wait that is not set yet, which turns their order round. Here the wait
//! is right, so those two columns of its table cannot be repeated.

use cloudai_scheduler::backfill::{Backfill, reserve};

use super::machine::Machine;
use super::queue::Queue;
use super::{ReplayError, Run, Setup, timed};
use crate::check;
use crate::trace::Job;

/// Replays `length` jobs from the place `start` on, alone.
///
/// # Errors
/// A window outside of the trace or through a workflow; a job that is wider than the machine; a broken schedule, which is a
/// mistake of this code.
pub fn replay_window(jobs: &[Job], start: usize, length: usize, setup: &Setup<'_>) -> Result<Run, ReplayError> {
    replay_window_watched(jobs, start, length, setup, &mut || ())
}

/// The same; `watch` is called at each start of a job.
///
/// # Errors
/// See [`replay_window`].
pub fn replay_window_watched(
    jobs: &[Job],
    start: usize,
    length: usize,
    setup: &Setup<'_>,
    watch: &mut dyn FnMut(),
) -> Result<Run, ReplayError> {
    let outside = ReplayError::NoSuchWindow { start, length, jobs: jobs.len() };
    let end = start.checked_add(length).filter(|_| length > 0);
    let jobs = end.and_then(|end| jobs.get(start..end)).ok_or(outside)?;
    if jobs.iter().any(|job| !job.parents.is_empty()) {
        return Err(ReplayError::WindowOfWorkflow);
    }
    setup.refuse_too_wide(jobs)?;
    let mut engine = Engine {
        jobs,
        setup,
        machine: Machine::new(jobs, setup.capacity),
        queue: Queue::new(jobs, setup.order, setup.predict),
        now_s: 0,
        next_arrival: 0,
        run: Run {
            ready_s: jobs.iter().map(|job| job.submit_s).collect(),
            backfilled: vec![false; jobs.len()],
            ..Run::default()
        },
    };
    while engine.fill_queue()? {
        let head = engine.pick_head();
        let processors = jobs[head as usize].processors;
        if !engine.machine.has_room(processors) {
            engine.wait_for_room(processors, watch)?;
        }
        engine.start(&[head])?;
        watch();
    }
    let Engine { machine, mut run, .. } = engine;
    run.start_s = machine.into_starts()?;
    check::schedule(jobs, setup.capacity, &run.start_s)?;
    Ok(run)
}

struct Engine<'a> {
    jobs: &'a [Job],
    setup: &'a Setup<'a>,
    machine: Machine<'a>,
    queue: Queue<'a>,
    now_s: u64,
    next_arrival: usize,
    run: Run,
}

impl Engine<'_> {
    /// Goes on until somebody waits; false when nobody is left.
    fn fill_queue(&mut self) -> Result<bool, ReplayError> {
        while self.queue.entries().is_empty() {
            if self.next_arrival == self.jobs.len() {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    fn pick_head(&mut self) -> u32 {
        let (queue, now_s) = (&mut self.queue, self.now_s);
        timed(&mut self.run.decisions_ns, || {
            queue.settle(now_s);
            queue.entries()[0].place
        })
    }

    /// Steps on until the blocked head has room; others may pass it.
    fn wait_for_room(&mut self, processors: u32, watch: &mut dyn FnMut()) -> Result<(), ReplayError> {
        let mut reservation = reserve(self.machine.free(), processors, self.machine.releases());
        while !self.machine.has_room(processors) {
            if let Some(reservation) = reservation.as_mut().filter(|_| self.setup.backfill != Backfill::None) {
                // By place, which is by submission.
                let mut candidates: Vec<u32> = self.queue.entries().iter().map(|entry| entry.place).collect();
                candidates.sort_unstable();
                for place in candidates {
                    let job = &self.jobs[place as usize];
                    let fits = self.machine.has_room(job.processors);
                    if fits && reservation.admit(self.setup.backfill, self.now_s, job.requested_s, job.processors) {
                        self.run.backfilled[place as usize] = true;
                        self.start(&[place])?;
                        watch();
                    }
                }
            }
            self.step()?;
        }
        Ok(())
    }

    /// One event: the next arrival, or the next ending where that is earlier.
    fn step(&mut self) -> Result<(), ReplayError> {
        let arrival_s = self.jobs.get(self.next_arrival).map(|job| job.submit_s);
        let end_s = self.machine.next_end_s();
        if arrival_s.is_some_and(|arrival_s| end_s.is_none_or(|end_s| arrival_s <= end_s)) {
            self.now_s = self.now_s.max(arrival_s.unwrap_or(0));
            // The wait counts from the submission, even if the event comes later.
            let place = self.next_arrival;
            self.queue.push(place as u32, self.jobs[place].submit_s);
            self.next_arrival += 1;
        } else if let Some(place) = self.machine.end_next()? {
            self.now_s = self.now_s.max(end_s.unwrap_or(0));
            self.queue.learn(place, self.now_s);
        }
        Ok(())
    }

    fn start(&mut self, places: &[u32]) -> Result<(), ReplayError> {
        for place in places {
            self.machine.start(*place, self.now_s)?;
        }
        self.queue.remove(places);
        Ok(())
    }
}
