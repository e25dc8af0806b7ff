//! One scheduling pass. Comes in: the view (what `apply` has changed so far), the policy, and the leader's memory of the
//! last pass. Goes out: placements to propose, and the shapes that fit nowhere. It proposes nothing itself, and it does
//! not know whether its placements were accepted: the next pass sees that in the view.
//!
//! The caller proposes a plan and waits until it is applied before it plans again; a placement in flight is not tracked.
//!
//! Order: namespaces take turns, the one with the smallest share of the cluster by its weight first ([`crate::fair`]); among the tasks of one
//! namespace priority, higher first; then submission. A shape that fits on no worker is dropped for the pass with all its
//! jobs, at the price of one search, however many jobs wait. It does not block what is behind it: smaller tasks pass a big
//! one that waits for room. Where not even the least of all would fit, the pass is over. As soon as one has passed it, a worker is reserved for it, and who passes then is not in its way
//! ([`crate::reserve`]).
//!
//! The tasks of one array are alike, so a pass first counts how many go to each worker and then gives each worker a
//! run of consecutive indexes: a group per worker and not per task, in the log as well. Those that stand apart (a failed attempt made them
//! ask for more memory, or keeps them from some workers) come in lines of their own, by what they ask for, and one by one.

mod by_neighbours;
mod by_rules;
mod gang;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;

use cloudai_core::command::{PlaceGroup, PreemptTasks};
use cloudai_core::hot::{Hot, Job, ShapeId, Waiting};
use cloudai_core::whereabouts::Siblings;
use cloudai_types::{JobId, ScorePolicy, WorkerId, limits};

use crate::fair::{Share, Whole};
use crate::lane::{Head, Lane, Progress};
use crate::reservations::Blocked;
use crate::reserve::Reservation;
use crate::roster::{Ask, Choice, PlanState};
use by_neighbours::Neighbours;
pub(crate) use gang::slots;

/// What a pass is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Of namespaces that have none of their own.
    pub score: ScorePolicy,
    /// The pass ends after so many placements.
    pub placements_max: u32,
    /// Workers are reserved for tasks that others pass.
    pub reserve: bool,
}

impl Policy {
    /// The replicated configuration's score, with the largest pass allowed.
    pub fn of(view: &Hot) -> Policy {
        Policy { score: view.config.score_policy(), placements_max: limits::PASS_PLACEMENTS_MAX, reserve: true }
    }
}

/// What to propose.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// In the order in which `apply` must see them: a job's fresh indexes ascend from group to group.
    pub groups: Vec<PlaceGroup>,
    /// Tasks in `groups`.
    pub placed: u32,
    /// Shapes with waiting tasks that fit on no worker now, of those that the pass came to before it knew that nothing fits. `explain` counts the
    /// reasons, for those who ask.
    pub unplaced: Vec<ShapeId>,
    /// Workers that are kept for some of them, for those who ask.
    pub reserved: Vec<Reservation>,
    /// Attempts that are to make room for tasks which fit nowhere, on workers that are kept for those from now on.
    pub preempt: Vec<PreemptTasks>,
    /// True when the pass ended at a bound: another pass may place more at once, without waiting for an event.
    pub more: bool,
}

/// Decides where queued tasks go. Never gives a worker more than it has free in the view, and never a task to a worker
/// that fails a filter.
pub fn plan(view: &Hot, policy: &Policy, state: &mut PlanState) -> Plan {
    state.sync(view, policy.score);
    let kept_for = state.reservations.iter().map(|reservation| reservation.shape).collect();
    let mut pass = Pass {
        view,
        tally: vec![0; state.seats()],
        state,
        score: policy.score,
        reserve: policy.reserve,
        budget: policy.placements_max,
        grant: 0,
        looks: policy.placements_max.saturating_mul(4).max(1_024),
        vain_looks: limits::PASS_APART_LOOKS_MAX,
        held_looks: limits::PASS_HELD_LOOKS_MAX,
        held: BTreeSet::new(),
        rule_tasks: limits::PASS_RULE_LOOKS_MAX / (view.workers.len().max(1) as u32),
        siblings: Siblings::default(),
        neighbours: Neighbours::default(),
        plan: Plan::default(),
        touched: vec![],
        unplaced: BTreeSet::new(),
        blocked: vec![],
        kept_for,
        gangs: BTreeSet::new(),
    };
    if !pass.state.goes_on {
        pass.state.vain = 0;
    }
    pass.take_turns();
    pass.finish()
}

/// What came of a job, in one of its lines.
enum JobOutcome {
    /// Nothing of it is left to place in this pass.
    Done,
    BudgetSpent,
    /// It was given what its namespace may have now.
    GrantSpent,
    /// It fits only on workers that are reserved for others, and not in time. Its siblings may have another limit.
    HeldBack,
    /// One of its tasks fits nowhere, and so do all others of its shape.
    FitsNowhere,
}

/// What came of a namespace's turn.
enum Turn {
    /// Another namespace has the smaller share now.
    Over,
    /// Nothing of it is left to place in this pass.
    Done,
    BudgetSpent,
}

struct Pass<'a> {
    view: &'a Hot,
    state: &'a mut PlanState,
    score: ScorePolicy,
    reserve: bool,
    /// Placements left.
    budget: u32,
    /// Of them, for the job at hand.
    grant: u32,
    /// Waiting indexes that may still be looked at; most may not be due.
    looks: u32,
    /// Indexes that stand apart which may still be tried in vain.
    vain_looks: u32,
    /// Jobs that may still be held back.
    held_looks: u32,
    /// Shapes of which one was held back.
    held: BTreeSet<ShapeId>,
    /// Tasks that may still be placed by rules which look at each worker.
    rule_tasks: u32,
    /// Of the jobs with such rules that the pass has come to, what it placed included.
    siblings: Siblings,
    neighbours: Neighbours,
    plan: Plan,
    /// Tasks of the job at hand by seat; all zero between jobs.
    tally: Vec<u32>,
    touched: Vec<u32>,
    /// Shapes that fit nowhere.
    unplaced: BTreeSet<ShapeId>,
    /// In the order in which their turn came.
    blocked: Vec<Blocked>,
    /// Shapes with a worker that was kept by the last pass, and whose turn has not come in this one.
    kept_for: BTreeSet<ShapeId>,
    /// Gangs whose turn has come: with members that ask for more than others they stand in several lines.
    gangs: BTreeSet<JobId>,
}

impl<'a> Pass<'a> {
    fn take_turns(&mut self) {
        let waiting =
            self.view.queue.namespaces().filter_map(|(id, levels)| Some((self.view.tenants.get(id)?, levels)));
        let mut lanes: Vec<Lane<'a>> = waiting.map(|(tenant, levels)| Lane::new(self.view, tenant, levels)).collect();
        // Alone, nobody's share is compared.
        let whole = if lanes.len() > 1 { Whole::of(self.view) } else { Whole::default() };
        let turns = lanes.iter().enumerate().map(|(at, lane)| Reverse((lane.share(&whole), at)));
        let mut turns: BinaryHeap<Reverse<(Share, usize)>> = turns.collect();
        while let Some(Reverse((_, at))) = turns.pop() {
            let next = turns.peek().map(|Reverse((share, _))| *share);
            match self.turn(&mut lanes[at], next, &whole) {
                Turn::Over => turns.push(Reverse((lanes[at].share(&whole), at))),
                Turn::Done => {}
                Turn::BudgetSpent => {
                    self.plan.more = true;
                    return;
                }
            }
        }
    }

    /// `next`: the share of the namespace whose turn comes then.
    fn turn(&mut self, lane: &mut Lane<'a>, next: Option<Share>, whole: &Whole) -> Turn {
        self.state.policy = lane.policy().unwrap_or(self.score);
        while let Some(mut head) = self.head(lane) {
            head.ask = self.as_others_ask(head.job, head.shape, head.ask);
            // A pass that places nothing goes to its end, whatever it takes: the next one would do the same again.
            if self.budget == 0 || self.plan.placed > 0 && !self.state.may_order(&head.ask) {
                return Turn::BudgetSpent;
            }
            if self.held.contains(&head.shape) && !self.may_end_in_time(head.job) {
                // As those before it, which asked for the same.
                self.hold_back(lane);
                continue;
            }
            let job = lane.jobs.get(head.job).filter(|job| !job.cancel_requested);
            if head.ask.is_gang() {
                match self.gang(lane, &head, job) {
                    Some(Turn::Over) | None => {}
                    Some(ended) => return ended,
                }
                if next.is_some_and(|next| lane.share(whole) > next) {
                    return Turn::Over;
                }
                continue;
            }
            self.grant = lane.grant(&head, next, whole);
            let placed_before = self.plan.placed;
            let outcome = match job {
                Some(_) if self.grant == 0 => JobOutcome::GrantSpent,
                Some(job) => self.job(&head, job, &mut lane.progress),
                // The queue holds live jobs only; should it not, `apply` would refuse the placement.
                None => JobOutcome::Done,
            };
            lane.charge(head.user, &head.ask, self.plan.placed - placed_before);
            match outcome {
                JobOutcome::BudgetSpent => return Turn::BudgetSpent,
                JobOutcome::Done => lane.next_job(),
                JobOutcome::HeldBack => {
                    self.held.insert(head.shape);
                    self.hold_back(lane);
                }
                JobOutcome::FitsNowhere => {
                    self.state.set_full_for(head.shape, &head.ask);
                    self.block(head);
                    lane.drop_line();
                }
                // By its namespace's quota, and not only by its turn. A user at the cap has no head any more.
                JobOutcome::GrantSpent if lane.room(&head.ask) == 0 => lane.drop_line(),
                JobOutcome::GrantSpent => {}
            }
            if next.is_some_and(|next| lane.share(whole) > next) {
                return Turn::Over;
            }
        }
        Turn::Done
    }

    /// Others of its line may end in time, if there is a time.
    fn hold_back(&mut self, lane: &mut Lane<'a>) {
        if self.held_looks == 0 || self.state.passes_until_ms().is_none() {
            lane.drop_line();
        } else {
            self.held_looks -= 1;
            lane.next_job();
        }
    }

    fn may_end_in_time(&self, job: JobId) -> bool {
        let limit_ms = self.view.time_limit_ms(job);
        let until_ms = self.state.passes_until_ms();
        limit_ms > 0 && until_ms.is_some_and(|until_ms| self.view.clock_ms.saturating_add(limit_ms) <= until_ms)
    }

    /// The job whose turn it is in this namespace.
    fn head(&mut self, lane: &mut Lane<'a>) -> Option<Head> {
        loop {
            if self.is_over() {
                return None;
            }
            lane.drop_full();
            while let Some(next) = lane.next_line() {
                let (shape, user) = (next.shape, next.user);
                let Some(ask) = self.state.ask(self.view, shape) else { continue };
                if !self.state.is_full_for(shape) {
                    lane.add_line(next, ask);
                } else if let Some(job) = lane.first(next) {
                    let head = Head { job, user, shape, ask };
                    // Nothing is kept for a gang that is larger than what its user may start now.
                    if lane.user_room(user) >= self.together(&head) {
                        self.block(head);
                    }
                    if self.is_over() {
                        return None;
                    }
                }
            }
            let Some(head) = lane.head() else {
                lane.next_level()?;
                continue;
            };
            if !self.state.is_full_for(head.shape) {
                return Some(head);
            }
            // Found for another user, who came first.
            lane.drop_line();
        }
    }

    /// Nothing that waits fits anywhere, and all those are known for which a worker is or may be kept.
    fn is_over(&self) -> bool {
        let knows_blocked = self.blocked.len() >= limits::PASS_BLOCKED_MAX && self.kept_for.is_empty();
        self.state.is_full() && (knows_blocked || !self.reserve)
    }

    /// So many start at once.
    fn together(&self, head: &Head) -> u32 {
        let queued = || self.view.jobs.get(&head.job).map_or(1, |job| job.counts.queued);
        if head.ask.is_gang() { queued() } else { 1 }
    }

    /// It fits nowhere, and whoever comes after it is not to be in its way.
    fn block(&mut self, head: Head) {
        if !self.unplaced.insert(head.shape) {
            // In another line of it, of a higher priority or another user.
            return;
        }
        self.kept_for.remove(&head.shape);
        if self.reserve {
            let Head { job, user: _, shape, mut ask } = head;
            let tasks = self.together(&head);
            if ask.is_gang() {
                ask = self.largest_ask(&head);
            }
            let blocked = Blocked { shape, job, ask, tasks, placed_before: self.plan.placed };
            let has_workers = self.state.hold_for(self.view, &blocked);
            // Who is far behind gets none before those ahead have theirs.
            if has_workers || self.blocked.len() < limits::PASS_BLOCKED_MAX {
                self.blocked.push(blocked);
            }
        }
    }

    fn finish(mut self) -> Plan {
        self.state.release_holds();
        self.plan.unplaced = self.unplaced.iter().copied().collect();
        if self.reserve {
            let complete = !self.plan.more;
            self.plan.preempt = self.state.make_room(self.view, &self.blocked);
            let gave_up = self.state.renew_reservations(self.view, &self.blocked, self.plan.placed, complete);
            self.plan.more |= gave_up;
            self.plan.reserved.clone_from(&self.state.reservations);
        }
        if self.plan.placed > 0 {
            self.state.vain = 0;
        }
        self.plan.more |= self.neighbours.have_news();
        if self.vain_looks == 0 {
            // Others may be behind them: the next pass goes on there, until all were looked at and none could be placed.
            self.plan.more |= self.state.vain < self.view.apart.ready_len();
        }
        self.state.goes_on = self.plan.more;
        self.plan
    }

    /// What the job has in this line.
    fn job(&mut self, head: &Head, job: &Job, progress: &mut Progress) -> JobOutcome {
        let limit_ms = self.view.time_limit_ms(head.job);
        let ends_ms = (limit_ms > 0).then(|| self.view.clock_ms.saturating_add(limit_ms));
        let is_own = head.shape == job.shape;
        if job.apart_ready > 0
            && let Some(waiting) = &job.waiting
        {
            let memory_mib = if is_own { 0 } else { self.memory_mib(head.shape) };
            match self.apart((head.job, memory_mib), waiting, &head.ask, ends_ms, progress) {
                JobOutcome::Done => {}
                ended @ (JobOutcome::BudgetSpent
                | JobOutcome::GrantSpent
                | JobOutcome::HeldBack
                | JobOutcome::FitsNowhere) => return ended,
            }
        }
        if !is_own {
            return JobOutcome::Done;
        }
        if let Some(waiting) = job.waiting.as_ref().filter(|_| job.has_ready_waiting()) {
            match self.due((head.job, job.image), waiting, &head.ask, ends_ms, progress) {
                JobOutcome::Done => {}
                ended @ (JobOutcome::BudgetSpent
                | JobOutcome::GrantSpent
                | JobOutcome::HeldBack
                | JobOutcome::FitsNowhere) => return ended,
            }
        }
        self.fresh(head, job, ends_ms, progress)
    }

    /// What tells the groups of one job apart. More than 32 bits hold is never asked for.
    fn memory_mib(&self, shape: ShapeId) -> u32 {
        let memory = self.view.shapes.get(shape).map_or(0, |shape| shape.resources.memory_bytes);
        u32::try_from(memory >> 20).unwrap_or(0)
    }

    /// Indexes that stand apart, of one group. One that is kept from all workers that it fits on does not block the others.
    fn apart(
        &mut self,
        group: (JobId, u32),
        waiting: &BTreeMap<u32, Waiting>,
        ask: &Ask,
        ends_ms: Option<u64>,
        progress: &mut Progress,
    ) -> JobOutcome {
        let (id, memory_mib) = group;
        let view = self.view;
        let Some(ready) = view.apart.get(id, memory_mib).map(|group| &group.ready) else { return JobOutcome::Done };
        let from = self.state.apart_from.get(&group).copied().unwrap_or(0);
        for index in ready.range(from..).chain(ready.range(..from)) {
            let Some(past) = waiting.get(index).filter(|_| !progress.due.contains(index)) else { continue };
            if let Some(spent) = self.spent() {
                return spent;
            }
            if self.vain_looks == 0 {
                self.state.apart_from.insert(group, *index);
                return JobOutcome::Done;
            }
            let choice = match ask.by_rules {
                None => self.state.choose_apart(ask, past.avoid_worker(), past.never(), ends_ms),
                Some(_) => self.choose((id, 0), ask, WorkerId(past.avoid_worker()), past.never(), ends_ms),
            };
            match choice {
                Choice::Seat(place) => {
                    self.state.take(place, ask, 1);
                    self.emit(id, place.seat, *index..*index + 1);
                    progress.due.insert(*index);
                }
                Choice::FitsNowhere => return JobOutcome::FitsNowhere,
                Choice::KeptAway | Choice::HeldBack => {
                    self.vain_looks -= 1;
                    self.state.vain += 1;
                }
            }
        }
        self.state.apart_from.remove(&group);
        JobOutcome::Done
    }

    /// Indexes with a past whose time has come; each may have a worker of its own to avoid.
    fn due(
        &mut self,
        job: (JobId, u16),
        waiting: &BTreeMap<u32, Waiting>,
        ask: &Ask,
        ends_ms: Option<u64>,
        progress: &mut Progress,
    ) -> JobOutcome {
        let (id, image) = job;
        let from = self.state.due_from.get(&id).copied().unwrap_or(0);
        for (index, past) in waiting.range(from..).chain(waiting.range(..from)) {
            if self.looks == 0 {
                self.state.due_from.insert(id, *index);
                self.plan.more = true;
                return JobOutcome::Done;
            }
            self.looks -= 1;
            if past.not_before_ms > self.view.clock_ms || past.is_apart() || progress.due.contains(index) {
                continue;
            }
            if let Some(spent) = self.spent() {
                return spent;
            }
            match self.choose((id, image), ask, WorkerId(past.avoid_worker()), &[], ends_ms) {
                Choice::Seat(place) => {
                    self.state.take(place, ask, 1);
                    self.emit(id, place.seat, *index..*index + 1);
                    progress.due.insert(*index);
                }
                Choice::KeptAway if ask.by_rules.is_some() => return JobOutcome::Done,
                Choice::HeldBack | Choice::KeptAway => return JobOutcome::HeldBack,
                Choice::FitsNowhere => return JobOutcome::FitsNowhere,
            }
        }
        self.state.due_from.remove(&id);
        JobOutcome::Done
    }

    /// Indexes that were never placed: alike, so they are counted per worker first.
    fn fresh(&mut self, head: &Head, job: &Job, ends_ms: Option<u64>, progress: &mut Progress) -> JobOutcome {
        if head.ask.by_rules.is_some() {
            return self.fresh_by_rules(head, job, ends_ms, progress);
        }
        let wanted = (job.fresh.len() as u32).saturating_sub(progress.fresh);
        let most = wanted.min(self.budget).min(self.grant);
        let mut placed = 0;
        let mut none_left = JobOutcome::Done;
        while placed < most {
            let place = match self.state.choose(&head.ask, NO_WORKER, job.image, ends_ms) {
                Choice::Seat(place) => place,
                Choice::HeldBack | Choice::KeptAway => {
                    none_left = JobOutcome::HeldBack;
                    break;
                }
                Choice::FitsNowhere => {
                    none_left = JobOutcome::FitsNowhere;
                    break;
                }
            };
            let run = self.state.run(place, &head.ask, most - placed);
            self.state.take(place, &head.ask, run);
            placed += run;
            let here = &mut self.tally[place.seat as usize];
            if *here == 0 {
                self.touched.push(place.seat);
            }
            *here += run;
        }
        let mut next = job.fresh.start + progress.fresh;
        for seat in std::mem::take(&mut self.touched) {
            let here = std::mem::take(&mut self.tally[seat as usize]);
            self.emit(head.job, seat, next..next + here);
            next += here;
        }
        progress.fresh += placed;
        if placed < most || placed == wanted { none_left } else { self.spent().unwrap_or(JobOutcome::Done) }
    }

    /// `None`: more may be placed.
    fn spent(&self) -> Option<JobOutcome> {
        if self.budget == 0 {
            Some(JobOutcome::BudgetSpent)
        } else if self.grant == 0 {
            Some(JobOutcome::GrantSpent)
        } else {
            None
        }
    }

    fn emit(&mut self, job: JobId, seat: u32, indexes: Range<u32>) {
        let worker = self.state.worker(seat).0;
        self.budget -= indexes.len() as u32;
        self.grant -= indexes.len() as u32;
        self.plan.placed += indexes.len() as u32;
        self.note(job, worker, indexes.len());
        self.neighbours.nearby.add(self.view, job, WorkerId(worker));
        match self.plan.groups.last_mut() {
            Some(last) if last.job == job.0 && last.worker == worker => last.indexes.extend(indexes),
            Some(_) | None => self.plan.groups.push(PlaceGroup { job: job.0, worker, indexes: indexes.collect() }),
        }
    }
}

/// No worker has this id: they begin at 1, and a waiting index that avoids nobody says 0.
const NO_WORKER: WorkerId = WorkerId(0);
