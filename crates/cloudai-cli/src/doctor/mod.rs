//! What is wrong with a cluster. Comes in: what its masters and workers say of themselves, and who did not answer. Goes out: findings, each with
//! what to do, and a line for each kind of thing that was looked at. Pure: who was asked, and how, is [`crate::commands::cluster_doctor`]'s.

mod certificates;
mod clocks;
mod disks;
mod masters;
mod versions;
mod workers;

use cloudai_proto::v1::{CheckMasterReply, ClusterStatusReply, MachineCondition, WorkerCheck};
use serde::Serialize;

/// All that is known.
pub struct Facts {
    /// This machine's wall clock.
    pub now_ms: u64,
    /// When the certificate ends with which the cluster was asked.
    pub own_certificate_end_ms: u64,
    /// `None`: no master answered.
    pub status: Option<ClusterStatusReply>,
    pub masters: Vec<AskedMaster>,
    /// Or why the leader could not be asked.
    pub workers: Result<Vec<WorkerCheck>, String>,
}

pub struct AskedMaster {
    /// Its address, where no member is known by it.
    pub name: String,
    pub is_voter: bool,
    /// Or why there is none.
    pub answer: Result<Answer, String>,
}

pub struct Answer {
    pub check: CheckMasterReply,
    /// Its wall clock less this machine's, when it answered.
    pub clock_ahead_ms: i64,
    /// The answer took so long on its way that this may be wrong by so much.
    pub uncertain_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not work, or will soon stop.
    Problem,
    /// It works, and should not stay so.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// Stable, for programs.
    pub code: &'static str,
    pub what: String,
    pub why: String,
    pub next: String,
}

/// One kind of thing that was looked at, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    pub at: &'static str,
    pub seen: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The worst first.
    pub findings: Vec<Finding>,
    pub looked: Vec<Looked>,
}

pub fn examine(facts: &Facts) -> Report {
    let mut report = Report::default();
    masters::look(facts, &mut report);
    clocks::look(facts, &mut report);
    disks::look(facts, &mut report);
    certificates::look(facts, &mut report);
    versions::look(facts, &mut report);
    workers::look(facts, &mut report);
    report.findings.sort_by_key(|finding| finding.severity);
    report
}

impl Report {
    fn problem(&mut self, code: &'static str, what: String, why: impl Into<String>, next: impl Into<String>) {
        self.find(Severity::Problem, code, what, why, next);
    }

    fn warning(&mut self, code: &'static str, what: String, why: impl Into<String>, next: impl Into<String>) {
        self.find(Severity::Warning, code, what, why, next);
    }

    fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        what: String,
        why: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.findings.push(Finding { severity, code, what, why: why.into(), next: next.into() });
    }

    fn saw(&mut self, at: &'static str, seen: String) {
        self.looked.push(Looked { at, seen });
    }
}

impl Facts {
    fn answers(&self) -> impl Iterator<Item = (&AskedMaster, &Answer)> {
        self.masters.iter().filter_map(|master| Some((master, master.answer.as_ref().ok()?)))
    }

    /// Masters and workers by what they are called here, with what they say of their machines.
    fn conditions(&self) -> impl Iterator<Item = (String, &MachineCondition)> {
        let masters = self.answers().filter_map(|(m, a)| Some((m.called(), a.check.condition.as_ref()?)));
        let workers = self.workers.iter().flatten();
        masters.chain(workers.filter_map(|w| Some((format!("worker {}", w.name), w.condition.as_ref()?))))
    }
}

impl AskedMaster {
    fn called(&self) -> String {
        format!("master {}", self.name)
    }
}

#[cfg(test)]
mod tests;
