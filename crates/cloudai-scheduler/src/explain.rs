//! Why does a task wait? Comes in: the view and the task. Goes out: where it stands, what is ahead of it, every reason with
//! counts, and the smallest change that would place it. What has ended for good is in rows, which are not known here:
//! [`Standing::NotAlive`] tells the caller to look there.

use std::fmt;

use cloudai_core::Hot;
use cloudai_core::apart::raised_shape;
use cloudai_core::command::AttemptState;
use cloudai_core::hot::{Job, Shape, ShapeId, Worker};
use cloudai_core::nearby::Barred;
use cloudai_core::users::UserId;
use cloudai_core::whereabouts::{Forbidden, Whereabouts};
use cloudai_core::workflows::Gate;
use cloudai_types::placement::taint_text;
use cloudai_types::{Condition, JobId, NamespaceId, TaskId, WorkerId, limits};

use crate::filter::resources::{amount, number};
use crate::filter::{self, Around, WaitKind, WaitReason, expressions, labels, neighbours, ready, siblings, taints};
use crate::main_reason::{Facts, HeldBy, main_reason, nearest_reason};
use crate::prospect::{Prospect, room_by};
use crate::rank::rank;
use crate::reserve::Reservation;
use crate::score::share;
use crate::together;
use crate::withheld::{self, Seeker, Turn};

/// The answer, complete in itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    pub task: TaskId,
    pub standing: Standing,
    /// Replicated time; 0 where the job is not alive.
    pub submitted_ms: u64,
    /// What the scheduler looks at first. `None` unless the task waits for a worker.
    pub ahead: Option<Ahead>,
    /// The quota of its namespace that keeps it from starting, whatever is free.
    pub quota: Option<String>,
    /// The cap on each user of its namespace that keeps it from starting, whatever is free.
    pub user_quota: Option<String>,
    /// Its siblings, which start together with it, for which there is no room.
    pub gang: Option<String>,
    /// Whose turn it is, where several namespaces wait.
    pub turn: Option<Turn>,
    /// Workers that were not revoked.
    pub workers: u32,
    /// Those that would take the task now.
    pub fitting: u32,
    /// Why the others would not, most frequent first. Empty unless the task waits.
    pub reasons: Vec<WaitReason>,
    /// The smallest single change that would place it, or what will happen without any.
    pub fix: String,
    /// What an estimate of its start looks at.
    pub prospect: Prospect,
}

/// Where a task is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It waits for a worker.
    Waiting,
    /// It waits for other jobs of its workflow.
    Blocked {
        /// The first of them, at most [`limits::EXPLAIN_PARENTS_MAX`].
        waits_for: Vec<WaitsFor>,
        /// Beside those.
        more: u32,
    },
    /// It waits for its next try, until replicated time reaches `until_ms`; `in_ms` from the view's clock.
    Delayed {
        until_ms: u64,
        in_ms: u64,
        next_attempt: u32,
    },
    Active {
        attempt: u32,
        worker: WorkerId,
        worker_name: String,
        state: AttemptState,
    },
    /// Cancelled, and its container is not gone yet.
    Stopping {
        attempt: u32,
        worker: WorkerId,
        worker_name: String,
    },
    /// The task has ended; its job has not.
    Ended,
    /// The job has ended or never was: rows tell which.
    NotAlive,
    /// The job has no such index.
    NoSuchIndex {
        count: u32,
    },
}

/// One that a blocked task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitsFor {
    pub job: JobId,
    pub on: Condition,
    /// Only for its task of this index.
    pub index: Option<u32>,
}

/// What people read: `3gk7q2zx (success)`, or `3gk7q2zx/4 (success)`.
impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WaitsFor { job, on, index } = self;
        match index {
            Some(index) => write!(f, "{job}/{index} ({})", on.name()),
            None => write!(f, "{job} ({})", on.name()),
        }
    }
}

impl Standing {
    /// The word in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Waiting => "waiting",
            Standing::Blocked { .. } => "blocked",
            Standing::Delayed { .. } => "delayed",
            Standing::Active { .. } => "active",
            Standing::Stopping { .. } => "stopping",
            Standing::Ended => "ended",
            Standing::NotAlive => "not_alive",
            Standing::NoSuchIndex { .. } => "no_such_index",
        }
    }
}

/// Queued work that the scheduler comes to earlier. It need not run earlier: what fits nowhere is passed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ahead {
    pub jobs: u64,
    pub tasks: u64,
    /// True when the count stopped at [`limits::EXPLAIN_AHEAD_MAX`] jobs.
    pub at_least: bool,
}

impl Explanation {
    /// What keeps it, in one word: the same as notes and metrics say. `None` unless it waits for a worker.
    pub fn main_reason(&self) -> Option<HeldBy> {
        let facts = Facts {
            is_over_quota: self.quota.is_some(),
            is_over_user_quota: self.user_quota.is_some(),
            members: self.workers,
            fitting: self.fitting,
            lacks_siblings: self.gang.is_some(),
            nearest: nearest_reason(&self.reasons).map(|reason| reason.kind),
        };
        (self.standing == Standing::Waiting).then(|| main_reason(&facts))
    }

    /// The main reason, for people.
    pub fn headline(&self) -> Option<String> {
        Some(match self.main_reason()? {
            HeldBy::Quota => self.quota.clone()?,
            HeldBy::UserQuota => self.user_quota.clone()?,
            HeldBy::Gang => self.gang.clone()?,
            HeldBy::NoWorker => "there is no worker".to_owned(),
            HeldBy::Workers(_) => {
                let reason = nearest_reason(&self.reasons)?;
                format!("{} of {} workers: {}", reason.workers, self.workers, reason.message)
            }
            HeldBy::Turn | HeldBy::NotLookedAt => {
                format!("{} of {} workers could take it now, and others come first", self.fitting, self.workers)
            }
        })
    }
}

/// Explains one task. `reserved`: by the last pass. Costs one look at each worker and at no more than [`limits::EXPLAIN_AHEAD_MAX`] jobs.
pub fn explain(view: &Hot, reserved: &[Reservation], task: TaskId) -> Explanation {
    let standing = standing(view, task);
    let job = view.jobs.get(&task.job);
    let mut explanation = Explanation {
        task,
        submitted_ms: job.map_or(0, |job| job.submitted_ms),
        ahead: None,
        quota: None,
        user_quota: None,
        gang: None,
        turn: None,
        workers: filter::members(view).count() as u32,
        fitting: 0,
        reasons: vec![],
        fix: without_change(&standing),
        prospect: Prospect::default(),
        standing,
    };
    let waits = match &explanation.standing {
        Standing::Waiting | Standing::Delayed { .. } => true,
        Standing::Blocked { .. }
        | Standing::Active { .. }
        | Standing::Stopping { .. }
        | Standing::Ended
        | Standing::NotAlive
        | Standing::NoSuchIndex { .. } => false,
    };
    if let Some(job) = job.filter(|_| waits)
        && let Some((shape, _)) = view.shapes.by_id.get(&job.shape)
    {
        let past = job.waiting.as_ref().and_then(|waiting| waiting.get(&task.index)).copied().unwrap_or_default();
        let group = view.apart.get(task.job, past.memory_mib).filter(|_| past.memory_mib > 0);
        let own = group.map_or(job.shape, |group| group.shape);
        let shape = &raised_shape(shape, past.memory_mib);
        let limit_ms = view.time_limit_ms(task.job);
        let seeker = Seeker {
            namespace: Some(job.namespace),
            user: view.user_name(job),
            priority: job.priority.into(),
            job: task.job,
            limit_ms,
            labels: view.job_labels.get(task.job),
        };
        let siblings = if shape.gang > 0 { job.counts.queued } else { 1 };
        let look = look(view, reserved, &seeker, (shape, siblings), past.never(), Some(own));
        if explanation.standing == Standing::Waiting {
            explanation.ahead = Some(ahead_of(view, job, task));
            explanation.turn = look.turn;
            explanation.quota = look.quota;
            explanation.user_quota = look.user_quota;
            explanation.gang = look.gang;
            explanation.fix = look.fix;
            explanation.prospect = look.prospect;
        } else if look.fitting == 0 {
            explanation.fix = format!("{}; then: {}", explanation.fix, look.fix);
        }
        (explanation.fitting, explanation.reasons) = (look.fitting, look.reasons);
    }
    explanation
}

/// What one who seeks a worker meets now, whatever is ahead of it.
pub(crate) struct Look {
    pub fitting: u32,
    pub reasons: Vec<WaitReason>,
    pub quota: Option<String>,
    pub user_quota: Option<String>,
    pub gang: Option<String>,
    pub turn: Option<Turn>,
    pub fix: String,
    pub prospect: Prospect,
}

/// `asks`: what it asks for, and how many start together with it, itself included. `own`: the shape by which workers are kept for tasks like it.
pub(crate) fn look(
    view: &Hot,
    reserved: &[Reservation],
    seeker: &Seeker<'_>,
    asks: (&Shape, u32),
    never: &[u32],
    own: Option<ShapeId>,
) -> Look {
    let (shape, together) = asks;
    let own: Vec<&Reservation> = reserved.iter().filter(|r| Some(r.shape) == own).collect();
    let kept = |id, worker: &Worker| {
        own.iter().all(|own| own.worker != id)
            && withheld::keeps_away(view, reserved, seeker, shape, (id, worker)).is_some()
    };
    let whereabouts = Whereabouts::of(&view.workers, view.jobs.get(&seeker.job), shape);
    let beside = seeker.beside(view, shape);
    let around = Around { siblings: &whereabouts, others: beside.as_ref() };
    let (fitting, reasons) = filter::count(view, shape, &around, never, kept);
    let over = seeker.namespace.and_then(|namespace| withheld::over_quota(view, namespace, shape));
    let over_own =
        seeker.namespace.and_then(|namespace| withheld::over_user_quota(view, namespace, seeker.user, together));
    let turn = seeker.namespace.and_then(|namespace| withheld::turn(view, namespace));
    let is_only_kept = fitting == 0 && reasons.iter().any(|r| r.kind == WaitKind::Reserved);
    let lacking = (together > 1).then(|| together::lacking(view, reserved, seeker, shape, together)).flatten();
    let is_lacking = fitting == 0 || lacking.is_some();
    let fix = match (over.as_ref().or(over_own.as_ref()), own.first()) {
        (Some(over), _) => over.fix.clone(),
        (None, Some(first)) if is_lacking => kept_worker(view, first, own.len(), seeker.job),
        (None, _) if is_only_kept => {
            "nothing to change: it starts when the task that came first has started, or at once \
                                      with a timeout that ends before that"
                .to_owned()
        }
        (None, _) => match &lacking {
            Some(lacking) if fitting > 0 || reasons.iter().all(|r| r.kind == WaitKind::Busy) => lacking.fix.clone(),
            Some(_) | None => fix(view, shape, &around, never),
        },
    };
    let ends_by_itself = |kind| matches!(kind, WaitKind::Busy | WaitKind::AttemptsFull | WaitKind::Reserved);
    // Where its user is at the cap, what others start says nothing.
    let is_stuck = over.as_ref().is_some_and(|over| over.is_for_ever)
        || over_own.is_some()
        || lacking.as_ref().is_some_and(|lacking| lacking.is_for_ever)
        || is_lacking && !own.is_empty()
        || fitting == 0 && !reasons.iter().any(|r| ends_by_itself(r.kind));
    let prospect = match (is_stuck, is_lacking || over.is_some()) {
        (true, _) => Prospect::Unknown,
        (false, false) => Prospect::Turn,
        (false, true) => {
            let is_plain = over.is_none() && together == 1 && never.is_empty() && !shape.looks_at_siblings();
            Prospect::Room(if is_plain { room_by(view, reserved, shape) } else { None })
        }
    };
    let gang = lacking.map(|lacking| lacking.message);
    let message = |over: withheld::OverQuota| over.message;
    Look { fitting, reasons, quota: over.map(message), user_quota: over_own.map(message), gang, turn, fix, prospect }
}

/// A worker is kept for tasks like this one, or several are.
fn kept_worker(view: &Hot, own: &Reservation, workers: usize, job: JobId) -> String {
    let worker = view.workers.get(&own.worker).map_or_else(|| own.worker.to_string(), |w| w.name.clone());
    let first =
        if own.job == job { "it".to_owned() } else { format!("{}, which asks for the same and comes first", own.job) };
    let when = match own.by_ms {
        Some(by_ms) if by_ms <= view.clock_ms => "as soon as what makes room for it has stopped".to_owned(),
        Some(by_ms) => {
            let tenths = by_ms.saturating_sub(view.clock_ms).div_ceil(100);
            format!(
                "when tasks there have ended, by their time limits in {}.{} s at the latest",
                tenths / 10,
                tenths % 10
            )
        }
        None => "when the tasks that ran there first have ended; they have no time limit".to_owned(),
    };
    let are_kept = match workers - 1 {
        0 => format!("{worker} is kept"),
        others => format!("{worker} and {} are kept", counted(others as u64, "other worker")),
    };
    format!("nothing to change: {are_kept} for {first}, and it starts {when}")
}

fn standing(view: &Hot, task: TaskId) -> Standing {
    let Some(job) = view.jobs.get(&task.job) else { return Standing::NotAlive };
    if task.index >= job.count {
        return Standing::NoSuchIndex { count: job.count };
    }
    if let Some(gate) = view.workflows.gate(task.job).filter(|gate| gate.holds_back(task.index)) {
        return blocked(gate, task.index);
    }
    if let Some(attempt) = job.active.get(&task.index) {
        let worker_name =
            view.workers.get(&attempt.worker).map_or_else(|| attempt.worker.to_string(), |w| w.name.clone());
        let (worker, number) = (attempt.worker, attempt.number);
        return if job.cancel_requested {
            Standing::Stopping { attempt: number, worker, worker_name }
        } else {
            Standing::Active { attempt: number, worker, worker_name, state: attempt.state }
        };
    }
    if let Some(past) = job.waiting.as_ref().and_then(|waiting| waiting.get(&task.index)) {
        if past.not_before_ms <= view.clock_ms {
            return Standing::Waiting;
        }
        let in_ms = past.not_before_ms - view.clock_ms;
        return Standing::Delayed { until_ms: past.not_before_ms, in_ms, next_attempt: past.next_number };
    }
    if job.fresh.contains(&task.index) && !job.cancel_requested { Standing::Waiting } else { Standing::Ended }
}

fn blocked(gate: &Gate, index: u32) -> Standing {
    let missing = gate.holds.iter().filter(|(_, hold)| hold.met.as_ref().is_none_or(|met| !met.get(index)));
    let count = missing.clone().count();
    let waits_for = missing.take(limits::EXPLAIN_PARENTS_MAX).map(|(job, hold)| WaitsFor {
        job: *job,
        on: hold.on,
        index: hold.met.as_ref().map(|_| index),
    });
    Standing::Blocked { waits_for: waits_for.collect(), more: count.saturating_sub(limits::EXPLAIN_PARENTS_MAX) as u32 }
}

fn without_change(standing: &Standing) -> String {
    match standing {
        Standing::Waiting => String::new(),
        Standing::Blocked { waits_for, more } => {
            let named: Vec<String> = waits_for.iter().map(ToString::to_string).collect();
            let more =
                if *more > 0 { format!(" and {}", counted(u64::from(*more), "other job")) } else { String::new() };
            format!("it waits for {}{more}", named.join(", "))
        }
        Standing::Delayed { in_ms, next_attempt, .. } => {
            let tenths = in_ms.div_ceil(100);
            format!(
                "attempt {next_attempt} may start in {}.{} s, after a pause that grows with each failure",
                tenths / 10,
                tenths % 10
            )
        }
        Standing::Active { attempt, worker_name, .. } => {
            format!("it does not wait: attempt {attempt} is on {worker_name}")
        }
        Standing::Stopping { worker_name, .. } => format!("it was cancelled, and {worker_name} is stopping it"),
        Standing::Ended => "it has ended; its job has other tasks that have not".to_owned(),
        Standing::NotAlive => {
            "its job is neither queued nor running: it has ended, or there is none with this id".to_owned()
        }
        Standing::NoSuchIndex { count } => format!("the job has {count} tasks, numbered from 0"),
    }
}

fn ahead_of(view: &Hot, job: &Job, task: TaskId) -> Ahead {
    let within_job = match &job.waiting {
        Some(waiting) if waiting.contains_key(&task.index) => {
            waiting.range(..task.index).take(limits::EXPLAIN_AHEAD_MAX).count()
        }
        Some(waiting) => waiting.len() + (task.index - job.fresh.start) as usize,
        None => (task.index - job.fresh.start) as usize,
    };
    let others = jobs_ahead(view, job.namespace, job.user, job.priority.into(), task.job);
    Ahead { tasks: others.tasks + within_job as u64, ..others }
}

/// Of its own namespace, without those of other users who have as much as a user may have: no pass comes to them.
pub(crate) fn jobs_ahead(view: &Hot, namespace: NamespaceId, user: UserId, priority: i32, job: JobId) -> Ahead {
    let mut ahead = Ahead::default();
    let own = rank(view, namespace, priority, job);
    let is_full =
        |other| other != user && view.tenants.get(namespace).is_some_and(|tenant| tenant.room_for_user(other, 0) == 0);
    for (level, lines) in view.queue.of(namespace).into_iter().flat_map(|levels| levels.iter()) {
        let users = lines.lines().flat_map(|(_, line)| line.users());
        for (_, jobs) in users.filter(|(other, _)| !is_full(*other)) {
            // Of one level, shape and user those that come first stand first.
            for other in jobs.iter().take_while(|other| rank(view, namespace, level.into(), **other) < own) {
                if ahead.jobs as usize == limits::EXPLAIN_AHEAD_MAX {
                    ahead.at_least = true;
                    return ahead;
                }
                ahead.jobs += 1;
                ahead.tasks += view.jobs.get(other).map_or(0, |other| u64::from(other.counts.queued));
            }
        }
    }
    ahead
}

/// One worker, and all that keeps the shape from it.
struct Gap<'a> {
    id: WorkerId,
    worker: &'a Worker,
    not_ready: Option<WaitKind>,
    missing: Vec<usize>,
    unmet: Vec<usize>,
    /// Taints that are not tolerated: name and value.
    tainted: Vec<(&'a str, &'a str)>,
    /// By where its siblings are.
    forbidden: Option<Forbidden>,
    /// By where other jobs are.
    barred: Option<Barred>,
    /// (dimension, how much less than asked it has in all)
    too_small: Vec<(usize, u64)>,
    /// (dimension, how much less than asked it has free)
    busy: Vec<(usize, u64)>,
}

impl<'a> Gap<'a> {
    fn of(shape: &'a Shape, around: &Around<'_>, id: WorkerId, worker: &'a Worker) -> Self {
        let asked = shape.resources.dimensions();
        let short = |room: [u64; 4]| -> Vec<(usize, u64)> {
            (0..4).filter(|d| asked[*d] > room[*d]).map(|d| (d, asked[d] - room[d])).collect()
        };
        Gap {
            id,
            worker,
            not_ready: ready::check(worker).map(|refused| refused.kind),
            missing: labels::missing(shape, worker).collect(),
            unmet: expressions::unmet(shape, worker).collect(),
            tainted: taints::untolerated(shape, worker).collect(),
            forbidden: siblings::forbidden(shape, around.siblings, id, worker),
            barred: around.others.and_then(|others| others.forbid(id, worker)),
            too_small: short(worker.capacity.dimensions()),
            busy: short(worker.free().dimensions()),
        }
    }

    /// The largest shortfall, as a share of what the worker has.
    fn shortfall(&self) -> u32 {
        self.busy.iter().map(|(d, short)| share(*short, self.worker.capacity.dimensions()[*d])).max().unwrap_or(0)
    }

    /// Labels, expressions and taints that keep it away.
    fn lacks(&self) -> usize {
        self.missing.len() + self.unmet.len() + self.tainted.len()
    }

    fn has_room(&self) -> bool {
        self.busy.is_empty() && self.worker.active.len() < limits::WORKER_ATTEMPTS_MAX
    }
}

/// The smallest change, tried from the smallest kind to the largest. Each kind: the worker where it is least.
fn fix(view: &Hot, shape: &Shape, around: &Around<'_>, never: &[u32]) -> String {
    let may_go_to = filter::members(view).filter(|(id, _)| !never.contains(&id.0));
    let gaps: Vec<Gap<'_>> = may_go_to.map(|(id, worker)| Gap::of(shape, around, id, worker)).collect();
    if gaps.is_empty() && !never.is_empty() {
        return "there is no worker that it has not failed on: add one, or cancel the job and submit it without the rule \
                that sends it elsewhere"
            .to_owned();
    }
    if gaps.is_empty() {
        return "there is no worker: authorise one (cloudai worker authorize NAME) and start it".to_owned();
    }
    let ready = |g: &&Gap<'_>| g.not_ready.is_none();
    let labelled = |g: &&Gap<'_>| g.lacks() == 0;
    let allowed = |g: &&Gap<'_>| g.forbidden.is_none() && g.barred.is_none();
    let large_enough = |g: &&Gap<'_>| g.too_small.is_empty();
    if gaps.iter().any(|g| ready(&g) && labelled(&g) && allowed(&g) && g.has_room()) {
        return "nothing to change: a worker has room, and the next pass places it".to_owned();
    }
    let usable: Vec<&Gap<'_>> = gaps.iter().filter(labelled).filter(large_enough).filter(allowed).collect();
    if let Some(g) = usable.iter().find(|g| g.not_ready == Some(WaitKind::Draining) && g.has_room()) {
        return format!("let {name} take work again (cloudai worker resume {name})", name = g.worker.name);
    }
    if let Some(g) = usable.iter().copied().filter(ready).min_by_key(|g| g.shortfall()) {
        let more: Vec<String> = g.busy.iter().map(|(d, short)| amount(*d, *short)).collect();
        return if more.is_empty() {
            format!("one attempt fewer on {}: it starts when one ends there", g.worker.name)
        } else {
            format!(
                "{} more free on {}: it starts when tasks end there, or when a worker is added",
                more.join(" and "),
                g.worker.name
            )
        };
    }
    if let Some(g) = usable.first() {
        let name = &g.worker.name;
        return match g.not_ready {
            Some(WaitKind::Draining) => format!("let {name} take work again (cloudai worker resume {name})"),
            Some(WaitKind::Lost) => format!("bring {name} back: it is lost, and would have the room"),
            Some(_) | None => format!("start {name}: it is authorised, and has not joined yet"),
        };
    }
    let kept_apart = gaps.iter().filter(ready).filter(labelled).filter(large_enough);
    if let Some((g, forbidden)) =
        kept_apart.filter_map(|g| Some((g, g.forbidden?))).min_by_key(|(g, f)| (!g.has_room(), *f))
    {
        return siblings::fix(view, shape, around.siblings, g.worker, forbidden);
    }
    let by_others = gaps.iter().filter(ready).filter(labelled).filter(large_enough);
    let nearest = by_others.filter_map(|g| Some((g, g.barred?))).min_by_key(|(g, barred)| (!g.has_room(), *barred));
    if let Some(((g, barred), others)) = nearest.zip(around.others) {
        return neighbours::fix(view, others, (g.id, g.worker), barred);
    }
    let one_thing = gaps.iter().filter(ready).filter(large_enough).filter(|g| g.lacks() == 1);
    if let Some(g) = one_thing.min_by_key(|g| !g.has_room()) {
        return admit(shape, g);
    }
    if let Some(g) = gaps.iter().filter(ready).filter(labelled).min_by_key(|g| (g.too_small.len(), excess(shape, g))) {
        return lower(shape, g, view);
    }
    let nearest = gaps.iter().min_by_key(|g| (g.lacks(), g.too_small.len())).expect("there is a worker");
    let required = shape.rules.iter().flat_map(|rules| rules.require.iter());
    format!(
        "no single change: even the nearest worker, {}, lacks several things; add a worker with {}{}{}",
        nearest.worker.name,
        shape.resources,
        shape.require.iter().map(|(k, v)| format!(", label {k}={v}")).collect::<String>(),
        required.map(|expression| format!(", labels that meet {expression}")).collect::<String>(),
    )
}

/// For a worker that lacks one thing.
fn admit(shape: &Shape, gap: &Gap<'_>) -> String {
    let name = &gap.worker.name;
    if let Some((key, value)) = gap.missing.first().and_then(|at| shape.require.get(*at)) {
        return format!("add the label {key}={value} to {name}");
    }
    if let Some((key, value)) = gap.tainted.first() {
        let taint = taint_text(key, value);
        return format!(
            "submit it with --tolerate {taint}, or take the taint from {name} (cloudai worker untaint {name} {key})"
        );
    }
    let expression = gap.unmet.first().map(|at| expressions::text(shape, *at)).unwrap_or_default();
    format!("change the labels of {name} so that they meet {expression}")
}

/// How far the request is above what the worker has, in 65,535ths of the request.
fn excess(shape: &Shape, gap: &Gap<'_>) -> u32 {
    let asked = shape.resources.dimensions();
    gap.too_small.iter().map(|(d, short)| share(*short, asked[*d])).max().unwrap_or(0)
}

fn lower(shape: &Shape, gap: &Gap<'_>, view: &Hot) -> String {
    let has = gap.worker.capacity.dimensions();
    let asked = shape.resources.dimensions();
    let each = |f: &dyn Fn(usize) -> String| gap.too_small.iter().map(|(d, _)| f(*d)).collect::<Vec<_>>().join(" and ");
    let flags = each(&|d| {
        let flag = ["--cpu", "--memory", "--storage", "--gpu"][d];
        format!("{flag} {}", number(d, has[d]).replace(' ', ""))
    });
    let wanted = each(&|d| amount(d, asked[d]));
    let there = each(&|d| amount(d, has[d]));
    let whom = if filter::members(view).count() == 1 { "the only worker" } else { "the largest that may take it" };
    format!(
        "no worker has {wanted}: {whom}, {}, has {there}; ask for at most {flags}, or add a larger worker",
        gap.worker.name
    )
}

/// What people read.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.task, self.standing.name())?;
        if let Some(ahead) = self.ahead {
            let at_least = if ahead.at_least { "at least " } else { "" };
            let (jobs, tasks) = (counted(ahead.jobs, "job"), counted(ahead.tasks, "task"));
            writeln!(f, "ahead: {at_least}{jobs}, {tasks}")?;
        }
        if let Some(turn) = self.turn.filter(|turn| turn.before > 0) {
            let Turn { before, waiting } = turn;
            writeln!(
                f,
                "turn: {before} of {waiting} namespaces that wait have a smaller share by weight, and come first"
            )?;
        }
        if let Some(quota) = &self.quota {
            writeln!(f, "quota: {quota}")?;
        }
        if let Some(quota) = &self.user_quota {
            writeln!(f, "user quota: {quota}")?;
        }
        if let Some(gang) = &self.gang {
            writeln!(f, "gang: {gang}")?;
        }
        if !self.reasons.is_empty() || self.ahead.is_some() {
            writeln!(f, "workers: {} in all, {} would take it now", self.workers, self.fitting)?;
        }
        for r in &self.reasons {
            writeln!(f, "  {}: {} ({})", r.workers, r.message, r.example)?;
        }
        write!(f, "change: {}", self.fix)
    }
}

pub(crate) fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
