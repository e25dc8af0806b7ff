//! What the agent can have done, done: the agent's [`Deps`] over executor, journal and session. Nothing here decides, and nothing
//! blocks.

use std::sync::Arc;

use cloudai_agent::{Deps, EndingRecord, Fence, Leave, Phase, Report, Signal};
use cloudai_proto::v1 as pb;
use cloudai_session::{reports_message, to_fence};
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{AttemptId, JobSpec};
use tokio::sync::mpsc;

use crate::executor::{Executor, Start};
use crate::journal::Journal;
use crate::logs::LogStore;
use crate::traces::Traces;

pub struct Hands {
    pub executor: Box<dyn Executor>,
    /// `None`: attempts are volatile, nothing survives this process.
    pub journal: Option<Journal>,
    pub logs: LogStore,
    pub metrics: WorkerMetrics,
    pub traces: Traces,
    /// The fence of the set that is being taken over, for what is started now.
    pub incarnation: u64,
    /// The session's outbound half; `None`: there is no session.
    pub out: Option<mpsc::Sender<pb::WorkerMessage>>,
    /// Why this session should end, once something has said so.
    pub leave: Option<String>,
    /// Report messages sent and not acknowledged: sequence and when they were sent.
    pub unanswered: std::collections::VecDeque<(u64, tokio::time::Instant)>,
}

impl Hands {
    /// A full queue means that the leader does not read: another session will.
    pub fn send(&mut self, message: pb::worker_message::Kind) {
        if let Some(out) = &self.out
            && let Err(error) = out.try_send(message.into())
        {
            self.leave.get_or_insert_with(|| format!("the leader does not take our messages ({error})"));
        }
    }

    /// What may be lost: only while there is room for everything else.
    pub fn offer(&mut self, message: pb::worker_message::Kind) {
        if let Some(out) = self.out.as_ref().filter(|out| out.capacity() > out.max_capacity() / 2) {
            let _ = out.try_send(message.into());
        }
    }
}

impl Deps for Hands {
    fn start(&mut self, attempt: AttemptId, assigned_index: u64, spec: &Arc<JobSpec>) {
        let fence = Fence { incarnation: self.incarnation, index: assigned_index }.to_string();
        let trace = self.traces.asked(attempt);
        self.executor.start(Start { attempt, fence, assigned_index, spec: spec.clone(), trace });
    }

    fn stop(&mut self, attempt: AttemptId, signal: Signal) {
        self.executor.stop(attempt, signal);
    }

    fn store(&mut self, attempt: AttemptId, results: bool) {
        self.traces.storing(attempt);
        self.executor.store(attempt, results);
    }

    fn remove(&mut self, attempt: AttemptId) {
        self.executor.remove(attempt);
    }

    fn persist_ending(&mut self, ending: &EndingRecord) {
        if let Some(journal) = &self.journal {
            journal.ending(ending);
        }
    }

    fn forget_ending(&mut self, attempt: AttemptId) {
        if let Some(journal) = &self.journal {
            journal.forget(attempt);
        }
    }

    fn persist_fence(&mut self, fence: Fence) {
        if let Some(journal) = &self.journal {
            journal.fence(fence);
        }
    }

    fn send_reports(&mut self, sequence: u64, reports: Vec<Report>) {
        for r in &reports {
            if r.phase == Phase::Exited {
                self.logs.attempt_ended(r.attempt);
                let kind = r.reason.as_ref().map_or("unknown", |r| r.kind().name());
                self.metrics.ended.with_label_values(&[kind]).inc();
            }
        }
        self.traces.reports(sequence, &reports);
        self.unanswered.push_back((sequence, tokio::time::Instant::now()));
        self.send(reports_message(sequence, reports));
    }

    fn acknowledge_set(&mut self, fence: Fence) {
        let ack = pb::worker_message::AssignmentAck { fence: Some(to_fence(fence)) };
        self.send(pb::worker_message::Kind::AssignmentAck(ack));
    }

    fn leave_session(&mut self, why: Leave) {
        self.leave = Some(match why {
            Leave::OlderSet { offered, seen } => {
                format!("the leader's assignments ({offered}) are older than what was seen ({seen})")
            }
            Leave::OlderIncarnation { offered, seen } => {
                format!("the leader's incarnation {offered} is over; {seen} was seen")
            }
        });
    }
}
