//! `queue`: what waits, grouped by what it asks for.

use cloudai_proto::v1::QueueRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::queue::QueueView;
use crate::views::read;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let reply = settings.client()?.queue(QueueRequest { consistency: settings.consistency() }).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &QueueView::from(reply))
}
