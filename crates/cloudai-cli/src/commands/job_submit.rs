//! `job submit`: sends a job, prints its id.

use cloudai_types::JobId;

use crate::exit::Failure;
use crate::input::job_flags::{self, JobFlags, ManyFlags};
use crate::output::{say, show};
use crate::settings::Settings;
use crate::submitting::Submitting;
use crate::views::job::SubmittedView;

#[derive(Debug, Clone, clap::Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    pub job: JobFlags,
    #[command(flatten)]
    pub many: ManyFlags,
}

pub async fn run(settings: &Settings, args: &SubmitArgs) -> Result<(), Failure> {
    let request = job_flags::request(&args.job, &args.many, &settings.namespace)?;
    let key = request.request_id.clone();
    let submitting = Submitting::begin(settings)?;
    let reply = submitting.client().submit(request).await;
    let reply = submitting.end(reply).await?;
    let id = JobId(reply.job_id).to_string();
    // Without a key of the user's own, it was this very command that asked twice, around a change of leader.
    if reply.duplicate && args.job.idempotency_key.is_some() {
        say(format!("the key {key} is known: this is the job of the first time"));
    }
    show(settings.format, &SubmittedView { id, duplicate: reply.duplicate, idempotency_key: key })
}
