//! `schedule delete`: no more runs. Jobs that it has submitted go on.

use cloudai_proto::v1::DeleteScheduleRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct DeleteArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &DeleteArgs) -> Result<(), Failure> {
    let request = DeleteScheduleRequest { namespace: settings.namespace.clone(), name: args.name.clone() };
    let reply = settings.client()?.delete_schedule(request).await?;
    show(settings.format, &ChangeView::new(&args.name, "deleted", reply))
}
