//! `task events`: what happened to it, oldest first.

use crate::commands::job_events::history;
use crate::exit::Failure;
use crate::input::reference;
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// JOB/INDEX; JOB alone is its task 0
    #[arg(value_name = "TASK")]
    task: String,
}

pub async fn run(settings: &Settings, args: &EventsArgs) -> Result<(), Failure> {
    let task = reference::task(&args.task)?;
    history(settings, task.job, Some(task.index)).await
}
