//! What a master tells of traces: its proposals, and the lives of tasks while it leads. Comes in: entries, news of what they did, rows. Goes out:
//! spans. Decides nothing. The ids of tasks' and attempts' spans are derived, so that a new leader goes on with what an old one has begun; it
//! asks rows for the trace of a job that it does not remember.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloudai_core::news::{Ending, Run, What};
use cloudai_core::rows::{Family, JobSpecRow, Rows, TaskRow, TaskState, job_key, task_key};
use cloudai_core::{Applied, Command, Hot, Proposal, Reply};
use cloudai_telemetry::trace::{OpenSpan, Span, link_to};
use cloudai_telemetry::{TraceContext, Tracer};
use cloudai_types::{AttemptId, JobId, NamespaceId, ReasonKind, RunOutcome, TaskId, limits};
use prost::Message;

use crate::node::Node;
use crate::proposer::Outcome;
use crate::state_store::StateStore;

const UNPOISONED: &str = "nothing panics under this lock";

/// One per master; off it keeps nothing.
#[derive(Default)]
pub struct Traces {
    pub tracer: Tracer,
    /// Where people look at a trace; empty: nowhere.
    link: String,
    known: Mutex<Known>,
    /// When the scheduling pass began whose placements are on their way, microseconds since the epoch. Written by [`crate::scheduling`].
    pass_began: AtomicU64,
}

/// A job whose spans somebody wants to see.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TracedJob {
    pub context: TraceContext,
    submitted_ms: u64,
}

/// What a leader remembers, so that it seldom has to read a spec to know that its job has no trace.
#[derive(Default)]
struct Known {
    /// Jobs that were submitted within a trace, and those that a row was asked about.
    jobs: BTreeMap<JobId, Option<TracedJob>>,
    /// Since this job each submit went by here: one that is not among `jobs` has no trace.
    watched_from: Option<JobId>,
    /// The last entry that went by here: after a gap others may have led.
    index: u64,
}

impl Known {
    fn keep(&mut self, job: JobId, traced: Option<TracedJob>) {
        self.jobs.insert(job, traced);
        if self.jobs.len() > limits::TRACED_JOBS_KNOWN_MAX
            && let Some((first, _)) = self.jobs.pop_first()
        {
            self.watched_from = self.watched_from.map(|from| from.max(JobId(first.0.saturating_add(1))));
        }
    }

    /// `None`: only its row knows.
    fn look_up(&self, job: JobId) -> Option<Option<TracedJob>> {
        let is_watched = self.watched_from.is_some_and(|from| job >= from);
        self.jobs.get(&job).copied().or(is_watched.then_some(None))
    }
}

/// Commands of an entry that belong to traces, by their place, and when their entry left the proposer.
pub struct TracedEntry {
    commands: Vec<(usize, TraceContext)>,
    proposed: SystemTime,
    begun: SystemTime,
}

impl Traces {
    pub fn new(tracer: Tracer, link: String) -> Self {
        Traces { tracer, link, ..Traces::default() }
    }

    pub fn is_on(&self) -> bool {
        self.tracer.is_on()
    }

    /// Now, for a span that begins; `None` while nothing is told, and no clock is read.
    pub fn begins(&self) -> Option<SystemTime> {
        self.is_on().then(SystemTime::now)
    }

    /// Of an entry that is about to be applied.
    pub fn entry(&self, proposal: &Proposal) -> Option<TracedEntry> {
        if !self.is_on() {
            return None;
        }
        let parent = |(place, command): (usize, &Command)| Some((place, TraceContext::parse(&command.trace_parent)?));
        let parents = proposal.commands.iter().enumerate().filter_map(parent);
        let commands = parents.filter(|(_, context)| context.is_sampled()).collect();
        Some(TracedEntry { commands, proposed: at(proposal.at_ms), begun: SystemTime::now() })
    }

    /// It was applied at `index`, and did this. `hot`, `rows`: after it.
    pub fn applied(&self, entry: &TracedEntry, index: u64, did: &Applied, hot: &Hot, rows: &dyn Rows) {
        let now = SystemTime::now();
        self.note(entry, index, did, hot);
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        for (_, parent) in &entry.commands {
            let replicate = Span::new("replicate", entry.proposed.min(entry.begun), entry.begun);
            self.tracer.tell_child(parent, replicate.with("cloudai.index", index));
            self.tracer.tell_child(parent, Span::new("apply", entry.begun, now).with("cloudai.index", index));
        }
        for news in &did.news {
            let (Some(namespace), Some(job)) = (news.namespace, news.job) else { continue };
            if let (What::Placed, Some(run)) = (&news.what, news.run) {
                self.placed(rows, namespace, job, run, entry.begun);
            }
            if let (What::Ended { ending, state, .. }, Some(run)) = (&news.what, news.run) {
                self.ended(rows, namespace, job, run, (ending, *state), at(hot.clock_ms));
            }
        }
    }

    /// The jobs that it made.
    fn note(&self, entry: &TracedEntry, index: u64, did: &Applied, hot: &Hot) {
        let known = &mut *self.known.lock().expect(UNPOISONED);
        if index != known.index.saturating_add(1) {
            known.watched_from = None;
        }
        known.index = index;
        known.watched_from.get_or_insert(JobId(hot.next_job));
        for (place, context) in &entry.commands {
            let traced = TracedJob { context: *context, submitted_ms: hot.clock_ms };
            did.replies.get(*place).into_iter().flat_map(made).for_each(|job| known.keep(job, Some(traced)));
        }
    }

    fn placed(&self, rows: &dyn Rows, namespace: NamespaceId, job: JobId, run: Run, begun: SystemTime) {
        let Some(traced) = self.job(rows, namespace, job) else { return };
        let pass = UNIX_EPOCH + Duration::from_micros(self.pass_began.load(Relaxed));
        // Placements of an earlier leader were decided in a pass that nobody here knows.
        let pass = if pass == UNIX_EPOCH { begun } else { pass.min(begun) };
        for attempt in attempts(job, run) {
            let span = Span::new("schedule", pass, begun).with("cloudai.attempt", attempt.to_string());
            self.tracer.tell_child(&traced.context.of_attempt(attempt), span);
        }
    }

    fn ended(
        &self,
        rows: &dyn Rows,
        namespace: NamespaceId,
        job: JobId,
        run: Run,
        (ending, state): (&Ending, Option<TaskState>),
        ended: SystemTime,
    ) {
        let Some(traced) = self.job(rows, namespace, job) else { return };
        let is_success = ending.kind == ReasonKind::ExitCode && ending.exit_code == Some(0);
        let error = (!is_success).then(|| ending.kind.name().to_owned());
        for attempt in attempts(job, run) {
            let row = rows.get(Family::Task, &task_key(namespace, attempt.task));
            let row = row.and_then(|bytes| TaskRow::decode(bytes.as_slice()).ok()).unwrap_or_default();
            let assigned = row.attempts.iter().find(|a| a.number == attempt.number).map(|a| at(a.assigned_ms));
            let context = traced.context.of_task(attempt.task);
            let span = Span::new("attempt", assigned.unwrap_or(ended), ended);
            let span = span.with("cloudai.attempt", attempt.to_string()).failed(error.clone());
            self.tracer.tell(&traced.context.of_attempt(attempt), &context, span);
            if state.is_some_and(is_final) {
                let span = Span::new("task", at(traced.submitted_ms), ended);
                let span = span.with("cloudai.task", attempt.task.to_string()).failed(error.clone());
                self.tracer.tell(&context, &traced.context, span);
            }
        }
    }

    /// These were sent to their worker's session, which took from `begun` until now.
    pub fn sent(&self, jobs: &[(AttemptId, TracedJob)], worker: &str, begun: SystemTime) {
        let now = SystemTime::now();
        for (attempt, traced) in jobs {
            let span = Span::new("assign", begun, now).with("cloudai.worker", worker.to_owned());
            self.tracer.tell_child(&traced.context.of_attempt(*attempt), span);
        }
    }

    /// The trace of a job, where somebody wants to see it.
    pub fn job(&self, rows: &dyn Rows, namespace: NamespaceId, job: JobId) -> Option<TracedJob> {
        if let Some(known) = self.known.lock().expect(UNPOISONED).look_up(job) {
            return known;
        }
        let row = rows.get(Family::JobSpec, &job_key(namespace, job));
        let row = row.and_then(|bytes| JobSpecRow::decode(bytes.as_slice()).ok()).unwrap_or_default();
        let context = TraceContext::parse(&row.trace_parent).filter(TraceContext::is_sampled);
        let traced = context.map(|context| TracedJob { context, submitted_ms: row.submitted_ms });
        self.known.lock().expect(UNPOISONED).keep(job, traced);
        traced
    }

    /// The next placements are of a pass that begins now.
    pub fn pass_begins(&self) {
        if let Some(now) = self.begins() {
            let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            self.pass_began.store(since.as_micros() as u64, Relaxed);
        }
    }

    /// The id of a job's trace, and where people look at it; empty: it has none, or there is nothing to see.
    pub fn shown(&self, trace_parent: &str) -> (String, String) {
        let Some(context) = TraceContext::parse(trace_parent) else { return Default::default() };
        let id = context.trace_id();
        let link = if context.is_sampled() { link_to(&self.link, &id) } else { String::new() };
        (id, link)
    }
}

/// The jobs that a command has made, as its reply says.
fn made(reply: &Reply) -> impl Iterator<Item = JobId> {
    let (first, jobs) = match reply {
        Reply::Submitted { job, duplicate: false } => (job.0, 1),
        Reply::WorkflowSubmitted { workflow, jobs, duplicate: false } => (workflow.0, u64::from(*jobs)),
        Reply::ScheduleRan { run, duplicate: false } if run.outcome() == RunOutcome::Ran => (run.job, 1),
        // No other command makes jobs.
        _ => (0, 0),
    };
    (first..first.saturating_add(jobs)).map(JobId)
}

/// Those that have spans.
fn attempts(job: JobId, run: Run) -> impl Iterator<Item = AttemptId> {
    let end = run.first.saturating_add(run.count).min(limits::TRACED_TASKS_OF_JOB);
    (run.first..end).map(move |index| AttemptId { task: TaskId { job, index }, number: run.attempt })
}

fn is_final(state: TaskState) -> bool {
    match state {
        TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Dead => true,
        TaskState::Blocked | TaskState::Queued | TaskState::Active => false,
    }
}

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(limits::REPLICATED_TIME_MAX.0))
}

impl<S: StateStore> Node<S> {
    /// Proposes what a traced call wants. Jobs of it remember the trace, whether this master tells spans or not.
    pub async fn propose_in(&self, trace: Option<&TraceContext>, mut command: Command) -> Outcome {
        let mut span = self.traces.tracer.begin(trace, "propose");
        let context = span.as_ref().map(OpenSpan::context).or(trace.copied());
        command.trace_parent = context.map_or_else(String::new, |context| context.to_string());
        let outcome = self.proposer.propose(command).await;
        if let (Some(span), Err(error)) = (&mut span, &outcome) {
            span.fail(error.to_string());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::command::{
        AttemptReport, AttemptState, Authorize, Kind, MemberRole, PlaceGroup, PlaceTasks, RaiseVersion, RegisterWorker,
        ReportAttempts, SubmitJob, VERSION,
    };
    use cloudai_core::memory::MemRows;
    use cloudai_telemetry::trace::Recorded;
    use cloudai_types::{EndReason, JobSpec, Resources};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Entries one after the other, each told by whoever leads then.
    #[derive(Default)]
    struct World {
        hot: Hot,
        rows: MemRows,
        index: u64,
    }

    impl World {
        fn apply(&mut self, traces: &Traces, trace_parent: &str, kind: Kind) {
            self.index += 1;
            let command = Command { trace_parent: trace_parent.to_owned(), ..Command::new("test", kind) };
            let proposal = Proposal { version: 1, at_ms: 60_000 * self.index, commands: vec![command] };
            let entry = traces.entry(&proposal);
            let applied = cloudai_core::apply(&mut self.hot, &self.rows, self.index, proposal).expect("known commands");
            self.rows.write(applied.writes.clone());
            if let Some(entry) = entry {
                traces.applied(&entry, self.index, &applied, &self.hot, &self.rows);
            }
        }

        /// With one worker, in the newest format.
        fn begin(&mut self, traces: &Traces) {
            let role = MemberRole::Worker as i32;
            let authorize = Authorize { role, name: "w1".into(), secret_hash: vec![7; 32], ..Authorize::default() };
            let capacity = Resources { cpu_milli: 8_000, memory_bytes: 8 << 30, ..Resources::default() };
            let register = RegisterWorker { worker: 1, capacity, ..RegisterWorker::default() };
            self.apply(traces, "", Kind::RaiseVersion(RaiseVersion { version: VERSION }));
            self.apply(traces, "", Kind::Authorize(authorize));
            self.apply(traces, "", Kind::RegisterWorker(register));
        }

        fn submit(&mut self, traces: &Traces, trace_parent: &str, count: u32) {
            let spec = JobSpec { image: "busybox".into(), count, max_attempts: 2, ..JobSpec::default() };
            let submit = SubmitJob { namespace: "default".into(), spec, ..SubmitJob::default() };
            self.apply(traces, trace_parent, Kind::SubmitJob(submit));
        }

        fn place(&mut self, traces: &Traces, indexes: std::ops::Range<u32>) {
            let (last, groups) = (indexes.end - 1, vec![PlaceGroup { job: 1, worker: 1, indexes: indexes.collect() }]);
            self.apply(traces, "", Kind::PlaceTasks(PlaceTasks { groups }));
            assert!(self.hot.attempt(TaskId { job: JobId(1), index: last }).is_some(), "it is placed");
        }

        fn end(&mut self, traces: &Traces, index: u32, number: u32, code: i32) {
            let reason = Some(EndReason { exit_code: Some(code), ..EndReason::new(ReasonKind::ExitCode, "") });
            let state = AttemptState::Exited as i32;
            let report = AttemptReport { job: 1, index, number, state, reason, started_ms: 1, ended_ms: 2 };
            let reports = vec![report];
            self.apply(traces, "", Kind::ReportAttempts(ReportAttempts { worker: 1, session: 1, reports }));
        }
    }

    fn leader() -> (Traces, Recorded) {
        let (tracer, recorded) = Tracer::recorded();
        (Traces::new(tracer, String::new()), recorded)
    }

    #[tokio::test]
    async fn a_new_leader_goes_on_with_the_trace_that_an_old_one_began() {
        let mut world = World::default();
        let (old, told_by_old) = leader();
        world.begin(&old);
        world.submit(&old, PARENT, 1);
        world.place(&old, 0..1);
        old.tracer.flush().await;
        assert_eq!(told_by_old.tree(), "?replicate\n?apply\n?schedule\n", "what it is below is told by others");
        // It knows nothing but the rows.
        let (new, told_by_new) = leader();
        world.end(&new, 0, 1, 3);
        world.place(&new, 0..1);
        world.end(&new, 0, 2, 0);
        world.end(&new, 0, 2, 0);
        new.tracer.flush().await;
        assert_eq!(
            told_by_new.tree(),
            "?task\n  attempt\n  attempt\n    schedule\n",
            "a repeated report tells nothing"
        );
    }

    #[tokio::test]
    async fn a_leader_asks_rows_about_the_jobs_of_others_alone() {
        let traced = |traces: &Traces, job, rows: &MemRows| traces.job(rows, NamespaceId(1), JobId(job)).is_some();
        let mut world = World::default();
        let (own, _) = leader();
        world.begin(&own);
        world.submit(&own, PARENT, 1);
        world.submit(&own, "", 1);
        let none = MemRows::default();
        assert_eq!([traced(&own, 1, &none), traced(&own, 2, &none)], [true, false], "without a look at any row");
        assert_eq!(own.known.lock().unwrap().jobs.len(), 1, "and what has no trace is not remembered");
        // Another one leads for a while.
        world.submit(&leader().0, PARENT, 1);
        world.submit(&own, "", 1);
        assert_eq!([traced(&own, 3, &world.rows), traced(&own, 4, &none)], [true, false]);
    }

    #[tokio::test]
    async fn nothing_is_told_of_jobs_without_a_trace_and_of_the_rest_of_a_large_array() {
        let mut world = World::default();
        let (traces, told) = leader();
        world.begin(&traces);
        world.submit(&traces, "no trace parent", 1);
        world.place(&traces, 0..1);
        world.end(&traces, 0, 1, 0);
        traces.tracer.flush().await;
        assert_eq!(told.tree(), "");

        let all = limits::TRACED_TASKS_OF_JOB;
        let mut world = World::default();
        let (traces, told) = leader();
        world.begin(&traces);
        world.submit(&traces, PARENT, all + 1);
        world.place(&traces, 0..all + 1);
        // The first that has none, and the last that has.
        world.end(&traces, all, 1, 0);
        world.end(&traces, all - 1, 1, 0);
        traces.tracer.flush().await;
        let count = |name: &str| told.tree().lines().filter(|line| line.trim_start_matches([' ', '?']) == name).count();
        assert_eq!((count("schedule"), count("attempt"), count("task")), (all as usize, 1, 1));
    }

    #[test]
    fn a_job_shows_its_trace_and_a_link_where_there_is_something_to_see() {
        let traces = Traces::new(Tracer::off(), "http://grafana/{trace_id}".to_owned());
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(traces.shown(PARENT), (id.to_owned(), format!("http://grafana/{id}")));
        assert_eq!(traces.shown(&PARENT.replace("-01", "-00")), (id.to_owned(), String::new()));
        assert_eq!(traces.shown("garbage"), Default::default());
        assert!(traces.entry(&Proposal::default()).is_none(), "off, nothing is looked at");
    }
}
