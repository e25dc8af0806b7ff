//! `schedule show`: the times to come, and what became of the last ones.

use cloudai_proto::v1::GetScheduleRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::schedule::ScheduleDetail;

#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &ShowArgs) -> Result<(), Failure> {
    let request = GetScheduleRequest {
        namespace: settings.namespace.clone(),
        name: args.name.clone(),
        consistency: settings.consistency(),
    };
    let reply = settings.client()?.get_schedule(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &ScheduleDetail::from(reply))
}
