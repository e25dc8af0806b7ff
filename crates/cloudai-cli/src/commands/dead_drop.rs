//! `dead drop`: dead tasks that nobody wants to hear of any more leave the dead-letter queue.

use cloudai_proto::v1::DeadSelection;

use crate::commands::dead_selection::SelectionArgs;
use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::dead::DroppedView;

#[derive(Debug, Clone, clap::Args)]
pub struct DropArgs {
    #[command(flatten)]
    selection: SelectionArgs,
}

pub async fn run(settings: &Settings, args: &DropArgs) -> Result<(), Failure> {
    let selection = args.selection.selection(settings)?;
    let client = settings.client()?;
    let mut dropped = 0;
    while let Some(limit) = args.selection.next_batch(dropped) {
        let reply = client.drop_dead(DeadSelection { limit, ..selection.clone() }).await?;
        dropped += reply.dropped;
        if !reply.more || reply.dropped == 0 {
            break;
        }
    }
    show(settings.format, &DroppedView { dropped })
}
