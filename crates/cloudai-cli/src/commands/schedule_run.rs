//! `schedule run`: a run now, beside its times, also while it is paused. Prints the job's id.

use cloudai_proto::v1::RunScheduleRequest;
use cloudai_types::{JobId, RequestId};

use crate::exit::Failure;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::submitting::Submitting;
use crate::views::job::SubmittedView;

#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    name: String,
    /// The same key is the same job, however often it is sent within 24 h
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub async fn run(settings: &Settings, args: &RunArgs) -> Result<(), Failure> {
    let key = match &args.idempotency_key {
        Some(key) => key.parse::<RequestId>().map_err(|e| Failure::invalid(e.to_string()))?.into_string(),
        None => cloudai_client::request_id(),
    };
    let request =
        RunScheduleRequest { request_id: key.clone(), namespace: settings.namespace.clone(), name: args.name.clone() };
    let submitting = Submitting::begin(settings)?;
    let reply = submitting.client().run_schedule(request).await;
    let reply = submitting.end(reply).await?;
    if reply.duplicate && args.idempotency_key.is_some() {
        say(format!("the key {key} is known: this is the job of the first time"));
    }
    let id = JobId(reply.job_id).to_string();
    show(settings.format, &SubmittedView { id, duplicate: reply.duplicate, idempotency_key: key })
}
