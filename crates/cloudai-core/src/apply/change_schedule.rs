//! A schedule pauses, goes on, or ends. Jobs that it has submitted are not touched.

use cloudai_types::NamespaceId;

use super::cut;
use super::out::Out;
use crate::command::{DeleteSchedule, PauseSchedule};
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, ScheduleRow, named_key};

/// Again: no change.
pub fn pause_schedule(hot: &mut Hot, out: &mut Out, command: PauseSchedule) -> Result<Reply, Refusal> {
    let PauseSchedule { namespace, name, paused } = command;
    let (ns, row) = named_schedule(hot, out, &namespace, &name)?;
    if row.paused != paused {
        let row = ScheduleRow { paused, ..row };
        out.put(Family::Schedule, &named_key(ns, &name), &row);
        hot.schedules.set(ns, &name, &row);
    }
    Ok(Reply::Done)
}

pub fn delete_schedule(hot: &mut Hot, out: &mut Out, command: DeleteSchedule) -> Result<Reply, Refusal> {
    let DeleteSchedule { namespace, name } = command;
    let (ns, _) = named_schedule(hot, out, &namespace, &name)?;
    out.delete(Family::Schedule, &named_key(ns, &name));
    out.delete(Family::ScheduleSpec, &named_key(ns, &name));
    hot.schedules.remove(ns, &name);
    Ok(Reply::Done)
}

pub(super) fn named_schedule(
    hot: &Hot,
    out: &Out,
    namespace: &str,
    name: &str,
) -> Result<(NamespaceId, ScheduleRow), Refusal> {
    let known = hot.namespaces.get(namespace).copied();
    let found = known.and_then(|ns| Some((ns, out.read(Family::Schedule, &named_key(ns, name))?)));
    found.ok_or_else(|| Refusal::NoSuchSchedule(cut(name.to_owned())))
}
