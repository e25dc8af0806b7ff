//! `task list`: tasks of a job, in order of their index.

use cloudai_proto::v1::{ListTasksRequest, TaskState};
use cloudai_types::limits;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::read;
use crate::views::task::TaskList;

#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
    /// At most so many
    #[arg(long, default_value_t = limits::PAGE_ROWS_DEFAULT as u32, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// From this index on
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// Only tasks in this state (repeatable): queued, active, succeeded, failed, cancelled, dead
    #[arg(long, value_parser = state)]
    state: Vec<TaskState>,
}

fn state(text: &str) -> Result<TaskState, String> {
    let found = TaskState::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("'{text}' is none of blocked, queued, active, succeeded, failed, cancelled, dead"))
}

pub async fn run(settings: &Settings, args: &ListArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let job = reference::job(&args.job)?;
    let (mut tasks, mut from, mut first) = (vec![], args.from, true);
    while first || (from > 0 && tasks.len() < args.limit as usize) {
        let left = args.limit - u32::try_from(tasks.len()).expect("at most the limit");
        let request = ListTasksRequest {
            namespace: settings.namespace.clone(),
            job: job.clone(),
            from_index: from,
            limit: left.min(limits::PAGE_ROWS_MAX as u32),
            states: args.state.iter().map(|s| *s as i32).collect(),
            consistency: settings.consistency(),
        };
        let reply = client.list_tasks(request).await?;
        if first {
            read::tell(reply.read.as_ref(), settings.consistency);
        }
        tasks.extend(reply.tasks.into_iter().take(left as usize).map(Into::into));
        (from, first) = (reply.next_index, false);
    }
    if from > 0 {
        say(format!("up to index {}; --from {from} or --limit N shows more", from - 1));
    }
    show(settings.format, &TaskList(tasks))
}
