//! Live telemetry and the registry as people and programs read them on port 7600. Comes in: samples, and the replicated state, which knows what
//! attempts hold. Goes out: JSON, in the words and units of the command line's: cores, bytes, times in RFC 3339; null where nobody knows.

use std::collections::BTreeMap;

use cloudai_core::rows::WorkerState;
use cloudai_core::{Hot, Worker};
use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, JobId, Resources, limits};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::board::Said;
use crate::control::events;
use crate::event_ring::Told;
use crate::events::Leaders;

/// Milliseconds since the epoch; 0: never.
struct At(u64);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000);
        match at.ok().filter(|_| self.0 > 0).and_then(|at| at.format(&Rfc3339).ok()) {
            Some(text) => s.serialize_some(&text),
            None => s.serialize_none(),
        }
    }
}

fn cores(milli: u32) -> f64 {
    f64::from(milli) / 1000.0
}

#[derive(Serialize)]
struct Amounts {
    cpu: f64,
    memory_bytes: u64,
    storage_bytes: u64,
    gpu: u32,
}

impl From<Resources> for Amounts {
    fn from(r: Resources) -> Self {
        Amounts {
            cpu: r.cpu_milli as f64 / 1000.0,
            memory_bytes: r.memory_bytes,
            storage_bytes: r.storage_bytes,
            gpu: r.gpus,
        }
    }
}

#[derive(Serialize)]
struct Telemetry<'a> {
    worker: &'a str,
    /// On its own clock.
    at: At,
    /// When the leader heard of it, on this master's clock.
    heard_at: At,
    machine: Option<Machine>,
    gpus: Vec<Gpu<'a>>,
    tasks: Vec<Task>,
    tasks_left_out: u32,
}

#[derive(Serialize)]
struct Machine {
    cpu: Option<f64>,
    cpu_total: Option<f64>,
    memory_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    storage_free_bytes: Option<u64>,
    storage_total_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Gpu<'a> {
    uuid: &'a str,
    model: &'a str,
    /// From 0 to 1.
    busy: Option<f64>,
    memory_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
    celsius: Option<u32>,
}

#[derive(Serialize)]
struct Task {
    job: String,
    task: String,
    attempt: u32,
    cpu: Option<f64>,
    memory_bytes: Option<u64>,
    storage_bytes: Option<u64>,
    /// What it may use; null: it has ended, as far as this master knows.
    holds: Option<Amounts>,
}

/// `epoch_ms`: the wall time of the clock's zero that the sample was heard on.
pub fn telemetry(hot: &Hot, said: &Said, epoch_ms: u64) -> String {
    let sample = &said.sample;
    text(&Telemetry {
        worker: &said.worker,
        at: At(sample.at_ms),
        heard_at: At(epoch_ms + said.heard.0),
        machine: sample.machine.map(|m| Machine {
            cpu: m.cpu_millicores.map(cores),
            cpu_total: m.cpu_total_millicores.map(cores),
            memory_bytes: m.memory_used_bytes,
            memory_total_bytes: m.memory_total_bytes,
            storage_free_bytes: m.storage_free_bytes,
            storage_total_bytes: m.storage_total_bytes,
        }),
        gpus: sample.gpus.iter().map(gpu).collect(),
        tasks: sample.attempts.iter().map(|used| task(hot, used)).collect(),
        tasks_left_out: sample.attempts_left_out,
    })
}

fn gpu(gpu: &pb::GpuUsage) -> Gpu<'_> {
    Gpu {
        uuid: &gpu.uuid,
        model: &gpu.model,
        busy: gpu.busy_millis.map(cores),
        memory_bytes: gpu.memory_used_bytes,
        memory_total_bytes: gpu.memory_total_bytes,
        celsius: gpu.celsius,
    }
}

fn task(hot: &Hot, used: &pb::AttemptUsage) -> Task {
    let id = AttemptId::new(JobId(used.job), used.index, used.number);
    let (job, task) = (id.task.job.to_string(), id.task.to_string());
    Task {
        job,
        task,
        attempt: used.number,
        cpu: used.cpu_millicores.map(cores),
        memory_bytes: used.memory_bytes,
        storage_bytes: used.storage_bytes,
        holds: holds(hot, id).map(Amounts::from),
    }
}

fn holds(hot: &Hot, id: AttemptId) -> Option<Resources> {
    let job = hot.jobs.get(&id.task.job)?;
    let attempt = job.active.get(&id.task.index).filter(|attempt| attempt.number == id.number && !attempt.released)?;
    Some(hot.needs(job, attempt.memory_mib))
}

#[derive(Serialize)]
struct Registry<'a> {
    /// The log index that this is as of: a state with a greater `seq` is newer.
    index: u64,
    leader: Option<String>,
    workers: Vec<WorkerPage<'a>>,
}

#[derive(Serialize)]
struct WorkerPage<'a> {
    name: &'a str,
    state: &'static str,
    /// Since when it has its session, or had its last one.
    registered_at: At,
    draining: bool,
    drain_deadline: At,
    evicting: bool,
    leaving: bool,
    capacity: Amounts,
    reserved: Option<Amounts>,
    allocated: Amounts,
    labels: &'a BTreeMap<String, String>,
    taints: BTreeMap<&'a str, &'a str>,
    software: &'a str,
    tasks: Vec<Held>,
    /// Attempts that found no place in this answer.
    tasks_left_out: usize,
}

#[derive(Serialize)]
struct Held {
    job: String,
    task: String,
    attempt: u32,
    state: &'static str,
    assigned_at: At,
    started_at: At,
    holds: Option<Amounts>,
}

/// All workers in order of their names, as this master knows them.
pub fn registry(hot: &Hot, index: u64, leader: Option<String>) -> String {
    let mut places = limits::WORKERS_ANSWER_ATTEMPTS_MAX;
    let workers = hot.worker_names.values().filter_map(|id| hot.workers.get(id));
    text(&Registry { index, leader, workers: workers.map(|worker| page(hot, worker, &mut places)).collect() })
}

fn page<'a>(hot: &'a Hot, w: &'a Worker, places: &mut usize) -> WorkerPage<'a> {
    let held = |task: &cloudai_types::TaskId| {
        let a = hot.attempt(*task)?;
        let id = AttemptId { task: *task, number: a.number };
        Some(Held {
            job: task.job.to_string(),
            task: task.to_string(),
            attempt: a.number,
            state: pb::AttemptPhase::try_from(a.state as i32).map_or("Unknown", pb::AttemptPhase::name),
            assigned_at: At(a.assigned_ms),
            started_at: At(a.started_ms),
            holds: holds(hot, id).map(Amounts::from),
        })
    };
    let tasks: Vec<Held> = w.active.iter().take(*places).filter_map(held).collect();
    *places = places.saturating_sub(tasks.len());
    WorkerPage {
        name: &w.name,
        state: state(w.state),
        registered_at: At(w.registered_ms),
        draining: w.draining,
        drain_deadline: At(w.drain_deadline_ms),
        evicting: w.evicting,
        leaving: w.leaving,
        capacity: w.capacity.into(),
        reserved: w.reserved.map(Amounts::from),
        allocated: w.used.into(),
        labels: &w.labels,
        taints: w.taints.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        software: &w.software,
        tasks_left_out: w.active.len() - tasks.len(),
        tasks,
    }
}

fn state(state: WorkerState) -> &'static str {
    pb::WorkerState::try_from(state as i32).map_or("Unknown", pb::WorkerState::name)
}

#[derive(Serialize)]
struct StateChange<'a> {
    r#type: &'static str,
    /// As in `cloudai events`: the same at every master.
    seq: String,
    at: At,
    worker: &'a str,
    /// What happened, as in `cloudai events`.
    event: &'static str,
    /// What it is now.
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "is_zero")]
    attempts: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    taint: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor: &'a str,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What has become of a worker; a whole message.
pub fn state_change(hot: &Hot, leaders: &Leaders, told: Told) -> String {
    let Told { at, at_ms, news } = told;
    let state = news.worker.and_then(|id| hot.workers.get(&id)).map(|w| state(w.state));
    let event_name = news.kind().name();
    let event = events::event(hot, leaders, at_ms, news);
    text(&StateChange {
        r#type: "state",
        seq: at.to_string(),
        at: At(at_ms),
        worker: &event.worker,
        event: event_name,
        state,
        attempts: event.attempts,
        taint: &event.taint,
        actor: &event.actor,
    })
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain texts and finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::board::Board;
    use cloudai_types::Timestamp;

    #[test]
    fn what_nobody_knows_is_null_and_what_has_ended_holds_nothing() {
        let sample = pb::UsageSample {
            at_ms: 1_790_000_000_000,
            machine: Some(pb::MachineUsage {
                cpu_millicores: Some(250),
                memory_total_bytes: Some(4 << 30),
                ..Default::default()
            }),
            gpus: vec![pb::GpuUsage { uuid: "GPU-1".into(), busy_millis: Some(500), ..Default::default() }],
            attempts: vec![pb::AttemptUsage {
                job: 4,
                index: 2,
                number: 1,
                memory_bytes: Some(7),
                ..Default::default()
            }],
            attempts_left_out: 0,
        };
        let mut board = Board::default();
        board.tell("w\"1", sample, Timestamp(500));
        let said = board.since(0).remove(0).1;
        let json: serde_json::Value =
            serde_json::from_str(&telemetry(&Hot::default(), &said, 1_790_000_000_000)).expect("JSON");
        let job = JobId(4).to_string();
        assert_eq!(
            json,
            serde_json::json!({
                "worker": "w\"1", "at": "2026-09-21T14:13:20Z", "heard_at": "2026-09-21T14:13:20.5Z",
                "machine": { "cpu": 0.25, "cpu_total": null, "memory_bytes": null, "memory_total_bytes": 4u64 << 30,
                             "storage_free_bytes": null, "storage_total_bytes": null },
                "gpus": [{ "uuid": "GPU-1", "model": "", "busy": 0.5, "memory_bytes": null, "memory_total_bytes": null, "celsius": null }],
                "tasks": [{ "job": job, "task": format!("{job}/2"), "attempt": 1, "cpu": null, "memory_bytes": 7, "storage_bytes": null,
                            "holds": null }],
                "tasks_left_out": 0,
            })
        );
    }

    #[test]
    fn a_registry_of_nobody_is_an_empty_list() {
        let json = registry(&Hot::default(), 7, None);
        assert_eq!(json, "{\"index\":7,\"leader\":null,\"workers\":[]}");
    }
}
