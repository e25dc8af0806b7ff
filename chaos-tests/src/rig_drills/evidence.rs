//! What a drill leaves behind, as the checkers look at it. Comes in: a healed rig on which nothing writes any more, and the history of
//! its load. Goes out: [`Facts`]. It judges nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use cloudai_client::Client;
use cloudai_proto::v1::{Consistency, GetJobRequest};
use cloudai_types::{JobId, OnDisconnect};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::checker::executions::{self, Death};
use crate::checker::facts::{Digest, Facts, Heal, Job, Log};
use crate::checker::from_history;
use crate::cluster::Executor;
use crate::history::History;
use crate::rig::Rig;

/// Until all masters are at one index.
const REST: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions about jobs at a time.
const QUESTIONS: usize = 32;
const TASKS_PAGE: u32 = 1_000;

/// `clients`: how long after the heal each client of the load had written and read.
pub fn collect(rig: &Rig, history: Option<&History>, clients: Vec<(u32, Option<Duration>)>) -> anyhow::Result<Facts> {
    let (applied, digests) = rig.digests(REST).context("the states cannot be compared")?;
    let digests = digests.into_iter().map(|(master, digest)| Digest { master, applied, digest }).collect();
    let (jobs, stop_jobs) = jobs(rig)?;
    Ok(Facts {
        ops: history.map(from_history::ops).unwrap_or_default(),
        jobs,
        executions: executions(rig)?,
        stop_jobs,
        clocks_agree: !rig.machines.values().any(|m| m.env.iter().any(|(name, _)| name == "FAKETIME")),
        digests,
        heal: heal(rig, clients)?,
        logs: rig.machines.values().map(|m| Log { process: m.name.clone(), text: m.said() }).collect(),
    })
}

fn heal(rig: &Rig, clients: Vec<(u32, Option<Duration>)>) -> anyhow::Result<Heal> {
    let views = rig.views().into_iter().map(|(name, v)| (name, v.term, v.leader)).collect();
    // The lag is known to the leader only.
    let leader = rig.leader()?;
    let status = rig.views().remove(&leader).context("the leader does not answer")?;
    let lag = |m: &cloudai_proto::v1::Member| if m.leader { Some(0) } else { m.lag_entries };
    let voters = status.members.iter().map(|m| (m.name.clone(), lag(m))).collect();
    Ok(Heal { views, voters, clients })
}

/// Every job with its tasks, and which of them stop when their worker is cut off.
fn jobs(rig: &Rig) -> anyhow::Result<(Vec<Job>, std::collections::BTreeSet<JobId>)> {
    let ids = rig.all_jobs()?;
    // Nothing writes any more, and all masters have the same state: any of them may answer.
    let client = &rig.client_of(&rig.leader()?, PATIENCE)?;
    let each = futures::stream::iter(ids).map(|id| async move { job(client, JobId(id)).await });
    let all: Vec<(Job, bool)> = rig.wait(async { each.buffer_unordered(QUESTIONS).try_collect().await })?;
    let stop = all.iter().filter(|(_, stop)| *stop).map(|(job, _)| job.id).collect();
    Ok((all.into_iter().map(|(job, _)| job).collect(), stop))
}

async fn job(client: &Client, id: JobId) -> anyhow::Result<(Job, bool)> {
    let mut request = GetJobRequest {
        job: id.to_string(),
        with_tasks: true,
        limit: TASKS_PAGE,
        consistency: Consistency::Stale as i32,
        ..GetJobRequest::default()
    };
    let mut tasks = vec![];
    loop {
        let reply = client.get_job(request.clone()).await.with_context(|| format!("job {id} cannot be read"))?;
        tasks.extend(reply.tasks);
        if reply.next_index == 0 {
            let (summary, spec) = (reply.job.unwrap_or_default(), reply.spec.unwrap_or_default());
            let stops = spec.on_disconnect() == OnDisconnect::Stop;
            let job = Job { id, request: reply.request_id, state: summary.state(), count: spec.count, tasks };
            return Ok((job, stops));
        }
        request.from_index = reply.next_index;
    }
}

/// What the workers wrote down, when their executor does that.
fn executions(rig: &Rig) -> anyhow::Result<Vec<crate::checker::Execution>> {
    if rig.options.executor != Executor::Noop {
        return Ok(vec![]);
    }
    let mut all = vec![];
    for worker in rig.workers() {
        let deaths: Vec<Death> = rig.machines[&worker]
            .deaths
            .iter()
            .map(|(pid, at_ns)| Death { worker: worker.clone(), pid: *pid, at_ns: *at_ns })
            .collect();
        let text = std::fs::read_to_string(rig.noop_record(&worker))
            .with_context(|| format!("{worker} has written no record of what it ran"))?;
        all.extend(executions::read(&worker, &text, &deaths)?);
    }
    Ok(all)
}

/// Executions of one worker, by attempt: for drills that look at them before the end.
pub fn of_worker(
    rig: &Rig,
    worker: &str,
) -> anyhow::Result<BTreeMap<cloudai_types::AttemptId, crate::checker::Execution>> {
    Ok(executions(rig)?.into_iter().filter(|e| e.worker == worker).map(|e| (e.attempt, e)).collect())
}
