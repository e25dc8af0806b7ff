//! `run`: one task from submit to end, with its log on the way. Ends with the task's own exit code. Ctrl-C asks on a terminal whether to
//! detach or to cancel; elsewhere it detaches. What was submitted goes on unless it was cancelled.

use std::io::IsTerminal;
use std::time::Duration;

use cloudai_client::{CallError, Client};
use cloudai_proto::v1::{
    AttemptInfo, CancelJobRequest, Consistency, ErrorInfo, ErrorKind, GetTaskRequest, JobState, JobSummary,
    LogsRequest, TaskInfo, WaitJobRequest,
};
use cloudai_types::JobId;
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::log_lines::{Decoration, LogLines};
use crate::commands::verdict;
use crate::exit::{Code, Failure};
use crate::input::job_flags::{self, JobFlags, ManyFlags};
use crate::output::say;
use crate::settings::Settings;
use crate::submitting::Submitting;

/// After the job's end, how long the rest of its log is waited for.
const LOG_REST: Duration = Duration::from_secs(10);
/// Between two looks at a task whose next attempt, or whose log, is about to come; doubled each time up to the cap.
const POLL: Duration = Duration::from_millis(100);
const POLL_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    job: JobFlags,
    /// Submit, print the id and leave
    #[arg(long, short = 'd')]
    detach: bool,
}

pub async fn run(settings: &Settings, args: &RunArgs) -> Result<(), Failure> {
    let decoration = Decoration::of(settings.format)?;
    let request = job_flags::request(&args.job, &ManyFlags::default(), &settings.namespace)?;
    let namespace = request.namespace.clone();
    let submitting = Submitting::begin(settings)?;
    let client = submitting.client().clone();
    let reply = client.submit(request).await;
    let reply = submitting.end(reply).await?;
    let id = JobId(reply.job_id).to_string();
    if args.detach {
        let key = String::new();
        let view = crate::views::job::SubmittedView { id, duplicate: reply.duplicate, idempotency_key: key };
        return crate::output::show(settings.format, &view);
    }
    say(format!("job {id} submitted"));
    let ended = follow(&client, &namespace, &id, decoration).await?;
    match verdict::of_job(&client, &ended).await? {
        Code::Ok => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

async fn follow(client: &Client, namespace: &str, id: &str, decoration: Decoration) -> Result<JobSummary, Failure> {
    let mut wait = client.wait_job(WaitJobRequest { namespace: namespace.to_owned(), job: id.to_owned() });
    let waiting = async move {
        let mut last = None;
        while let Some(job) = wait.next().await? {
            last = Some(job);
        }
        last.ok_or_else(|| Failure::failed("the masters said nothing about the job"))
    };
    tokio::pin!(waiting);
    let logs = logs(client, namespace, id, decoration);
    tokio::pin!(logs);
    let mut log_done = false;
    // Listened to from here on without a gap.
    let mut interrupted =
        signal(SignalKind::interrupt()).map_err(|e| Failure::failed("Ctrl-C cannot be listened for").why(e))?;
    let mut interrupts = 0;
    let ended = loop {
        tokio::select! {
            ended = &mut waiting => break ended?,
            done = &mut logs, if !log_done => {
                done?;
                log_done = true;
            }
            _ = interrupted.recv() => {
                interrupts += 1;
                match on_interrupt(interrupts, client, namespace, id).await? {
                    Interrupt::Detach => return Err(Failure::silent(Code::Interrupted)),
                    Interrupt::GoOn => {}
                }
            }
        }
    };
    if !log_done {
        match tokio::time::timeout(LOG_REST, &mut logs).await {
            Ok(done) => done?,
            Err(_) => {
                say(format!("cloudai: the rest of the log did not come; read it with `cloudai task logs {id}/0`"))
            }
        }
    }
    Ok(ended)
}

/// The logs of all attempts, one after the other, until the task has ended.
async fn logs(client: &Client, namespace: &str, id: &str, decoration: Decoration) -> Result<(), Failure> {
    let mut number = next_attempt(client, namespace, id, 0).await?;
    while let Some(attempt) = number {
        if attempt.number > 1 {
            say(format!("cloudai: attempt {} on {}", attempt.number, attempt.worker));
        }
        one_log(client, namespace, id, attempt.number, decoration.clone()).await?;
        number = next_attempt(client, namespace, id, attempt.number).await?;
    }
    Ok(())
}

async fn one_log(
    client: &Client,
    namespace: &str,
    id: &str,
    attempt: u32,
    decoration: Decoration,
) -> Result<(), Failure> {
    let mut lines = LogLines::new(format!("{id}/0"), decoration);
    let mut had_ended = false;
    let mut pause = POLL;
    loop {
        let request = LogsRequest {
            namespace: namespace.to_owned(),
            job: id.to_owned(),
            index: 0,
            attempt,
            follow: true,
            ..Default::default()
        };
        let mut stream = client.logs(request);
        let refused = loop {
            match stream.next().await {
                Ok(Some(reply)) => lines.print(&reply.frames)?,
                Ok(None) => return lines.finish(),
                Err(CallError::Refused(info)) => break info,
                Err(e) => return Err(e.into()),
            }
        };
        // The worker may not have begun it yet, so "not found" is only final after its end. And it is no news where nothing ever ran: the
        // reason of the ending says more. The task decides how `run` ends; a log that cannot be read is only said.
        let task = task(client, namespace, id).await?;
        let found = task.attempts.iter().find(|a| a.number == attempt);
        if info_is_final(&refused) || had_ended {
            if found.is_none_or(|a| a.started_ms > 0) {
                say(format!("cloudai: {}", refused.sentence()));
            }
            return lines.finish();
        }
        had_ended = found.is_none_or(|a| a.phase().is_ended());
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

fn info_is_final(info: &ErrorInfo) -> bool {
    info.kind() != ErrorKind::NotFound
}

async fn task(client: &Client, namespace: &str, id: &str) -> Result<TaskInfo, Failure> {
    let request = GetTaskRequest {
        namespace: namespace.to_owned(),
        job: id.to_owned(),
        index: 0,
        consistency: Consistency::Linearizable as i32,
    };
    Ok(client.get_task(request).await?.task.unwrap_or_default())
}

/// Waits for an attempt after number `shown`; none when the task has ended without one. The first one is waited for on a
/// stream, because it may take days; a later one comes within the back-off of a retry.
async fn next_attempt(client: &Client, namespace: &str, id: &str, shown: u32) -> Result<Option<AttemptInfo>, Failure> {
    if shown == 0 {
        let mut wait = client.wait_job(WaitJobRequest { namespace: namespace.to_owned(), job: id.to_owned() });
        while let Some(job) = wait.next().await? {
            if job.state() != JobState::Queued {
                break;
            }
        }
    }
    let mut pause = POLL;
    loop {
        let mut task = task(client, namespace, id).await?;
        let ended = task.state().is_ended();
        if let Some(at) = task.attempts.iter().position(|a| a.number > shown) {
            return Ok(Some(task.attempts.swap_remove(at)));
        }
        if ended {
            return Ok(None);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
}

enum Interrupt {
    Detach,
    GoOn,
}

async fn on_interrupt(times: u32, client: &Client, namespace: &str, id: &str) -> Result<Interrupt, Failure> {
    let reattach =
        format!("detached; job {id} goes on. Its log: cloudai job logs -f {id}; its end: cloudai job wait {id}");
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if times > 1 || !terminal {
        say(format!("\n{reattach}"));
        return Ok(Interrupt::Detach);
    }
    say(format!("\njob {id} is running. Detach (it goes on), cancel it, or go back? [d/c/Enter]"));
    let answer = tokio::select! {
        line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        }) => line.ok().and_then(Result::ok).unwrap_or_default(),
        _ = tokio::signal::ctrl_c() => "d".to_owned(),
    };
    match answer.trim().to_ascii_lowercase().as_str() {
        "c" | "cancel" => {
            client.cancel_job(CancelJobRequest { namespace: namespace.to_owned(), job: id.to_owned() }).await?;
            say(format!("job {id} is being cancelled"));
            Ok(Interrupt::GoOn)
        }
        "d" | "detach" => {
            say(reattach);
            Ok(Interrupt::Detach)
        }
        _ => Ok(Interrupt::GoOn),
    }
}
