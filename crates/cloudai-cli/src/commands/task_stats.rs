//! `task stats`: what one attempt used, as the worker keeps it that has or had it.

use cloudai_proto::v1::WorkerHistoryRequest;
use cloudai_proto::v1::worker_history_request::TaskName;

use crate::commands::usage_args::{UsageArgs, picture};
use crate::exit::Failure;
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::usage::UsageView;

#[derive(Debug, Clone, clap::Args)]
pub struct StatsArgs {
    /// JOB/INDEX or JOB/INDEX.ATTEMPT; JOB alone is its task 0, without an attempt it is the newest
    #[arg(value_name = "TASK")]
    task: String,
    #[command(flatten)]
    usage: UsageArgs,
}

pub async fn run(settings: &Settings, args: &StatsArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let picture = picture(settings.format);
    let request = WorkerHistoryRequest {
        worker: String::new(),
        task: Some(TaskName {
            namespace: settings.namespace.clone(),
            job: task.job,
            index: task.index,
            attempt: task.attempt,
        }),
        back_ms: args.usage.back_ms(),
        points_max: args.usage.points_max(picture),
    };
    let reply = settings.client()?.get_worker_history(request).await?;
    show(settings.format, &UsageView::new(reply, picture))
}
