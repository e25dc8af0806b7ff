//! What each user of a namespace may still start in a pass. Comes in: what its users hold, and what the pass places. Goes out: how many tasks a
//! user may start, and whether any. Jobs are not known here.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::tenants::Tenant;
use cloudai_core::users::UserId;

pub(crate) struct UserCaps<'a> {
    tenant: &'a Tenant,
    /// In this pass; empty without a cap.
    placed: BTreeMap<UserId, u32>,
    /// A gang of theirs waits until they run less: others of theirs would take what it waits for.
    closed: BTreeSet<UserId>,
}

impl<'a> UserCaps<'a> {
    pub fn of(tenant: &'a Tenant) -> Self {
        UserCaps { tenant, placed: BTreeMap::new(), closed: BTreeSet::new() }
    }

    /// So many more tasks of this user may start.
    pub fn room(&self, user: UserId) -> u32 {
        if self.tenant.quota.user_tasks_max.is_none() {
            return u32::MAX;
        }
        if self.closed.contains(&user) {
            return 0;
        }
        self.tenant.room_for_user(user, self.placed.get(&user).copied().unwrap_or(0))
    }

    /// The same with nothing running.
    pub fn room_at_most(&self, user: UserId) -> u32 {
        if user == UserId::NOBODY { u32::MAX } else { self.tenant.quota.room_for_user(0) }
    }

    pub fn is_full(&self, user: UserId) -> bool {
        self.room(user) == 0
    }

    pub fn charge(&mut self, user: UserId, tasks: u32) {
        if tasks > 0 && self.tenant.quota.user_tasks_max.is_some() {
            let placed = self.placed.entry(user).or_default();
            *placed = placed.saturating_add(tasks);
        }
    }

    /// Nothing more of this user starts in this pass.
    pub fn close(&mut self, user: UserId) {
        self.closed.insert(user);
    }
}
