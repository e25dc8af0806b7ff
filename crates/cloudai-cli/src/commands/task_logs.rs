//! `task logs`: the log of one attempt, as it is or as it grows.

use cloudai_proto::v1::LogsRequest;
use cloudai_proto::v1::log_frame::Source;

use crate::commands::log_lines::{Decoration, LogLines};
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::say;
use crate::settings::Settings;
use crate::times::{now_ms, parse_since};

#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// JOB/INDEX or JOB/INDEX.ATTEMPT; JOB alone is its task 0
    #[arg(value_name = "TASK")]
    task: String,
    #[command(flatten)]
    how: HowArgs,
    /// Attempt number; default: the newest
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    attempt: u32,
}

/// Of `task logs` and `job logs`.
#[derive(Debug, Clone, clap::Args)]
pub struct HowArgs {
    /// Go on until the task's attempt has ended
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Only the last N lines
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub tail: u32,
    /// The time before each line
    #[arg(long, short = 't')]
    pub timestamps: bool,
    /// Only what was written since then: 10m ago, or at 2026-11-24T02:03:04Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<u64>,
    /// Only what went to standard output
    #[arg(long, conflicts_with = "stderr")]
    pub stdout: bool,
    /// Only what went to standard error
    #[arg(long)]
    pub stderr: bool,
}

impl HowArgs {
    /// Of one attempt's log.
    pub fn request(&self, namespace: &str, job: &str, index: u32, attempt: u32) -> LogsRequest {
        let only = match (self.stdout, self.stderr) {
            (true, _) => Source::Stdout,
            (false, true) => Source::Stderr,
            (false, false) => Source::Unspecified,
        };
        LogsRequest {
            namespace: namespace.to_owned(),
            job: job.to_owned(),
            index,
            attempt,
            follow: self.follow,
            tail_lines: self.tail,
            since_ms: self.since.unwrap_or_default(),
            only: only as i32,
        }
    }
}

fn since(text: &str) -> Result<u64, String> {
    parse_since(text, now_ms())
}

pub async fn run(settings: &Settings, args: &LogsArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let mut decoration = Decoration::of(settings.format)?;
    decoration.timestamps = args.how.timestamps;
    let attempt = if args.attempt > 0 { args.attempt } else { task.attempt };
    let request = args.how.request(&settings.namespace, &task.job, task.index, attempt);
    let name = format!("{}/{}", task.job, task.index);
    let mut stream = settings.client()?.logs(request);
    let mut lines = LogLines::new(name, decoration);
    let reading = async {
        while let Some(reply) = stream.next().await? {
            lines.print(&reply.frames)?;
        }
        Ok::<_, Failure>(())
    };
    tokio::select! {
        done = reading => done?,
        _ = tokio::signal::ctrl_c() => {
            say("\nstopped reading; the task goes on");
            return Err(Failure::silent(Code::Interrupted));
        }
    }
    lines.finish()
}
