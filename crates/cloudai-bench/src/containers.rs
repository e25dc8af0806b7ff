//! Real containers per second: an array of `true` in busybox on one worker, beside a bare client of the same engine and beside Docker
//! Swarm's replicated jobs, with as many at a time. Ours and the bare client create, start, wait for and remove each container; ours
//! also queues, places, reports and keeps the log, replicated over three fsyncing masters. Rounds alternate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptions, StartContainerOptions, WaitContainerOptions,
};
use cloudai_types::{JobSpec, Resources};
use futures::StreamExt as _;
use futures::future::try_join_all;
use serde_json::json;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::figure::{Figure, Goal, Nature, median};
use crate::lifecycles::array;
use crate::swarm::Swarm;

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Containers of one round, of each side
    #[arg(long, default_value_t = 100)]
    containers: u32,
    /// Containers at a time
    #[arg(long, default_value_t = 8)]
    concurrency: u32,
    /// An image that is there already and has `true`
    #[arg(long, default_value = "cloudai/busybox")]
    image: String,
}

/// Of each container, ours and the peers'.
pub const MEMORY: u64 = 32 << 20;

/// Three figures: beside the bare client, and twice beside Docker Swarm's replicated jobs: without the removal of Swarm's containers, which
/// is the stricter one and has the goal, and with it in Swarm's time as it is in ours.
pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut beside_bare = Figure::new("containers", "containers/s", Nature::WHOLE);
    let mut beside_swarm = Figure::new("containers-swarm", "containers/s", Nature::WHOLE);
    let mut swarm_removed = Figure::new("containers-swarm-removed", "containers/s", Nature::WHOLE);
    beside_bare.peer_name = Some("a bare client of the same engine: create, start, wait, remove");
    beside_swarm.peer_name = Some(
        "Docker Swarm, replicated-job, one manager, same engine and limits; its removal of containers is not counted",
    );
    swarm_removed.peer_name = Some("the same, until its containers are removed, as ours are");
    let docker = match engine(&options.image).await {
        Ok(docker) => docker,
        Err(why) => {
            let figures = [beside_bare, beside_swarm, swarm_removed];
            return Ok(figures.into_iter().map(|f| f.not_run(why.to_string())).collect());
        }
    };
    let swarm = Swarm::init(docker.clone()).await.map_err(|why| format!("Swarm's peer is missing: {why:#}"));
    let capacity = format!("cpu={},memory=64GiB", options.concurrency);
    let args = ["--executor", "docker", "--workers", "1", "--capacity", &capacity];
    let cluster = Cluster::start(run, &args, &[]).await?;
    let client = cluster.client()?;
    // One core each: the worker's capacity is the concurrency. The engine's share of CPU is the same for the bare client.
    let spec = JobSpec {
        name: "bench".to_owned(),
        image: options.image.clone(),
        command: vec!["true".to_owned()],
        resources: Resources { cpu_milli: 1_000, memory_bytes: MEMORY, ..Resources::default() },
        count: options.containers,
        max_attempts: 1,
        ..JobSpec::default()
    };
    let many = options.containers;
    array(&client, JobSpec { count: options.concurrency, ..spec.clone() }).await?;
    bare(&docker, options, options.concurrency).await?;
    let (mut ours, mut bares, mut swarms, mut removed) = (vec![], vec![], vec![], vec![]);
    for _ in 0..run.rounds {
        ours.push(f64::from(many) / array(&client, spec.clone()).await?);
        bares.push(f64::from(many) / bare(&docker, options, many).await?);
        if let Ok(swarm) = &swarm {
            let took = swarm.job(&options.image, many, options.concurrency, MEMORY).await?;
            swarms.push(f64::from(many) / took.completed);
            removed.push(f64::from(many) / took.gone);
        }
    }
    if let Err(why) = swarm {
        swarm_removed.not_run = Some(why.clone());
        beside_swarm.not_run = Some(why);
    }
    Ok(vec![
        compared(beside_bare, options, &ours, &bares).judged(Some(Goal::RatioAtLeast(0.95))),
        compared(beside_swarm, options, &ours, &swarms).judged(Some(Goal::RatioAtLeast(1.4))),
        compared(swarm_removed, options, &ours, &removed),
    ])
}

fn compared(mut figure: Figure, options: &Options, ours: &[f64], theirs: &[f64]) -> Figure {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    figure.ours = Some(median(ours));
    figure.peer = (!theirs.is_empty()).then(|| median(theirs));
    figure.ratio = (!ratios.is_empty()).then(|| median(&ratios));
    figure.detail = json!({"containers": options.containers, "concurrency": options.concurrency, "rounds": ours,
        "peer_rounds": theirs, "ratios": ratios});
    figure
}

/// The engine, when it answers and has the image.
pub async fn engine(image: &str) -> anyhow::Result<Docker> {
    let docker = Docker::connect_with_defaults().context("no container engine is configured")?;
    docker.ping().await.map_err(|e| anyhow::anyhow!("no container engine answers: {e}"))?;
    if let Err(error) = docker.inspect_image(image).await {
        bail!("the engine has no image {image} ({error}): sample-tasks/build.sh builds it");
    }
    Ok(docker)
}

/// Seconds for `count` containers.
async fn bare(docker: &Docker, options: &Options, count: u32) -> anyhow::Result<f64> {
    let began = Instant::now();
    let left = Arc::new(AtomicU32::new(count));
    let callers = (0..options.concurrency).map(|_| {
        let (docker, left, image) = (docker.clone(), left.clone(), options.image.clone());
        tokio::spawn(async move {
            while left.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                one(&docker, &image).await?;
            }
            anyhow::Ok(())
        })
    });
    for ended in try_join_all(callers).await? {
        ended?;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// One container of the bare client's, from its creation to its removal. Seconds until it ran.
pub async fn one(docker: &Docker, image: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let memory = i64::try_from(MEMORY).context("a small number")?;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        // The same limits as a task gets.
        host_config: Some(HostConfig {
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some(1_000_000_000),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    let ran = async {
        docker.start_container(&id, None::<StartContainerOptions>).await?;
        let until_it_ran = began.elapsed().as_secs_f64();
        let mut ended = docker.wait_container(&id, None::<WaitContainerOptions>);
        while let Some(state) = ended.next().await {
            state?;
        }
        anyhow::Ok(until_it_ran)
    };
    let ran = ran.await;
    let force = RemoveContainerOptions { force: ran.is_err(), ..RemoveContainerOptions::default() };
    docker.remove_container(&id, Some(force)).await?;
    ran
}
