//! Placements per second and the time of one pass with a million queued tasks, and what a queued task costs in memory. Comes
//! in: sizes. Goes out: a report. The state is changed by the real `apply`, whose row writes are dropped: no disk, no Raft
//! and no network are part of these figures.

use std::fmt;
use std::time::Duration;

use crate::figure::{Figure, Goal, Nature};
use anyhow::{Context as _, bail};
use cloudai_core::command::{
    AttemptReport, AttemptState, Authorize, Kind, MemberRole, PlaceTasks, Proposal, RaiseVersion, RegisterWorker,
    ReportAttempts, SetConfig, SubmitJob, VERSION,
};
use cloudai_core::{Command, Family, Hot, Reply, Rows, apply};
use cloudai_scheduler::{Plan, PlanState, Policy, plan};
use cloudai_types::{ClusterConfig, EndReason, JobSpec, ReasonKind, Resources, ScorePolicy, TaskId, limits};

#[derive(Clone, clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 10_000)]
    workers: u32,
    #[arg(long, default_value_t = 1_000_000)]
    tasks: u32,
    /// Placements in one pass.
    #[arg(long, default_value_t = limits::PASS_PLACEMENTS_MAX)]
    placements_max: u32,
    /// Tasks that end between two passes while the cluster is full.
    #[arg(long, default_value_t = 1_000)]
    endings: usize,
    /// Passes over the full cluster.
    #[arg(long, default_value_t = 200)]
    full_passes: usize,
    /// Only this policy; all by default.
    #[arg(long)]
    policy: Option<ScorePolicy>,
}

#[derive(serde::Serialize)]
pub struct Report {
    workers: u32,
    tasks: u32,
    placements_max: u32,
    passes: Vec<Passes>,
    memory: Vec<Memory>,
}

/// One queue under one policy.
#[derive(serde::Serialize)]
struct Passes {
    queue: &'static str,
    policy: &'static str,
    /// What the passes did: the `first` of a leadership, `fill` an empty cluster, `churn` a full one, or look at a full one in vain.
    phase: &'static str,
    passes: usize,
    placed: u64,
    /// Of this thread's CPU time in `plan` alone; the times of a pass are CPU time as well.
    placements_per_s: f64,
    pass_p50_ms: f64,
    pass_p99_ms: f64,
    pass_max_ms: f64,
    /// Of CPU time in `apply` alone, for comparison: the next step of the same placements.
    applied_per_s: f64,
}

/// Growth of this process's resident memory.
#[derive(serde::Serialize)]
struct Memory {
    queue: &'static str,
    tasks: u32,
    resident_mb: f64,
    bytes_per_task: f64,
}

#[derive(Clone, Copy)]
enum Queue {
    Array,
    Singles,
    /// Single jobs of 100 shapes in turn; a fifth of them requires a label that half of the workers have.
    Shapes,
    /// Single jobs of 10,000 shapes in turn: what a pass costs per shape that fits nowhere.
    ManyShapes,
}

impl Queue {
    const ALL: [Queue; 4] = [Queue::Array, Queue::Singles, Queue::Shapes, Queue::ManyShapes];

    fn name(self) -> &'static str {
        match self {
            Queue::Array => "one array",
            Queue::Singles => "single jobs",
            Queue::Shapes => "single jobs, 100 shapes",
            Queue::ManyShapes => "single jobs, 10k shapes",
        }
    }

    fn specs(self, tasks: u32) -> Box<dyn Iterator<Item = JobSpec>> {
        let one = || JobSpec {
            name: "bench".to_owned(),
            image: "busybox".to_owned(),
            resources: Resources { cpu_milli: 500, memory_bytes: 1 << 30, ..Resources::default() },
            ..JobSpec::default()
        };
        match self {
            Queue::Array => {
                let most = limits::ARRAY_TASKS_MAX;
                Box::new((0..tasks.div_ceil(most)).map(move |n| JobSpec { count: most.min(tasks - n * most), ..one() }))
            }
            Queue::Singles => Box::new((0..tasks).map(move |_| one())),
            Queue::Shapes => Box::new((0..tasks).map(move |n| {
                let mut spec = one();
                spec.resources.cpu_milli = 250 + u64::from(n % 10) * 50;
                spec.resources.memory_bytes = (1 + u64::from(n / 10 % 5)) << 28;
                match n / 50 % 2 {
                    0 => {}
                    _ => spec.resources.storage_bytes = 1 << 20,
                }
                if n % 5 == 0 {
                    spec.require.insert("zone".to_owned(), "eu".to_owned());
                }
                spec
            })),
            Queue::ManyShapes => Box::new((0..tasks).map(move |n| {
                let mut spec = one();
                spec.resources.memory_bytes += u64::from(n % 10_000) << 12;
                spec
            })),
        }
    }
}

impl Report {
    /// The budgets' numbers: the worst of what was measured.
    pub fn figures(&self) -> Vec<Figure> {
        let detail = serde_json::to_value(self).unwrap_or_default();
        let worst = |values: &mut dyn Iterator<Item = f64>, larger: bool| {
            values.reduce(|a, b| if larger { a.max(b) } else { a.min(b) })
        };
        let mut placements = Figure::new("placements", "placements/s", Nature::BARE);
        let busy = self.passes.iter().filter(|p| p.phase == "fill");
        placements.ours = worst(&mut busy.map(|p| p.placements_per_s), false);
        placements.detail = detail;
        let mut pass = Figure::new("pass-p99", "ms", Nature::BARE);
        pass.ours = worst(&mut self.passes.iter().filter(|p| p.phase != "first").map(|p| p.pass_p99_ms), true);
        let mut memory = Figure::new("memory-per-queued-task", "bytes", Nature::BARE);
        memory.ours = worst(&mut self.memory.iter().map(|m| m.bytes_per_task), true);
        vec![
            placements.judged(Some(Goal::AtLeast(200_000.0))),
            pass.judged(Some(Goal::AtMost(5.0))),
            memory.judged(Some(Goal::AtMost(600.0))),
        ]
    }
}

pub fn run(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report {
        workers: options.workers,
        tasks: options.tasks,
        placements_max: options.placements_max,
        passes: vec![],
        memory: vec![],
    };
    // First, while the heap is untouched.
    for queue in [Queue::Array, Queue::Singles] {
        let before = resident_bytes()?;
        let mut cluster = Cluster::new(ScorePolicy::Balanced)?;
        cluster.submit(queue, options.tasks)?;
        let grown = resident_bytes()?.saturating_sub(before);
        report.memory.push(Memory {
            queue: queue.name(),
            tasks: options.tasks,
            resident_mb: grown as f64 / 1e6,
            bytes_per_task: grown as f64 / f64::from(options.tasks),
        });
    }
    for queue in Queue::ALL {
        for policy in ScorePolicy::ALL.into_iter().filter(|p| options.policy.is_none_or(|only| only == *p)) {
            let mut cluster = Cluster::new(policy)?;
            cluster.workers(options.workers)?;
            cluster.submit(queue, options.tasks)?;
            // A new leader's first pass also takes in all workers.
            let mut first = Timer::default();
            cluster.pass(options.placements_max, &mut first)?;
            report.passes.push(first.report(queue, policy, "first"));
            let mut fill = Timer::default();
            while cluster.pass(options.placements_max, &mut fill)?.more {}
            report.passes.push(fill.report(queue, policy, "fill"));
            // The same amount again: now the cluster is full, and most of it must wait.
            cluster.submit(queue, options.tasks)?;
            while cluster.pass(options.placements_max, &mut Timer::default())?.more {}
            let mut idle = Timer::default();
            let mut churn = Timer::default();
            for _ in 0..options.full_passes {
                cluster.end_some(options.endings)?;
                cluster.pass(options.placements_max, &mut churn)?;
                if cluster.pass(options.placements_max, &mut idle)?.placed > 0 {
                    bail!("a pass left something that fits");
                }
            }
            report.passes.push(churn.report(queue, policy, "churn"));
            report.passes.push(idle.report(queue, policy, "full"));
        }
    }
    Ok(report)
}

/// A leader's state without its disk.
struct Cluster {
    hot: Hot,
    state: PlanState,
    index: u64,
    /// Picks the tasks that end.
    random: u64,
}

/// Rows that nobody keeps.
struct NoRows;
impl Rows for NoRows {
    fn get(&self, _: Family, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl Cluster {
    fn new(policy: ScorePolicy) -> anyhow::Result<Self> {
        let mut cluster = Cluster { hot: Hot::default(), state: PlanState::default(), index: 0, random: 1 };
        let config = ClusterConfig { score_policy: policy as i32 };
        cluster.apply(vec![
            Kind::RaiseVersion(RaiseVersion { version: VERSION }),
            Kind::SetConfig(SetConfig { config }),
        ])?;
        if cluster.hot.config != config {
            bail!("the policy {} was refused", policy.name());
        }
        Ok(cluster)
    }

    fn apply(&mut self, kinds: Vec<Kind>) -> anyhow::Result<Vec<Reply>> {
        self.index += 1;
        let commands = kinds.into_iter().map(|kind| Command::new("bench", kind)).collect();
        let proposal = Proposal { version: 1, at_ms: 1_700_000_000_000 + self.index, commands };
        Ok(apply(&mut self.hot, &NoRows, self.index, proposal)?.replies)
    }

    /// Three sizes of machines in two zones.
    fn workers(&mut self, count: u32) -> anyhow::Result<()> {
        for n in 0..count {
            let size = [1, 2, 3][n as usize % 3];
            let zone = if n % 2 == 0 { "eu" } else { "us" };
            let authorize = Kind::Authorize(Authorize {
                role: MemberRole::Worker as i32,
                name: format!("worker-{n}"),
                secret_hash: vec![1; 32],
                labels: Default::default(),
            });
            let register = Kind::RegisterWorker(RegisterWorker {
                worker: n + 1,
                capacity: Resources {
                    cpu_milli: 32_000 * size,
                    memory_bytes: (128 * size) << 30,
                    storage_bytes: 1 << 40,
                    gpus: 0,
                },
                labels: [("zone".to_owned(), zone.to_owned())].into(),
                software: "bench".to_owned(),
                reserved: None,
                leaving: false,
                price_micros: 100_000 * (size + u64::from(n % 5)),
                metrics_addr: String::new(),
            });
            let replies = self.apply(vec![authorize, register])?;
            if !matches!(replies[..], [Reply::Authorized { .. }, Reply::WorkerRegistered { .. }]) {
                bail!("worker {n} was refused: {replies:?}");
            }
        }
        Ok(())
    }

    fn submit(&mut self, queue: Queue, tasks: u32) -> anyhow::Result<()> {
        let mut specs = queue.specs(tasks).peekable();
        while specs.peek().is_some() {
            let submit =
                |spec| Kind::SubmitJob(SubmitJob { namespace: "default".to_owned(), spec, ..SubmitJob::default() });
            let replies = self.apply(specs.by_ref().take(1_000).map(submit).collect())?;
            if let Some(other) = replies.iter().find(|r| !matches!(r, Reply::Submitted { .. })) {
                bail!("a submit was refused: {other:?}");
            }
        }
        Ok(())
    }

    fn pass(&mut self, placements_max: u32, timer: &mut Timer) -> anyhow::Result<Plan> {
        let policy = Policy { placements_max, ..Policy::of(&self.hot) };
        let start = Stopwatch::start();
        let made = plan(&self.hot, &policy, &mut self.state);
        timer.passes.push(start.elapsed());
        timer.placed += u64::from(made.placed);
        if made.placed > 0 {
            let groups = made.groups.clone();
            let start = Stopwatch::start();
            let replies = self.apply(vec![Kind::PlaceTasks(PlaceTasks { groups })])?;
            timer.applying += start.elapsed();
            if replies != [(Reply::Placed { accepted: made.placed, refused: 0 })] {
                bail!("apply did not take the plan of {} placements: {replies:?}", made.placed);
            }
        }
        Ok(made)
    }

    /// Tasks of so many workers end, one each.
    fn end_some(&mut self, count: usize) -> anyhow::Result<()> {
        let mut reports = vec![];
        for _ in 0..count {
            // xorshift64: any spread over the workers will do, and the same in each run.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let nth = self.random % self.hot.workers.len() as u64 + 1;
            let Some((id, worker)) = self.hot.workers.range(cloudai_types::WorkerId(nth as u32)..).next() else {
                continue;
            };
            let Some(TaskId { job, index }) = worker.active.first().copied() else { continue };
            let attempt = self.hot.attempt(TaskId { job, index }).context("a worker's task is active")?;
            let reason = EndReason { exit_code: Some(0), ..EndReason::new(ReasonKind::ExitCode, "") };
            let report = AttemptReport {
                job: job.0,
                index,
                number: attempt.number,
                state: AttemptState::Exited as i32,
                reason: Some(reason),
                started_ms: 0,
                ended_ms: 0,
            };
            reports.push(Kind::ReportAttempts(ReportAttempts {
                worker: id.0,
                session: worker.session,
                reports: vec![report],
            }));
        }
        self.apply(reports)?;
        Ok(())
    }
}

/// Time that this thread computed. Wall time on a shared machine measures its other users as well.
struct Stopwatch(Duration);

impl Stopwatch {
    fn start() -> Self {
        Stopwatch(thread_cpu_time())
    }

    fn elapsed(&self) -> Duration {
        thread_cpu_time() - self.0
    }
}

#[allow(unsafe_code)]
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, and this one is ours and alive.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(rc, 0, "Linux has a CPU clock per thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[derive(Default)]
struct Timer {
    passes: Vec<Duration>,
    placed: u64,
    applying: Duration,
}

impl Timer {
    fn report(mut self, queue: Queue, policy: ScorePolicy, phase: &'static str) -> Passes {
        let planning: Duration = self.passes.iter().sum();
        self.passes.sort_unstable();
        let at = |permille: usize| {
            let n = (self.passes.len() * permille).div_ceil(1_000).saturating_sub(1);
            self.passes.get(n).map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        let rate = |time: Duration| if self.placed == 0 { 0.0 } else { self.placed as f64 / time.as_secs_f64() };
        Passes {
            queue: queue.name(),
            policy: policy.name(),
            phase,
            passes: self.passes.len(),
            placed: self.placed,
            placements_per_s: rate(planning),
            pass_p50_ms: at(500),
            pass_p99_ms: at(990),
            pass_max_ms: at(1_000),
            applied_per_s: rate(self.applying),
        }
    }
}

/// Resident memory of this process, from the kernel.
fn resident_bytes() -> anyhow::Result<u64> {
    let statm =
        std::fs::read_to_string("/proc/self/statm").context("resident memory is read from /proc, which Linux has")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("/proc/self/statm has a second field")?.parse()?;
    Ok(pages * 4096)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { workers, tasks, placements_max, passes, memory } = self;
        writeln!(f, "{workers} workers, {tasks} tasks queued, at most {placements_max} placements in a pass\n")?;
        writeln!(
            f,
            "{:<24} {:<12} {:<6} {:>7} {:>10} {:>13} {:>9} {:>9} {:>9} {:>11}",
            "queue", "policy", "phase", "passes", "placed", "placements/s", "p50 ms", "p99 ms", "max ms", "applied/s"
        )?;
        for p in passes {
            writeln!(
                f,
                "{:<24} {:<12} {:<6} {:>7} {:>10} {:>13.0} {:>9.3} {:>9.3} {:>9.3} {:>11.0}",
                p.queue,
                p.policy,
                p.phase,
                p.passes,
                p.placed,
                p.placements_per_s,
                p.pass_p50_ms,
                p.pass_p99_ms,
                p.pass_max_ms,
                p.applied_per_s
            )?;
        }
        writeln!(f, "\n{:<24} {:>10} {:>12} {:>14}", "queue", "tasks", "resident MB", "bytes per task")?;
        for (n, m) in memory.iter().enumerate() {
            let end = if n + 1 == memory.len() { "" } else { "\n" };
            write!(f, "{:<24} {:>10} {:>12.1} {:>14.1}{end}", m.queue, m.tasks, m.resident_mb, m.bytes_per_task)?;
        }
        Ok(())
    }
}
