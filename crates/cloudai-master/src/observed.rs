//! What an entry does to attempts, for the leader's metrics. Comes in: an entry, and the state before and after it. Goes out: starts and endings,
//! each once. Decides nothing, and is asked by the leader only: every master applies the same entries, and a sum must not count them thrice.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudai_core::command::{AttemptState, Kind, LoseWorker, ReportAttempts};
use cloudai_core::rows::WorkerState;
use cloudai_core::{Hot, Proposal};
use cloudai_scheduler::waits_since;
use cloudai_telemetry::LeaderMetrics;
use cloudai_telemetry::leader::SUCCESS;
use cloudai_types::{AttemptId, JobId, ReasonKind, TaskId, WorkerId};

/// What an entry claims; whether it is so, the state after it says.
#[derive(Default)]
pub struct Claims {
    /// First attempts that have started, by how long their tasks had waited. An entry may say it twice.
    starts: BTreeMap<AttemptId, Duration>,
    ends: BTreeMap<AttemptId, End>,
}

struct End {
    reason: &'static str,
    /// `None`: its program never started.
    ran: Option<Duration>,
}

impl Claims {
    /// Of an entry that is about to be applied to `hot`.
    pub fn of(hot: &Hot, proposal: &Proposal) -> Claims {
        let mut claims = Claims::default();
        for command in &proposal.commands {
            match &command.kind {
                Some(Kind::ReportAttempts(command)) => claims.reported(hot, command, proposal.at_ms),
                Some(Kind::LoseWorker(command)) => claims.lost(hot, command, proposal.at_ms),
                // No other command starts a program or ends an attempt.
                Some(_) | None => {}
            }
        }
        claims
    }

    fn reported(&mut self, hot: &Hot, command: &ReportAttempts, at_ms: u64) {
        let worker = WorkerId(command.worker);
        if hot.workers.get(&worker).is_none_or(|w| w.session != command.session || w.state != WorkerState::Ready) {
            return;
        }
        for report in &command.reports {
            let id = AttemptId::new(JobId(report.job), report.index, report.number);
            let Some(attempt) = hot.attempt(id.task) else { continue };
            if attempt.number != report.number || attempt.worker != worker {
                continue;
            }
            // On the worker's clock: only how long it ran counts here, not when.
            let has_started = report.started_ms > 0;
            let ran_ms = if has_started { report.ended_ms.saturating_sub(report.started_ms) } else { 0 };
            if has_started && attempt.started_ms == 0 && report.number == 1 {
                let waited = at_ms.saturating_sub(ran_ms).saturating_sub(waits_since(hot, id.task.job));
                self.starts.entry(id).or_insert(Duration::from_millis(waited));
            }
            if report.state == AttemptState::Exited as i32 {
                let reason = match &report.reason {
                    Some(reason) if reason.is_success() => SUCCESS,
                    Some(reason) => reason.kind().name(),
                    None => ReasonKind::Unknown.name(),
                };
                let ran = has_started.then(|| Duration::from_millis(ran_ms));
                self.ends.entry(id).or_insert(End { reason, ran });
            }
        }
    }

    fn lost(&mut self, hot: &Hot, command: &LoseWorker, at_ms: u64) {
        let worker = hot.workers.get(&WorkerId(command.worker));
        let Some(worker) = worker.filter(|w| w.session == command.session && w.state == WorkerState::Ready) else {
            return;
        };
        for task in &worker.active {
            let Some(attempt) = hot.attempt(*task) else { continue };
            let id = AttemptId { task: *task, number: attempt.number };
            let since = |started_ms| Duration::from_millis(at_ms.saturating_sub(started_ms));
            let ran = (attempt.started_ms > 0).then(|| since(attempt.started_ms));
            self.ends.entry(id).or_insert(End { reason: ReasonKind::WorkerLost.name(), ran });
        }
    }

    /// Counts what has come true. `hot`: after the entry.
    pub fn count(self, hot: &Hot, metrics: &LeaderMetrics) {
        for waited in self.starts.into_values() {
            metrics.queue_wait_seconds.observe(waited.as_secs_f64());
        }
        for (id, End { reason, ran }) in self.ends {
            let now = hot.attempt(id.task).map(|attempt| attempt.number);
            if now != Some(id.number) {
                metrics.attempt_ended(reason, ran, is_alive(hot, id.task));
            }
        }
    }
}

/// It waits again, or was placed again in the same entry.
fn is_alive(hot: &Hot, task: TaskId) -> bool {
    hot.live_task_state(task).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::Command;
    use cloudai_core::command::{
        AttemptReport, Authorize, MemberRole, PlaceGroup, PlaceTasks, RaiseVersion, RegisterWorker, SubmitJob, VERSION,
    };
    use cloudai_core::memory::MemRows;
    use cloudai_telemetry::MasterMetrics;
    use cloudai_types::{EndReason, JobSpec, Resources};

    /// Entries one after the other, each counted as a leader does.
    struct World {
        hot: Hot,
        rows: MemRows,
        index: u64,
        metrics: MasterMetrics,
    }

    impl World {
        fn apply(&mut self, at_ms: u64, kinds: Vec<Kind>) {
            self.index += 1;
            let commands = kinds.into_iter().map(|kind| Command::new("test", kind)).collect();
            let proposal = Proposal { version: 1, at_ms, commands };
            let claims = Claims::of(&self.hot, &proposal);
            let applied = cloudai_core::apply(&mut self.hot, &self.rows, self.index, proposal).expect("known commands");
            self.rows.write(applied.writes);
            claims.count(&self.hot, &self.metrics.leader);
        }

        fn place(&mut self, at_ms: u64, index: u32) {
            let group = PlaceGroup { job: 1, worker: 1, indexes: vec![index] };
            self.apply(at_ms, vec![Kind::PlaceTasks(PlaceTasks { groups: vec![group] })]);
            assert!(self.hot.attempt(TaskId { job: JobId(1), index }).is_some(), "it is placed");
        }

        fn shows(&self, line: &str) {
            let page = self.metrics.text();
            assert!(page.lines().any(|l| l == line), "{line} in\n{page}");
        }
    }

    fn report(index: u32, state: AttemptState, exit_code: Option<i32>, ran: (u64, u64)) -> Kind {
        let reason =
            exit_code.map(|code| EndReason { exit_code: Some(code), ..EndReason::new(ReasonKind::ExitCode, "") });
        let (started_ms, ended_ms) = ran;
        let report = AttemptReport { job: 1, index, number: 1, state: state as i32, reason, started_ms, ended_ms };
        Kind::ReportAttempts(ReportAttempts { worker: 1, session: 1, reports: vec![report] })
    }

    #[test]
    fn each_start_and_each_ending_counts_once() {
        let (rows, metrics) = (MemRows::default(), MasterMetrics::new("test"));
        let mut w = World { hot: Hot::default(), rows, index: 0, metrics };
        let role = MemberRole::Worker as i32;
        let authorize = Authorize { role, name: "w1".into(), secret_hash: vec![7; 32], ..Authorize::default() };
        let capacity = Resources { cpu_milli: 8_000, memory_bytes: 8 << 30, ..Resources::default() };
        let register = RegisterWorker { worker: 1, capacity, ..RegisterWorker::default() };
        let resources = Resources { cpu_milli: 1_000, memory_bytes: 1 << 30, ..Resources::default() };
        let spec = JobSpec { image: "busybox".into(), count: 3, max_attempts: 2, resources, ..JobSpec::default() };
        let submit = SubmitJob { namespace: "default".into(), spec, ..SubmitJob::default() };
        let raise = Kind::RaiseVersion(RaiseVersion { version: VERSION });
        w.apply(
            1_000,
            vec![raise, Kind::Authorize(authorize), Kind::RegisterWorker(register), Kind::SubmitJob(submit)],
        );
        (0..3).for_each(|index| w.place(2_000, index));

        // The first says that it runs, and later that it has ended; both again, which changes nothing.
        for _ in 0..2 {
            w.apply(5_000, vec![report(0, AttemptState::Running, None, (77, 0))]);
        }
        for _ in 0..2 {
            w.apply(9_000, vec![report(0, AttemptState::Exited, Some(0), (77, 4_077))]);
        }
        // The second was so short that its end is the first that is heard of it, in an entry that says it twice.
        let end = || report(1, AttemptState::Exited, Some(3), (80, 580));
        w.apply(3_000 + 9_000, vec![end(), end()]);
        // The third goes with its worker.
        w.apply(20_000, vec![Kind::LoseWorker(LoseWorker { worker: 1, session: 1 })]);

        w.shows("cloudai_task_queue_wait_seconds_count 2");
        w.shows("cloudai_task_queue_wait_seconds_sum 14.5"); // 5.0 - 1.0, and 12.0 - 0.5 - 1.0
        w.shows("cloudai_attempts_ended_total{reason=\"success\"} 1");
        w.shows("cloudai_attempts_ended_total{reason=\"exit_code\"} 1");
        w.shows("cloudai_attempts_ended_total{reason=\"worker_lost\"} 1");
        w.shows("cloudai_task_retries_total{reason=\"exit_code\"} 1");
        w.shows("cloudai_task_retries_total{reason=\"worker_lost\"} 1");
        w.shows("cloudai_task_run_duration_seconds_sum{outcome=\"success\"} 4");
        w.shows("cloudai_task_run_duration_seconds_count{outcome=\"failure\"} 1");
        assert!(!w.metrics.text().contains("retries_total{reason=\"success\"}"), "a success is never tried again");
    }
}
