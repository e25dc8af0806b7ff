//! `worker drain` and `worker resume`: whether it is given new tasks, and how long those that run may go on.

use std::io::IsTerminal;
use std::time::Duration;

use cloudai_proto::v1::{DrainWorkerRequest, GetWorkerRequest, ResumeWorkerRequest, WorkerInfo};
use cloudai_types::limits;

use crate::commands::wait_line::WaitLine;
use crate::exit::{Code, Failure};
use crate::output::{count, say, show};
use crate::settings::Settings;
use crate::times::parse_duration;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    name: String,
    /// After so long, tasks that still run there are stopped, and go elsewhere; without: they may finish
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// Stop at once what runs there; the same as --deadline 0s
    #[arg(long, conflicts_with = "deadline")]
    stop: bool,
    /// Wait until it holds nothing any more
    #[arg(long)]
    wait: bool,
    /// With --wait: give up waiting (exit code 124) after this long; the drain goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct ResumeArgs {
    name: String,
}

pub async fn drain(settings: &Settings, args: &DrainArgs) -> Result<(), Failure> {
    let deadline = if args.stop { Some(Duration::ZERO) } else { args.deadline };
    let deadline_in_ms = deadline.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let reply = settings.client()?.drain_worker(DrainWorkerRequest { name: args.name.clone(), deadline_in_ms }).await?;
    show(settings.format, &ChangeView::new(&args.name, "is draining", reply))?;
    if args.wait { wait(settings, args).await } else { Ok(()) }
}

pub async fn resume(settings: &Settings, args: &ResumeArgs) -> Result<(), Failure> {
    let reply = settings.client()?.resume_worker(ResumeWorkerRequest { name: args.name.clone() }).await?;
    show(settings.format, &ChangeView::new(&args.name, "takes tasks again", reply))
}

/// Until it holds nothing. Looks now and then: the masters tell of jobs as they change, not of workers.
async fn wait(settings: &Settings, args: &DrainArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let line = WaitLine::new();
    let emptied = async {
        let mut told = None;
        loop {
            let request = GetWorkerRequest { name: args.name.clone(), consistency: settings.consistency() };
            let worker = client.get_worker(request).await?.worker.unwrap_or_default();
            if worker.attempts == 0 {
                return Ok(());
            }
            if !worker.draining {
                return Err(Failure::new(Code::Conflict, "resumed", format!("worker '{}' was resumed", args.name))
                    .why(format!("it still holds {}", count(worker.attempts, "task"))));
            }
            let text = progress(&worker);
            line.show(&text);
            // On a terminal the line moves; elsewhere each change is a line of its own.
            if !std::io::stderr().is_terminal() && told.as_ref() != Some(&text) {
                say(&text);
                told = Some(text);
            }
            tokio::time::sleep(limits::CLIENT_LOOK_EVERY.as_duration()).await;
        }
    };
    let done = match args.timeout {
        None => emptied.await,
        Some(limit) => tokio::time::timeout(limit, emptied).await.unwrap_or_else(|_| {
            let what = format!("worker '{}' still holds tasks after {} s", args.name, limit.as_secs_f64());
            Err(Failure::new(Code::WaitTimeout, "wait_timeout", what)
                .next(format!("the drain goes on; `cloudai worker show {}` lists them", args.name)))
        }),
    };
    line.clear();
    done?;
    say(format!("worker {} holds nothing any more", args.name));
    Ok(())
}

/// `w1: 3 tasks left, 2 of them running; they are told to stop`
fn progress(worker: &WorkerInfo) -> String {
    let left = count(worker.attempts, "task");
    let told = if worker.evicting { "; they are told to stop" } else { "" };
    format!("{}: {left} left, {} of them running{told}", worker.name, worker.attempts_running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_what_is_left_and_whether_it_is_stopped() {
        let worker = WorkerInfo { name: "w1".into(), attempts: 3, attempts_running: 2, ..WorkerInfo::default() };
        assert_eq!(progress(&worker), "w1: 3 tasks left, 2 of them running");
        let evicting = WorkerInfo { evicting: true, ..worker };
        assert_eq!(progress(&evicting), "w1: 3 tasks left, 2 of them running; they are told to stop");
    }
}
