//! Why a task may not have what is free: the quota of its namespace, what each user of it may have, the turn of another one, a worker that is kept for another task. Comes
//! in: the view, and the reservations of the last pass. Goes out: words for people. The pass decides by the same rules, and does not ask here.

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_core::job_labels::Labels;
use cloudai_core::nearby::{Beside, Looker, Nearby};
use cloudai_types::resources::DIMENSIONS;
use cloudai_types::{JobId, NamespaceId, WorkerId};

use crate::fair::{Account, Whole};
use crate::filter::resources::{amount, number};
use crate::rank::rank;
use crate::reserve::{self, Reservation};

/// A quota, of a namespace or of one of its users, that keeps a task from starting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverQuota {
    /// `the namespace team-a holds 4.5 of 5 cpu`.
    pub message: String,
    pub fix: String,
    /// No end of a task will make room for it.
    pub is_for_ever: bool,
}

/// Who asks: a task that waits, or one of a job that was not submitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeker<'a> {
    /// `None`: it does not exist yet.
    pub namespace: Option<NamespaceId>,
    /// A certificate's `role/name`; empty: nobody remembers, and no user's cap counts.
    pub user: &'a str,
    pub priority: i32,
    /// The last there could be, for one that was not submitted.
    pub job: JobId,
    /// Of an attempt's run time; 0: none.
    pub limit_ms: u64,
    /// Its job's.
    pub labels: Option<&'a Labels>,
}

impl Seeker<'_> {
    /// What other jobs have to say; `None`: nothing.
    pub(crate) fn beside(&self, view: &Hot, shape: &Shape) -> Option<Beside> {
        // Nobody lives in a namespace that does not exist yet: none has this number.
        let namespace = self.namespace.unwrap_or(NamespaceId(0));
        let looker = Looker { namespace, job: self.job, labels: self.labels, rules: shape.rules.as_deref() };
        Nearby::default().of(view, &looker)
    }
}

/// Its namespace among those that have something to place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Those with a smaller share by their weight.
    pub before: usize,
    pub waiting: usize,
}

/// The first cap that one more task would be over.
pub fn over_quota(view: &Hot, namespace: NamespaceId, shape: &Shape) -> Option<OverQuota> {
    let tenant = view.tenants.get(namespace)?;
    let name = &tenant.name;
    let set = |flag: &str, least: String| {
        let least = least.replace(' ', "");
        format!("raise its quota (cloudai quota set {name} --{flag} {least}), or wait until tasks of {name} end")
    };
    if let Some(max) = tenant.quota.tasks_max.filter(|max| tenant.holding >= *max) {
        let message = format!("the namespace {name} runs {} of {max} tasks, which is its quota", tenant.holding);
        let fix = set("tasks", (tenant.holding + 1).to_string());
        return Some(OverQuota { message, fix, is_for_ever: max == 0 });
    }
    let (asked, used) = (shape.resources.dimensions(), tenant.used.dimensions());
    let caps = tenant.quota.caps();
    let d = (0..4).find(|d| caps[*d].is_some_and(|cap| asked[*d] > 0 && asked[*d] > cap.saturating_sub(used[*d])))?;
    let cap = caps[d].unwrap_or_default();
    let message = format!(
        "the namespace {name} holds {} of {}, which is its quota, and this asks for {}",
        number(d, used[d]),
        amount(d, cap),
        number(d, asked[d])
    );
    let fix = if asked[d] > cap {
        let least = number(d, asked[d]).replace(' ', "");
        format!(
            "it asks for more than its namespace may ever hold: raise the quota (cloudai quota set {name} --{} {least}), or ask for less",
            DIMENSIONS[d]
        )
    } else {
        set(DIMENSIONS[d], number(d, used[d].saturating_add(asked[d])))
    };
    Some(OverQuota { message, fix, is_for_ever: asked[d] > cap })
}

/// The cap on each user that so many more tasks of this one, started together, would be over.
pub fn over_user_quota(view: &Hot, namespace: NamespaceId, user: &str, tasks: u32) -> Option<OverQuota> {
    let tenant = view.tenants.get(namespace).filter(|_| !user.is_empty())?;
    let holding = tenant.users.named(user).map_or(0, |(_, user)| user.holding);
    let max = tenant.quota.user_tasks_max.filter(|max| max.saturating_sub(holding) < tasks)?;
    let name = &tenant.name;
    let raise = |least: u32| format!("raise the cap on each user (cloudai quota set {name} --user-max-tasks {least})");
    let together = if tasks > 1 { format!(", and {tasks} start together") } else { String::new() };
    let message = format!("{user} runs {holding} of {max} tasks in {name}, which is the cap on each user{together}");
    let fix = if tasks > 1 && tasks > max {
        format!(
            "its tasks start together, and are more than one user may ever run: {}, or ask for fewer tasks",
            raise(tasks)
        )
    } else {
        format!("{}, or wait until tasks of {user} end", raise(holding.saturating_add(tasks)))
    };
    Some(OverQuota { message, fix, is_for_ever: tasks > max })
}

/// `None`: nobody else waits.
pub fn turn(view: &Hot, namespace: NamespaceId) -> Option<Turn> {
    if view.queue.namespaces().len() < 2 {
        return None;
    }
    let whole = Whole::of(view);
    let share = |id| view.tenants.get(id).map(|tenant| (Account::of(tenant, view.clock_ms).share(&whole), id));
    let own = share(namespace)?;
    let waiting = view.queue.namespaces().filter_map(|(id, _)| share(id));
    let before = waiting.filter(|other| *other < own).count();
    Some(Turn { before, waiting: view.queue.namespaces().len() })
}

/// A task that would fit here may not, for this reservation.
pub fn keeps_away<'a>(
    view: &Hot,
    reserved: &'a [Reservation],
    seeker: &Seeker<'_>,
    shape: &Shape,
    worker: (WorkerId, &Worker),
) -> Option<&'a Reservation> {
    let r = reserved.iter().find(|r| r.worker == worker.0)?;
    let other = view.jobs.get(&r.job)?;
    let is_ahead = seeker.namespace == Some(other.namespace)
        && rank(view, other.namespace, seeker.priority, seeker.job)
            <= rank(view, other.namespace, other.priority.into(), r.job);
    let need = view.shapes.get(r.shape)?;
    if is_ahead {
        return None;
    }
    let room = |of: [u64; 4]| [of[0], of[1], of[2], of[3], 1];
    let need = r.need(&room(need.resources.dimensions()));
    let running = reserve::running_on(view, worker.1, if r.since_ms == 0 { u64::MAX } else { r.since_ms });
    let hold = reserve::hold(&reserve::capacity_of(&worker.1.capacity), &need, &running)?;
    let asked = room(shape.resources.dimensions());
    let fits_beside = asked.iter().zip(hold.beside).all(|(asked, beside)| *asked <= beside);
    let ends_ms = view.clock_ms.saturating_add(seeker.limit_ms);
    let in_time = seeker.limit_ms > 0 && hold.by_ms.is_some_and(|by_ms| ends_ms <= by_ms);
    (!fits_beside && !in_time).then_some(r)
}
