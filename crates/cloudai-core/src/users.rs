//! The users of one namespace that have live jobs, and how many tasks of each wait or hold something. Comes in: jobs that begin and end, and
//! each change of those counts. Goes out: a number for each name, so that a job needs four bytes for its user, and the counts. What a user may
//! have is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A user's number in its namespace. Local to this process: never persisted, never in a reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UserId(pub u32);

impl UserId {
    /// Of jobs that were submitted before users were remembered: no user's cap holds them back.
    pub const NOBODY: UserId = UserId(0);
}

/// Those that have a live job; who has none any more is forgotten. Written by `apply` and `load` only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Users {
    by_name: BTreeMap<Arc<str>, UserId>,
    by_id: BTreeMap<UserId, User>,
    next: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// A certificate's `role/name`.
    pub name: Arc<str>,
    /// Live jobs.
    pub jobs: u32,
    /// Tasks that wait: for a worker, for their time, or for other jobs.
    pub waiting: u64,
    /// Attempts that hold something.
    pub holding: u32,
}

impl Users {
    pub fn get(&self, id: UserId) -> Option<&User> {
        self.by_id.get(&id)
    }

    pub fn named(&self, name: &str) -> Option<(UserId, &User)> {
        let id = *self.by_name.get(name)?;
        Some((id, self.by_id.get(&id)?))
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.by_name.values().filter_map(|id| self.by_id.get(id))
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Attempts of this user that hold something; of nobody's, none are counted.
    pub fn holding(&self, id: UserId) -> u32 {
        self.get(id).map_or(0, |user| user.holding)
    }

    /// One more job of the user with this name. Without a name: nobody's.
    pub(crate) fn join(&mut self, name: &str) -> UserId {
        if name.is_empty() {
            return UserId::NOBODY;
        }
        if let Some(id) = self.by_name.get(name) {
            if let Some(user) = self.by_id.get_mut(id) {
                user.jobs = user.jobs.saturating_add(1);
            }
            return *id;
        }
        let mut id = UserId(self.next);
        while id == UserId::NOBODY || self.by_id.contains_key(&id) {
            id = UserId(id.0.wrapping_add(1));
        }
        self.next = id.0.wrapping_add(1);
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), id);
        self.by_id.insert(id, User { name, jobs: 1, waiting: 0, holding: 0 });
        id
    }

    /// One job less; the last one takes its user with it.
    pub(crate) fn leave(&mut self, id: UserId) {
        let Some(user) = self.by_id.get_mut(&id) else { return };
        user.jobs = user.jobs.saturating_sub(1);
        if user.jobs == 0 {
            self.by_name.remove(&user.name);
            self.by_id.remove(&id);
        }
    }

    pub(crate) fn get_mut(&mut self, id: UserId) -> Option<&mut User> {
        self.by_id.get_mut(&id)
    }
}

/// By name: numbers are a process's own.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_number_while_it_has_a_job() {
        let mut users = Users::default();
        assert_eq!((users.join(""), users.is_empty()), (UserId::NOBODY, true));
        let ada = users.join("admin/ada");
        let bob = users.join("admin/bob");
        assert_eq!(users.join("admin/ada"), ada);
        assert!(ada != bob && ada != UserId::NOBODY && bob != UserId::NOBODY);
        users.leave(ada);
        users.leave(UserId::NOBODY);
        assert_eq!(users.named("admin/ada").map(|(id, user)| (id, user.jobs)), Some((ada, 1)));
        users.leave(ada);
        assert_eq!((users.named("admin/ada"), users.get(ada), users.len()), (None, None, 1));
        users.leave(bob);
        assert_eq!(users, Users { next: users.next, ..Users::default() });
    }

    #[test]
    fn numbers_that_come_round_are_nobodys_and_nobody_elses() {
        let mut users = Users::default();
        let first = users.join("a");
        users.next = u32::MAX;
        let (last, next) = (users.join("b"), users.join("c"));
        assert_eq!((last, next), (UserId(u32::MAX), UserId(first.0 + 1)));
    }
}
