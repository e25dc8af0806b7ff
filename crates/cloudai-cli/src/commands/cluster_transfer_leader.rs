//! `cluster transfer-leader`: a planned hand-over.

use cloudai_proto::v1::TransferLeaderRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::cluster::TransferView;

#[derive(Debug, Clone, clap::Args)]
pub struct TransferArgs {
    /// Name or id of the new leader; default: the most up-to-date master
    #[arg(value_name = "MASTER")]
    to: Option<String>,
}

pub async fn run(settings: &Settings, args: &TransferArgs) -> Result<(), Failure> {
    let request = TransferLeaderRequest { to: args.to.clone().unwrap_or_default() };
    let reply = settings.client()?.transfer_leader(request).await.map_err(|e| {
        let f = Failure::from(e);
        if f.code == crate::exit::Code::OutcomeUnknown {
            f.next("`cloudai cluster status` shows who leads now")
        } else {
            f
        }
    })?;
    show(settings.format, &TransferView::from(reply))
}
