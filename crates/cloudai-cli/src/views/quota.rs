//! What namespaces may have, and hold now.

use std::io::{self, Write};

use cloudai_proto::v1::{NamespaceInfo, UserInfo};
use cloudai_types::resources::{Bytes, Cpu};
use cloudai_types::{Quota, Resources};
use serde::Serialize;

use super::resources::ResourcesView;
use crate::output::{Columns, View};
use crate::times::{duration, seconds};

/// What may be held at most; null: no cap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapsView {
    pub tasks: Option<u32>,
    pub cpu: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub storage_bytes: Option<u64>,
    pub gpu: Option<u32>,
    /// Tasks that may wait.
    pub queued: Option<u32>,
    /// Of each user.
    pub user_tasks: Option<u32>,
    pub user_queued: Option<u32>,
}

/// A user with a live job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UserView {
    /// `role/name`.
    pub user: String,
    pub jobs: u32,
    pub tasks: u32,
    pub queued: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamespaceView {
    pub namespace: String,
    pub weight: u64,
    pub caps: CapsView,
    /// `priority` or `fifo`.
    pub order: &'static str,
    /// Seconds after which a task comes before all others of the namespace; null: priorities hold for ever.
    pub max_wait: Option<f64>,
    /// Higher priorities may stop lower ones.
    pub preempt: bool,
    /// How a worker is chosen for its tasks; null: as the cluster's configuration says.
    pub policy: Option<&'static str>,
    /// Tasks that hold resources now.
    pub tasks: u32,
    /// Tasks that wait: for a worker, for the time of their next try, or for other jobs.
    pub queued: u64,
    pub used: ResourcesView,
    /// What was held on average lately, which counts as much as what is held now.
    pub average: ResourcesView,
    /// Of the cluster, in the dimension of which it holds most: 0 to 1.
    pub share: f64,
    /// It has something that could be placed.
    pub waits: bool,
    /// With `--users`: those who run most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserView>,
    /// Beside those.
    #[serde(skip)]
    more_users: u32,
    #[serde(skip)]
    quota: Quota,
    #[serde(skip)]
    holds: Resources,
}

impl From<NamespaceInfo> for NamespaceView {
    fn from(n: NamespaceInfo) -> Self {
        let (quota, holds) = (n.quota.unwrap_or_default(), n.used.unwrap_or_default());
        NamespaceView {
            namespace: n.namespace,
            weight: quota.weight(),
            caps: CapsView {
                tasks: quota.tasks_max,
                cpu: quota.cpu_milli_max.map(|milli| milli as f64 / 1_000.0),
                memory_bytes: quota.memory_bytes_max,
                storage_bytes: quota.storage_bytes_max,
                gpu: quota.gpus_max,
                queued: quota.queued_max,
                user_tasks: quota.user_tasks_max,
                user_queued: quota.user_queued_max,
            },
            order: quota.order().name(),
            max_wait: quota.wait_max_ms.map(seconds),
            preempt: quota.preempt,
            policy: quota.policy().map(|policy| policy.name()),
            tasks: n.tasks,
            queued: n.queued,
            used: holds.into(),
            average: n.average.unwrap_or_default().into(),
            share: n.share,
            waits: n.waits,
            users: n.users.into_iter().map(UserView::from).collect(),
            more_users: n.more_users,
            quota,
            holds,
        }
    }
}

impl From<UserInfo> for UserView {
    fn from(u: UserInfo) -> Self {
        UserView { user: u.user, jobs: u.jobs, tasks: u.tasks, queued: u.queued }
    }
}

/// `quota show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct QuotaList {
    pub namespaces: Vec<NamespaceView>,
    #[serde(skip)]
    pub with_users: bool,
}

impl View for QuotaList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&[
            "NAMESPACE",
            "WEIGHT",
            "SHARE",
            "TASKS",
            "QUEUED",
            "CPU",
            "MEMORY",
            "STORAGE",
            "GPU",
            "ORDER",
            "POLICY",
            "WAITS",
        ]);
        for n in &self.namespaces {
            let (q, r) = (&n.quota, &n.holds);
            columns.row([
                n.namespace.clone(),
                n.weight.to_string(),
                format!("{:.1} %", n.share * 100.0),
                of(n.tasks, q.tasks_max),
                of(n.queued, q.queued_max.map(u64::from)),
                of(Cpu(r.cpu_milli), q.cpu_milli_max.map(Cpu)),
                of(Bytes(r.memory_bytes), q.memory_bytes_max.map(Bytes)),
                of(Bytes(r.storage_bytes), q.storage_bytes_max.map(Bytes)),
                of(r.gpus, q.gpus_max),
                match q.wait_max_ms {
                    Some(max_ms) => format!("{}, at most {}", n.order, duration(max_ms)),
                    None => n.order.to_owned(),
                },
                n.policy.unwrap_or("default").to_owned(),
                if n.waits { "yes" } else { "no" }.to_owned(),
            ]);
        }
        columns.write(out)?;
        if self.with_users { self.users_table(out) } else { Ok(()) }
    }
}

impl QuotaList {
    fn users_table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        let mut columns = Columns::new(&["NAMESPACE", "USER", "JOBS", "TASKS", "QUEUED"]);
        for n in &self.namespaces {
            let (tasks, queued) = (n.quota.user_tasks_max, n.quota.user_queued_max.map(u64::from));
            for u in &n.users {
                let (namespace, user) = (n.namespace.clone(), u.user.clone());
                columns.row([namespace, user, u.jobs.to_string(), of(u.tasks, tasks), of(u.queued, queued)]);
            }
            if n.more_users > 0 {
                let more = format!("and {} more", n.more_users);
                columns.row([n.namespace.clone(), more, String::new(), String::new(), String::new()]);
            }
        }
        columns.write(out)
    }
}

/// `4.5 of 8`, or what is held where there is no cap.
fn of<T: ToString>(held: T, cap: Option<T>) -> String {
    match cap {
        Some(cap) => format!("{} of {}", held.to_string(), cap.to_string()),
        None => held.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::ScorePolicy;

    #[test]
    fn what_is_held_stands_beside_what_may_be() {
        let capped = NamespaceInfo {
            namespace: "team-a".into(),
            quota: Some(Quota {
                weight: 3,
                cpu_milli_max: Some(8_000),
                tasks_max: Some(9),
                wait_max_ms: Some(7_200_000),
                score_policy: Some(ScorePolicy::Fgd as i32),
                queued_max: Some(1_000),
                user_tasks_max: Some(3),
                ..Quota::default()
            }),
            tasks: 4,
            queued: 128,
            users: vec![
                UserInfo { user: "admin/ada".into(), jobs: 2, tasks: 3, queued: 120 },
                UserInfo { user: "admin/bob".into(), jobs: 1, tasks: 1, queued: 8 },
            ],
            more_users: 2,
            used: Some(Resources { cpu_milli: 4_500, memory_bytes: 2 << 30, ..Resources::default() }),
            share: 0.375,
            waits: true,
            ..NamespaceInfo::default()
        };
        let plain = NamespaceInfo { namespace: "default".into(), ..NamespaceInfo::default() };
        let list = QuotaList { namespaces: vec![plain.into(), capped.into()], with_users: true };
        let mut out = vec![];
        list.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
NAMESPACE  WEIGHT  SHARE   TASKS   QUEUED       CPU       MEMORY   STORAGE  GPU  ORDER                   POLICY   WAITS
default    1       0.0 %   0       0            0         0 B      0 B      0    priority                default  no
team-a     3       37.5 %  4 of 9  128 of 1000  4.5 of 8  2.0 GiB  0 B      0    priority, at most 2h0m  fgd      yes

NAMESPACE  USER        JOBS  TASKS   QUEUED
team-a     admin/ada   2     3 of 3  120
team-a     admin/bob   1     1 of 3  8
team-a     and 2 more
"
        );
        let json = serde_json::to_value(&list).unwrap();
        assert_eq!(json[1]["caps"]["cpu"], 8.0);
        assert_eq!(json[1]["caps"]["memory_bytes"], serde_json::Value::Null);
        assert_eq!(json[1]["used"]["cpu"], 4.5);
        assert_eq!((&json[0]["policy"], &json[1]["policy"]), (&serde_json::Value::Null, &"fgd".into()));
        assert_eq!((&json[1]["caps"]["user_tasks"], &json[1]["users"][0]["queued"]), (&3.into(), &120.into()));
        assert_eq!(json[0].get("users"), None);
    }
}
