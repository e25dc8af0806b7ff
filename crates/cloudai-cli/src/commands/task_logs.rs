//! `task logs`: the log of one attempt, as it is or as it grows.

use cloudai_proto::v1::LogsRequest;

use crate::commands::log_lines::{Decoration, LogLines};
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::say;
use crate::settings::Settings;

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
}

pub async fn run(settings: &Settings, args: &LogsArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let mut decoration = Decoration::of(settings.format)?;
    decoration.timestamps = args.how.timestamps;
    let request = LogsRequest {
        namespace: settings.namespace.clone(),
        job: task.job.clone(),
        index: task.index,
        attempt: if args.attempt > 0 { args.attempt } else { task.attempt },
        follow: args.how.follow,
        tail_lines: args.how.tail,
    };
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
