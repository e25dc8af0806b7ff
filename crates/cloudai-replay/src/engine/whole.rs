//! A whole log: one event at a time, endings at a second before arrivals at it, and one look at the queue after each. The
//! first jobs start as long as they fit; the first that does not gets a reservation, anew each time; those behind it may pass.
//! With the order `fcfs` this is EASY as published for Gaussier et al. (SC'15), job by job.

use std::collections::BTreeSet;

use cloudai_scheduler::backfill::{Backfill, Release, reserve};

use super::machine::Machine;
use super::queue::Queue;
use super::{ReplayError, Run, Setup, timed};
use crate::check;
use crate::trace::{Job, children};

/// Replays all jobs. `jobs` come sorted by time of submission, parents free of cycles, as in a [`crate::Trace`].
///
/// # Errors
/// A job that is wider than the machine; or a broken schedule, which is a mistake of this code.
pub fn replay(jobs: &[Job], setup: &Setup<'_>) -> Result<Run, ReplayError> {
    replay_watched(jobs, setup, &mut || ())
}

/// The same; `watch` is called at each start of a job.
///
/// # Errors
/// See [`replay`].
pub fn replay_watched(jobs: &[Job], setup: &Setup<'_>, watch: &mut dyn FnMut()) -> Result<Run, ReplayError> {
    setup.refuse_too_wide(jobs)?;
    let children = children(jobs);
    let mut engine = Engine {
        setup,
        machine: Machine::new(jobs, setup.capacity),
        queue: Queue::new(jobs, setup.order, setup.predict),
        run: Run { ready_s: vec![0; jobs.len()], backfilled: vec![false; jobs.len()], ..Run::default() },
    };
    let mut missing: Vec<usize> = jobs.iter().map(|job| job.parents.len()).collect();
    let unbound = jobs.iter().zip(0u32..).filter(|(job, _)| job.parents.is_empty());
    let mut arrivals: BTreeSet<(u64, u32)> = unbound.map(|(job, place)| (job.submit_s, place)).collect();
    while let Some(now_s) = earliest(engine.machine.next_end_s(), arrivals.first().map(|(at_s, _)| *at_s)) {
        if engine.machine.next_end_s() == Some(now_s) {
            let Some(place) = engine.machine.end_next()? else { break };
            engine.queue.learn(place, now_s);
            // Those that only waited for this ending are ready with it: they are looked at together.
            for child in children[place as usize].iter().copied() {
                missing[child as usize] -= 1;
                let ready_s = now_s.max(jobs[child as usize].submit_s);
                if missing[child as usize] == 0 && ready_s == now_s {
                    engine.arrive(child, now_s);
                } else if missing[child as usize] == 0 {
                    arrivals.insert((ready_s, child));
                }
            }
            engine.look(now_s, None, watch)?;
        } else if let Some((_, place)) = arrivals.pop_first() {
            let waited = !engine.queue.entries().is_empty();
            engine.arrive(place, now_s);
            engine.look(now_s, Some(place).filter(|_| waited), watch)?;
        }
    }
    let Engine { machine, mut run, .. } = engine;
    run.start_s = machine.into_starts()?;
    check::schedule(jobs, setup.capacity, &run.start_s)?;
    Ok(run)
}

fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

struct Engine<'a> {
    setup: &'a Setup<'a>,
    machine: Machine<'a>,
    queue: Queue<'a>,
    run: Run,
}

impl Engine<'_> {
    fn arrive(&mut self, place: u32, now_s: u64) {
        self.run.ready_s[place as usize] = now_s;
        self.queue.push(place, now_s);
    }

    /// One decision, and its starts. `only`: the job that just arrived, when nothing else has changed since the last look and
    /// others wait. Then only it can start, unless it is the first now: the others' chances only shrink while time passes.
    fn look(&mut self, now_s: u64, only: Option<u32>, watch: &mut dyn FnMut()) -> Result<(), ReplayError> {
        let (machine, queue, rule) = (&self.machine, &mut self.queue, self.setup.backfill);
        let (started, passed_from) = timed(&mut self.run.decisions_ns, || {
            let has_moved = queue.settle(now_s);
            let first = queue.entries().first().map(|entry| entry.place);
            choose(machine, queue, rule, now_s, only.filter(|place| !has_moved && first != Some(*place)))
        });
        for place in &started {
            self.machine.start(*place, now_s)?;
            watch();
        }
        for place in &started[passed_from..] {
            self.run.backfilled[*place as usize] = true;
        }
        self.queue.remove(&started);
        Ok(())
    }
}

/// The places of the jobs that start now, and from which of them on they passed another job. With `only`, nobody else passes.
fn choose(
    machine: &Machine<'_>,
    queue: &Queue<'_>,
    rule: Backfill,
    now_s: u64,
    only: Option<u32>,
) -> (Vec<u32>, usize) {
    let (mut started, mut free, mut chosen) = (vec![], machine.free(), vec![]);
    let mut waiting = queue.entries().iter();
    let head = loop {
        match waiting.next() {
            Some(entry) if entry.processors <= free => {
                free -= entry.processors;
                started.push(entry.place);
                chosen.push(Release { limit_s: now_s.saturating_add(entry.requested_s), processors: entry.processors });
            }
            other => break other,
        }
    };
    let passed_from = started.len();
    let Some(head) = head.filter(|_| rule != Backfill::None && free > 0) else { return (started, passed_from) };
    let candidates = waiting.filter(|entry| only.is_none_or(|place| place == entry.place));
    let mut candidates = candidates.filter(|entry| entry.processors <= machine.free()).peekable();
    if candidates.peek().is_none() {
        return (started, passed_from);
    }
    let Some(mut reservation) = reserve(free, head.processors, merged(machine, chosen)) else {
        return (started, passed_from);
    };
    for entry in candidates {
        if free == 0 {
            break;
        }
        if entry.processors <= free && reservation.admit(rule, now_s, entry.requested_s, entry.processors) {
            free -= entry.processors;
            started.push(entry.place);
        }
    }
    (started, passed_from)
}

/// What runs and what was just chosen, by the end of the limits.
fn merged(machine: &Machine<'_>, mut chosen: Vec<Release>) -> impl Iterator<Item = Release> {
    chosen.sort_by_key(|release| release.limit_s);
    let mut running = machine.releases().peekable();
    let mut chosen = chosen.into_iter().peekable();
    std::iter::from_fn(move || match (running.peek(), chosen.peek()) {
        (Some(r), Some(c)) if c.limit_s < r.limit_s => chosen.next(),
        (None, Some(_)) => chosen.next(),
        (Some(_), _) => running.next(),
        (None, None) => None,
    })
}
