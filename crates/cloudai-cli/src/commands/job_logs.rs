//! `job logs`: the log of a job's only task, or of all its tasks with their index before each line.

use cloudai_client::{CallError, Client};
use cloudai_proto::v1::{ErrorKind, GetJobRequest, ListTasksRequest, LogsRequest};
use cloudai_types::JobId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::commands::log_lines::{Decoration, LogLines};
use crate::commands::task_logs::HowArgs;
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::say;
use crate::settings::Settings;

/// Logs that are followed at a time.
const FOLLOWED_MAX: u32 = 64;

#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    how: HowArgs,
}

pub async fn run(settings: &Settings, args: &LogsArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let request = GetJobRequest {
        namespace: settings.namespace.clone(),
        job: reference::job(&args.job)?,
        consistency: settings.consistency(),
        ..Default::default()
    };
    let job = client.get_job(request).await?.job.unwrap_or_default();
    let id = JobId(job.id).to_string();
    let mut decoration = Decoration::of(settings.format)?;
    decoration.timestamps = args.how.timestamps;
    let one =
        |index: u32, decoration: Decoration| read(&client, args.how.request(&job.namespace, &id, index, 0), decoration);
    let reading = async {
        if job.count == 1 {
            return one(job.first_index, decoration).await.map_err(Failure::from_either);
        }
        if args.how.follow {
            if job.count > FOLLOWED_MAX {
                return Err(Failure::invalid(format!(
                    "job {id} has {} tasks, and at most {FOLLOWED_MAX} logs are followed at a time",
                    job.count
                ))
                .next(format!("follow one: cloudai task logs -f {id}/INDEX")));
            }
            let all: FuturesUnordered<_> =
                (0..job.count).map(|i| one(i, prefixed(&decoration, i, job.count))).collect();
            return all.fold(Ok(()), |so_far, done| async { so_far.and(skip_missing(done)) }).await;
        }
        let mut from = 0;
        loop {
            let request = ListTasksRequest {
                namespace: job.namespace.clone(),
                job: id.clone(),
                from_index: from,
                consistency: settings.consistency(),
                ..Default::default()
            };
            let page = client.list_tasks(request).await?;
            for t in page.tasks.iter().filter(|t| !t.attempts.is_empty()) {
                skip_missing(one(t.index, prefixed(&decoration, t.index, job.count)).await)?;
            }
            if page.next_index == 0 {
                return Ok(());
            }
            from = page.next_index;
        }
    };
    tokio::select! {
        done = reading => done,
        _ = tokio::signal::ctrl_c() => {
            say("\nstopped reading; the job goes on");
            Err(Failure::silent(Code::Interrupted))
        }
    }
}

fn prefixed(d: &Decoration, index: u32, count: u32) -> Decoration {
    let width = (count - 1).to_string().len();
    Decoration { prefix: format!("{index:width$} | "), ..d.clone() }
}

/// Reading or printing failed.
pub enum LogFailure {
    Call(CallError),
    Print(Failure),
}

impl Failure {
    fn from_either(e: LogFailure) -> Failure {
        match e {
            LogFailure::Call(e) => e.into(),
            LogFailure::Print(f) => f,
        }
    }
}

/// Among many tasks, one without a log is no failure of the whole.
fn skip_missing(done: Result<(), LogFailure>) -> Result<(), Failure> {
    match done {
        Err(LogFailure::Call(CallError::Refused(info)))
            if matches!(info.kind(), ErrorKind::NotFound | ErrorKind::Unreachable) =>
        {
            say(format!("cloudai: {}", info.sentence()));
            Ok(())
        }
        other => other.map_err(Failure::from_either),
    }
}

async fn read(client: &Client, request: LogsRequest, decoration: Decoration) -> Result<(), LogFailure> {
    let mut lines = LogLines::new(format!("{}/{}", request.job, request.index), decoration);
    let mut stream = client.logs(request);
    while let Some(reply) = stream.next().await.map_err(LogFailure::Call)? {
        lines.print(&reply.frames).map_err(LogFailure::Print)?;
    }
    lines.finish().map_err(LogFailure::Print)
}
