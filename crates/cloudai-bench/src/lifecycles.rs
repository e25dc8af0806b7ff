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
use crate::figure::{Figure, median};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Tasks of the array
    #[arg(long, default_value_t = 100_000)]
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

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure = Figure::new("lifecycles", "tasks/s");
    let workers = options.workers.to_string();
    let cluster = Cluster::start(run, &["--executor", "noop", "--workers", &workers, "--capacity", &options.capacity])?;
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
    figure.detail =
        json!({"tasks": options.tasks, "workers": options.workers, "rounds": rates, "cpu_us_per_task": costs});
    // The goal names HyperQueue's server, for which there is no client here.
    figure.not_run = Some("no peer: HyperQueue's server is not measured by this program".to_owned());
    Ok(figure.judged(None))
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
