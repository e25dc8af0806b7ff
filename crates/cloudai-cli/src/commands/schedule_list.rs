//! `schedule list`: the schedules of a namespace.

use cloudai_proto::v1::ListSchedulesRequest;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::schedule::ScheduleList;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let request = ListSchedulesRequest { namespace: settings.namespace.clone(), consistency: settings.consistency() };
    let reply = settings.client()?.list_schedules(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &ScheduleList(reply.schedules.into_iter().map(Into::into).collect()))
}
