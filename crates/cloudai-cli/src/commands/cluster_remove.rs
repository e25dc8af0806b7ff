//! `cluster remove`: takes a master out of the group for ever.

use cloudai_proto::v1::RemoveMasterRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct RemoveArgs {
    /// Its name, or its id
    #[arg(value_name = "MASTER")]
    master: String,
}

pub async fn run(settings: &Settings, args: &RemoveArgs) -> Result<(), Failure> {
    let reply =
        settings.client()?.remove_master(RemoveMasterRequest { master: args.master.clone() }).await.map_err(|e| {
            let f = Failure::from(e);
            if f.code == crate::exit::Code::OutcomeUnknown {
                f.next("`cloudai cluster members` shows whether it is still there")
            } else {
                f
            }
        })?;
    show(settings.format, &ChangeView::new(&args.master, "is removed", reply))
}
