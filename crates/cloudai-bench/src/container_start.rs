//! From a submit to a container that runs: one task at a time on an idle cluster, beside a bare client's create and start of the same
//! container. Ours goes through three fsyncing masters, the scheduler and the worker; a start counts when the engine has said so, on both sides.
//! They take turns, container by container.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::{GetTaskRequest, SubmitRequest, WaitJobRequest};
use cloudai_types::{JobId, JobSpec, Resources};
use serde_json::json;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::containers::{MEMORY, engine, one};
use crate::figure::{Figure, Goal, Nature, median};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Containers of one round, of each side
    #[arg(long, default_value_t = 30)]
    starts: u32,
    /// An image that is there already and has `true`
    #[arg(long, default_value = "cloudai/busybox")]
    image: String,
}

/// What the way through the cluster may add to the median, in milliseconds.
const GOAL_MS: f64 = 10.0;

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure = Figure::new("container-start", "ms, p50", Nature::WHOLE);
    figure.peer_name = Some("a bare client of the same engine: create and start");
    let docker = match engine(&options.image).await {
        Ok(docker) => docker,
        Err(why) => return Ok(figure.not_run(why.to_string())),
    };
    let args = ["--executor", "docker", "--workers", "1", "--capacity", "cpu=8,memory=64GiB"];
    let cluster = Cluster::start(run, &args, &[]).await?;
    let client = cluster.client()?;
    let spec = JobSpec {
        name: "bench".to_owned(),
        image: options.image.clone(),
        command: vec!["true".to_owned()],
        resources: Resources { cpu_milli: 1_000, memory_bytes: MEMORY, ..Resources::default() },
        max_attempts: 1,
        ..JobSpec::default()
    };
    // The first ones of each meet an engine that has forgotten the image, and a worker without sandboxes.
    for _ in 0..3 {
        start(&client, &spec).await?;
        one(&docker, &options.image).await?;
    }
    let (mut ours, mut bare) = (vec![], vec![]);
    for _ in 0..run.rounds {
        for _ in 0..options.starts {
            ours.push(start(&client, &spec).await?);
            bare.push(one(&docker, &options.image).await? * 1e3);
        }
    }
    figure.ours = Some(median(&ours));
    figure.peer = Some(median(&bare));
    figure.ratio = Some(median(&ours) / median(&bare));
    let at = |all: &[f64], share: f64| {
        let mut sorted = all.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    };
    figure.detail = json!({"starts": ours.len(), "p90_ms": at(&ours, 0.9), "peer_p90_ms": at(&bare, 0.9),
        "min_ms": at(&ours, 0.0), "peer_min_ms": at(&bare, 0.0)});
    Ok(figure.judged(Some(Goal::AtMostAbovePeer(GOAL_MS))))
}

/// Milliseconds from the submit until the worker heard that the container runs: both clocks are this machine's.
async fn start(client: &cloudai_client::Client, spec: &JobSpec) -> anyhow::Result<f64> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec.clone()) };
    let job = JobId(client.submit(request).await?.job_id).to_string();
    let mut states = client.wait_job(WaitJobRequest { namespace: String::new(), job: job.clone() });
    while states.next().await?.is_some() {}
    let request = GetTaskRequest { job: job.clone(), ..GetTaskRequest::default() };
    let task = client.get_task(request).await?.task.context("an answer names its task")?;
    let attempt = task.attempts.last().context("it has run")?;
    ensure!(attempt.reason.as_ref().is_some_and(|r| r.is_success()), "job {job} failed: {:?}", attempt.reason);
    Ok(attempt.started_ms as f64 - began.as_secs_f64() * 1e3)
}
