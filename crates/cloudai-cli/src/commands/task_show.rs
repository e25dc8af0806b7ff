//! `task show`: one task with all its attempts.

use cloudai_proto::v1::GetTaskRequest;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::task::TaskDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// JOB/INDEX; JOB alone is its task 0
    #[arg(value_name = "TASK")]
    task: String,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let request = GetTaskRequest {
        namespace: settings.namespace.clone(),
        job: task.job,
        index: task.index,
        consistency: settings.consistency(),
    };
    let reply = settings.client()?.get_task(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &TaskDetail::from(reply))
}
