//! `worker stats`: what a machine used, as its worker keeps it.

use cloudai_proto::v1::WorkerHistoryRequest;

use crate::commands::usage_args::{UsageArgs, picture};
use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::usage::UsageView;

#[derive(Debug, Clone, clap::Args)]
pub struct StatsArgs {
    name: String,
    #[command(flatten)]
    usage: UsageArgs,
}

pub async fn run(settings: &Settings, args: &StatsArgs) -> Result<(), Failure> {
    let picture = picture(settings.format);
    let request = WorkerHistoryRequest {
        worker: args.name.clone(),
        task: None,
        back_ms: args.usage.back_ms(),
        points_max: args.usage.points_max(picture),
    };
    let reply = settings.client()?.get_worker_history(request).await?;
    show(settings.format, &UsageView::new(reply, picture))
}
