//! `workflow list`: workflows, newest first, page by page behind the scenes.

use cloudai_proto::v1::ListWorkflowsRequest;
use cloudai_types::limits;

use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::read;
use crate::views::workflow::WorkflowList;

#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// At most so many
    #[arg(long, default_value_t = limits::PAGE_ROWS_DEFAULT as u32, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(settings: &Settings, args: &ListArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let (mut workflows, mut before, mut first) = (vec![], 0, true);
    while first || (before > 0 && workflows.len() < args.limit as usize) {
        let left = args.limit - u32::try_from(workflows.len()).expect("at most the limit");
        let request = ListWorkflowsRequest {
            namespace: settings.namespace.clone(),
            limit: left.min(limits::PAGE_ROWS_MAX as u32),
            before,
            consistency: settings.consistency(),
        };
        let reply = client.list_workflows(request).await?;
        if first {
            read::tell(reply.read.as_ref(), settings.consistency);
        }
        workflows.extend(reply.workflows.into_iter().take(left as usize).map(Into::into));
        (before, first) = (reply.next_before, false);
    }
    if before > 0 {
        say(format!("the newest {} workflows; --limit N shows more", workflows.len()));
    }
    show(settings.format, &WorkflowList(workflows))
}
