//! `job results`: the files that a task has stored, or all tasks of a job.

use crate::commands::result_list;
use crate::exit::Failure;
use crate::output::{Format, show};
use crate::settings::Settings;
use crate::views::results::ResultRows;

#[derive(Debug, Clone, clap::Args)]
pub struct ResultsArgs {
    /// A job, or one of its tasks
    #[arg(value_name = "JOB[/INDEX]")]
    what: String,
}

pub async fn run(settings: &Settings, args: &ResultsArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let found = result_list::find(&client, settings, &args.what).await?;
    show(settings.format, &ResultRows::from(&found))?;
    if settings.format == Format::Table {
        result_list::say_what_was_left_out(&found);
    }
    Ok(())
}
