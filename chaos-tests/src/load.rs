//! Submits under load, through the client library: one by one per client, at a steady pace, whatever happens to the masters.
//! Comes in: a cluster's exported settings. Goes out: for each submit, what its client was told and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cloudai_client::{Client, ClientOptions, SubmitError};
use cloudai_proto::v1::{
    Consistency, GetJobRequest, JobState, ListJobsRequest, SubmitRequest, TaskState, WaitJobRequest,
};
use cloudai_types::{JobId, JobSpec, Resources};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::cli::Cli;

/// What became of one submit.
#[derive(Debug, Clone)]
pub enum Told {
    /// The id that the client was given.
    Acknowledged(JobId),
    /// "It is not known": the job may exist.
    Unknown(String),
    /// It was said to have changed nothing.
    Refused(String),
}

#[derive(Debug, Clone)]
pub struct Submit {
    pub request_id: String,
    pub told: Told,
    /// When the answer came, since the load began.
    pub at: Duration,
    pub took: Duration,
}

#[derive(Debug, Clone)]
pub struct Pace {
    pub clients: u32,
    pub submits: u32,
    pub over: Duration,
}

/// A client with this cluster's settings; `first` rotates its list of masters, so that clients begin at different ones.
pub fn client(cli: &Cli, first: usize) -> anyhow::Result<Client> {
    let setting = |name: &str| cli.env.get(name).cloned().with_context(|| format!("the env file has no {name}"));
    let mut addresses: Vec<String> = setting("CLOUDAI_ADDR")?.split(',').map(str::to_owned).collect();
    let length = addresses.len().max(1);
    addresses.rotate_left(first % length);
    let options = ClientOptions::new(addresses, setting("CLOUDAI_IDENTITY")?);
    Client::open(&options).context("no client could be made from the env file")
}

pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    cloudai_net::install_crypto_provider();
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")
}

pub fn spec(name: &str, command: &[&str]) -> JobSpec {
    JobSpec {
        name: name.into(),
        image: "noop".into(),
        command: command.iter().map(|w| (*w).to_owned()).collect(),
        resources: Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Resources::default() },
        count: 1,
        ..JobSpec::default()
    }
}

/// A load on its own thread; [`Load::join`] gives what its clients were told.
pub struct Load {
    thread: std::thread::JoinHandle<anyhow::Result<Vec<Submit>>>,
    done: Arc<AtomicBool>,
}

impl Load {
    pub fn start(cli: &Cli, pace: Pace, spec: JobSpec) -> Self {
        let (cli, done) = (cli.clone(), Arc::new(AtomicBool::new(false)));
        let own = done.clone();
        let thread = std::thread::spawn(move || {
            let told = runtime()?.block_on(paced(&cli, &pace, &spec));
            own.store(true, Ordering::Release);
            told
        });
        Load { thread, done }
    }

    /// Every client has had all its answers.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) || self.thread.is_finished()
    }

    pub fn join(self) -> anyhow::Result<Vec<Submit>> {
        self.thread.join().map_err(|_| anyhow::anyhow!("the load's thread panicked"))?
    }
}

async fn paced(cli: &Cli, pace: &Pace, spec: &JobSpec) -> anyhow::Result<Vec<Submit>> {
    let began = Instant::now();
    let one = |number: u32| async move {
        let client = client(cli, number as usize)?;
        let own = pace.submits / pace.clients + u32::from(number < pace.submits % pace.clients);
        // A client that is behind catches up: the pace is of the whole run.
        let mut tick = tokio::time::interval(pace.over.div_f64(f64::from(own.max(1))));
        let mut told = Vec::with_capacity(own as usize);
        for _ in 0..own {
            tick.tick().await;
            told.push(submit(&client, spec, began).await);
        }
        anyhow::Ok(told)
    };
    let all = futures::future::try_join_all((0..pace.clients).map(one)).await?;
    Ok(all.into_iter().flatten().collect())
}

async fn submit(client: &Client, spec: &JobSpec, began: Instant) -> Submit {
    let request_id = cloudai_client::request_id();
    let request = SubmitRequest { request_id: request_id.clone(), namespace: String::new(), spec: Some(spec.clone()) };
    let asked = Instant::now();
    let told = match client.submit(request).await {
        Ok(reply) => Told::Acknowledged(JobId(reply.job_id)),
        Err(SubmitError::OutcomeUnknown { last, .. }) => Told::Unknown(last),
        Err(SubmitError::Call(error)) => Told::Refused(error.to_string()),
    };
    Submit { request_id, told, at: began.elapsed(), took: asked.elapsed() }
}

/// What the answers add up to.
#[derive(Debug)]
pub struct Tally {
    pub acknowledged: Vec<JobId>,
    pub unknown: usize,
    pub refused: Vec<String>,
    /// Jobs that somebody submitted beside this load.
    pub others: usize,
    /// Longest time between two acknowledgements that follow each other, whoever got them.
    pub longest_gap: Duration,
    /// Longest that one client waited for one acknowledgement.
    pub longest_wait: Duration,
}

pub fn tally(submits: &[Submit]) -> Tally {
    let mut acknowledged = vec![];
    let mut refused = vec![];
    let (mut unknown, mut at, mut longest_wait) = (0, vec![], Duration::ZERO);
    for submit in submits {
        match &submit.told {
            Told::Acknowledged(id) => {
                acknowledged.push(*id);
                at.push(submit.at);
                longest_wait = longest_wait.max(submit.took);
            }
            Told::Unknown(_) => unknown += 1,
            Told::Refused(why) => refused.push(why.clone()),
        }
    }
    at.sort_unstable();
    let longest_gap = at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    Tally { acknowledged, unknown, refused, others: 0, longest_gap, longest_wait }
}

/// Waits until none of these jobs lives any more, then checks each one: acknowledged means there, succeeded, and by exactly one
/// ended attempt. Gives the number of attempts that were lost on the way.
pub fn each_exactly_once(cli: &Cli, tally: &Tally, limit: Duration) -> anyhow::Result<usize> {
    runtime()?.block_on(async {
        let client = client(cli, 0)?;
        wait_for_the_end(&client, limit).await?;
        let mut ids: Vec<JobId> = tally.acknowledged.clone();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != tally.acknowledged.len() {
            bail!(
                "two different submits were given the same job: {} acknowledged, {} jobs",
                tally.acknowledged.len(),
                ids.len()
            );
        }
        let there = count_jobs(&client).await?.saturating_sub(tally.others);
        if there < ids.len() || there > ids.len() + tally.unknown {
            bail!("{} submits were acknowledged and {} unknown, but there are {there} jobs", ids.len(), tally.unknown);
        }
        let client = &client;
        let lost: Vec<usize> = futures::stream::iter(ids)
            .map(|id| async move { once(client, id).await })
            .buffer_unordered(16)
            .try_collect()
            .await?;
        Ok(lost.into_iter().sum())
    })
}

/// Ok with the number of lost attempts; an error names what is wrong.
async fn once(client: &Client, id: JobId) -> anyhow::Result<usize> {
    let request = GetJobRequest { job: id.to_string(), with_tasks: true, ..GetJobRequest::default() };
    let reply = client.get_job(request).await.with_context(|| format!("the acknowledged job {id} cannot be read"))?;
    let state = reply.job.as_ref().map(|j| j.state());
    if state != Some(JobState::Succeeded) || reply.tasks.len() != 1 {
        bail!("the acknowledged job {id} is {state:?} with {} tasks", reply.tasks.len());
    }
    let task = &reply.tasks[0];
    let (ended, lost): (Vec<_>, Vec<_>) =
        task.attempts.iter().partition(|a| a.phase() == cloudai_proto::v1::AttemptPhase::Exited);
    if task.state() != TaskState::Succeeded || ended.len() != 1 {
        bail!("task {id}/0 is {:?} with {} ended attempts", task.state(), ended.len());
    }
    Ok(lost.len())
}

async fn wait_for_the_end(client: &Client, limit: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let request = ListJobsRequest {
            limit: 1,
            states: vec![JobState::Queued as i32, JobState::Running as i32],
            ..ListJobsRequest::default()
        };
        let living = client.list_jobs(request).await.context("jobs cannot be listed")?.jobs;
        let Some(job) = living.first() else { return Ok(()) };
        if began.elapsed() > limit {
            bail!("job {} still lives after {} s: {job:?}", JobId(job.id), limit.as_secs());
        }
        // The stream ends with the job.
        let watch = async {
            let mut watch =
                client.wait_job(WaitJobRequest { job: JobId(job.id).to_string(), ..WaitJobRequest::default() });
            while watch.next().await?.is_some() {}
            anyhow::Ok(())
        };
        if let Ok(watched) = tokio::time::timeout(limit.saturating_sub(began.elapsed()), watch).await {
            watched.context("a job cannot be watched")?;
        }
    }
}

async fn count_jobs(client: &Client) -> anyhow::Result<usize> {
    let (mut before, mut there) = (0, 0);
    loop {
        let request = ListJobsRequest {
            limit: 1000,
            before,
            consistency: Consistency::Linearizable as i32,
            ..ListJobsRequest::default()
        };
        let page = client.list_jobs(request).await.context("jobs cannot be listed")?;
        there += page.jobs.len();
        before = page.next_before;
        if before == 0 {
            return Ok(there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_neighbours_of_all_clients() {
        let at = |ms: u64, told: Told| Submit {
            request_id: String::new(),
            told,
            at: Duration::from_millis(ms),
            took: Duration::from_millis(ms / 10),
        };
        let tally = tally(&[
            at(900, Told::Acknowledged(JobId(3))),
            at(100, Told::Acknowledged(JobId(1))),
            at(500, Told::Unknown("?".into())),
            at(300, Told::Acknowledged(JobId(2))),
            at(5_000, Told::Refused("no".into())),
        ]);
        assert_eq!((tally.acknowledged.len(), tally.unknown, tally.refused.len()), (3, 1, 1));
        assert_eq!((tally.longest_gap.as_millis(), tally.longest_wait.as_millis()), (600, 90));
    }
}
