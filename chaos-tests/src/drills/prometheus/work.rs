//! What users do while a Prometheus looks on: jobs of several shapes at a steady pace, some of which fail, are tried again, run out of time or wait; and questions of
//! all kinds, good and bad ones. Comes in: a cluster. Goes out: how much of it was done. Nothing is judged here: jobs are what other drills are about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use cloudai_proto::v1::{CancelJobRequest, GetJobRequest, JobState, ListJobsRequest, LogsRequest, SubmitRequest};
use cloudai_types::{JobId, JobSpec, Resources};

use crate::cli::Cli;
use crate::cluster::{Cluster, Executor};
use crate::load;

const ASK_EVERY: Duration = Duration::from_millis(500);
const ALL_END_WITHIN: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;

pub struct Work {
    submits: JoinHandle<anyhow::Result<u32>>,
    questions: JoinHandle<anyhow::Result<Asked>>,
    is_over: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub struct Asked {
    pub answered: u32,
    pub refused: u32,
}

impl Work {
    /// `jobs` of them over this time, whatever happens to the masters.
    pub fn start(cluster: &Cluster, executor: Executor, jobs: u32, over: Duration) -> anyhow::Result<Work> {
        for (_, spec) in for_ever(executor) {
            submit_now(&cluster.cli, spec)?;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let (cli, end) = (cluster.cli.clone(), is_over.clone());
        let mut stranger = cluster.cli.clone();
        let identity = cluster.dir.join("worker-2").join("identity").display().to_string();
        stranger.env.insert("CLOUDAI_IDENTITY".into(), identity);
        let pages = super::Pages::of(cluster)?;
        let questions = std::thread::spawn(move || questions(&cli, &stranger, &pages, &end));
        let cli = cluster.cli.clone();
        let submits = std::thread::spawn(move || submits(&cli, executor, jobs, over));
        Ok(Work { submits, questions, is_over })
    }

    /// Jobs that were accepted, and questions.
    pub fn join(self) -> anyhow::Result<(u32, Asked)> {
        let panicked = |_| anyhow::anyhow!("a thread of the load panicked");
        let jobs = self.submits.join().map_err(panicked)?;
        self.is_over.store(true, Ordering::Release);
        Ok((jobs?, self.questions.join().map_err(panicked)??))
    }
}

/// Cancels what still lives, and returns when nothing runs: no container is left behind.
pub fn ends(cluster: &Cluster) -> anyhow::Result<()> {
    crate::wait::until("the end of all jobs", ALL_END_WITHIN, Duration::from_secs(1), || {
        load::runtime()?.block_on(async {
            let client = load::client(&cluster.cli, 0)?;
            let states = vec![JobState::Queued as i32, JobState::Running as i32];
            let living = ListJobsRequest { limit: 1_000, states, ..ListJobsRequest::default() };
            let living = client.list_jobs(living).await.context("jobs cannot be listed")?.jobs;
            for job in &living {
                let request = CancelJobRequest { job: JobId(job.id).to_string(), ..CancelJobRequest::default() };
                client.cancel_job(request).await.context("a job cannot be cancelled")?;
            }
            Ok(living.is_empty().then_some(()))
        })
    })
}

/// What a no-op worker plays, and what a container runs.
fn command(executor: Executor, script: &str) -> (String, Vec<String>) {
    match executor {
        Executor::Noop => ("noop".into(), script.split(' ').map(str::to_owned).collect()),
        Executor::Docker => ("cloudai/busybox".into(), ["sh", "-c", script].map(str::to_owned).to_vec()),
    }
}

fn spec(executor: Executor, name: &str, script: &str, cpu_milli: u64) -> JobSpec {
    let (image, command) = command(executor, script);
    let resources = Resources { cpu_milli, memory_bytes: 32 * MIB, ..Resources::default() };
    JobSpec { name: name.into(), image, command, resources, count: 1, ..JobSpec::default() }
}

/// One after the other, again and again.
fn shapes(executor: Executor) -> Vec<JobSpec> {
    let short = || spec(executor, "short", "sleep 0.2", 500);
    // An engine starts a few a second, and a no-op worker any number.
    let count = if executor == Executor::Docker { 3 } else { 12 };
    let array = JobSpec { count, ..spec(executor, "array", "sleep 1", 1_000) };
    let again = JobSpec { max_attempts: 3, ..spec(executor, "tried-again", "exit 3", 500) };
    let fails = spec(executor, "fails", "exit 1", 500);
    let late = JobSpec { timeout_ms: 500, ..spec(executor, "out-of-time", "sleep 30", 500) };
    let urgent = JobSpec { priority: 10, ..spec(executor, "urgent", "sleep 0.5", 1_000) };
    vec![short(), array, short(), again, short(), fails, short(), late, short(), urgent]
}

/// Those that wait for what there is not, and why.
fn for_ever(executor: Executor) -> [(&'static str, JobSpec); 2] {
    let large = spec(executor, "too-large", "sleep 1", 1_000_000);
    let mut picky = spec(executor, "picky", "sleep 1", 500);
    picky.require.insert("rack".into(), "none".into());
    [("too_small", large), ("missing_label", picky)]
}

fn submit_now(cli: &Cli, spec: JobSpec) -> anyhow::Result<()> {
    load::runtime()?.block_on(async {
        let request = request(spec);
        load::client(cli, 0)?.submit(request).await.context("a job is not accepted")?;
        Ok(())
    })
}

fn request(spec: JobSpec) -> SubmitRequest {
    SubmitRequest { request_id: cloudai_client::request_id(), namespace: String::new(), spec: Some(spec) }
}

fn submits(cli: &Cli, executor: Executor, jobs: u32, over: Duration) -> anyhow::Result<u32> {
    let shapes = shapes(executor);
    load::runtime()?.block_on(async {
        let client = load::client(cli, 0)?;
        // One that is behind catches up: the pace is of the whole run.
        let mut tick = tokio::time::interval(over / jobs.max(1));
        let mut accepted = 0;
        for number in 0..jobs as usize {
            tick.tick().await;
            client.submit(request(shapes[number % shapes.len()].clone())).await.context("a job is not accepted")?;
            accepted += 1;
        }
        Ok(accepted)
    })
}

/// Any answer will do, refusals above all: each of them is a line of a dashboard.
fn questions(cli: &Cli, stranger: &Cli, pages: &super::Pages, is_over: &AtomicBool) -> anyhow::Result<Asked> {
    load::runtime()?.block_on(async {
        let mut asked = Asked::default();
        let mut count = |is_good: bool| if is_good { asked.answered += 1 } else { asked.refused += 1 };
        let mut first = 0;
        while !is_over.load(Ordering::Acquire) {
            // Another master each time.
            let client = load::client(cli, first)?;
            let jobs = client.list_jobs(ListJobsRequest { limit: 20, ..ListJobsRequest::default() }).await;
            count(jobs.is_ok());
            let newest = jobs.ok().and_then(|page| page.jobs.first().map(|job| JobId(job.id).to_string()));
            let newest = newest.unwrap_or_default();
            let job = GetJobRequest { job: newest.clone(), with_tasks: true, ..GetJobRequest::default() };
            count(client.get_job(job).await.is_ok());
            let nothing = GetJobRequest { job: "zzzzzzzz".into(), ..GetJobRequest::default() };
            count(client.get_job(nothing).await.is_ok());
            let log = LogsRequest { job: newest, ..LogsRequest::default() };
            count(client.logs(log).next().await.is_ok());
            let forbidden = load::client(stranger, first)?;
            count(forbidden.list_jobs(ListJobsRequest::default()).await.is_ok());
            for path in ["/livez", "/readyz", "/nothing"] {
                count(pages.get_soon(first, path).await.is_ok());
            }
            first += 1;
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(asked)
    })
}
