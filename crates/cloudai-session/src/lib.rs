//! Messages of a worker's session ⇄ the agent's words. Comes in: what a leader sent, not yet believed. Goes out: inputs, or why the
//! message makes no sense. Knows no connection and no engine: the worker and the simulation use it alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudai_agent::{Agent, Assignment, Fence, Input, Phase, RecentSpecs, Report, WithdrawWhy, Withdrawal};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::stop_group::Why;
use cloudai_types::limits::{HEARTBEAT_PERIOD_MAX, HEARTBEAT_PERIOD_MIN, WORKER_ATTEMPTS_MAX};
use cloudai_types::{AttemptId, HourlyPrice, JobId, JobSpec, Millis, Resources};

/// Why a leader's message was not believed. The session ends; the next one begins with a full set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the leader sent no spec of job {0}")]
    NoSpec(JobId),
    #[error("a set without a fence")]
    NoFence,
    #[error("a spec without its contents")]
    EmptySpec,
    #[error("attempt phase {0} is not known")]
    Phase(i32),
    #[error("a set of {0} attempts; {max} are allowed", max = WORKER_ATTEMPTS_MAX)]
    TooMany(usize),
    #[error("{0} specs ahead of one set; {max} are allowed", max = WORKER_ATTEMPTS_MAX)]
    TooManySpecs(usize),
}

/// The heartbeat period that a Welcome or a HeartbeatAck tells, within what any leader may ask for. `None`: as before.
pub fn heartbeat_period(told_ms: u32) -> Option<Duration> {
    let told = Millis(u64::from(told_ms)).clamp(HEARTBEAT_PERIOD_MIN, HEARTBEAT_PERIOD_MAX);
    (told_ms > 0).then_some(told.as_duration())
}

/// The specs that this session has brought.
#[derive(Default)]
pub struct Specs {
    /// What both ends remember between sets.
    recent: RecentSpecs<Arc<JobSpec>>,
    /// Brought for the set that comes next, in the order of sending. One set may need more than both ends remember, and may need
    /// what its own specs push out: so they are remembered only once the set was read.
    ahead: Vec<(JobId, Arc<JobSpec>)>,
}

impl Specs {
    /// Specs that come ahead of a set. Too many, or one without its contents, is an error.
    pub fn take(&mut self, specs: Vec<pb::SpecOfJob>) -> Result<(), WireError> {
        for s in specs {
            let mut spec = s.spec.ok_or(WireError::EmptySpec)?;
            if spec.namespace.is_empty() {
                // What it names needs none; who looks for its output wants it all the same.
                spec.namespace = s.namespace;
            }
            self.ahead.push((JobId(s.job), Arc::new(spec)));
        }
        if self.ahead.len() > WORKER_ATTEMPTS_MAX {
            return Err(WireError::TooManySpecs(self.ahead.len()));
        }
        Ok(())
    }

    /// Everything that the worker shall have.
    pub fn full_set(&mut self, set: pb::leader_message::FullSet) -> Result<Input, WireError> {
        let fence = fence(set.fence)?;
        let assignments = self.assignments(set.specs, set.assignments)?;
        Ok(Input::FullSet { fence, assignments, stop: withdrawals(set.stop)? })
    }

    /// What is added and what is withdrawn since the last set.
    pub fn delta(&mut self, delta: pb::leader_message::Delta) -> Result<Input, WireError> {
        let fence = fence(delta.fence)?;
        let add = self.assignments(delta.specs, delta.add)?;
        Ok(Input::Delta { fence, add, stop: withdrawals(delta.stop)? })
    }

    fn assignments(
        &mut self,
        specs: Vec<pb::SpecOfJob>,
        groups: Vec<pb::AssignmentGroup>,
    ) -> Result<Vec<Assignment>, WireError> {
        self.take(specs)?;
        let ahead = std::mem::take(&mut self.ahead);
        let brought: BTreeMap<JobId, &Arc<JobSpec>> = ahead.iter().map(|(job, spec)| (*job, spec)).collect();
        let count = groups.iter().map(|g| g.indexes.len()).sum();
        if count > WORKER_ATTEMPTS_MAX {
            return Err(WireError::TooMany(count));
        }
        let mut out = Vec::with_capacity(count);
        for group in groups {
            let job = JobId(group.job);
            let spec = brought.get(&job).copied().or_else(|| self.recent.get(job)).ok_or(WireError::NoSpec(job))?;
            let spec = with_memory(spec, group.memory_mib);
            let phase = Phase::from_number(group.phase).ok_or(WireError::Phase(group.phase))?;
            out.extend(group.indexes.iter().map(|index| Assignment {
                attempt: AttemptId::new(job, *index, group.number),
                assigned_index: group.assigned_index,
                phase,
                spec: spec.clone(),
            }));
        }
        ahead.into_iter().for_each(|(job, spec)| self.recent.insert(job, spec));
        Ok(out)
    }
}

/// The job's spec, with more memory where an earlier attempt ran out of it.
fn with_memory(spec: &Arc<JobSpec>, memory_mib: u32) -> Arc<JobSpec> {
    if memory_mib == 0 {
        return spec.clone();
    }
    let mut own = JobSpec::clone(spec);
    own.resources.memory_bytes = u64::from(memory_mib) << 20;
    Arc::new(own)
}

fn fence(fence: Option<pb::Fence>) -> Result<Fence, WireError> {
    fence.map(|f| Fence { incarnation: f.incarnation, index: f.index }).ok_or(WireError::NoFence)
}

fn withdrawals(groups: Vec<pb::StopGroup>) -> Result<Vec<Withdrawal>, WireError> {
    let count = groups.iter().map(|g| g.indexes.len()).sum();
    if count > WORKER_ATTEMPTS_MAX {
        return Err(WireError::TooMany(count));
    }
    let mut out = Vec::with_capacity(count);
    for group in groups {
        let why = match group.why() {
            Why::Cancelled => WithdrawWhy::Cancelled,
            Why::Lost => WithdrawWhy::Lost,
            Why::Preempted => WithdrawWhy::Preempted,
        };
        let attempt = |index: &u32| AttemptId::new(JobId(group.job), *index, group.number);
        out.extend(group.indexes.iter().map(|i| Withdrawal { attempt: attempt(i), why }));
    }
    Ok(out)
}

/// The agent's fence in a message.
pub fn to_fence(fence: Fence) -> pb::Fence {
    pb::Fence { incarnation: fence.incarnation, index: fence.index }
}

/// What a worker opens a session with: all that it holds. `reserved`: what its operator keeps from tasks, beside the capacity. `metrics_addr`: where
/// it serves its metrics; empty: nowhere.
pub fn hello(
    agent: &Agent,
    capacity: Resources,
    reserved: Resources,
    price: HourlyPrice,
    labels: &BTreeMap<String, String>,
    metrics_addr: &str,
) -> pb::worker_message::Hello {
    let held = agent
        .held()
        .map(|(attempt, phase)| pb::worker_message::Held { attempt: Some(attempt.into()), phase: phase as i32 });
    pb::worker_message::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        capacity: Some(capacity),
        labels: labels.clone().into_iter().collect(),
        held: held.collect(),
        fence: Some(to_fence(agent.fence())),
        reserved: (reserved != Resources::default()).then_some(reserved),
        leaving: agent.is_leaving(),
        price_micros_per_hour: price.0,
        metrics_addr: metrics_addr.to_owned(),
        tells_usage: true,
        keeps_history: true,
        tells_log_filter: false,
    }
}

/// What happened to attempts, as one message.
pub fn reports_message(sequence: u64, reports: Vec<Report>) -> pb::worker_message::Kind {
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

#[cfg(test)]
mod tests {
    use super::*;
    use pb::leader_message::Delta;

    fn group(job: u64, indexes: Vec<u32>) -> pb::AssignmentGroup {
        pb::AssignmentGroup { job, number: 2, indexes, assigned_index: 9, phase: Phase::Running as i32, memory_mib: 0 }
    }

    fn spec(job: u64) -> pb::SpecOfJob {
        let spec = Some(JobSpec { name: format!("j{job}"), ..Default::default() });
        pb::SpecOfJob { job, spec, namespace: "team-a".to_owned(), ..Default::default() }
    }

    #[test]
    fn groups_become_attempts_with_the_spec_that_came_once() {
        let mut specs = Specs::default();
        let fence = Some(pb::Fence { incarnation: 1, index: 9 });
        let first = Delta { fence, specs: vec![spec(4)], add: vec![group(4, vec![0, 7])], stop: vec![] };
        let Input::Delta { add, .. } = specs.delta(first).unwrap() else { panic!("a delta") };
        let ids: Vec<_> = add.iter().map(|a| (a.attempt.to_string(), a.assigned_index, a.phase)).collect();
        let job = JobId(4);
        assert_eq!(ids, [(format!("{job}/0.2"), 9, Phase::Running), (format!("{job}/7.2"), 9, Phase::Running)]);
        let again = Delta { fence, specs: vec![], add: vec![group(4, vec![1])], stop: vec![] };
        let Input::Delta { add, .. } = specs.delta(again).unwrap() else { panic!("a delta") };
        assert_eq!((add[0].spec.name.as_str(), add[0].spec.namespace.as_str()), ("j4", "team-a"));
        let more = pb::AssignmentGroup { memory_mib: 48, ..group(4, vec![2]) };
        let both = Delta { fence, specs: vec![], add: vec![more, group(4, vec![3])], stop: vec![] };
        let Input::Delta { add, .. } = specs.delta(both).unwrap() else { panic!("a delta") };
        let memory: Vec<u64> = add.iter().map(|a| a.spec.resources.memory_bytes >> 20).collect();
        assert_eq!(memory, [48, 0], "only what ran out of it gets more");
    }

    #[test]
    fn one_set_may_need_more_specs_than_both_ends_remember() {
        let many = 3 * cloudai_types::limits::SESSION_SPECS_MAX as u64;
        let mut specs = Specs::default();
        let fence = Some(pb::Fence { incarnation: 1, index: 9 });
        let delta = |add| Delta { fence, specs: vec![], add, stop: vec![] };
        specs.take(vec![spec(0)]).expect("a good spec");
        specs.delta(delta(vec![group(0, vec![0])])).expect("its spec came ahead");
        // Job 0 is still remembered at both ends when these are sent, and pushed out by them.
        (1..=many).for_each(|job| specs.take(vec![spec(job)]).expect("a good spec"));
        let all = (0..=many).map(|job| group(job, vec![1])).collect();
        let Ok(Input::Delta { add, .. }) = specs.delta(delta(all)) else { panic!("a delta") };
        assert!(add.iter().all(|a| a.spec.name == format!("j{}", a.attempt.task.job.0)));
        assert_eq!(specs.delta(delta(vec![group(0, vec![2])])), Err(WireError::NoSpec(JobId(0))));
        specs.delta(delta(vec![group(many, vec![2])])).expect("the newest are remembered");
    }

    #[test]
    fn a_leader_tells_a_period_within_bounds_or_leaves_it_as_it_is() {
        assert_eq!(heartbeat_period(0), None);
        assert_eq!(heartbeat_period(1), Some(HEARTBEAT_PERIOD_MIN.as_duration()));
        assert_eq!(heartbeat_period(2_850), Some(Duration::from_millis(2_850)));
        assert_eq!(heartbeat_period(u32::MAX), Some(HEARTBEAT_PERIOD_MAX.as_duration()));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let mut specs = Specs::default();
        let fence = Some(pb::Fence { incarnation: 1, index: 9 });
        let delta = |add| Delta { fence, specs: vec![], add, stop: vec![] };
        assert_eq!(specs.delta(delta(vec![group(5, vec![0])])), Err(WireError::NoSpec(JobId(5))));
        assert_eq!(specs.delta(Delta::default()), Err(WireError::NoFence));
        let many = group(5, vec![0; WORKER_ATTEMPTS_MAX + 1]);
        assert_eq!(specs.delta(delta(vec![many])), Err(WireError::TooMany(WORKER_ATTEMPTS_MAX + 1)));
        specs.take(vec![spec(5)]).unwrap();
        let unknown = pb::AssignmentGroup { phase: 77, ..group(5, vec![0]) };
        assert_eq!(specs.delta(delta(vec![unknown])), Err(WireError::Phase(77)));
        assert_eq!(specs.take(vec![pb::SpecOfJob::default()]), Err(WireError::EmptySpec));
    }
}
