//! `job plan`: what a job would meet, asked of the leader. Nothing is submitted.

use crate::exit::Failure;
use crate::input::job_flags::{self, JobFlags, ManyFlags};
use crate::output::show;
use crate::settings::Settings;
use crate::views::plan::PlanView;

#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub job: JobFlags,
    #[command(flatten)]
    pub many: ManyFlags,
}

pub async fn run(settings: &Settings, args: &PlanArgs) -> Result<(), Failure> {
    let request = job_flags::request(&args.job, &args.many, &settings.namespace)?;
    let reply = settings.client()?.plan_job(request).await?;
    show(settings.format, &PlanView::from(reply))
}
