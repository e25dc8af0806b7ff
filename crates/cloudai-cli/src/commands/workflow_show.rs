//! `workflow show`: one workflow with all of its jobs.

use cloudai_proto::v1::GetWorkflowRequest;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::workflow::WorkflowDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let request = GetWorkflowRequest {
        namespace: settings.namespace.clone(),
        workflow: reference::workflow(&args.workflow)?,
        with_jobs: true,
        consistency: settings.consistency(),
    };
    let reply = settings.client()?.get_workflow(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &WorkflowDetail::from(reply))
}
