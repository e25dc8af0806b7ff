//! The cluster and its masters.

use std::io::{self, Write};

use cloudai_proto::v1::{ClusterStatusReply, Member, MemberRole, TransferLeaderReply};
use serde::Serialize;

use crate::output::{Columns, View, count, facts};
use crate::times::seconds;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberView {
    pub id: u64,
    pub name: String,
    /// `voter`, `learner`, `outside`.
    pub role: &'static str,
    pub leader: bool,
    pub grpc: String,
    pub raft: String,
    pub http: String,
    /// Log entries behind the leader; null when the leader did not say.
    pub lag_entries: Option<u64>,
    /// Seconds since the leader heard from it.
    pub heard_ago: Option<f64>,
}

impl From<Member> for MemberView {
    fn from(m: Member) -> Self {
        MemberView {
            id: m.node_id,
            role: m.role().name(),
            name: m.name,
            leader: m.leader,
            grpc: m.grpc,
            raft: m.raft,
            http: m.http,
            lag_entries: m.lag_entries,
            heard_ago: m.heard_ms_ago.map(seconds),
        }
    }
}

/// `cluster members`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct MemberList(pub Vec<MemberView>);

impl View for MemberList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["ID", "NAME", "ROLE", "LAG", "HEARD", "GRPC", "HTTP", "RAFT"]);
        for m in &self.0 {
            let role = if m.leader { format!("{}, leader", m.role) } else { m.role.to_owned() };
            let lag = m.lag_entries.map_or("-".to_owned(), |l| l.to_string());
            let heard =
                m.heard_ago.map_or("-".to_owned(), |s| format!("{} ago", crate::times::duration((s * 1000.0) as u64)));
            columns.row([
                m.id.to_string(),
                m.name.clone(),
                role,
                lag,
                heard,
                m.grpc.clone(),
                m.http.clone(),
                m.raft.clone(),
            ]);
        }
        columns.write(out)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkersView {
    pub ready: u32,
    pub lost: u32,
    pub total: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadView {
    pub master: String,
    pub index: u64,
    pub leader: bool,
    /// Seconds since that master heard from a leader; 0 for a linearizable read.
    pub age: f64,
}

/// `cluster status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusView {
    pub cluster: String,
    /// Null: nobody leads.
    pub leader: Option<String>,
    pub leader_id: Option<u64>,
    pub term: u64,
    pub applied_index: u64,
    pub incarnation: u64,
    pub version: u32,
    pub score_policy: &'static str,
    /// Voters that may fail while the cluster goes on.
    pub tolerates: u32,
    pub workers: WorkersView,
    pub tasks_queued: u64,
    pub tasks_active: u64,
    pub jobs: u64,
    pub digest: String,
    pub software: String,
    pub read: ReadView,
    pub members: Vec<MemberView>,
}

impl From<ClusterStatusReply> for StatusView {
    fn from(s: ClusterStatusReply) -> Self {
        let read = s.read.unwrap_or_default();
        StatusView {
            cluster: s.cluster_id,
            leader: (s.leader_id > 0).then_some(s.leader),
            leader_id: (s.leader_id > 0).then_some(s.leader_id),
            term: s.term,
            applied_index: s.applied_index,
            incarnation: s.incarnation,
            version: s.version,
            score_policy: s.config.unwrap_or_default().score_policy().name(),
            tolerates: s.tolerates,
            workers: WorkersView { ready: s.workers_ready, lost: s.workers_lost, total: s.workers_total },
            tasks_queued: s.tasks_queued,
            tasks_active: s.tasks_active,
            jobs: s.jobs,
            digest: format!("{:016x}", s.digest),
            software: s.software,
            read: ReadView { master: read.master, index: read.index, leader: read.leader, age: seconds(read.age_ms) },
            members: s.members.into_iter().map(Into::into).collect(),
        }
    }
}

impl View for StatusView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let voters = self.members.iter().filter(|m| m.role == MemberRole::Voter.name()).count();
        let voters = count(voters as u64, "voting master");
        let masters = match self.tolerates {
            0 => format!("{voters}; none may fail"),
            n => format!("{voters}; {n} may fail"),
        };
        let lost = if self.workers.lost > 0 { format!(", {} lost", self.workers.lost) } else { String::new() };
        facts(
            out,
            &[
                ("cluster", self.cluster.clone()),
                ("leader", self.leader.clone().unwrap_or("nobody".to_owned())),
                ("term", self.term.to_string()),
                ("applied", self.applied_index.to_string()),
                ("masters", masters),
                ("workers", format!("{} of {} ready{lost}", self.workers.ready, self.workers.total)),
                (
                    "tasks",
                    format!("{} queued, {} active, {}", self.tasks_queued, self.tasks_active, count(self.jobs, "job")),
                ),
                ("scheduling", self.score_policy.to_owned()),
                ("answered by", format!("{} {}", self.read.master, self.software)),
            ],
        )?;
        writeln!(out)?;
        MemberList(self.members.clone()).table(out)
    }
}

/// `cluster transfer-leader`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransferView {
    pub leader: String,
    pub leader_id: u64,
    /// Seconds from the request to the new leader's first committed entry.
    pub took: f64,
}

impl From<TransferLeaderReply> for TransferView {
    fn from(t: TransferLeaderReply) -> Self {
        TransferView { leader: t.leader, leader_id: t.leader_id, took: seconds(t.took_ms) }
    }
}

impl View for TransferView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} leads, after {:.0} ms", self.leader, self.took * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample;

    #[test]
    fn the_status_as_a_table_and_as_json() {
        let view = StatusView::from(sample::status());
        let mut out = vec![];
        view.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
cluster:      00ff00ff00ff00ff
leader:       m2
term:         4
applied:      99
masters:      2 voting masters; none may fail
workers:      1 of 2 ready, 1 lost
tasks:        7 queued, 2 active, 3 jobs
scheduling:   binpack
answered by:  m1 0.1.0

ID  NAME  ROLE           LAG  HEARD     GRPC    HTTP    RAFT
1   m1    voter          3    40ms ago  a:7601  a:7600  a:7602
2   m2    voter, leader  -    -         b:7601  b:7600  b:7602
"
        );
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!((&json["leader"], &json["members"][1]["leader"]), (&"m2".into(), &true.into()));
        assert_eq!(json["members"][0]["heard_ago"], 0.04);
        assert_eq!(json["digest"], "000000000000beef");
        let nobody = ClusterStatusReply { leader_id: 0, ..sample::status() };
        assert_eq!(serde_json::to_value(StatusView::from(nobody)).unwrap()["leader"], serde_json::Value::Null);
    }
}
