//! A mixed load with faults on three masters and hollow workers, for some minutes. Comes in: how long. Goes out: whether anything grows:
//! resident memory, disk, open files, threads and runtime tasks of each process, by a regression over the second half of the time.
//!
//! Jobs are kept for a short time only (`job_retention_secs`), and checkpoints are frequent, so that a run of minutes sees many rounds of
//! both. One master and one worker are the victims of all kills; the others live through the whole run, and only a process that
//! lives through the second half is judged by its memory, files, threads and tasks. Disks are judged for all.

mod faults;
mod load;
mod sample;
mod trend;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cloudai_proto::v1::QueueRequest;
use serde::Serialize;
use tokio::sync::watch;

use crate::RunOptions;
use crate::cluster::Cluster;
use crate::soak::faults::Done;
use crate::soak::load::{Load, Tally};
use crate::soak::sample::{Sampler, What};
use crate::soak::trend::{Trend, judge};

#[derive(Clone, clap::Args)]
pub struct Options {
    /// How long the load lasts
    #[arg(long, default_value_t = 30)]
    pub minutes: u64,
    /// Hollow workers
    #[arg(long, default_value_t = 4)]
    pub workers: u16,
    /// Single jobs per second; some fail and are tried again, some are cancelled
    #[arg(long, default_value_t = 100)]
    pub submits_per_second: u32,
    /// Tasks of the array that is submitted each second; 0: none
    #[arg(long, default_value_t = 2_000)]
    pub array: u32,
    /// Seconds between two samples
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub sample_every: u64,
    /// Seconds between two faults: hand-over, worker restart, leader kill, in turn
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub fault_every: u64,
    /// Seconds that an ended job is kept
    #[arg(long, default_value_t = 60)]
    pub retention: u64,
    /// Log entries between two checkpoints
    #[arg(long, default_value_t = 2_000)]
    pub snapshot_every: u64,
}

/// After the load everything must end: workers are there, and nothing runs longer than some seconds.
const DRAIN_WITHIN: Duration = Duration::from_secs(90);
/// A second half with fewer samples says nothing about growth.
const SAMPLES_MIN: usize = 5;

#[derive(Debug, Serialize)]
pub struct Report {
    minutes: u64,
    samples: usize,
    tally: Tally,
    faults: BTreeMap<&'static str, u64>,
    /// Jobs that had not ended when the time after the load was over.
    left_over: u64,
    trends: Vec<Trend>,
    /// Load averages at the start and at the end.
    load: [f64; 2],
    /// Why the run does not hold; empty: it does.
    complaints: Vec<String>,
}

impl Report {
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }
}

pub async fn run(run: &RunOptions, options: &Options) -> anyhow::Result<Report> {
    let load_before = crate::machine::load();
    let settings =
        [("", "job_retention_secs", options.retention), ("raft", "snapshot_every_entries", options.snapshot_every)];
    let workers = options.workers.to_string();
    let args = ["--executor", "noop", "--workers", &workers, "--capacity", "cpu=64,memory=256GiB"];
    let cluster = Cluster::start(run, &args, &settings).await?;
    let client = cluster.client()?;
    let mut sampler = Sampler::new(&cluster)?;
    let load = Load::start(&client, options);
    let (done, (stop, stopped)) = (Done::default(), watch::channel(false));
    let faults = faults::run(&cluster, &client, Duration::from_secs(options.fault_every), &done, stopped);
    tokio::pin!(faults);
    let began = Instant::now();
    let until = began + Duration::from_secs(options.minutes * 60);
    let mut ticks = tokio::time::interval(Duration::from_secs(options.sample_every));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            ended = &mut faults => {
                ended.context("a fault could not be made: the run says nothing")?;
                bail!("the faults ended by themselves");
            }
        }
        if Instant::now() >= until {
            break;
        }
        sampler.sample(began.elapsed()).await;
        eprintln!("{:>5} s  {}  {}", began.elapsed().as_secs(), load.tally(), sampler.last());
    }
    let length = began.elapsed();
    stop.send_replace(true);
    faults.await.context("the last fault could not be made")?;
    let done = std::mem::take(&mut *done.lock().expect("nobody panics with it"));
    let tally = load.stop().await;
    let left_over = drained(&client).await?;
    let trends = judge(sampler.series(), length);
    let complaints = complaints(&tally, left_over, &trends, &done);
    Ok(Report {
        minutes: options.minutes,
        samples: sampler.count(),
        tally,
        faults: done,
        left_over,
        trends,
        load: [load_before, crate::machine::load()],
        complaints,
    })
}

/// Jobs that still live when everything should have ended.
async fn drained(client: &cloudai_client::Client) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let jobs = client.queue(QueueRequest::default()).await.context("the queue cannot be read after the load")?.jobs;
        if jobs == 0 || began.elapsed() > DRAIN_WITHIN {
            return Ok(jobs);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn complaints(tally: &Tally, left_over: u64, trends: &[Trend], faults: &BTreeMap<&'static str, u64>) -> Vec<String> {
    let mut complaints: Vec<String> = trends.iter().filter(|t| !t.flat).map(Trend::sentence).collect();
    if left_over > 0 {
        complaints.push(format!("{left_over} jobs had not ended {} s after the load", DRAIN_WITHIN.as_secs()));
    }
    if tally.failed > 0 {
        complaints.push(format!("{} calls failed, the last one: {}", tally.failed, tally.last_failure));
    }
    if trends.iter().map(|t| t.samples).max().unwrap_or(0) < SAMPLES_MIN {
        complaints.push(format!(
            "fewer than {SAMPLES_MIN} samples in the second half: the run was too short to say anything"
        ));
    }
    for wanted in [What::Memory, What::OwnMemory, What::Disk, What::Files, What::Threads, What::Tasks] {
        if !trends.iter().any(|t| t.what == wanted) {
            complaints.push(format!("{} of no process could be judged", wanted.name()));
        }
    }
    if faults.values().sum::<u64>() == 0 {
        complaints.push("not a single fault was made".to_owned());
    }
    complaints
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:<8} {:<6} {:>10} {:>10} {:>10} {:>8} {:>7} {:>5}",
            "process", "what", "unit", "first", "last", "growth", "bound", "samples", "flat"
        )?;
        for t in &self.trends {
            writeln!(
                f,
                "{:<10} {:<8} {:<6} {:>10.1} {:>10.1} {:>+10.1} {:>8.1} {:>7} {:>5}",
                t.process,
                t.what.name(),
                t.what.unit(),
                t.first,
                t.last,
                t.growth,
                t.bound,
                t.samples,
                if t.flat { "yes" } else { "NO" }
            )?;
        }
        writeln!(
            f,
            "growth: slope of the second half's samples (Theil-Sen) times its length; bound: what counts as flat"
        )?;
        writeln!(f, "load of {} min: {}", self.minutes, self.tally)?;
        writeln!(
            f,
            "faults: {:?}; jobs left over: {}; load average {:.1} -> {:.1}",
            self.faults, self.left_over, self.load[0], self.load[1]
        )?;
        for complaint in &self.complaints {
            writeln!(f, "NOT FLAT or not valid: {complaint}")?;
        }
        writeln!(f, "{}", if self.holds() { "the soak holds" } else { "the soak does NOT hold" })
    }
}
