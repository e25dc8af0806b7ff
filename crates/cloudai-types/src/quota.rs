//! What a namespace may have: its weight beside the others, how much its running tasks may hold at a time, how many may wait, and how many of
//! both each of its users may have. Comes in: what an operator asked for. Goes out: the same, checked, and whether a task still fits under
//! it. Who uses how much is not known here.

use crate::resources::Resources;
use crate::{Fault, ScorePolicy, limits};

/// In which order a namespace's tasks come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum QueueOrder {
    /// Higher priority first; then submission.
    Priority = 0,
    /// Submission alone.
    Fifo = 1,
}

impl QueueOrder {
    pub const ALL: [QueueOrder; 2] = [QueueOrder::Priority, QueueOrder::Fifo];

    /// The word on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            QueueOrder::Priority => "priority",
            QueueOrder::Fifo => "fifo",
        }
    }
}

/// Replicated with the namespace. Says nothing: weight 1, no caps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Quota {
    /// Its part of a full cluster is its weight by the weights of all that wait; 0: 1.
    #[prost(uint32, tag = "1")]
    pub weight: u32,
    /// Tasks that may hold a worker's resources at a time. Zero lets nothing start.
    #[prost(uint32, optional, tag = "2")]
    pub tasks_max: Option<u32>,
    #[prost(uint64, optional, tag = "3")]
    pub cpu_milli_max: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub memory_bytes_max: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub storage_bytes_max: Option<u64>,
    #[prost(uint32, optional, tag = "6")]
    pub gpus_max: Option<u32>,
    /// Whose tasks have waited for so many milliseconds come before all others of the namespace, whatever their priority. Since format 7 of the
    /// log.
    #[prost(uint64, optional, tag = "7")]
    pub wait_max_ms: Option<u64>,
    /// Since format 7 of the log.
    #[prost(enumeration = "QueueOrder", tag = "8")]
    pub order: i32,
    /// Tasks of a higher priority may stop those of a lower one that say they may be restarted. Since format 7 of the log.
    #[prost(bool, tag = "9")]
    pub preempt: bool,
    /// How a worker is chosen for its tasks; absent: as the cluster's configuration says. Since format 7 of the log.
    #[prost(enumeration = "ScorePolicy", optional, tag = "10")]
    pub score_policy: Option<i32>,
    /// Tasks that may wait: for a worker, for the time of their next try, or for other jobs of their workflow. What would be more is not taken
    /// in; a retry always is. Since format 7 of the log.
    #[prost(uint32, optional, tag = "11")]
    pub queued_max: Option<u32>,
    /// As `tasks_max`, for each user. Since format 7 of the log.
    #[prost(uint32, optional, tag = "12")]
    pub user_tasks_max: Option<u32>,
    /// As `queued_max`, for each user. Since format 7 of the log.
    #[prost(uint32, optional, tag = "13")]
    pub user_queued_max: Option<u32>,
}

/// A cap, or a policy, that a change takes away.
pub const NO_CAP: u64 = u64::MAX;

/// What an operator changes. What is not named stays as it is, so that two operators who change different things do not undo each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct QuotaChange {
    #[prost(uint32, optional, tag = "1")]
    pub weight: Option<u32>,
    /// This and all below: the new cap, or [`NO_CAP`].
    #[prost(uint64, optional, tag = "2")]
    pub tasks_max: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub cpu_milli_max: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    pub memory_bytes_max: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub storage_bytes_max: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub gpus_max: Option<u64>,
    #[prost(uint64, optional, tag = "7")]
    pub wait_max_ms: Option<u64>,
    #[prost(enumeration = "QueueOrder", optional, tag = "8")]
    pub order: Option<i32>,
    #[prost(bool, optional, tag = "9")]
    pub preempt: Option<bool>,
    /// A [`ScorePolicy`]'s number, or [`NO_CAP`]: as the cluster's configuration says.
    #[prost(uint64, optional, tag = "10")]
    pub score_policy: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    pub queued_max: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    pub user_tasks_max: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    pub user_queued_max: Option<u64>,
}

impl QuotaChange {
    /// It changes the order in which tasks come, which masters of an older format would not keep.
    pub fn is_about_order(&self) -> bool {
        self.wait_max_ms.is_some() || self.order.is_some() || self.preempt.is_some()
    }

    /// It changes how much may wait, or what one user may have, which masters of an older format would not keep.
    pub fn is_about_queue_or_users(&self) -> bool {
        self.queued_max.is_some() || self.user_tasks_max.is_some() || self.user_queued_max.is_some()
    }
}

impl Quota {
    /// How a worker is chosen for its tasks; `None`: as the cluster's configuration says.
    pub fn policy(&self) -> Option<ScorePolicy> {
        self.score_policy.and_then(|policy| ScorePolicy::try_from(policy).ok())
    }

    /// At least 1.
    pub fn weight(&self) -> u64 {
        u64::from(self.weight).max(1)
    }

    /// What is held at most in each dimension, in the order of [`crate::resources::DIMENSIONS`].
    pub fn caps(&self) -> [Option<u64>; 4] {
        [self.cpu_milli_max, self.memory_bytes_max, self.storage_bytes_max, self.gpus_max.map(u64::from)]
    }

    /// Something may be kept from starting.
    pub fn is_capped(&self) -> bool {
        self.tasks_max.is_some() || self.user_tasks_max.is_some() || self.caps().iter().any(Option::is_some)
    }

    /// How many more tasks a user may start of whom so many are active.
    pub fn room_for_user(&self, active: u32) -> u32 {
        self.user_tasks_max.map_or(u32::MAX, |max| max.saturating_sub(active))
    }

    /// How many more tasks that ask for `each` may start, where `active` tasks hold `used`; at most `most`.
    pub fn room_for(&self, each: &Resources, active: u32, used: &Resources, most: u32) -> u32 {
        let mut room = self.tasks_max.map_or(most, |max| max.saturating_sub(active)).min(most);
        for ((cap, asked), held) in self.caps().into_iter().zip(each.dimensions()).zip(used.dimensions()) {
            if let Some(cap) = cap
                && let Some(fitting) = cap.saturating_sub(held).checked_div(asked)
            {
                room = room.min(u32::try_from(fitting).unwrap_or(u32::MAX));
            }
        }
        room
    }

    /// The same with a change.
    pub fn changed(&self, change: &QuotaChange) -> Result<Quota, Fault> {
        let weight = change.weight.unwrap_or(self.weight);
        if change.weight == Some(0) || weight > limits::QUOTA_WEIGHT_MAX {
            let problem = format!("is {weight}; 1 to {} are allowed", limits::QUOTA_WEIGHT_MAX);
            return Err(Fault { field: "weight", problem });
        }
        let wide = |now: Option<u64>, change: Option<u64>| match change {
            None => now,
            Some(NO_CAP) => None,
            Some(cap) => Some(cap),
        };
        let narrow = |field: &'static str, now: Option<u32>, change: Option<u64>| {
            let cap = wide(now.map(u64::from), change).map(u32::try_from).transpose();
            cap.map_err(|_| Fault { field, problem: format!("is over {}: leave it without a cap", u32::MAX) })
        };
        let order = change.order.unwrap_or(self.order);
        if QueueOrder::try_from(order).is_err() {
            return Err(Fault { field: "order", problem: "is neither priority nor fifo".into() });
        }
        let unknown = |policy: u64| Fault { field: "policy", problem: format!("{policy} is not known") };
        let score_policy = match change.score_policy {
            None => self.score_policy,
            Some(NO_CAP) => None,
            Some(policy) => {
                let known = i32::try_from(policy).ok().and_then(|policy| ScorePolicy::try_from(policy).ok());
                Some(known.ok_or_else(|| unknown(policy))? as i32)
            }
        };
        Ok(Quota {
            weight,
            tasks_max: narrow("tasks", self.tasks_max, change.tasks_max)?,
            cpu_milli_max: wide(self.cpu_milli_max, change.cpu_milli_max),
            memory_bytes_max: wide(self.memory_bytes_max, change.memory_bytes_max),
            storage_bytes_max: wide(self.storage_bytes_max, change.storage_bytes_max),
            gpus_max: narrow("gpu", self.gpus_max, change.gpus_max)?,
            wait_max_ms: wide(self.wait_max_ms, change.wait_max_ms),
            order,
            preempt: change.preempt.unwrap_or(self.preempt),
            score_policy,
            queued_max: narrow("max-queued", self.queued_max, change.queued_max)?,
            user_tasks_max: narrow("user-max-tasks", self.user_tasks_max, change.user_tasks_max)?,
            user_queued_max: narrow("user-max-queued", self.user_queued_max, change.user_queued_max)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(cpu_milli: u64) -> Resources {
        Resources { cpu_milli, ..Resources::default() }
    }

    #[test]
    fn room_is_what_every_cap_leaves() {
        let none = Quota::default();
        assert_eq!((none.weight(), none.room_for(&cpu(1_000), 7, &cpu(9_000), 50)), (1, 50));
        let capped = Quota { tasks_max: Some(10), cpu_milli_max: Some(4_000), ..none };
        for (asked, active, used, room) in [
            (1_000, 0, 0, 4),
            (1_000, 9, 0, 1),
            (1_000, 10, 0, 0),
            (1_000, 12, 0, 0),
            (1_000, 0, 3_500, 0),
            (1_000, 0, 9_000, 0),
            (5_000, 0, 0, 0),
            (0, 3, 9_000, 7),
        ] {
            assert_eq!(capped.room_for(&cpu(asked), active, &cpu(used), 50), room, "{asked} {active} {used}");
        }
        let no_gpus = Quota { gpus_max: Some(0), ..none };
        assert_eq!(no_gpus.room_for(&Resources { gpus: 1, ..cpu(1) }, 0, &cpu(0), 50), 0);
        assert_eq!(no_gpus.room_for(&cpu(1), 0, &cpu(0), 50), 50, "who asks for none is not concerned");
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let first = QuotaChange { weight: Some(3), tasks_max: Some(5), cpu_milli_max: Some(0), ..Default::default() };
        let quota = Quota::default().changed(&first).expect("valid");
        assert_eq!((quota.weight, quota.tasks_max, quota.cpu_milli_max), (3, Some(5), Some(0)));
        let second = QuotaChange { cpu_milli_max: Some(NO_CAP), gpus_max: Some(2), ..Default::default() };
        let quota = quota.changed(&second).expect("valid");
        assert_eq!(quota, Quota { weight: 3, tasks_max: Some(5), gpus_max: Some(2), ..Quota::default() });
        let third = QuotaChange { queued_max: Some(0), user_tasks_max: Some(NO_CAP), ..Default::default() };
        let before = Quota { user_tasks_max: Some(4), user_queued_max: Some(7), ..quota };
        let after = before.changed(&third).expect("valid");
        assert_eq!(after, Quota { queued_max: Some(0), user_queued_max: Some(7), ..quota });
        assert!(third.is_about_queue_or_users() && !second.is_about_queue_or_users());
    }

    #[test]
    fn a_user_has_the_room_that_the_cap_leaves() {
        let capped = Quota { user_tasks_max: Some(3), ..Quota::default() };
        assert_eq!([0, 2, 3, 9].map(|active| capped.room_for_user(active)), [3, 1, 0, 0]);
        assert_eq!(Quota::default().room_for_user(9), u32::MAX);
        assert_eq!((capped.is_capped(), Quota { queued_max: Some(1), ..Quota::default() }.is_capped()), (true, false));
    }

    #[test]
    fn what_is_no_quota_is_refused_by_name() {
        let fault = |change: QuotaChange| Quota::default().changed(&change).err().map(|f| f.field);
        assert_eq!(fault(QuotaChange { weight: Some(0), ..Default::default() }), Some("weight"));
        assert_eq!(fault(QuotaChange { weight: Some(u32::MAX), ..Default::default() }), Some("weight"));
        assert_eq!(fault(QuotaChange { tasks_max: Some(1 << 32), ..Default::default() }), Some("tasks"));
        assert_eq!(fault(QuotaChange { gpus_max: Some(1 << 32), ..Default::default() }), Some("gpu"));
        assert_eq!(fault(QuotaChange { gpus_max: Some(NO_CAP), ..Default::default() }), None);
        assert_eq!(fault(QuotaChange { order: Some(7), ..Default::default() }), Some("order"));
        assert_eq!(
            fault(QuotaChange { user_queued_max: Some(1 << 32), ..Default::default() }),
            Some("user-max-queued")
        );
        for unknown in [ScorePolicy::ALL.len() as u64, 1 << 32, NO_CAP - 1] {
            assert_eq!(fault(QuotaChange { score_policy: Some(unknown), ..Default::default() }), Some("policy"));
        }
    }

    #[test]
    fn a_policy_is_named_kept_and_taken_away() {
        let named = QuotaChange { score_policy: Some(ScorePolicy::Fgd as u64), ..Default::default() };
        let quota = Quota::default().changed(&named).expect("valid");
        assert_eq!((Quota::default().policy(), quota.policy()), (None, Some(ScorePolicy::Fgd)));
        let other = QuotaChange { weight: Some(2), ..Default::default() };
        assert_eq!(quota.changed(&other).expect("valid").policy(), Some(ScorePolicy::Fgd));
        let none = QuotaChange { score_policy: Some(NO_CAP), ..Default::default() };
        assert_eq!(quota.changed(&none).expect("valid"), Quota { weight: 0, ..Quota::default() });
    }
}
