//! A cluster's replicated state for the tests, changed by the real `apply` only. Comes in: what users, workers and the
//! scheduler would propose. Goes out: the view.
#![allow(dead_code)] // Each test file uses its part.

use std::collections::BTreeMap;

use cloudai_core::command::{
    AttemptReport, AttemptState, Authorize, CancelJob, Kind, LoseWorker, MemberRole, PlaceTasks, PreemptTasks,
    Proposal, RaiseVersion, RegisterWorker, ReportAttempts, SetConfig, SetDrain, SetQuota, SetTaint, SubmitJob,
    VERSION,
};
use cloudai_core::memory::MemRows;
use cloudai_core::{Applied, Command, Hot, Reply, apply};
use cloudai_scheduler::{Plan, PlanState, Policy, Reservation, plan};
use cloudai_types::placement::{NearRule, parse_taint};
use cloudai_types::{
    ClusterConfig, EndReason, HourlyPrice, JobId, JobSpec, Placement, Preference, QuotaChange, ReasonKind, Resources,
    RetryAction, RetryRule, RetryRules, ScorePolicy, TaskId, WorkerId,
};

pub const GIB: u64 = 1 << 30;

#[derive(Default)]
pub struct Cluster {
    pub hot: Hot,
    pub rows: MemRows,
    pub state: PlanState,
    pub now_ms: u64,
    /// Passes reserve nothing.
    pub without_reservations: bool,
    /// By the last pass.
    pub reserved: Vec<Reservation>,
    pub preempted: Vec<PreemptTasks>,
    index: u64,
}

pub fn resources(cpu_milli: u64, memory_gib: u64) -> Resources {
    Resources { cpu_milli, memory_bytes: memory_gib * GIB, ..Resources::default() }
}

pub fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// One task that asks for so much; change what a test is about.
pub fn spec(cpu_milli: u64, memory_gib: u64) -> JobSpec {
    JobSpec { image: "busybox".to_owned(), resources: resources(cpu_milli, memory_gib), ..JobSpec::default() }
}

/// Rules that send a task elsewhere after each of these reasons, and after `out_of_memory` ask for half as much more, up to so many GiB
/// (0: for the same).
pub fn rules(elsewhere: &[ReasonKind], memory_gib_max: u64) -> RetryRules {
    let rule = |kind: &ReasonKind| RetryRule { reason: *kind as i32, action: RetryAction::Elsewhere as i32 };
    RetryRules {
        rules: elsewhere.iter().map(rule).collect(),
        memory_factor_percent: if memory_gib_max > 0 { 150 } else { 0 },
        memory_max_bytes: memory_gib_max * GIB,
        ..RetryRules::default()
    }
}

/// Rules as words: `zone in (a,b)` is required, `prefer:disk=ssd:10`, `tolerate:gpu`, `apart:rack`, `spread:rack`, `spread:rack:1`,
/// `apart_from:app=db@rack`, `together_with:app=db@worker`.
pub fn placed(words: &[&str]) -> Option<Placement> {
    let mut placement = Placement::default();
    for word in words {
        let (kind, rest) = word.split_once(':').unwrap_or(("require", word));
        match kind {
            "prefer" => {
                let (expression, weight) = rest.rsplit_once(':').expect("a weight");
                let weight = weight.parse().expect("a number");
                placement.prefer.push(Preference { expression: expression.to_owned(), weight });
            }
            "tolerate" => placement.tolerate.push(rest.to_owned()),
            "apart_from" => placement.apart_from.push(near(rest)),
            "together_with" => placement.together_with.push(near(rest)),
            "apart" => placement.apart = rest.to_owned(),
            "spread" => {
                let (label, skew) = rest.split_once(':').unwrap_or((rest, "0"));
                (placement.spread, placement.max_skew) = (label.to_owned(), skew.parse().expect("a number"));
            }
            _ => placement.require.push(rest.to_owned()),
        }
    }
    Some(placement)
}

fn near(word: &str) -> NearRule {
    let (jobs, over) = word.split_once('@').expect("jobs@label");
    NearRule { jobs: jobs.to_owned(), over: over.to_owned() }
}

impl Cluster {
    pub fn with_policy(score: ScorePolicy) -> Self {
        let mut c = Cluster { now_ms: 1_000_000, ..Cluster::default() };
        let config = ClusterConfig { score_policy: score as i32 };
        c.apply(vec![Kind::RaiseVersion(RaiseVersion { version: VERSION }), Kind::SetConfig(SetConfig { config })]);
        assert_eq!(c.hot.config, config, "the newest format has every policy");
        c
    }

    pub fn apply(&mut self, kinds: Vec<Kind>) -> Applied {
        self.apply_by("test", kinds)
    }

    fn apply_by(&mut self, user: &str, kinds: Vec<Kind>) -> Applied {
        self.index += 1;
        let commands = kinds.into_iter().map(|kind| Command::new(user, kind)).collect();
        let proposal = Proposal { version: 1, at_ms: self.now_ms, commands };
        let applied = apply(&mut self.hot, &self.rows, self.index, proposal).expect("this build knows its commands");
        self.rows.write(applied.writes.clone());
        applied
    }

    fn one(&mut self, kind: Kind) -> Reply {
        self.apply(vec![kind]).replies.remove(0)
    }

    pub fn authorize(&mut self, name: &str) -> WorkerId {
        self.authorize_with(name, "")
    }

    /// Again for a known name: the labels that the operator gave before are replaced.
    pub fn authorize_with(&mut self, name: &str, given: &str) -> WorkerId {
        let reply = self.one(Kind::Authorize(Authorize {
            role: MemberRole::Worker as i32,
            name: name.to_owned(),
            secret_hash: vec![7; 32],
            labels: labels(given),
        }));
        let Reply::Authorized { worker: Some(worker), .. } = reply else { panic!("{reply:?}") };
        worker
    }

    pub fn register(&mut self, worker: WorkerId, capacity: Resources, own: &str) {
        self.register_at(worker, capacity, own, HourlyPrice::default());
    }

    /// A worker that costs something.
    pub fn register_at(&mut self, worker: WorkerId, capacity: Resources, own: &str, price: HourlyPrice) {
        let reply = self.one(Kind::RegisterWorker(RegisterWorker {
            worker: worker.0,
            capacity,
            labels: labels(own),
            software: "test".to_owned(),
            reserved: None,
            leaving: false,
            price_micros: price.0,
            metrics_addr: String::new(),
        }));
        assert!(matches!(reply, Reply::WorkerRegistered { .. }), "{reply:?}");
    }

    pub fn worker(&mut self, name: &str, capacity: Resources, own: &str) -> WorkerId {
        let worker = self.authorize(name);
        self.register(worker, capacity, own);
        worker
    }

    pub fn submit(&mut self, spec: JobSpec) -> JobId {
        self.submit_in("default", spec)
    }

    pub fn submit_in(&mut self, namespace: &str, spec: JobSpec) -> JobId {
        self.submit_by("test", namespace, spec)
    }

    pub fn submit_by(&mut self, user: &str, namespace: &str, spec: JobSpec) -> JobId {
        let namespace = namespace.to_owned();
        let submit = Kind::SubmitJob(SubmitJob { namespace, spec, ..SubmitJob::default() });
        let reply = self.apply_by(user, vec![submit]).replies.remove(0);
        let Reply::Submitted { job, .. } = reply else { panic!("{reply:?}") };
        job
    }

    pub fn quota(&mut self, namespace: &str, change: QuotaChange) {
        let reply = self.one(Kind::SetQuota(SetQuota { namespace: namespace.to_owned(), change }));
        assert_eq!(reply, Reply::Done);
    }

    pub fn cancel(&mut self, job: JobId) {
        let reply = self.one(Kind::CancelJob(CancelJob { job: job.0 }));
        assert!(matches!(reply, Reply::CancelRequested { .. }), "{reply:?}");
    }

    pub fn drain(&mut self, name: &str, draining: bool) {
        let reply = self.one(Kind::SetDrain(SetDrain { name: name.to_owned(), draining, deadline_ms: 0 }));
        assert_eq!(reply, Reply::Done);
    }

    /// `key` or `key=value`.
    pub fn taint(&mut self, name: &str, taint: &str, tainted: bool) {
        let (key, value) = parse_taint(taint).expect("a taint");
        let reply = self.one(Kind::SetTaint(SetTaint { name: name.to_owned(), key, value, tainted }));
        assert_eq!(reply, Reply::Done);
    }

    pub fn lose(&mut self, worker: WorkerId) {
        let session = self.hot.workers[&worker].session;
        let reply = self.one(Kind::LoseWorker(LoseWorker { worker: worker.0, session }));
        assert!(matches!(reply, Reply::WorkerLost { .. }), "{reply:?}");
    }

    /// The live attempt of a task ends.
    pub fn end(&mut self, task: TaskId, kind: ReasonKind, exit_code: i32) {
        let attempt = *self.hot.attempt(task).expect("a live attempt");
        let reply = self.one(Kind::ReportAttempts(ReportAttempts {
            worker: attempt.worker.0,
            session: self.hot.workers[&attempt.worker].session,
            reports: vec![AttemptReport {
                job: task.job.0,
                index: task.index,
                number: attempt.number,
                state: AttemptState::Exited as i32,
                reason: Some(EndReason { exit_code: Some(exit_code), ..EndReason::new(kind, "") }),
                started_ms: self.now_ms,
                ended_ms: self.now_ms,
            }],
        }));
        assert_eq!(reply, Reply::Reported { accepted: 1, stale: 0 });
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now_ms += ms;
        self.apply(vec![]);
    }

    pub fn plan(&mut self, placements_max: u32) -> Plan {
        let reserve = !self.without_reservations;
        let policy = Policy { placements_max, reserve, ..Policy::of(&self.hot) };
        let plan = plan(&self.hot, &policy, &mut self.state);
        assert!(self.state.remembers_truly(&self.hot), "what a kept worker runs is remembered otherwise than it is");
        plan
    }

    /// The worker that the last pass kept for a job, and since when.
    pub fn state_reserved(&self, job: JobId) -> Option<(WorkerId, u64)> {
        self.reserved.iter().find(|r| r.job == job).map(|r| (r.worker, r.since_ms))
    }

    /// Proposes the plan; `apply` must take all of it.
    pub fn accept(&mut self, plan: &Plan) {
        let reply = self.one(Kind::PlaceTasks(PlaceTasks { groups: plan.groups.clone() }));
        assert_eq!(reply, Reply::Placed { accepted: plan.placed, refused: 0 });
    }

    /// One unbounded pass, accepted, as text: `1:0-2>a` means indexes 0 to 2 of the first job on worker a.
    pub fn pass(&mut self) -> String {
        let plan = self.plan(10_000);
        self.accept(&plan);
        self.reserved.clone_from(&plan.reserved);
        self.preempted.clone_from(&plan.preempt);
        for preempt in &plan.preempt {
            let reply = self.one(Kind::PreemptTasks(preempt.clone()));
            assert_eq!(reply, Reply::Preempted { stopped: preempt.victims.len() as u32, refused: 0 });
        }
        self.words(&plan)
    }

    pub fn words(&self, plan: &Plan) -> String {
        let group = |g: &cloudai_core::command::PlaceGroup| {
            let (first, last) = (g.indexes[0], g.indexes[g.indexes.len() - 1]);
            assert_eq!(u64::from(last - first), g.indexes.len() as u64 - 1, "transcripts name runs: {:?}", g.indexes);
            let run = if first == last { first.to_string() } else { format!("{first}-{last}") };
            format!("{}:{run}>{}", g.job, self.hot.workers[&WorkerId(g.worker)].name)
        };
        plan.groups.iter().map(group).collect::<Vec<_>>().join(" ")
    }
}
