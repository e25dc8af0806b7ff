//! `cluster status`.

use cloudai_proto::v1::ClusterStatusRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::cluster::StatusView;
use crate::views::read;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let reply = settings.client()?.cluster_status(ClusterStatusRequest { consistency: settings.consistency() }).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &StatusView::from(reply))
}
