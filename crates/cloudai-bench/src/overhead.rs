//! What it costs to see everything: no-op life cycles per second of a cluster that is watched in every way, beside one that nobody watches. Two
//! clusters stand side by side and take turns, so that a slow minute of the machine meets both.
//!
//! Watched means: traces go to a receiver (sampled as the defaults say), every process's metrics are scraped every five seconds, one client
//! follows the telemetry of all workers and one the events. The receiver and the clients run in this process, and their CPU counts: on a
//! small machine that is the harder form.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cloudai_client::Client;
use cloudai_proto::v1::{WatchEventsRequest, WatchTelemetryRequest};
use cloudai_types::{JobSpec, Resources};
use futures::future::try_join_all;
use serde_json::json;
use tokio::task::JoinSet;

use crate::RunOptions;
use crate::cluster::{Cluster, Costs};
use crate::figure::{Figure, Goal, Nature, median};
use crate::receiver::Receiver;
use crate::{lifecycles, pages, tls};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// Jobs of a round, all submitted at once
    #[arg(long, default_value_t = 100)]
    jobs: u32,
    /// Tasks of each
    #[arg(long, default_value_t = 1_000)]
    tasks: u32,
    /// Hollow workers of each cluster
    #[arg(long, default_value_t = 16)]
    workers: u16,
}

const SCRAPE_EVERY: Duration = Duration::from_secs(5);
const GOAL_RATIO: f64 = 0.97;

/// What the watchers have got, as a proof that they watched.
#[derive(Default)]
struct Got {
    pages: AtomicU64,
    samples: AtomicU64,
    events: AtomicU64,
}

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Figure> {
    let mut figure = Figure::new("overhead", "tasks/s", Nature::CLUSTER);
    let receiver = Receiver::start().await?;
    let workers = options.workers.to_string();
    let args = ["--executor", "noop", "--workers", &workers, "--capacity", "cpu=64,memory=256GiB"];
    let plain = Cluster::start(run, &args, &[]).await?;
    let seen = Cluster::start(run, &[&args[..], &["--otlp", receiver.endpoint()]].concat(), &[]).await?;
    // Sessions and caches are warm, as in clusters that live.
    load(&plain, options).await?;
    load(&seen, options).await?;

    let got = Arc::new(Got::default());
    let (mut without, mut with): (Vec<f64>, Vec<f64>) = (vec![], vec![]);
    let (mut costs_without, mut costs_with): (Vec<Costs>, Vec<Costs>) = (vec![], vec![]);
    let all = u64::from(options.jobs) * u64::from(options.tasks);
    for round in 0..run.rounds {
        // Whoever is first finds another machine than whoever is second.
        for watched in [round % 2 == 0, round % 2 == 1] {
            let (cluster, rates, costs) = match watched {
                true => (&seen, &mut with, &mut costs_with),
                false => (&plain, &mut without, &mut costs_without),
            };
            let watching = if watched { watch(cluster, &got)? } else { JoinSet::new() };
            let before = cluster.clocks();
            rates.push(load(cluster, options).await?);
            costs.push(before.costs(&cluster.clocks(), all));
            drop(watching);
        }
    }
    let ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let spans = receiver.spans();
    let counts = [spans, got.pages.load(Relaxed), got.samples.load(Relaxed), got.events.load(Relaxed)];
    anyhow::ensure!(counts.iter().all(|n| *n > 0), "spans, pages, samples, events: {counts:?}: not everything was on");
    figure.ours = Some(median(&with));
    figure.peer = Some(median(&without));
    figure.peer_name = Some("the same without traces, scrapes and watchers");
    figure.ratio = Some(median(&ratios));
    figure.detail = json!({"jobs": options.jobs, "tasks_of_each": options.tasks, "watched": with, "not_watched": without, "ratios": ratios,
        "cpu_us_per_task": {"watched": costs_with, "not_watched": costs_without},
        "received": {"spans": counts[0], "metrics_pages": counts[1], "telemetry_samples": counts[2], "events": counts[3]}});
    Ok(figure.judged(Some(Goal::RatioAtLeast(GOAL_RATIO))))
}

/// Tasks per second, from the first submit to the last end.
async fn load(cluster: &Cluster, options: &Options) -> anyhow::Result<f64> {
    let client = cluster.client()?;
    let spec = JobSpec {
        name: "bench".to_owned(),
        image: "busybox".to_owned(),
        command: vec!["true".to_owned()],
        resources: Resources { cpu_milli: 1_000, ..Resources::default() },
        count: options.tasks,
        max_attempts: 1,
        ..JobSpec::default()
    };
    let began = Instant::now();
    try_join_all((0..options.jobs).map(|_| lifecycles::array(&client, spec.clone()))).await?;
    Ok(f64::from(options.jobs) * f64::from(options.tasks) / began.elapsed().as_secs_f64())
}

/// Everything that watches, until it is dropped.
fn watch(cluster: &Cluster, got: &Arc<Got>) -> anyhow::Result<JoinSet<()>> {
    let mut watching = JoinSet::new();
    watching.spawn(telemetry(cluster.client()?, got.clone()));
    watching.spawn(events(cluster.client()?, got.clone()));
    let tls = tls::client(&cluster.admin_identity(), false, &[b"http/1.1"])?;
    for address in cluster.pages() {
        let (tls, got) = (tls.clone(), got.clone());
        watching.spawn(async move {
            loop {
                if pages::page(&tls, &address).await.is_ok_and(|page| page.contains("cloudai_build_info")) {
                    got.pages.fetch_add(1, Relaxed);
                }
                tokio::time::sleep(SCRAPE_EVERY).await;
            }
        });
    }
    Ok(watching)
}

async fn telemetry(client: Client, got: Arc<Got>) {
    let mut frames = client.watch_telemetry(WatchTelemetryRequest::default());
    while let Ok(frame) = frames.next().await {
        got.samples.fetch_add(frame.workers.len() as u64, Relaxed);
    }
}

async fn events(client: Client, got: Arc<Got>) {
    let mut news = client.watch_events(WatchEventsRequest { follow: true, ..Default::default() });
    while let Ok(Some(reply)) = news.next().await {
        got.events.fetch_add(reply.events.len() as u64, Relaxed);
    }
}
