//! `schedule pause`, `schedule resume`: no run begins by itself while it is paused.

use cloudai_proto::v1::PauseScheduleRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct PauseArgs {
    name: String,
}

pub async fn pause(settings: &Settings, args: &PauseArgs) -> Result<(), Failure> {
    set(settings, &args.name, true, "paused").await
}

/// What was missed meanwhile is decided as `--missed` says.
pub async fn resume(settings: &Settings, args: &PauseArgs) -> Result<(), Failure> {
    set(settings, &args.name, false, "goes on").await
}

async fn set(settings: &Settings, name: &str, paused: bool, change: &'static str) -> Result<(), Failure> {
    let request = PauseScheduleRequest { namespace: settings.namespace.clone(), name: name.to_owned(), paused };
    let reply = settings.client()?.pause_schedule(request).await?;
    show(settings.format, &ChangeView::new(name, change, reply))
}
