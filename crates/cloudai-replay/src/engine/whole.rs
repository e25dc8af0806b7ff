//! A whole log, as a live cluster would take it: at each instant all endings, then all arrivals, then one look at the queue. The
//! first jobs start as long as they fit; the first that does not gets a reservation, anew each time; those behind it may pass.
//! This is EASY as published for Gaussier et al. (SC'15) when the order is `fcfs`.

use std::collections::BTreeSet;

use cloudai_scheduler::backfill::{Backfill, reserve};

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
        while engine.machine.next_end_s() == Some(now_s) {
            let Some(place) = engine.machine.end_next()? else { break };
            engine.queue.learn(place, now_s);
            for child in &children[place as usize] {
                missing[*child as usize] -= 1;
                if missing[*child as usize] == 0 {
                    arrivals.insert((now_s.max(jobs[*child as usize].submit_s), *child));
                }
            }
        }
        while let Some((_, place)) = arrivals.first().copied().filter(|(at_s, _)| *at_s == now_s) {
            arrivals.pop_first();
            engine.run.ready_s[place as usize] = now_s;
            engine.queue.push(place, now_s);
        }
        engine.look(now_s)?;
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
    /// One decision, and its starts.
    fn look(&mut self, now_s: u64) -> Result<(), ReplayError> {
        let (machine, queue, rule) = (&self.machine, &mut self.queue, self.setup.backfill);
        let (started, passed_from) = timed(&mut self.run.decisions_ns, || {
            queue.settle(now_s);
            choose(machine, queue, rule, now_s)
        });
        for place in &started {
            self.machine.start(*place, now_s)?;
        }
        for place in &started[passed_from..] {
            self.run.backfilled[*place as usize] = true;
        }
        self.queue.remove(&started);
        Ok(())
    }
}

/// The places of the jobs that start now, and from which of them on they passed another job.
fn choose(machine: &Machine<'_>, queue: &Queue<'_>, rule: Backfill, now_s: u64) -> (Vec<u32>, usize) {
    let entries = queue.entries();
    let (mut started, mut free, mut chosen) = (vec![], machine.free(), vec![]);
    let mut waiting = entries.iter();
    let head = loop {
        match waiting.next() {
            Some(entry) if entry.processors <= free => {
                free -= entry.processors;
                started.push(entry.place);
                chosen.push((now_s.saturating_add(entry.requested_s), entry.processors));
            }
            other => break other,
        }
    };
    let passed_from = started.len();
    let Some(head) = head.filter(|_| rule != Backfill::None && free > 0) else { return (started, passed_from) };
    let Some(mut reservation) = reserve(free, head.processors, merged(machine, chosen)) else {
        return (started, passed_from);
    };
    for entry in waiting {
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

/// What runs and what was just chosen to, by the end of the limits.
fn merged(
    machine: &Machine<'_>,
    mut chosen: Vec<(u64, u32)>,
) -> impl Iterator<Item = cloudai_scheduler::backfill::Release> {
    use cloudai_scheduler::backfill::Release;
    chosen.sort_unstable();
    let mut running = machine.releases().peekable();
    let mut chosen = chosen.into_iter().map(|(limit_s, processors)| Release { limit_s, processors }).peekable();
    std::iter::from_fn(move || match (running.peek(), chosen.peek()) {
        (Some(r), Some(c)) if r.limit_s <= c.limit_s => running.next(),
        (Some(_), None) => running.next(),
        (_, Some(_)) => chosen.next(),
        (None, None) => None,
    })
}
