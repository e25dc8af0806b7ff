//! What a worker tells of traces: `pull`, `start`, `run`, `upload` and `report`, below the span of their attempt. Comes in: specs with the trace of
//! their job, and what happens to attempts. Goes out: spans, and what a container is told of its trace. The attempt's own span is told by the
//! leader; both derive its id. A restarted worker knows a trace again when its first set has come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloudai_agent::{Assignment, Input, Phase, Report};
use cloudai_proto::v1 as pb;
use cloudai_telemetry::trace::Span;
use cloudai_telemetry::{TraceContext, Tracer};
use cloudai_types::{AttemptId, JobId, Timestamp, limits};

use crate::executor::ExecutorEvent;

const UNPOISONED: &str = "nothing panics under this lock";

/// Cloneable; clones share what is known.
#[derive(Clone, Default)]
pub struct Traces {
    tracer: Tracer,
    lives: Arc<Mutex<Lives>>,
}

/// Empty while no job belongs to a trace.
#[derive(Default)]
struct Lives {
    jobs: BTreeMap<JobId, TraceContext>,
    attempts: BTreeMap<AttemptId, Life>,
    /// Endings that this session has sent, by the message's sequence.
    sent: BTreeMap<u64, Vec<AttemptId>>,
}

struct Life {
    context: TraceContext,
    /// When the executor was asked for it, and when its image was there.
    asked: Option<SystemTime>,
    has_image: Option<SystemTime>,
    has_started: bool,
    storing: Option<SystemTime>,
    /// When there was nothing more to do but to report it.
    over: Option<SystemTime>,
}

impl Traces {
    pub fn new(tracer: Tracer) -> Self {
        Traces { tracer, lives: Arc::default() }
    }

    pub async fn flush(&self) {
        self.tracer.flush().await;
    }

    /// Specs have come, ahead of the set that needs them.
    pub fn learn(&self, specs: &[pb::SpecOfJob]) {
        for spec in specs.iter().filter(|spec| !spec.trace_parent.is_empty()) {
            let Some(context) = TraceContext::parse(&spec.trace_parent) else { continue };
            let jobs = &mut self.lives.lock().expect(UNPOISONED).jobs;
            jobs.insert(JobId(spec.job), context);
            if jobs.len() > limits::WORKER_ATTEMPTS_MAX {
                jobs.pop_first();
            }
        }
    }

    /// A set has come.
    pub fn assigned(&self, input: &Input) {
        let (Input::FullSet { assignments, .. } | Input::Delta { add: assignments, .. }) = input else { return };
        let lives = &mut *self.lives.lock().expect(UNPOISONED);
        for Assignment { attempt, .. } in assignments {
            let Some(context) = lives.jobs.get(&attempt.task.job) else { continue };
            if lives.attempts.len() < limits::WORKER_ATTEMPTS_MAX {
                lives.attempts.entry(*attempt).or_insert_with(|| Life::new(context.of_attempt(*attempt)));
            }
        }
    }

    /// The executor is asked to start it. What its container is told, sampled or not.
    pub fn asked(&self, attempt: AttemptId) -> Option<TraceContext> {
        let mut lives = self.lives.lock().expect(UNPOISONED);
        let life = lives.attempts.get_mut(&attempt)?;
        life.asked = Some(SystemTime::now());
        Some(life.context)
    }

    /// It was looked for from `since` on. `was_pulled`: it was not there before.
    pub fn has_image(&self, attempt: AttemptId, since: SystemTime, was_pulled: bool) {
        let mut lives = self.lives.lock().expect(UNPOISONED);
        let Some(life) = lives.attempts.get_mut(&attempt) else { return };
        let now = SystemTime::now();
        life.has_image = Some(now);
        let span = Span::new("pull", since, now).with("cloudai.was_pulled", was_pulled);
        self.tracer.tell_child(&life.context, span);
    }

    /// What the executor says, before the agent hears of it.
    pub fn heard(&self, event: &ExecutorEvent) {
        let (ExecutorEvent::Started { attempt, .. }
        | ExecutorEvent::Stored { attempt, .. }
        | ExecutorEvent::Ended { attempt, .. }) = event;
        let mut lives = self.lives.lock().expect(UNPOISONED);
        let Some(life) = lives.attempts.get_mut(attempt) else { return };
        let now = SystemTime::now();
        match event {
            ExecutorEvent::Started { started, .. } => life.started(&self.tracer, *started),
            ExecutorEvent::Ended { reason, started, ended, .. } => {
                if started.0 > 0 {
                    life.started(&self.tracer, *started);
                    let error = (!reason.is_success()).then(|| reason.kind().name().to_owned());
                    self.tracer.tell_child(&life.context, Span::new("run", at(*started), at(*ended)).failed(error));
                }
                life.over = Some(now);
            }
            ExecutorEvent::Stored { stored, .. } => {
                let error = stored.as_ref().err().map(|_| "not stored".to_owned());
                let span = Span::new("upload", life.storing.unwrap_or(now), now).failed(error);
                self.tracer.tell_child(&life.context, span);
                life.over = Some(now);
            }
        }
    }

    /// Its log and results go to the store.
    pub fn storing(&self, attempt: AttemptId) {
        if let Some(life) = self.lives.lock().expect(UNPOISONED).attempts.get_mut(&attempt) {
            life.storing = Some(SystemTime::now());
        }
    }

    /// A message with reports leaves.
    pub fn reports(&self, sequence: u64, reports: &[Report]) {
        let lives = &mut *self.lives.lock().expect(UNPOISONED);
        if lives.attempts.is_empty() {
            return;
        }
        let ended = reports.iter().filter(|r| r.phase == Phase::Exited && lives.attempts.contains_key(&r.attempt));
        let ended: Vec<AttemptId> = ended.map(|report| report.attempt).collect();
        if !ended.is_empty() {
            lives.sent.insert(sequence, ended);
        }
    }

    /// They were applied: the last that an attempt has to tell.
    pub fn acknowledged(&self, sequence: u64) {
        let lives = &mut *self.lives.lock().expect(UNPOISONED);
        let now = SystemTime::now();
        for attempt in lives.sent.remove(&sequence).unwrap_or_default() {
            if let Some(life) = lives.attempts.remove(&attempt) {
                self.tracer.tell_child(&life.context, Span::new("report", life.over.unwrap_or(now), now));
            }
        }
    }

    /// What the last session has sent is sent again.
    pub fn session_began(&self) {
        self.lives.lock().expect(UNPOISONED).sent.clear();
    }
}

impl Life {
    fn new(context: TraceContext) -> Self {
        Life { context, asked: None, has_image: None, has_started: false, storing: None, over: None }
    }

    /// Once; of a container that an earlier worker started nobody here knows when it was asked for.
    fn started(&mut self, tracer: &Tracer, started: Timestamp) {
        if let (false, Some(asked)) = (std::mem::replace(&mut self.has_started, true), self.asked) {
            let since = self.has_image.map_or(asked, |there| there.max(asked));
            tracer.tell_child(&self.context, Span::new("start", since, at(started)));
        }
    }
}

fn at(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.0.min(limits::REPLICATED_TIME_MAX.0))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloudai_agent::Fence;
    use cloudai_types::{EndReason, JobSpec, ReasonKind};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn assigned(traces: &Traces, job: u64, trace_parent: &str) -> AttemptId {
        let spec = JobSpec::default();
        let of_job = pb::SpecOfJob {
            job,
            spec: Some(spec.clone()),
            trace_parent: trace_parent.to_owned(),
            ..Default::default()
        };
        traces.learn(&[of_job]);
        let attempt = AttemptId::new(JobId(job), 0, 1);
        let one = Assignment { attempt, assigned_index: 1, phase: Phase::Assigned, spec: Arc::new(spec) };
        traces.assigned(&Input::Delta { fence: Fence::default(), add: vec![one], stop: vec![] });
        attempt
    }

    fn run(traces: &Traces, attempt: AttemptId) {
        let (started, ended, reason) = (Timestamp(1_000), Timestamp(2_000), EndReason::exit(0));
        traces.heard(&ExecutorEvent::Started { attempt, started });
        traces.heard(&ExecutorEvent::Ended { attempt, reason, started, ended, container: true });
        traces.storing(attempt);
        traces.heard(&ExecutorEvent::Stored { attempt, stored: Ok(None) });
    }

    fn report(traces: &Traces, attempt: AttemptId, sequence: u64) {
        let (reason, started, ended) = (Some(EndReason::exit(0)), Timestamp(1_000), Timestamp(2_000));
        traces.reports(sequence, &[Report { attempt, phase: Phase::Exited, reason, started, ended }]);
    }

    #[tokio::test]
    async fn a_life_is_told_once_also_when_its_end_is_reported_twice() {
        let (tracer, told) = Tracer::recorded();
        let traces = Traces::new(tracer);
        let attempt = assigned(&traces, 7, PARENT);
        let context = traces.asked(attempt).expect("its job is traced");
        assert_eq!(context, TraceContext::parse(PARENT).unwrap().of_attempt(attempt), "as the leader derives it");
        traces.has_image(attempt, SystemTime::now(), true);
        run(&traces, attempt);
        report(&traces, attempt, 1);
        traces.session_began();
        traces.acknowledged(1);
        report(&traces, attempt, 1);
        traces.acknowledged(1);
        traces.acknowledged(1);
        traces.flush().await;
        let mut spans: Vec<String> = told.tree().lines().map(str::to_owned).collect();
        spans.sort_unstable();
        assert_eq!(spans, ["?pull", "?report", "?run", "?start", "?upload"]);
        assert!(traces.lives.lock().unwrap().attempts.is_empty(), "nothing is kept of it");
    }

    #[tokio::test]
    async fn without_a_trace_nothing_is_told_and_nothing_kept() {
        let (tracer, told) = Tracer::recorded();
        let traces = Traces::new(tracer);
        for (job, trace_parent) in [(1, ""), (2, "garbage")] {
            let attempt = assigned(&traces, job, trace_parent);
            assert_eq!(traces.asked(attempt), None);
            run(&traces, attempt);
            report(&traces, attempt, 1);
            traces.acknowledged(1);
        }
        assert!(traces.lives.lock().unwrap().jobs.is_empty());
        // Nobody wants to see it, and the program hears of the trace all the same.
        let unwanted = assigned(&traces, 3, &PARENT.replace("-01", "-00"));
        assert!(traces.asked(unwanted).is_some_and(|context| context.to_string().ends_with("-00")));
        run(&traces, unwanted);
        traces.flush().await;
        assert_eq!(told.tree(), "");
    }

    #[tokio::test]
    async fn what_never_ran_has_no_run() {
        let (tracer, told) = Tracer::recorded();
        let traces = Traces::new(tracer);
        let attempt = assigned(&traces, 7, PARENT);
        traces.asked(attempt);
        let reason = EndReason::new(ReasonKind::ImageNotFound, "none");
        let (started, ended) = (Timestamp(0), Timestamp(2_000));
        traces.heard(&ExecutorEvent::Ended { attempt, reason, started, ended, container: false });
        report(&traces, attempt, 1);
        traces.acknowledged(1);
        traces.flush().await;
        assert_eq!(told.tree(), "?report\n");
    }
}
