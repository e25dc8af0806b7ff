//! What would a job meet that was not submitted yet? Comes in: the view, the reservations of the last pass, a spec and a namespace's name.
//! Goes out: the same answer that [`crate::explain()`] gives for a task that waits, and how many of its tasks there is room for now. It
//! changes nothing, and promises nothing: somebody else may submit first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_core::users::UserId;
use cloudai_core::whereabouts::Whereabouts;
use cloudai_types::{JobId, JobSpec, Resources, Rules, Spot, WorkerId, limits};

use crate::explain::{Ahead, jobs_ahead, look};
use crate::filter::{self, WaitReason};
use crate::prospect::Prospect;
use crate::reserve::Reservation;
use crate::withheld::{self, Seeker, Turn};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// All of the job.
    pub tasks: u32,
    /// For so many of them there is room now, quota and kept workers considered, and nothing that is ahead.
    pub room_now: u32,
    /// Of its own namespace.
    pub ahead: Ahead,
    pub turn: Option<Turn>,
    pub quota: Option<String>,
    /// The cap on each user of its namespace.
    pub user_quota: Option<String>,
    /// A submit would be refused now: more tasks would wait than may.
    pub queue_full: Option<String>,
    /// Its tasks start together, and there is no room for all of them.
    pub gang: Option<String>,
    /// Workers that were not revoked.
    pub workers: u32,
    /// Those that would take a task now.
    pub fitting: u32,
    pub reasons: Vec<WaitReason>,
    pub fix: String,
    /// What an estimate of the first task's start looks at.
    pub prospect: Prospect,
}

/// `user`: who would submit it, by `role/name`. Costs one look at each worker, and at no more than [`limits::EXPLAIN_AHEAD_MAX`] jobs.
pub fn outlook(view: &Hot, reserved: &[Reservation], namespace: &str, user: &str, spec: &JobSpec) -> Outlook {
    let namespace = view.namespaces.get(namespace).copied();
    let shape = Shape::new(spec.resources, spec.require.clone(), spec.placement.as_ref(), spec.gang_size());
    let job = JobId(u64::MAX);
    let labels = Some(&spec.labels).filter(|labels| !labels.is_empty());
    let seeker = Seeker { namespace, user, priority: spec.priority, job, limit_ms: spec.timeout_ms, labels };
    let own = view.shapes.by_shape.get(&shape).copied();
    let tasks = spec.count.max(1);
    let look = look(view, reserved, &seeker, (&shape, if spec.gang { tasks } else { 1 }), &[], own);
    let mut room = if look.fitting == 0 { 0 } else { room(view, reserved, &seeker, &shape, tasks) };
    let tenant = namespace.and_then(|id| view.tenants.get(id));
    let own = tenant.and_then(|tenant| tenant.users.named(user));
    if let Some(tenant) = tenant {
        let holding = own.map_or(0, |(_, user)| user.holding);
        room = room.min(tenant.quota.room_for_user(holding));
        room = tenant.quota.room_for(&shape.resources, tenant.holding, &tenant.used, room);
    }
    let queue_full = tenant.and_then(|tenant| tenant.queue_is_full_for(user, tasks));
    let own = own.map_or(UserId::NOBODY, |(id, _)| id);
    Outlook {
        tasks,
        room_now: room,
        ahead: namespace.map_or_else(Ahead::default, |id| jobs_ahead(view, id, own, spec.priority, job)),
        turn: look.turn,
        quota: look.quota,
        user_quota: look.user_quota,
        gang: look.gang,
        workers: filter::members(view).count() as u32,
        fitting: look.fitting,
        reasons: look.reasons,
        fix: queue_full.as_ref().map_or(look.fix, |full| full.next()),
        // What is refused never starts.
        prospect: if queue_full.is_some() { Prospect::Unknown } else { look.prospect },
        queue_full: queue_full.map(|full| full.why()),
    }
}

/// Tasks of this shape that fit on all workers together, at most `most`; with all of its rules, of a job that has none anywhere.
pub(crate) fn room(view: &Hot, reserved: &[Reservation], seeker: &Seeker<'_>, shape: &Shape, most: u32) -> u32 {
    let beside = seeker.beside(view, shape);
    let takes = filter::members(view).filter(|(id, worker)| {
        filter::check(shape, worker).is_none()
            && beside.as_ref().is_none_or(|beside| beside.forbid(*id, worker).is_none())
            && withheld::keeps_away(view, reserved, seeker, shape, (*id, worker)).is_none()
    });
    let room_at = |worker: &Worker| {
        let attempts = limits::WORKER_ATTEMPTS_MAX.saturating_sub(worker.active.len());
        let here = fitting(&worker.free(), &shape.resources, attempts as u64);
        u32::try_from(here).unwrap_or(u32::MAX)
    };
    if let Some(rules) = shape.rules.as_deref().filter(|rules| rules.look_at_siblings()) {
        return room_by_rules(view, shape, rules, takes.map(|(id, worker)| (id, worker, room_at(worker)))).min(most);
    }
    let mut sum = 0u32;
    for (_, worker) in takes {
        sum = sum.saturating_add(room_at(worker)).min(most);
    }
    sum
}

/// One task for each spot that tasks stay apart by; and with a `max_skew` no more in any spot than the one with the least room lets it be ahead. Where a
/// spot of the one kind lies in several of the other, it is counted in each: the answer is then too high.
fn room_by_rules<'a>(
    view: &Hot,
    shape: &Shape,
    rules: &Rules,
    rooms: impl Iterator<Item = (WorkerId, &'a Worker, u32)>,
) -> u32 {
    let whereabouts = Whereabouts::of(&view.workers, None, shape);
    let max_skew = rules.spread.as_ref().map_or(0, |spread| spread.max_skew);
    let mut taken: BTreeSet<(Option<Spot>, Option<Spot>)> = BTreeSet::new();
    let mut rooms_of: BTreeMap<Option<Spot>, u32> = BTreeMap::new();
    for (id, worker, room) in rooms.filter(|(id, worker, _)| whereabouts.forbid(rules, *id, worker).is_none()) {
        let spread = rules.spread.as_ref().filter(|_| max_skew > 0);
        let spot = spread.and_then(|spread| spread.over.spot(id, &worker.labels));
        let apart = rules.apart.as_ref().and_then(|domain| domain.spot(id, &worker.labels));
        let one = apart.is_none() || room > 0 && taken.insert((spot.clone(), apart.clone()));
        let room = if apart.is_none() { room } else { room.min(u32::from(one)) };
        let here = rooms_of.entry(spot).or_default();
        *here = here.saturating_add(room);
    }
    // Spots where nothing is free keep the others back.
    let least = if rooms_of.len() < whereabouts.spots() { 0 } else { rooms_of.values().copied().min().unwrap_or(0) };
    let most = if max_skew > 0 { least.saturating_add(max_skew) } else { u32::MAX };
    rooms_of.values().map(|room| (*room).min(most)).fold(0, u32::saturating_add)
}

fn fitting(free: &Resources, each: &Resources, most: u64) -> u64 {
    let of = free.dimensions().into_iter().zip(each.dimensions());
    of.filter_map(|(free, each)| free.checked_div(each)).fold(most, u64::min)
}

/// What people read.
impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "room now: for {} of {} tasks", self.room_now, self.tasks)?;
        let at_least = if self.ahead.at_least { "at least " } else { "" };
        writeln!(f, "ahead: {at_least}{} jobs, {} tasks", self.ahead.jobs, self.ahead.tasks)?;
        if let Some(quota) = &self.quota {
            writeln!(f, "quota: {quota}")?;
        }
        if let Some(quota) = &self.user_quota {
            writeln!(f, "user quota: {quota}")?;
        }
        if let Some(full) = &self.queue_full {
            writeln!(f, "a submit would be refused: {full}")?;
        }
        if let Some(gang) = &self.gang {
            writeln!(f, "gang: {gang}")?;
        }
        writeln!(f, "workers: {} in all, {} would take it now", self.workers, self.fitting)?;
        for r in &self.reasons {
            writeln!(f, "  {}: {} ({})", r.workers, r.message, r.example)?;
        }
        write!(f, "change: {}", self.fix)
    }
}
