//! `task explain`: why it waits, and the smallest change that would place it.

use cloudai_proto::v1::ExplainTaskRequest;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::explain::ExplainView;

#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// JOB/INDEX; JOB alone is its task 0
    #[arg(value_name = "TASK")]
    task: String,
}

pub async fn run(settings: &Settings, args: &ExplainArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let request = ExplainTaskRequest { namespace: settings.namespace.clone(), job: task.job, index: task.index };
    let reply = settings.client()?.explain_task(request).await?;
    show(settings.format, &ExplainView::from(reply))
}
