//! Namespaces as tenants: what each may have, what its tasks hold now, and what they have held; and how many of its tasks wait. The same counts
//! for each of its users. Comes in: attempts that take resources and give them back, at replicated times, tasks that begin and cease to wait,
//! and what operators set. Goes out: reads for the scheduler, which shares the cluster by them, and for `apply`, which keeps quotas. What a
//! fair share is, is not known here.
//!
//! The memory of use is an average that fades: of what was held so long ago it keeps a half each [`limits::USAGE_HALF_LIFE`]. It moves only
//! when something is taken or given back, costs the same however many tasks run, and is made of whole numbers: every master has the same.

use std::collections::BTreeMap;
use std::fmt;

use cloudai_types::{NamespaceId, Quota, Resources, limits};

use crate::rows::NamespaceRow;
use crate::users::{UserId, Users};

/// Written by `apply` and `load` only.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    by_id: BTreeMap<NamespaceId, Tenant>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tenant {
    pub name: String,
    pub quota: Quota,
    /// What its attempts hold, those apart that only store their results.
    pub used: Resources,
    /// How many attempts that is.
    pub holding: u32,
    /// Tasks that wait: for a worker, for the time of their next try, or for other jobs.
    pub waiting: u64,
    /// Those with a live job.
    pub users: Users,
    average: Average,
}

/// A submit that would make more tasks wait than may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueFull {
    pub namespace: String,
    /// The cap is that on each user; `None`: that on all of the namespace.
    pub user: Option<String>,
    /// Wait already.
    pub waiting: u64,
    pub max: u32,
    /// Were submitted.
    pub tasks: u32,
}

impl QueueFull {
    /// `93 of at most 100 tasks of team-a wait, and this would be 10 more`.
    pub fn why(&self) -> String {
        let QueueFull { namespace, user, waiting, max, tasks } = self;
        let whose = user.as_ref().map_or(String::new(), |user| format!("{user} in "));
        format!("{waiting} of at most {max} tasks of {whose}{namespace} wait, and this would be {tasks} more")
    }

    /// What to do about it.
    pub fn next(&self) -> String {
        let QueueFull { namespace, user, waiting, tasks, .. } = self;
        let flag = if user.is_some() { "user-max-queued" } else { "max-queued" };
        let least = waiting.saturating_add((*tasks).into());
        let raise = format!("raise the cap (cloudai quota set {namespace} --{flag} {least})");
        if tasks > &self.max {
            format!("submit fewer tasks at once, or {raise}")
        } else {
            format!("wait until tasks have started or cancel some, or {raise}")
        }
    }
}

/// What people read who read one sentence.
impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue is full: {}", self.why())
    }
}

/// What was held on average, a while ago counting less.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Average {
    /// In [`AVERAGE_PARTS`] of a unit, by dimension.
    held: [u64; 4],
    /// Replicated time at which that was so; 0: nothing was held yet.
    at_ms: u64,
}

/// One GPU fades as well: units are cut into so many.
pub const AVERAGE_PARTS: u64 = 1 << 12;

impl Tenants {
    pub fn get(&self, id: NamespaceId) -> Option<&Tenant> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NamespaceId) -> Option<&mut Tenant> {
        self.by_id.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (NamespaceId, &Tenant)> {
        self.by_id.iter().map(|(id, tenant)| (*id, tenant))
    }

    pub(crate) fn insert(&mut self, id: NamespaceId, tenant: Tenant) {
        self.by_id.insert(id, tenant);
    }

    /// So many more tasks of a user wait; less than zero: so many fewer. A task that is blocked waits already when it comes into the queue.
    pub(crate) fn waits(&mut self, id: NamespaceId, user: UserId, tasks: i64) {
        let Some(tenant) = self.by_id.get_mut(&id) else { return };
        tenant.waiting = tenant.waiting.saturating_add_signed(tasks);
        if let Some(user) = tenant.users.get_mut(user) {
            user.waiting = user.waiting.saturating_add_signed(tasks);
        }
    }
}

impl Tenant {
    pub(crate) fn named(name: String) -> Self {
        Tenant { name, ..Tenant::default() }
    }

    /// Nothing is held yet: attempts tell.
    pub(crate) fn load(row: NamespaceRow) -> Result<Self, String> {
        let held = match row.average_held.as_slice() {
            [] => [0; 4],
            held => held.try_into().map_err(|_| format!("its average has {} numbers", held.len()))?,
        };
        let average = Average { held, at_ms: row.average_at_ms };
        Ok(Tenant { name: row.name, quota: row.quota.unwrap_or_default(), average, ..Tenant::default() })
    }

    pub(crate) fn row(&self) -> NamespaceRow {
        let quota = (self.quota != Quota::default()).then_some(self.quota);
        let average_held = if self.average == Average::default() { vec![] } else { self.average.held.to_vec() };
        NamespaceRow { name: self.name.clone(), quota, average_held, average_at_ms: self.average.at_ms }
    }

    /// An attempt of this user begins to hold something. `now_ms`: replicated time; `None`: in this format nobody remembers.
    pub(crate) fn take(&mut self, user: UserId, needs: &Resources, now_ms: Option<u64>) {
        self.settle(now_ms);
        self.used = self.used.plus(needs);
        self.holding = self.holding.saturating_add(1);
        if let Some(user) = self.users.get_mut(user) {
            user.holding = user.holding.saturating_add(1);
        }
    }

    /// It holds nothing any more.
    pub(crate) fn give_back(&mut self, user: UserId, had: &Resources, now_ms: Option<u64>) {
        self.settle(now_ms);
        self.used = self.used.minus(had);
        self.holding = self.holding.saturating_sub(1);
        if let Some(user) = self.users.get_mut(user) {
            user.holding = user.holding.saturating_sub(1);
        }
    }

    /// How many more tasks this user may start by the cap on each user, where so many more than are counted have started.
    pub fn room_for_user(&self, user: UserId, more: u32) -> u32 {
        if user == UserId::NOBODY || self.quota.user_tasks_max.is_none() {
            return u32::MAX;
        }
        self.quota.room_for_user(self.users.holding(user).saturating_add(more))
    }

    /// The first cap on what may wait that so many more tasks of this user would be over. `user`: a certificate's `role/name`.
    pub fn queue_is_full_for(&self, user: &str, tasks: u32) -> Option<QueueFull> {
        let full = |user: Option<&str>, waiting: u64, max: Option<u32>| {
            let max = max.filter(|max| waiting.saturating_add(tasks.into()) > u64::from(*max))?;
            Some(QueueFull { namespace: self.name.clone(), user: user.map(str::to_owned), waiting, max, tasks })
        };
        let of_user = self.users.named(user).map_or(0, |(_, user)| user.waiting);
        full(None, self.waiting, self.quota.queued_max)
            .or_else(|| full(Some(user), of_user, self.quota.user_queued_max))
    }

    fn settle(&mut self, now_ms: Option<u64>) {
        if let Some(now_ms) = now_ms {
            self.average = Average { held: self.average_held(now_ms), at_ms: now_ms.max(self.average.at_ms).max(1) };
        }
    }

    /// What it has held on average, by dimension, in [`AVERAGE_PARTS`] of a unit.
    pub fn average_held(&self, now_ms: u64) -> [u64; 4] {
        if self.average.at_ms == 0 {
            return [0; 4];
        }
        let kept = kept_after(now_ms.saturating_sub(self.average.at_ms));
        let used = self.used.dimensions();
        std::array::from_fn(|d| {
            let (before, now) = (u128::from(self.average.held[d]), u128::from(used[d]) * u128::from(AVERAGE_PARTS));
            let mixed = before * u128::from(kept) + now * u128::from(ONE - kept);
            u64::try_from(mixed >> 32).unwrap_or(u64::MAX)
        })
    }
}

/// The whole, for parts of it.
const ONE: u64 = 1 << 32;

/// What is left of 1 after a half-life's half, quarter, eighth, and so on: 2^(-1/2), 2^(-1/4), … in parts of [`ONE`].
const ROOTS: [u64; 20] = {
    let mut roots = [0; 20];
    // Of one half, the root; of that, the root; …
    let mut last = ONE / 2;
    let mut n = 0;
    while n < roots.len() {
        last = (last << 32).isqrt();
        roots[n] = last;
        n += 1;
    }
    roots
};

/// 2^(-elapsed / half-life), in parts of [`ONE`]: a product over the binary digits of the exponent, the same on every machine.
fn kept_after(elapsed_ms: u64) -> u64 {
    let half_life_ms = limits::USAGE_HALF_LIFE.0;
    let halvings = elapsed_ms / half_life_ms;
    if halvings >= 32 {
        return 0;
    }
    let mut kept = ONE >> halvings;
    let mut rest = elapsed_ms % half_life_ms;
    for root in ROOTS {
        rest *= 2;
        if rest >= half_life_ms {
            rest -= half_life_ms;
            kept = ((u128::from(kept) * u128::from(root)) >> 32) as u64;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: u64 = limits::USAGE_HALF_LIFE.0;

    fn gpus(gpus: u32) -> Resources {
        Resources { gpus, ..Resources::default() }
    }

    fn average(tenant: &Tenant, now_ms: u64) -> f64 {
        tenant.average_held(now_ms)[3] as f64 / AVERAGE_PARTS as f64
    }

    #[test]
    fn fading_is_exponential() {
        for elapsed in [0, 1, 1_000, HALF_LIFE / 3, HALF_LIFE / 2, HALF_LIFE, 5 * HALF_LIFE / 2, 9 * HALF_LIFE] {
            let exact = (-(elapsed as f64) / HALF_LIFE as f64).exp2();
            let ours = kept_after(elapsed) as f64 / ONE as f64;
            // The exponent has 20 binary digits.
            assert!((ours - exact).abs() < 2e-6, "after {elapsed} ms: {ours}, not {exact}");
        }
        assert_eq!((kept_after(32 * HALF_LIFE), kept_after(u64::MAX)), (0, 0));
    }

    #[test]
    fn the_average_follows_what_is_held() {
        let mut t = Tenant::named("a".into());
        t.take(UserId::NOBODY, &gpus(8), Some(1_000));
        assert_eq!(average(&t, 1_000), 0.0, "it begins to hold it now");
        assert!((average(&t, 1_000 + HALF_LIFE) - 4.0).abs() < 0.01);
        assert!((average(&t, 1_000 + 20 * HALF_LIFE) - 8.0).abs() < 0.01);
        t.give_back(UserId::NOBODY, &gpus(8), Some(1_000 + 2 * HALF_LIFE));
        assert_eq!((t.holding, t.used), (0, Resources::default()));
        assert!((average(&t, 1_000 + 2 * HALF_LIFE) - 6.0).abs() < 0.01);
        assert!((average(&t, 1_000 + 4 * HALF_LIFE) - 1.5).abs() < 0.01);
    }

    #[test]
    fn time_that_stands_still_or_goes_back_changes_nothing() {
        let mut t = Tenant::named("a".into());
        t.take(UserId::NOBODY, &gpus(4), Some(5_000));
        t.take(UserId::NOBODY, &gpus(4), Some(5_000 + HALF_LIFE));
        let before = t.average;
        t.take(UserId::NOBODY, &gpus(4), Some(4_000));
        assert_eq!((t.average, t.used), (before, gpus(12)));
    }

    #[test]
    fn an_older_format_remembers_nothing_and_its_row_says_nothing() {
        let mut t = Tenant::named("a".into());
        t.take(UserId::NOBODY, &gpus(4), None);
        assert_eq!(t.row(), NamespaceRow { name: "a".into(), ..NamespaceRow::default() });
        t.give_back(UserId::NOBODY, &gpus(1), Some(9_000));
        assert_eq!(average(&t, 9_000), 0.0, "not as if it had held them since the epoch");
        let row = t.row();
        let loaded = Tenant::load(row).expect("its own row");
        assert_eq!(loaded, Tenant { used: Resources::default(), holding: 0, ..t });
    }

    #[test]
    fn what_waits_and_runs_is_counted_for_its_user_as_well() {
        let id = NamespaceId(1);
        let mut tenants = Tenants::default();
        tenants.insert(id, Tenant::named("a".into()));
        let ada = tenants.get_mut(id).expect("it is there").users.join("admin/ada");
        tenants.waits(id, ada, 5);
        tenants.waits(id, UserId::NOBODY, 2);
        tenants.waits(id, ada, -1);
        tenants.waits(NamespaceId(2), ada, 9);
        let t = tenants.get_mut(id).expect("it is there");
        t.take(ada, &gpus(1), None);
        t.take(UserId::NOBODY, &gpus(1), None);
        let of_ada = t.users.get(ada).map(|user| (user.waiting, user.holding));
        assert_eq!((t.waiting, t.holding, of_ada), (6, 2, Some((4, 1))));
        t.quota.user_tasks_max = Some(3);
        assert_eq!([t.room_for_user(ada, 0), t.room_for_user(ada, 2)], [2, 0]);
        assert_eq!(t.room_for_user(UserId::NOBODY, 9), u32::MAX, "who is not known is not held back");
    }

    #[test]
    fn a_full_queue_says_whose_it_is_and_what_to_do() {
        let mut t = Tenant::named("team-a".into());
        let ada = t.users.join("admin/ada");
        (t.waiting, t.users.get_mut(ada).expect("it has joined").waiting) = (93, 40);
        assert_eq!(t.queue_is_full_for("admin/ada", u32::MAX), None);
        t.quota = Quota { queued_max: Some(100), user_queued_max: Some(45), ..Quota::default() };
        let told = |user, tasks| t.queue_is_full_for(user, tasks).map(|full| format!("{full}; {}", full.next()));
        assert_eq!((told("admin/ada", 5), told("admin/bob", 7)), (None, None));
        assert_eq!(
            told("admin/ada", 6).as_deref(),
            Some(
                "the queue is full: 40 of at most 45 tasks of admin/ada in team-a wait, and this would be 6 more; wait until tasks have \
                 started or cancel some, or raise the cap (cloudai quota set team-a --user-max-queued 46)"
            )
        );
        assert_eq!(
            told("admin/bob", 200).as_deref(),
            Some(
                "the queue is full: 93 of at most 100 tasks of team-a wait, and this would be 200 more; submit fewer tasks at once, or \
                 raise the cap (cloudai quota set team-a --max-queued 293)"
            )
        );
    }
}
