//! `workflow wait`: until all of it has ended. Looks now and then: the masters tell of jobs as they change, not of workflows.

use std::time::Duration;

use cloudai_client::Client;
use cloudai_proto::v1::{Consistency, GetWorkflowRequest, JobState, WorkflowSummary};
use cloudai_types::limits;

use crate::commands::wait_line::WaitLine;
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::{Format, say, show};
use crate::settings::Settings;
use crate::times::parse_duration;
use crate::views::workflow::WorkflowView;

#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// Give up waiting (exit code 124) after this long; the workflow goes on
    #[arg(long, value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub async fn run(settings: &Settings, args: &WaitArgs) -> Result<(), Failure> {
    let id = reference::workflow(&args.workflow)?;
    let client = settings.client()?;
    let ended = ended(&client, &settings.namespace, &id, args.timeout).await?;
    let code = code_of(&ended);
    let view = WorkflowView::from(ended);
    if settings.format == Format::Table {
        tell(&view);
    } else {
        show(settings.format, &view)?;
    }
    if code == Code::Ok { Ok(()) } else { Err(Failure::silent(code)) }
}

/// Behind a submit, which has printed the id: only words and an exit code.
pub async fn until_ended(client: &Client, namespace: &str, id: &str, timeout: Option<Duration>) -> Result<(), Failure> {
    let ended = ended(client, namespace, id, timeout).await?;
    let code = code_of(&ended);
    tell(&WorkflowView::from(ended));
    if code == Code::Ok { Ok(()) } else { Err(Failure::silent(code)) }
}

fn tell(view: &WorkflowView) {
    say(format!("workflow {} ended: {} ({})", view.id, view.state, view.text()));
}

async fn ended(
    client: &Client,
    namespace: &str,
    id: &str,
    timeout: Option<Duration>,
) -> Result<WorkflowSummary, Failure> {
    let line = WaitLine::new();
    let look = async {
        loop {
            let request = GetWorkflowRequest {
                namespace: namespace.to_owned(),
                workflow: id.to_owned(),
                with_jobs: false,
                consistency: Consistency::Linearizable as i32,
            };
            let workflow = client.get_workflow(request).await?.workflow.unwrap_or_default();
            if workflow.ended_ms > 0 {
                return Ok(workflow);
            }
            line.show(&WorkflowView::from(workflow).text());
            tokio::time::sleep(limits::CLIENT_LOOK_EVERY.as_duration()).await;
        }
    };
    let ended = match timeout {
        None => look.await,
        Some(limit) => tokio::time::timeout(limit, look).await.unwrap_or_else(|_| {
            let what = format!("workflow {id} has not ended within {} s", limit.as_secs_f64());
            Err(Failure::new(Code::WaitTimeout, "wait_timeout", what).next(format!(
                "it goes on; `cloudai workflow wait {id}` waits again, `cloudai workflow show {id}` says where it is"
            )))
        }),
    };
    line.clear();
    ended
}

/// 0 also where some jobs never had to run.
fn code_of(workflow: &WorkflowSummary) -> Code {
    match workflow.state() {
        JobState::Succeeded => Code::Ok,
        JobState::Cancelled => Code::Interrupted,
        JobState::Failed | JobState::Blocked | JobState::Queued | JobState::Running => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_workflow_has_an_exit_code() {
        let code = |state: JobState| code_of(&WorkflowSummary { state: state as i32, ..Default::default() }).number();
        assert_eq!([JobState::Succeeded, JobState::Failed, JobState::Cancelled].map(code), [0, 1, 130]);
    }
}
