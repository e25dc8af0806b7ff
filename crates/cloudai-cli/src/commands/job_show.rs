//! `job show`: one job with its tasks.

use cloudai_proto::v1::{GetJobRequest, ListTasksRequest};
use cloudai_types::limits;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{Format, say, show};
use crate::settings::Settings;
use crate::views::job::JobDetail;
use crate::views::read;

/// Tasks in a document, unless asked for more.
const DOCUMENT_TASKS: u32 = 100_000;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
    /// At most so many tasks
    #[arg(long, value_name = "N")]
    tasks: Option<u32>,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let wanted = args.tasks.unwrap_or(if settings.format == Format::Table {
        limits::PAGE_ROWS_DEFAULT as u32
    } else {
        DOCUMENT_TASKS
    });
    let page = |left: u32| left.min(limits::PAGE_ROWS_MAX as u32);
    let request = GetJobRequest {
        namespace: settings.namespace.clone(),
        job: reference::job(&args.job)?,
        with_tasks: wanted > 0,
        from_index: 0,
        limit: page(wanted),
        consistency: settings.consistency(),
    };
    let mut reply = client.get_job(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    let mut tasks = std::mem::take(&mut reply.tasks);
    let mut next = reply.next_index;
    let id = cloudai_types::JobId(reply.job.as_ref().map_or(0, |j| j.id)).to_string();
    while next > 0 && tasks.len() < wanted as usize {
        let left = wanted - u32::try_from(tasks.len()).expect("fewer than wanted");
        let request = ListTasksRequest {
            namespace: settings.namespace.clone(),
            job: id.clone(),
            from_index: next,
            limit: page(left),
            states: vec![],
            consistency: settings.consistency(),
        };
        let more = client.list_tasks(request).await?;
        tasks.extend(more.tasks);
        next = more.next_index;
    }
    if next > 0 && settings.format != Format::Table {
        say(format!("the first {} tasks; --tasks N shows more", tasks.len()));
    }
    show(settings.format, &JobDetail::new(reply, tasks, next))
}
