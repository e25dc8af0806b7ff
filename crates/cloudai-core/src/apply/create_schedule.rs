//! A schedule begins, or is replaced. When its first time comes is the leader's to say: no calendar is known here.

use cloudai_types::{Fault, ScheduleSpec, limits};
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::out::Out;
use super::submit_job::{known_namespace, name_namespace, secrets_are_there};
use super::{check_name, cut};
use crate::command::CreateSchedule;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, ScheduleRow, named_key};

/// Again with the same words: no change.
pub fn create_schedule(hot: &mut Hot, out: &mut Out, actor: String, command: CreateSchedule) -> Result<Reply, Refusal> {
    let CreateSchedule { namespace, name, mut spec, next_due_ms, replace } = command;
    check_name(&name)?;
    // Each run says these anew.
    spec.job.image_digest.clear();
    spec.job.namespace = if spec.job.needs_namespace() { namespace.clone() } else { String::new() };
    spec.check().map_err(|faults| Refusal::InvalidSchedule(cut(listed(&faults))))?;
    let known = known_namespace(hot, &namespace)?;
    secrets_are_there(out, known, &spec.job)?;
    let earlier = known.and_then(|ns| out.read::<ScheduleRow>(Family::Schedule, &named_key(ns, &name)));
    if let (Some(ns), Some(row)) = (known, &earlier) {
        if out.read::<ScheduleSpec>(Family::ScheduleSpec, &named_key(ns, &name)).as_ref() == Some(&spec) {
            return Ok(Reply::ScheduleCreated { is_new: false });
        }
        if !replace {
            return Err(Refusal::ScheduleExists(name));
        }
        if next_due_ms > 0 && next_due_ms <= row.last_due_ms {
            return Err(Refusal::ScheduleChanged(name));
        }
    } else {
        let held = known.map_or(0, |ns| hot.schedules.len_of(ns));
        if held >= limits::SCHEDULES_OF_NAMESPACE_MAX as usize {
            return Err(Refusal::TooMany(held));
        }
        if hot.schedules.len() >= limits::SCHEDULES_MAX {
            return Err(Refusal::TooMany(hot.schedules.len()));
        }
    }

    let ns = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    let before = earlier.unwrap_or(ScheduleRow { created_ms: out.clock_ms, ..ScheduleRow::default() });
    // A first time that came while this command was on its way is still to be decided.
    let until_now = if next_due_ms > 0 { out.clock_ms.min(next_due_ms - 1) } else { out.clock_ms };
    let row = ScheduleRow {
        spec_hash: xxh3_64(&spec.encode_to_vec()),
        updated_ms: out.clock_ms,
        actor: cut(actor),
        last_due_ms: before.last_due_ms.max(until_now),
        next_due_ms,
        ..before
    };
    out.put(Family::ScheduleSpec, &named_key(ns, &name), &spec);
    out.put(Family::Schedule, &named_key(ns, &name), &row);
    hot.schedules.set(ns, &name, &row);
    Ok(Reply::ScheduleCreated { is_new: true })
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
