//! What `top` asks, as calls. Comes in: a [`Question`]. Goes out: a [`Look`], from any master, and what only the leader knows from the leader. One look
//! makes at most [`limits::TOP_CALLS_PER_LOOK`] calls.

use std::sync::{Arc, Mutex};

use cloudai_client::{CallError, Client};
use cloudai_proto::v1::{
    ClusterStatusReply, ClusterStatusRequest, Consistency, GetTaskRequest, GetWorkerRequest, JobState, ListJobsRequest,
    ListQuotasRequest, ListTasksRequest, ListWorkersRequest, QueueRequest, TaskInfo, TaskState, WatchEventsRequest,
    WatchTelemetryRequest,
};
use cloudai_types::{JobId, limits};
use tokio::sync::mpsc;

use crate::commands::why_waits;
use crate::top::input::{Answer, DetailsOf, Input, JobRef, Look, Question};

/// What each master knows now: a picture of a moment ago that is there beats a newer one that is waited for.
const STALE: i32 = Consistency::Stale as i32;

/// Cheap to clone.
#[derive(Clone)]
pub struct Asker {
    client: Client,
    namespace: String,
    /// By its address, so that its connection stays.
    leader: Arc<Mutex<Option<(String, Client)>>>,
}

impl Asker {
    /// `client` gives up soon: whoever is shown that nobody answers need not wait for it.
    pub fn new(client: Client, namespace: String) -> Asker {
        Asker { client, namespace, leader: Arc::default() }
    }

    pub async fn look(&self, question: Question) -> Result<Look, CallError> {
        debug_assert!(question.calls() <= limits::TOP_CALLS_PER_LOOK);
        let client = &self.client;
        let mut status = client.cluster_status(ClusterStatusRequest { consistency: STALE }).await?;
        let leader_away = self.hear_leader(&mut status).await.err();
        let leads = status.leader_id > 0 && leader_away.is_none();
        let workers = async {
            if question.workers {
                client.list_workers(ListWorkersRequest { consistency: STALE }).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let jobs = ListJobsRequest {
            namespace: self.namespace.clone(),
            limit: limits::TOP_JOBS_MAX as u32,
            states: live_states(),
            consistency: STALE,
            ..ListJobsRequest::default()
        };
        let quotas = ListQuotasRequest { consistency: STALE, ..ListQuotasRequest::default() };
        let (workers, queue, namespaces, jobs) = tokio::try_join!(
            workers,
            client.queue(QueueRequest { consistency: STALE }),
            client.list_quotas(quotas),
            client.list_jobs(jobs),
        )?;
        // These may be gone by now, or nobody can say: no reason to show nothing.
        let (why, tasks, details) = tokio::join!(
            self.why(question.why.filter(|_| leads)),
            self.tasks(question.tasks_of),
            self.details(question.details),
        );
        Ok(Look {
            status,
            leader_away,
            workers,
            queue,
            namespaces: namespaces.namespaces,
            jobs: jobs.jobs,
            why,
            tasks,
            details,
        })
    }

    /// How far each master is only the leader knows. An error: it is said to lead, and does not answer.
    async fn hear_leader(&self, status: &mut ClusterStatusReply) -> Result<(), String> {
        let answered_by_leader = status.read.as_ref().is_some_and(|read| read.leader);
        let address = status.members.iter().find(|member| member.leader).map(|member| member.grpc.clone());
        let Some(address) = address.filter(|_| !answered_by_leader) else { return Ok(()) };
        let known = self.leader.lock().expect("nothing panics while it is held").clone();
        let leader = match known.filter(|(of, _)| *of == address) {
            Some((_, leader)) => leader,
            None => {
                let within = limits::TOP_ANSWER_WITHIN.as_duration();
                let leader = self.client.only(&address, within).map_err(|e| e.to_string())?;
                *self.leader.lock().expect("nothing panics while it is held") = Some((address, leader.clone()));
                leader
            }
        };
        let said = leader.cluster_status(ClusterStatusRequest { consistency: STALE }).await.map_err(|e| briefly(&e))?;
        // Of two opinions about who leads the newer one counts.
        if said.term >= status.term {
            status.members = said.members;
            (status.leader_id, status.leader, status.term) = (said.leader_id, said.leader, said.term);
        }
        Ok(())
    }

    async fn why(&self, job: Option<JobRef>) -> Option<(u64, String)> {
        let job = job?;
        let why = why_waits::of_job(&self.client, &job.namespace, &JobId(job.id).to_string()).await.ok()??;
        Some((job.id, why))
    }

    async fn tasks(&self, job: Option<JobRef>) -> Option<(JobRef, Vec<TaskInfo>, bool)> {
        let job = job?;
        let request = ListTasksRequest {
            namespace: job.namespace.clone(),
            job: JobId(job.id).to_string(),
            limit: limits::PAGE_ROWS_DEFAULT as u32,
            states: vec![TaskState::Active as i32],
            consistency: STALE,
            ..ListTasksRequest::default()
        };
        let reply = self.client.list_tasks(request).await.ok()?;
        Some((job, reply.tasks, reply.next_index == 0))
    }

    async fn details(&self, of: Option<DetailsOf>) -> Option<Answer> {
        let answer = match of? {
            DetailsOf::Worker(name) => {
                let asked = self.client.get_worker(GetWorkerRequest { name, consistency: STALE }).await;
                asked.map(|reply| Answer::Worker(Box::new(reply)))
            }
            DetailsOf::Task(job, index) => {
                let request = GetTaskRequest {
                    namespace: job.namespace,
                    job: JobId(job.id).to_string(),
                    index,
                    consistency: STALE,
                };
                self.client.get_task(request).await.map(|reply| Answer::Task(Box::new(reply)))
            }
        };
        Some(answer.unwrap_or_else(|e| Answer::Nothing(e.to_string())))
    }
}

/// Of one master: who was tried, and for how long, goes without saying.
fn briefly(e: &CallError) -> String {
    match e {
        CallError::Unreachable { last, .. } | CallError::NoLeader { last, .. } | CallError::TooBusy { last, .. } => {
            last.clone()
        }
        CallError::Refused(_) | CallError::Untrusted { .. } | CallError::OutcomeUnknown { .. } => e.to_string(),
    }
}

/// Of jobs that have not ended.
pub fn live_states() -> Vec<i32> {
    [JobState::Queued, JobState::Running].map(|state| state as i32).to_vec()
}

/// What happens, from a little before now on, until nobody hears it. A stream survives a change of leader by itself; one that could not go on
/// begins anew, and what comes twice the model knows.
pub async fn tell_events(client: Client, inputs: mpsc::Sender<Input>) {
    loop {
        let request =
            WatchEventsRequest { tail: limits::TOP_EVENTS_MAX as u32, follow: true, ..WatchEventsRequest::default() };
        let mut stream = client.watch_events(request);
        // No event is one that a person must be told of here: the screen says by itself that nobody answers.
        while let Ok(Some(reply)) = stream.next().await {
            if inputs.send(Input::Events(reply.events)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(limits::TOP_LOOK_EVERY.as_duration()).await;
    }
}

/// What workers use, until nobody hears it. A master that is older does not know the call, and usage stays `-`.
pub async fn tell_usage(client: Client, inputs: mpsc::Sender<Input>) {
    loop {
        let mut stream = client.watch_telemetry(WatchTelemetryRequest::default());
        while let Ok(frame) = stream.next().await {
            let samples = frame.workers.into_iter().filter_map(|of| Some((of.worker, of.sample?)));
            if inputs.send(Input::Usage(samples.collect())).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(limits::TOP_LOOK_EVERY.as_duration()).await;
    }
}
