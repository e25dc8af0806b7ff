//! One scheduling pass. Comes in: the view (what `apply` has changed so far), the policy, and the leader's memory of the
//! last pass. Goes out: placements to propose, and the shapes that fit nowhere. It proposes nothing itself, and it does
//! not know whether its placements were accepted: the next pass sees that in the view.
//!
//! The caller proposes a plan and waits until it is applied before it plans again; a placement in flight is not tracked.
//!
//! Order: priority, higher first; then submission. A shape that fits on no worker is dropped for the pass with all its
//! jobs, at the price of one search, however many jobs wait. It does not block what is behind it: smaller tasks pass a big
//! one that waits for room. Nothing is reserved for the big one yet, so a steady stream of small tasks can delay it for
//! ever; give it a higher priority, or drain a worker for it.
//!
//! The tasks of one array are alike, so a pass first counts how many go to each worker and then gives each worker a
//! run of consecutive indexes: a group per worker and not per task, in the log as well. Those that stand apart (a failed attempt made them
//! ask for more memory, or keeps them from some workers) come in lines of their own, by what they ask for, and one by one.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set};
use std::iter::Peekable;
use std::ops::Range;

use cloudai_core::command::PlaceGroup;
use cloudai_core::hot::{Hot, Job, ShapeId, Waiting};
use cloudai_core::job_table;
use cloudai_types::{JobId, ScorePolicy, WorkerId, limits};

use crate::roster::{Ask, Choice, PlanState};

/// What a pass is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub score: ScorePolicy,
    /// The pass ends after so many placements.
    pub placements_max: u32,
}

impl Policy {
    /// The replicated configuration's score, with the largest pass allowed.
    pub fn of(view: &Hot) -> Policy {
        Policy { score: view.config.score_policy(), placements_max: limits::PASS_PLACEMENTS_MAX }
    }
}

/// What to propose.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// In the order in which `apply` must see them: a job's fresh indexes ascend from group to group.
    pub groups: Vec<PlaceGroup>,
    /// Tasks in `groups`.
    pub placed: u32,
    /// Shapes with waiting tasks that fit on no worker now. `explain` counts the reasons, for those who ask.
    pub unplaced: Vec<ShapeId>,
    /// True when the pass ended at a bound: another pass may place more at once, without waiting for an event.
    pub more: bool,
}

/// Decides where queued tasks go. Never gives a worker more than it has free in the view, and never a task to a worker
/// that fails a filter.
pub fn plan(view: &Hot, policy: &Policy, state: &mut PlanState) -> Plan {
    state.sync(view, policy.score);
    let mut pass = Pass {
        view,
        tally: vec![0; state.seats()],
        state,
        jobs: JobWalk::new(view),
        budget: policy.placements_max,
        looks: policy.placements_max.saturating_mul(4).max(1_024),
        vain_looks: limits::PASS_APART_LOOKS_MAX,
        plan: Plan::default(),
        touched: vec![],
    };
    if !pass.state.goes_on {
        pass.state.vain = 0;
    }
    for (_, shapes) in view.queue.levels() {
        if !pass.level(shapes) {
            pass.plan.more = true;
            break;
        }
    }
    pass.plan.unplaced.sort_unstable();
    pass.plan.unplaced.dedup();
    if pass.plan.placed > 0 {
        pass.state.vain = 0;
    }
    if pass.vain_looks == 0 {
        // Others may be behind them: the next pass goes on there, until all were looked at and none could be placed.
        pass.plan.more |= pass.state.vain < view.apart.ready_len();
    }
    pass.state.goes_on = pass.plan.more;
    pass.plan
}

/// The waiting jobs of one shape in one priority level.
struct Line<'a> {
    shape: ShapeId,
    ask: Ask,
    jobs: btree_set::Iter<'a, JobId>,
}

enum JobOutcome {
    /// Nothing of it is left to place in this pass.
    Done,
    BudgetSpent,
    /// One of its tasks fits nowhere, and so do all others of its shape.
    FitsNowhere,
}

struct Pass<'a> {
    view: &'a Hot,
    state: &'a mut PlanState,
    jobs: JobWalk<'a>,
    /// Placements left.
    budget: u32,
    /// Waiting indexes that may still be looked at; most may not be due.
    looks: u32,
    /// Indexes that stand apart which may still be tried in vain.
    vain_looks: u32,
    plan: Plan,
    /// Tasks of the job at hand by seat; all zero between jobs.
    tally: Vec<u32>,
    touched: Vec<u32>,
}

impl<'a> Pass<'a> {
    /// Places one priority level. False when the budget ended before its tasks did.
    fn level(&mut self, shapes: &'a BTreeMap<ShapeId, BTreeSet<JobId>>) -> bool {
        let mut lines: Vec<Line<'a>> = vec![];
        let mut heads = vec![];
        for (shape, jobs) in shapes {
            if self.state.is_full_for(*shape) {
                self.plan.unplaced.push(*shape);
                continue;
            }
            let Some(ask) = self.state.ask(self.view, *shape) else { continue };
            let mut jobs = jobs.iter();
            if let Some(first) = jobs.next() {
                heads.push(Reverse((*first, lines.len())));
                lines.push(Line { shape: *shape, ask, jobs });
            }
        }
        let mut heads = BinaryHeap::from(heads);
        while let Some(mut head) = heads.peek_mut() {
            if self.budget == 0 {
                return false;
            }
            let Reverse((job_id, at)) = *head;
            let line = &mut lines[at];
            let outcome = match self.jobs.get(job_id) {
                Some(job) if !job.cancel_requested => self.job(job_id, job, line),
                // The queue holds live jobs only; should it not, `apply` would refuse the placement.
                Some(_) | None => JobOutcome::Done,
            };
            match outcome {
                JobOutcome::BudgetSpent => return false,
                JobOutcome::Done => match line.jobs.next() {
                    Some(next) => *head = Reverse((*next, at)),
                    None => {
                        PeekMut::pop(head);
                    }
                },
                JobOutcome::FitsNowhere => {
                    PeekMut::pop(head);
                    self.state.set_full_for(line.shape, &line.ask);
                    self.plan.unplaced.push(line.shape);
                }
            }
        }
        true
    }

    /// What the job has in this line.
    fn job(&mut self, id: JobId, job: &Job, line: &Line<'_>) -> JobOutcome {
        let is_own = line.shape == job.shape;
        if job.apart_ready > 0
            && let Some(waiting) = &job.waiting
        {
            let memory_mib = if is_own { 0 } else { self.memory_mib(line.shape) };
            match self.apart((id, memory_mib), waiting, &line.ask) {
                JobOutcome::Done => {}
                ended @ (JobOutcome::BudgetSpent | JobOutcome::FitsNowhere) => return ended,
            }
        }
        if !is_own {
            return JobOutcome::Done;
        }
        if let Some(waiting) = job.waiting.as_ref().filter(|_| job.has_ready_waiting()) {
            match self.due((id, job.image), waiting, &line.ask) {
                JobOutcome::Done => {}
                ended @ (JobOutcome::BudgetSpent | JobOutcome::FitsNowhere) => return ended,
            }
        }
        self.fresh(id, job, &line.ask)
    }

    /// What tells the groups of one job apart. More than 32 bits hold is never asked for.
    fn memory_mib(&self, shape: ShapeId) -> u32 {
        let memory = self.view.shapes.get(shape).map_or(0, |shape| shape.resources.memory_bytes);
        u32::try_from(memory >> 20).unwrap_or(0)
    }

    /// Indexes that stand apart, of one group. One that is kept from all workers that it fits on does not block the others.
    fn apart(&mut self, group: (JobId, u32), waiting: &BTreeMap<u32, Waiting>, ask: &Ask) -> JobOutcome {
        let (id, memory_mib) = group;
        let view = self.view;
        let Some(ready) = view.apart.get(id, memory_mib).map(|group| &group.ready) else { return JobOutcome::Done };
        let from = self.state.apart_from.get(&group).copied().unwrap_or(0);
        for index in ready.range(from..).chain(ready.range(..from)) {
            let Some(past) = waiting.get(index) else { continue };
            if self.budget == 0 {
                return JobOutcome::BudgetSpent;
            }
            if self.vain_looks == 0 {
                self.state.apart_from.insert(group, *index);
                return JobOutcome::Done;
            }
            match self.state.choose_apart(ask, past.avoid_worker(), past.never()) {
                Choice::Seat(seat) => {
                    self.state.take(seat, ask, 1);
                    self.emit(id, seat, *index..*index + 1);
                }
                Choice::FitsNowhere => return JobOutcome::FitsNowhere,
                Choice::KeptAway => {
                    self.vain_looks -= 1;
                    self.state.vain += 1;
                }
            }
        }
        self.state.apart_from.remove(&group);
        JobOutcome::Done
    }

    /// Indexes with a past whose time has come; each may have a worker of its own to avoid.
    fn due(&mut self, job: (JobId, u16), waiting: &BTreeMap<u32, Waiting>, ask: &Ask) -> JobOutcome {
        let (id, image) = job;
        let from = self.state.due_from.get(&id).copied().unwrap_or(0);
        for (index, past) in waiting.range(from..).chain(waiting.range(..from)) {
            if self.looks == 0 {
                self.state.due_from.insert(id, *index);
                self.plan.more = true;
                return JobOutcome::Done;
            }
            self.looks -= 1;
            if past.not_before_ms > self.view.clock_ms || past.is_apart() {
                continue;
            }
            if self.budget == 0 {
                return JobOutcome::BudgetSpent;
            }
            let Some(seat) = self.state.choose(ask, WorkerId(past.avoid_worker()), image) else {
                return JobOutcome::FitsNowhere;
            };
            self.state.take(seat, ask, 1);
            self.emit(id, seat, *index..*index + 1);
        }
        self.state.due_from.remove(&id);
        JobOutcome::Done
    }

    /// Indexes that were never placed: alike, so they are counted per worker first.
    fn fresh(&mut self, id: JobId, job: &Job, ask: &Ask) -> JobOutcome {
        let wanted = job.fresh.len() as u32;
        let most = wanted.min(self.budget);
        let mut placed = 0;
        while placed < most {
            let Some(seat) = self.state.choose(ask, NO_WORKER, job.image) else { break };
            let run = self.state.run(seat, ask, most - placed);
            self.state.take(seat, ask, run);
            placed += run;
            let here = &mut self.tally[seat as usize];
            if *here == 0 {
                self.touched.push(seat);
            }
            *here += run;
        }
        let mut next = job.fresh.start;
        for seat in std::mem::take(&mut self.touched) {
            let here = std::mem::take(&mut self.tally[seat as usize]);
            self.emit(id, seat, next..next + here);
            next += here;
        }
        if placed == wanted {
            JobOutcome::Done
        } else if self.budget == 0 {
            JobOutcome::BudgetSpent
        } else {
            JobOutcome::FitsNowhere
        }
    }

    fn emit(&mut self, job: JobId, seat: u32, indexes: Range<u32>) {
        let worker = self.state.worker(seat).0;
        self.budget -= indexes.len() as u32;
        self.plan.placed += indexes.len() as u32;
        match self.plan.groups.last_mut() {
            Some(last) if last.job == job.0 && last.worker == worker => last.indexes.extend(indexes),
            Some(_) | None => self.plan.groups.push(PlaceGroup { job: job.0, worker, indexes: indexes.collect() }),
        }
    }
}

/// No worker has this id: they begin at 1, and a waiting index that avoids nobody says 0.
const NO_WORKER: WorkerId = WorkerId(0);

/// Looks up jobs in mostly ascending order: a few steps along the map are cheaper than a search from its root.
struct JobWalk<'a> {
    view: &'a Hot,
    at: Peekable<job_table::Iter<'a, Job>>,
}

impl<'a> JobWalk<'a> {
    const STEPS_MAX: usize = 8;

    fn new(view: &'a Hot) -> Self {
        JobWalk { view, at: view.jobs.range(JobId(0)..).peekable() }
    }

    fn get(&mut self, wanted: JobId) -> Option<&'a Job> {
        for _ in 0..Self::STEPS_MAX {
            match self.at.peek() {
                Some((id, _)) if **id < wanted => self.at.next(),
                Some((id, job)) if **id == wanted => return Some(job),
                Some(_) | None => break,
            };
        }
        self.at = self.view.jobs.range(wanted..).peekable();
        self.at.peek().filter(|(id, _)| **id == wanted).map(|(_, job)| *job)
    }
}
