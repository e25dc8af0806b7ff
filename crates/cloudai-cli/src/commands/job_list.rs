//! `job list`: jobs, newest first, page by page behind the scenes.

use cloudai_proto::v1::{JobState, JobSummary, ListJobsRequest};
use cloudai_types::{Expression, limits};

use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::views::job::JobList;
use crate::views::read;

#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// At most so many
    #[arg(long, default_value_t = limits::PAGE_ROWS_DEFAULT as u32, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only jobs in this state (repeatable): blocked, queued, running, succeeded, failed, cancelled
    #[arg(long, value_parser = state)]
    state: Vec<JobState>,
    /// Only jobs whose labels meet this: 'app=db', 'tier in (a,b)', '!old' (repeatable)
    #[arg(long, value_name = "EXPR")]
    label: Vec<Expression>,
}

fn state(text: &str) -> Result<JobState, String> {
    let found = JobState::ALL.into_iter().find(|s| s.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("'{text}' is none of blocked, queued, running, succeeded, failed, cancelled"))
}

pub async fn run(settings: &Settings, args: &ListArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let (mut jobs, mut before, mut first) = (vec![], 0, true);
    while first || (before > 0 && jobs.len() < args.limit as usize) {
        let left = args.limit - u32::try_from(jobs.len()).expect("at most the limit");
        let request = ListJobsRequest {
            namespace: settings.namespace.clone(),
            limit: left.min(limits::PAGE_ROWS_MAX as u32),
            before,
            states: args.state.iter().map(|s| *s as i32).collect(),
            consistency: settings.consistency(),
            labels: args.label.iter().map(ToString::to_string).collect(),
        };
        let reply = client.list_jobs(request).await?;
        if first {
            read::tell(reply.read.as_ref(), settings.consistency);
        }
        // A master of an older build lists all.
        let meets = |job: &JobSummary| {
            args.label.is_empty() || !job.labels.is_empty() && args.label.iter().all(|e| e.is_met_by(&job.labels))
        };
        jobs.extend(reply.jobs.into_iter().filter(meets).take(left as usize).map(Into::into));
        (before, first) = (reply.next_before, false);
    }
    if before > 0 {
        say(format!("the newest {} jobs; --limit N shows more", jobs.len()));
    }
    show(settings.format, &JobList(jobs))
}
