//! The mixed load. Comes in: a client and how much of what. Goes out: a tally. Callers survive a change of leader as the client does: a
//! call that fails after all its tries is counted, and a run with one does not hold.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_client::{Client, SubmitStream};
use cloudai_proto::v1::{
    CancelJobRequest, ClusterStatusRequest, Consistency, GetJobRequest, ListJobsRequest, ListWorkersRequest,
    QueueRequest, SubmitRequest,
};
use cloudai_types::{JobId, JobSpec, Resources};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::soak::Options;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Tally {
    pub jobs: u64,
    pub array_tasks: u64,
    pub cancels: u64,
    pub reads: u64,
    /// Ticks on which nothing was submitted, because too many calls were unanswered: an outage.
    pub skipped: u64,
    pub failed: u64,
    pub last_failure: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { jobs, array_tasks, cancels, reads, skipped, failed, last_failure: _ } = self;
        write!(
            f,
            "{jobs} jobs, {array_tasks} array tasks, {cancels} cancels, {reads} reads, {skipped} skipped, {failed} failed"
        )
    }
}

/// Runs until it is stopped.
pub struct Load {
    actors: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    stream: SubmitStream,
    tally: Mutex<Tally>,
}

/// Submits per tick of this length.
const TICK: Duration = Duration::from_millis(100);
/// Unanswered submits; beyond that ticks are skipped until the masters answer again.
const UNANSWERED_MAX: usize = 512;
const READ_EVERY: Duration = Duration::from_millis(100);
/// A job that is to be cancelled gets so long before.
const CANCEL_AFTER: Duration = Duration::from_millis(700);

impl Load {
    pub fn start(client: &Client, options: &Options) -> Load {
        let shared =
            Arc::new(Shared { client: client.clone(), stream: client.submit_stream(), tally: Mutex::default() });
        let mut actors = JoinSet::new();
        let per_tick = options.submits_per_second as f64 * TICK.as_secs_f64();
        actors.spawn(singles(shared.clone(), per_tick));
        if options.array > 0 {
            actors.spawn(arrays(shared.clone(), options.array));
        }
        actors.spawn(reads(shared.clone()));
        Load { actors, shared }
    }

    pub fn tally(&self) -> Tally {
        self.shared.count(|t| t.clone())
    }

    pub async fn stop(mut self) -> Tally {
        self.actors.shutdown().await;
        self.tally()
    }
}

impl Shared {
    fn count<R>(&self, change: impl FnOnce(&mut Tally) -> R) -> R {
        change(&mut self.tally.lock().expect("nobody panics with it"))
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) {
        self.count(|t| {
            t.failed += 1;
            t.last_failure = format!("{what}: {error}");
        });
    }

    async fn submit(&self, spec: JobSpec) -> Option<JobId> {
        let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec) };
        match self.stream.submit(request).await {
            Ok(reply) => Some(JobId(reply.job_id)),
            Err(error) => {
                self.failed("submit", &error);
                None
            }
        }
    }

    async fn cancel(&self, job: JobId) {
        let request = CancelJobRequest { namespace: String::new(), job: job.to_string() };
        match self.client.cancel_job(request).await {
            Ok(_) => self.count(|t| t.cancels += 1),
            Err(error) => self.failed("cancel", &error),
        }
    }
}

/// Of 20 single jobs: one fails for good, one fails and is tried three times, one is cancelled while it runs, two take a while.
async fn singles(shared: Arc<Shared>, per_tick: f64) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    let (mut owed, mut number) = (0.0, 0u64);
    loop {
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        if calls.len() > UNANSWERED_MAX {
            shared.count(|t| t.skipped += 1);
            continue;
        }
        owed += per_tick;
        while owed >= 1.0 {
            owed -= 1.0;
            number += 1;
            let (shared, kind) = (shared.clone(), number % 20);
            calls.spawn(async move {
                let spec = match kind {
                    0 => job(&["exit", "3"], 1, 1),
                    1 => job(&["exit", "4"], 1, 3),
                    2 => job(&["sleep", "20"], 1, 1),
                    3 | 4 => job(&["sleep", "2"], 1, 1),
                    _ => job(&["true"], 1, 1),
                };
                let Some(id) = shared.submit(spec).await else { return };
                shared.count(|t| t.jobs += 1);
                if kind == 2 {
                    tokio::time::sleep(CANCEL_AFTER).await;
                    shared.cancel(id).await;
                }
            });
        }
    }
}

/// One array per second; each tenth is cancelled on its way.
async fn arrays(shared: Arc<Shared>, tasks: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for number in 0u64.. {
        ticks.tick().await;
        let Some(id) = shared.submit(job(&["true"], tasks, 2)).await else { continue };
        shared.count(|t| {
            t.jobs += 1;
            t.array_tasks += u64::from(tasks);
        });
        if number % 10 == 9 {
            shared.cancel(id).await;
        }
    }
}

/// Reads of all kinds, at every consistency, in turn.
async fn reads(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(READ_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let client = &shared.client;
    for number in 0u64.. {
        ticks.tick().await;
        let consistency = if number % 3 == 0 { Consistency::Linearizable } else { Consistency::Stale } as i32;
        let read = match number % 5 {
            0 => newest_job(client, consistency).await,
            1 => client.queue(QueueRequest { consistency }).await.map(drop),
            2 => client.cluster_status(ClusterStatusRequest { consistency }).await.map(drop),
            3 => client.list_workers(ListWorkersRequest { consistency }).await.map(drop),
            _ => client.list_jobs(ListJobsRequest { limit: 50, consistency, ..Default::default() }).await.map(drop),
        };
        match read {
            Ok(()) => shared.count(|t| t.reads += 1),
            Err(error) => shared.failed("read", &error),
        }
    }
}

async fn newest_job(client: &Client, consistency: i32) -> Result<(), cloudai_client::CallError> {
    let newest = client.list_jobs(ListJobsRequest { limit: 1, consistency, ..Default::default() }).await?;
    let Some(job) = newest.jobs.first() else { return Ok(()) };
    let request = GetJobRequest { job: JobId(job.id).to_string(), with_tasks: true, limit: 20, ..Default::default() };
    client.get_job(request).await.map(drop)
}

fn job(command: &[&str], count: u32, max_attempts: u32) -> JobSpec {
    JobSpec {
        name: "soak".to_owned(),
        image: "busybox".to_owned(),
        command: command.iter().map(|w| (*w).to_owned()).collect(),
        resources: Resources { cpu_milli: 100, memory_bytes: 1 << 20, ..Resources::default() },
        count,
        max_attempts,
        ..JobSpec::default()
    }
}
