//! `dead list`: tasks that have spent their tries, page by page behind the scenes.

use cloudai_client::Client;
use cloudai_proto::v1::{DeadTask, ListDeadRequest};
use cloudai_types::{ReasonKind, limits};

use crate::exit::Failure;
use crate::input::job_file::parse_reason;
use crate::input::reference;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::dead::DeadList;
use crate::views::read;

#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Only of this job: its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: Option<String>,
    /// Only those whose last try ended so (repeatable), for example out_of_memory
    #[arg(long, value_parser = parse_reason)]
    reason: Vec<ReasonKind>,
    /// At most so many
    #[arg(long, default_value_t = limits::PAGE_ROWS_DEFAULT as u32, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub async fn run(settings: &Settings, args: &ListArgs) -> Result<(), Failure> {
    let request = ListDeadRequest {
        namespace: settings.namespace.clone(),
        job: args.job.as_deref().map(reference::job).transpose()?.unwrap_or_default(),
        reasons: args.reason.iter().map(|kind| *kind as i32).collect(),
        consistency: settings.consistency(),
        ..Default::default()
    };
    let client = settings.client()?;
    let (tasks, more) = pages(settings, &client, request, args.limit).await?;
    if more {
        say(format!("the first {}; --limit N shows more", tasks.len()));
    }
    show(settings.format, &DeadList(tasks.into_iter().map(Into::into).collect()))
}

/// At most `limit` of what is asked for, and whether there are more.
pub async fn pages(
    settings: &Settings,
    client: &Client,
    mut request: ListDeadRequest,
    limit: u32,
) -> Result<(Vec<DeadTask>, bool), Failure> {
    let (mut tasks, mut first) = (vec![], true);
    while first || (!request.cursor.is_empty() && tasks.len() < limit as usize) {
        let left = limit - u32::try_from(tasks.len()).expect("at most the limit");
        request.limit = left.min(limits::PAGE_ROWS_MAX as u32);
        let reply = client.list_dead(request.clone()).await?;
        if first {
            read::tell(reply.read.as_ref(), settings.consistency);
        }
        tasks.extend(reply.tasks.into_iter().take(left as usize));
        (request.cursor, first) = (reply.next_cursor, false);
    }
    Ok((tasks, !request.cursor.is_empty()))
}
