//! `worker revoke`: its certificates are refused from now on.

use cloudai_proto::v1::RevokeWorkerRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
pub struct RevokeArgs {
    name: String,
}

pub async fn run(settings: &Settings, args: &RevokeArgs) -> Result<(), Failure> {
    let reply = settings.client()?.revoke_worker(RevokeWorkerRequest { name: args.name.clone() }).await?;
    show(settings.format, &ChangeView::new(&args.name, "is revoked", reply))
}
