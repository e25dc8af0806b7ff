//! Jobs that a drill makes for itself, beside the load. Comes in: what they run. Goes out: their tasks, as the cluster knows them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use cloudai_client::Client;
use cloudai_proto::v1::{
    AttemptInfo, CancelJobRequest, Consistency, ListTasksRequest, ListWorkersRequest, SubmitRequest, TaskInfo,
    WorkerState,
};
use cloudai_types::{JobId, JobSpec, OnDisconnect, Resources};

use crate::rig::Rig;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PAGE: u32 = 1_000;

/// So many tasks that sleep so long.
pub fn sleepers(name: &str, count: u32, seconds: f64, on_disconnect: OnDisconnect) -> JobSpec {
    JobSpec {
        name: name.into(),
        image: "noop".into(),
        command: vec!["sleep".into(), seconds.to_string()],
        resources: Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Resources::default() },
        count,
        on_disconnect: on_disconnect as i32,
        ..JobSpec::default()
    }
}

pub fn submit(rig: &Rig, client: &Client, spec: JobSpec) -> anyhow::Result<JobId> {
    let request = SubmitRequest { spec: Some(spec), ..SubmitRequest::default() };
    Ok(JobId(rig.wait(client.submit(request)).context("a job of the drill cannot be submitted")?.job_id))
}

pub fn cancel(rig: &Rig, client: &Client, job: JobId) -> anyhow::Result<()> {
    let request = CancelJobRequest { job: job.to_string(), ..CancelJobRequest::default() };
    rig.wait(client.cancel_job(request)).with_context(|| format!("job {job} cannot be cancelled"))?;
    Ok(())
}

/// All its tasks, read linearizably.
pub fn tasks(rig: &Rig, client: &Client, job: JobId) -> anyhow::Result<Vec<TaskInfo>> {
    let request = ListTasksRequest { job: job.to_string(), limit: PAGE, ..ListTasksRequest::default() };
    let reply = rig.wait(client.list_tasks(request)).context("tasks cannot be listed")?;
    if reply.next_index != 0 {
        bail!("job {job} has more than {PAGE} tasks");
    }
    Ok(reply.tasks)
}

/// Waits until each of its tasks runs.
pub fn all_run(rig: &Rig, client: &Client, job: JobId) -> anyhow::Result<Vec<TaskInfo>> {
    wait::until("running tasks", LIMIT, LOOK_EVERY, || {
        let tasks = tasks(rig, client, job)?;
        let running = |t: &TaskInfo| last(t).is_some_and(|a| a.started_ms > 0 && a.reason.is_none());
        Ok(tasks.iter().all(running).then_some(tasks))
    })
}

pub fn last(task: &TaskInfo) -> Option<&AttemptInfo> {
    task.attempts.last()
}

/// Where its newest attempt is.
pub fn place(task: &TaskInfo) -> &str {
    last(task).map_or("", |a| a.worker.as_str())
}

/// What the leader knows of a worker.
pub fn is_state(rig: &Rig, client: &Client, worker: &str, state: WorkerState) -> anyhow::Result<bool> {
    let request = ListWorkersRequest { consistency: Consistency::Linearizable as i32 };
    let workers = rig.wait(client.list_workers(request)).context("workers cannot be listed")?.workers;
    Ok(workers.iter().any(|w| w.name == worker && w.state() == state))
}
