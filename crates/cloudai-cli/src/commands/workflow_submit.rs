//! `workflow submit`: sends all jobs of a file at once, prints the workflow's id; may wait for its end.

use std::path::PathBuf;
use std::time::Duration;

use cloudai_proto::v1::SubmitWorkflowRequest;
use cloudai_types::{RequestId, WorkflowId};

use crate::commands::workflow_wait;
use crate::exit::Failure;
use crate::input::workflow_file;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::submitting::Submitting;
use crate::times::parse_duration;
use crate::views::workflow::SubmittedWorkflowView;

#[derive(Debug, Clone, clap::Args)]
pub struct SubmitArgs {
    /// The workflow's file; `-` is standard input. See `cloudai help workflow-file`
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// The same key is the same workflow, however often it is sent within 24 h
    #[arg(long, value_name = "KEY", visible_alias = "request-id")]
    idempotency_key: Option<String>,
    /// Wait until all of it has ended; ends with 0 when nothing of it has failed
    #[arg(long)]
    wait: bool,
    /// Give up waiting (exit code 124) after this long; the workflow goes on
    #[arg(long, value_parser = parse_duration, requires = "wait")]
    timeout: Option<Duration>,
}

pub async fn run(settings: &Settings, args: &SubmitArgs) -> Result<(), Failure> {
    let file = workflow_file::read(&args.file)?;
    let key = match &args.idempotency_key {
        Some(key) => key.parse::<RequestId>().map_err(|e| Failure::invalid(e.to_string()))?.into_string(),
        None => cloudai_client::request_id(),
    };
    let namespace = file.namespace.unwrap_or_else(|| settings.namespace.clone());
    let request =
        SubmitWorkflowRequest { request_id: key.clone(), namespace: namespace.clone(), workflow: Some(file.spec) };
    let submitting = Submitting::begin(settings)?;
    let client = submitting.client().clone();
    let reply = client.submit_workflow(request).await;
    let reply = submitting.end(reply).await?;
    let id = WorkflowId(reply.workflow_id).to_string();
    // Without a key of the user's own, it was this very command that asked twice, around a change of leader.
    if reply.duplicate && args.idempotency_key.is_some() {
        say(format!("the key {key} is known: this is the workflow of the first time"));
    }
    let view =
        SubmittedWorkflowView { id: id.clone(), jobs: reply.jobs, duplicate: reply.duplicate, idempotency_key: key };
    show(settings.format, &view)?;
    if args.wait { workflow_wait::until_ended(&client, &namespace, &id, args.timeout).await } else { Ok(()) }
}
