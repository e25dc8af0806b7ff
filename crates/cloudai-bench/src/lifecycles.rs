//! Whole no-op life cycles per second: one array, from its submit to the moment when a client that waits for it hears of its end.
//! Each task is queued, placed, sent to a hollow worker, reported and ended, and each of these changes is on the disks of a
//! majority of three masters. No container is part of this figure.

use std::time::Instant;

use anyhow::{Context as _, bail};
use cloudai_proto::v1::{JobState, JobSummary, SubmitRequest, WaitJobRequest};
use cloudai_types::{JobId, JobSpec, Resources};
use serde_json::json;

use crate::RunOptions;
use crate::cluster::{Cluster, Costs};
use crate::figure::{Figure, Goal, Nature, median};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Tasks of the array
    #[arg(long, default_value_t = 200_000)]
    tasks: u32,
    /// Hollow workers
    #[arg(long, default_value_t = 16)]
    workers: u16,
    /// What each worker claims
    #[arg(long, default_value = "cpu=64,memory=256GiB")]
    capacity: String,
    /// What each task asks, in thousandths of a core; with it the capacity says how many are active at a time
    #[arg(long, default_value_t = 1_000)]
    cpu_milli: u64,
}

/// HyperQueue 0.26's single, unreplicated server with workers that complete tasks without running them, as the design noted it from
/// another machine with two cores. It is not measured here: no package of this machine's distribution has it.
const HYPERQUEUE_PER_SECOND: f64 = 26_900.0;
const GOAL_PER_SECOND: f64 = 27_000.0;

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure = Figure::new("lifecycles", "tasks/s", Nature::CLUSTER);
    let workers = options.workers.to_string();
    let args = ["--executor", "noop", "--workers", &workers, "--capacity", &options.capacity];
    let cluster = Cluster::start(run, &args, &[]).await?;
    let client = cluster.client()?;
    let spec = JobSpec {
        name: "bench".to_owned(),
        image: "busybox".to_owned(),
        command: vec!["true".to_owned()],
        resources: Resources { cpu_milli: options.cpu_milli, ..Resources::default() },
        count: options.tasks,
        max_attempts: 1,
        ..JobSpec::default()
    };
    // A small one first: sessions and caches are warm, as in a cluster that lives.
    array(&client, JobSpec { count: 1_000.min(options.tasks), ..spec.clone() }).await?;
    let (mut rates, mut costs): (Vec<f64>, Vec<Costs>) = (vec![], vec![]);
    for _ in 0..run.rounds {
        let before = cluster.clocks();
        rates.push(f64::from(options.tasks) / array(&client, spec.clone()).await?);
        costs.push(before.costs(&cluster.clocks(), options.tasks.into()));
    }
    figure.ours = Some(median(&rates));
    figure.peer = Some(HYPERQUEUE_PER_SECOND);
    figure.peer_name =
        Some("a CONSTANT, not measured in this run: HyperQueue 0.26, one unreplicated server, another 2-core machine");
    figure.ratio = figure.ours.map(|ours| ours / HYPERQUEUE_PER_SECOND);
    figure.detail =
        json!({"tasks": options.tasks, "workers": options.workers, "rounds": rates, "cpu_us_per_task": costs});
    Ok(figure.judged(Some(Goal::AtLeast(GOAL_PER_SECOND))))
}

/// Seconds from its submit to its end, all tasks succeeded.
pub async fn array(client: &cloudai_client::Client, spec: JobSpec) -> anyhow::Result<f64> {
    let count = spec.count;
    let began = Instant::now();
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec) };
    let job = JobId(client.submit(request).await?.job_id);
    let mut states = client.wait_job(WaitJobRequest { namespace: String::new(), job: job.to_string() });
    let mut last: Option<JobSummary> = None;
    while let Some(state) = states.next().await? {
        last = Some(state);
    }
    let seconds = began.elapsed().as_secs_f64();
    let last = last.context("a job that is waited for is told at least once")?;
    let succeeded = last.counts.as_ref().map_or(0, |c| c.succeeded);
    if last.state() != JobState::Succeeded || succeeded != count {
        bail!("job {job} ended as {:?} with {succeeded} of {count} tasks succeeded", last.state());
    }
    Ok(seconds)
}
