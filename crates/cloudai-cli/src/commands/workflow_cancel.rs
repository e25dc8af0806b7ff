//! `workflow cancel`: all that lives of it. Nobody is released by that: a clean-up that waits for a failure is cancelled too.

use std::io::{self, Write};

use cloudai_proto::v1::{CancelWorkflowReply, CancelWorkflowRequest};
use cloudai_types::WorkflowId;
use serde::Serialize;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{View, count, show};
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct CancelArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CancelView {
    id: String,
    /// Running tasks that have to stop first.
    stopping: u32,
}

impl From<CancelWorkflowReply> for CancelView {
    fn from(r: CancelWorkflowReply) -> Self {
        CancelView { id: WorkflowId(r.workflow_id).to_string(), stopping: r.stopping }
    }
}

impl View for CancelView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.stopping {
            0 => writeln!(out, "nothing lives of workflow {}", self.id),
            n => writeln!(out, "workflow {} is being cancelled: {} to stop first", self.id, count(n, "running task")),
        }
    }
}

pub async fn run(settings: &Settings, args: &CancelArgs) -> Result<(), Failure> {
    let request =
        CancelWorkflowRequest { namespace: settings.namespace.clone(), workflow: reference::workflow(&args.workflow)? };
    show(settings.format, &CancelView::from(settings.client()?.cancel_workflow(request).await?))
}
