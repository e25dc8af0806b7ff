//! `worker drain` and `worker resume`: whether it is given new tasks.

use cloudai_proto::v1::{DrainWorkerRequest, ResumeWorkerRequest};

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    name: String,
}

pub async fn drain(settings: &Settings, args: &DrainArgs) -> Result<(), Failure> {
    let reply = settings.client()?.drain_worker(DrainWorkerRequest { name: args.name.clone() }).await?;
    show(settings.format, &ChangeView::new(&args.name, "is draining", reply))
}

pub async fn resume(settings: &Settings, args: &DrainArgs) -> Result<(), Failure> {
    let reply = settings.client()?.resume_worker(ResumeWorkerRequest { name: args.name.clone() }).await?;
    show(settings.format, &ChangeView::new(&args.name, "takes tasks again", reply))
}
