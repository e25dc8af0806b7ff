//! `worker show`: one worker with its live attempts.

use cloudai_proto::v1::GetWorkerRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::worker::WorkerDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let request = GetWorkerRequest { name: args.name.clone(), consistency: settings.consistency() };
    let reply = settings.client()?.get_worker(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &WorkerDetail::from(reply))
}
