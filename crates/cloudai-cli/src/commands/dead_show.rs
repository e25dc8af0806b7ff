//! `dead show`: one task of the dead-letter queue with all its attempts.

use cloudai_proto::v1::{GetTaskRequest, ListDeadRequest};

use crate::commands::dead_list;
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::dead::DeadDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// JOB/INDEX; JOB alone is its task 0
    #[arg(value_name = "TASK")]
    task: String,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    let client = settings.client()?;
    let request = ListDeadRequest {
        namespace: settings.namespace.clone(),
        job: task.job.clone(),
        index: Some(task.index),
        consistency: settings.consistency(),
        ..Default::default()
    };
    let (found, _) = dead_list::pages(settings, &client, request, 1).await?;
    let Some(dead) = found.into_iter().next() else {
        return Err(Failure::new(Code::NotFound, "not_found", "this task is not in the dead-letter queue")
            .why("it is not dead, or it was replayed or dropped")
            .next("list what is there with `cloudai dead list`; `cloudai task show` shows any task"));
    };
    let request = GetTaskRequest {
        namespace: settings.namespace.clone(),
        job: task.job,
        index: task.index,
        consistency: settings.consistency(),
    };
    let reply = client.get_task(request).await?;
    show(settings.format, &DeadDetail::new(dead, reply.task.unwrap_or_default()))
}
