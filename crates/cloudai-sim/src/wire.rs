//! A leader's messages as the agent's words, and back. Comes in: messages of one session. Goes out: inputs; `None` for what makes no
//! sense, which a leader of ours never sends. The worker's own crate does the same behind TLS and Docker.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudai_agent::{Agent, Assignment, Fence, Input, Phase, RecentSpecs, Report, WithdrawWhy, Withdrawal};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::stop_group::Why;
use cloudai_types::{AttemptId, JobId, JobSpec, Resources};

/// The specs that this session has brought.
#[derive(Default)]
pub struct Specs(RecentSpecs<Arc<JobSpec>>);

impl Specs {
    pub fn take(&mut self, specs: Vec<pb::SpecOfJob>) -> Option<()> {
        for s in specs {
            self.0.insert(JobId(s.job), Arc::new(s.spec?));
        }
        Some(())
    }

    pub fn full_set(&mut self, set: pb::leader_message::FullSet) -> Option<Input> {
        self.take(set.specs)?;
        let assignments = self.assignments(set.assignments)?;
        Some(Input::FullSet { fence: fence(set.fence)?, assignments, stop: withdrawals(set.stop) })
    }

    pub fn delta(&mut self, delta: pb::leader_message::Delta) -> Option<Input> {
        self.take(delta.specs)?;
        let add = self.assignments(delta.add)?;
        Some(Input::Delta { fence: fence(delta.fence)?, add, stop: withdrawals(delta.stop) })
    }

    fn assignments(&self, groups: Vec<pb::AssignmentGroup>) -> Option<Vec<Assignment>> {
        let mut out = vec![];
        for group in groups {
            let job = JobId(group.job);
            let spec = self.0.get(job)?;
            let phase = Phase::from_number(group.phase)?;
            out.extend(group.indexes.iter().map(|index| Assignment {
                attempt: AttemptId::new(job, *index, group.number),
                assigned_index: group.assigned_index,
                phase,
                spec: spec.clone(),
            }));
        }
        Some(out)
    }
}

fn fence(fence: Option<pb::Fence>) -> Option<Fence> {
    fence.map(|f| Fence { incarnation: f.incarnation, index: f.index })
}

fn withdrawals(groups: Vec<pb::StopGroup>) -> Vec<Withdrawal> {
    let mut out = vec![];
    for group in groups {
        let why = match group.why() {
            Why::Cancelled => WithdrawWhy::Cancelled,
            Why::Lost => WithdrawWhy::Lost,
        };
        let attempt = |index: &u32| AttemptId::new(JobId(group.job), *index, group.number);
        out.extend(group.indexes.iter().map(|i| Withdrawal { attempt: attempt(i), why }));
    }
    out
}

pub fn to_fence(fence: Fence) -> pb::Fence {
    pb::Fence { incarnation: fence.incarnation, index: fence.index }
}

pub fn hello(agent: &Agent, capacity: Resources, labels: &BTreeMap<String, String>) -> pb::worker_message::Hello {
    let held = agent
        .held()
        .map(|(attempt, phase)| pb::worker_message::Held { attempt: Some(attempt.into()), phase: phase as i32 });
    pb::worker_message::Hello {
        version: "simulated".to_owned(),
        capacity: Some(capacity),
        labels: labels.clone().into_iter().collect(),
        held: held.collect(),
        fence: Some(to_fence(agent.fence())),
    }
}

pub fn reports(sequence: u64, reports: Vec<Report>) -> pb::worker_message::Kind {
    let reports = reports.into_iter().map(|r| pb::AttemptReport {
        job: r.attempt.task.job.0,
        index: r.attempt.task.index,
        number: r.attempt.number,
        phase: r.phase as i32,
        reason: r.reason,
        started_ms: r.started.0,
        ended_ms: r.ended.0,
    });
    pb::worker_message::Kind::Reports(pb::worker_message::Reports { sequence, reports: reports.collect() })
}
