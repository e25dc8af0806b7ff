//! `worker list`.

use cloudai_proto::v1::ListWorkersRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::worker::WorkerList;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let reply = settings.client()?.list_workers(ListWorkersRequest { consistency: settings.consistency() }).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &WorkerList::from(reply))
}
