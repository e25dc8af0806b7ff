//! `workflow retry`: what has not succeeded runs again, and whoever waits for it. What has succeeded never runs twice.

use std::io::{self, Write};

use cloudai_proto::v1::{RetryWorkflowReply, RetryWorkflowRequest};
use cloudai_types::WorkflowId;
use serde::Serialize;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{View, count, show};
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct RetryArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// Only this job of it, and whoever waits for it
    #[arg(long, value_name = "JOB")]
    from: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RetryView {
    id: String,
    /// Jobs that live again, and of their tasks.
    jobs: u32,
    tasks: u64,
}

impl From<RetryWorkflowReply> for RetryView {
    fn from(r: RetryWorkflowReply) -> Self {
        RetryView { id: WorkflowId(r.workflow_id).to_string(), jobs: r.jobs, tasks: r.tasks }
    }
}

impl View for RetryView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let id = &self.id;
        match self.jobs {
            0 => writeln!(
                out,
                "nothing of workflow {id} is to be tried again: it lives, succeeded, or waits for somebody who failed"
            ),
            jobs => {
                writeln!(out, "workflow {id}: {} live again, with {}", count(jobs, "job"), count(self.tasks, "task"))
            }
        }
    }
}

pub async fn run(settings: &Settings, args: &RetryArgs) -> Result<(), Failure> {
    let request = RetryWorkflowRequest {
        namespace: settings.namespace.clone(),
        workflow: reference::workflow(&args.workflow)?,
        from: args.from.clone().unwrap_or_default(),
    };
    show(settings.format, &RetryView::from(settings.client()?.retry_workflow(request).await?))
}
