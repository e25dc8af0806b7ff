//! One operation from its invocation to its outcome. Comes in: a call and a door to the cluster. Goes out: two records, and the job's id when
//! one was made.

use std::time::Duration;

use cloudai_client::{CallError, Client, SubmitError};
use cloudai_proto::v1::control_client::ControlClient;
use cloudai_proto::v1::*;
use cloudai_types::{JobId, JobSpec, limits};
use tonic::transport::Channel;

use super::judged;
use super::recorder::Recorder;
use crate::history::{Answer, Call, Event};

/// How a client reaches the cluster.
#[derive(Clone)]
pub enum Door {
    /// This master, one try.
    One { name: String, control: ControlClient<Channel> },
    /// All of them, as the client library does it.
    Any(Client),
}

impl Door {
    pub fn one(name: &str, channel: Channel) -> Door {
        let control = ControlClient::new(channel).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
        Door::One { name: name.to_owned(), control }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Door::One { name, .. } => Some(name),
            Door::Any(_) => None,
        }
    }

    /// Tries of unknown outcome that this door made again by itself.
    fn repeats(&self) -> u64 {
        match self {
            Door::One { .. } => 0,
            Door::Any(client) => client.repeats(),
        }
    }
}

/// The same call through either door; a failure as its event.
macro_rules! through {
    ($door:expr, $verb:ident, $request:expr) => {
        match $door {
            Door::One { control, .. } => {
                control.clone().$verb($request).await.map(|r| r.into_inner()).map_err(|s| judged::status(&s))
            }
            Door::Any(client) => client.$verb($request).await.map_err(|e| e.event()),
        }
    };
}

trait AsEvent {
    fn event(&self) -> Event;
}
impl AsEvent for CallError {
    fn event(&self) -> Event {
        judged::call(self)
    }
}
impl AsEvent for SubmitError {
    fn event(&self) -> Event {
        judged::submit(self)
    }
}

pub async fn perform(
    door: &Door,
    recorder: &Recorder,
    client: u32,
    call: Call,
    spec: JobSpec,
    limit: Duration,
) -> Option<u64> {
    let op = recorder.number();
    recorder.write(client, op, door.name(), Event::Invoke { call: call.clone() });
    let repeats = door.repeats();
    let is_write = matches!(call, Call::Write { .. });
    let mut outcome = match tokio::time::timeout(limit, ask(door, call, spec)).await {
        Ok(Ok(answer)) => Event::Ok { answer },
        Ok(Err(event)) => event,
        Err(_) => Event::Info { why: format!("no answer within {} s", limit.as_secs()) },
    };
    // Other operations of this client count as well: then this one is taken for repeated, which it may have been.
    if is_write && door.repeats() != repeats {
        match &mut outcome {
            Event::Ok { answer: Answer::Written { repeated, .. } } => *repeated = true,
            Event::Fail { why } => outcome = Event::Info { why: format!("{why}; a try before may have been done") },
            Event::Ok { .. } | Event::Info { .. } | Event::Invoke { .. } => {}
        }
    }
    let job = match &outcome {
        Event::Ok { answer: Answer::Submitted { job, .. } } => Some(*job),
        _ => None,
    };
    recorder.write(client, op, door.name(), outcome);
    job
}

async fn ask(door: &Door, call: Call, spec: JobSpec) -> Result<Answer, Event> {
    let consistency = Consistency::Linearizable as i32;
    match call {
        Call::Submit { request_id } => {
            let request = SubmitRequest { request_id, namespace: String::new(), spec: Some(spec) };
            let reply: SubmitReply = through!(door, submit, request)?;
            Ok(Answer::Submitted { job: reply.job_id, index: reply.index, duplicate: reply.duplicate })
        }
        Call::GetJob { job } => {
            let request = GetJobRequest { job: JobId(job).to_string(), consistency, ..Default::default() };
            let reply: GetJobReply = through!(door, get_job, request)?;
            Ok(Answer::Job { state: reply.job.map(|j| j.state), index: index(&reply.read) })
        }
        Call::ListJobs { limit } => {
            let request = ListJobsRequest { limit, consistency, ..Default::default() };
            let reply: ListJobsReply = through!(door, list_jobs, request)?;
            Ok(Answer::Jobs { ids: reply.jobs.iter().map(|j| j.id).collect(), index: index(&reply.read) })
        }
        Call::Write { key, value } if key == "policy" => {
            let policy = i32::try_from(value).unwrap_or(i32::MAX);
            let request = SetConfigRequest { score_policy: Some(policy) };
            Ok(written(through!(door, set_config, request)?.index))
        }
        Call::Write { key, value: 0 } => {
            Ok(written(through!(door, resume_worker, ResumeWorkerRequest { name: key })?.index))
        }
        Call::Write { key, value: _ } => {
            Ok(written(through!(door, drain_worker, DrainWorkerRequest { name: key, deadline_in_ms: None })?.index))
        }
        Call::Read { key } => value(door, key, Consistency::Linearizable).await,
        Call::StaleRead { key } => value(door, key, Consistency::Stale).await,
    }
}

fn written(index: u64) -> Answer {
    Answer::Written { index, repeated: false }
}

async fn value(door: &Door, key: String, consistency: Consistency) -> Result<Answer, Event> {
    let is_stale = consistency == Consistency::Stale;
    let consistency = consistency as i32;
    let (value, read) = if key == "policy" {
        let reply: ClusterStatusReply = through!(door, cluster_status, ClusterStatusRequest { consistency })?;
        (reply.config.map_or(0, |c| c.score_policy as u64), reply.read)
    } else {
        let request = GetWorkerRequest { name: key, consistency };
        let reply: GetWorkerReply = through!(door, get_worker, request)?;
        (u64::from(reply.worker.is_some_and(|w| w.draining)), reply.read)
    };
    let read = read.unwrap_or_default();
    if read.stale && !is_stale {
        return Err(Event::Fail { why: format!("{} could answer from its own state only", read.master) });
    }
    Ok(Answer::Value { value, index: read.index, from: read.master, age_ms: read.age_ms })
}

fn index(read: &Option<ReadInfo>) -> u64 {
    read.as_ref().map_or(0, |r| r.index)
}
