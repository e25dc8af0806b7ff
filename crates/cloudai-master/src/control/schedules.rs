//! Calls about schedules. Comes in: requests whose caller is admitted. Goes out: commands to the proposer, with the next time as this leader's
//! calendar has it; answers from rows. What happens at their times: [`crate::schedules`].

use std::collections::BTreeSet;

use cloudai_core::command::{CreateSchedule, DeleteSchedule, Kind, PauseSchedule, SCHEDULES_SINCE, TriggerSchedule};
use cloudai_core::rows::{Family, ScheduleRow, named_key};
use cloudai_core::{Command, Hot, Reply};
use cloudai_proto::v1 as pb;
use cloudai_scheduler::calendar::Timetable;
use cloudai_telemetry::TraceContext;
use cloudai_types::{JobId, NamespaceId, RequestId, ScheduleSpec, limits};
use tonic::Status;
use xxhash_rust::xxh3::Xxh3;

use super::secrets::named;
use super::spec_format::require_format_of;
use super::templates::check_names;
use super::workers::change;
use super::{errors, pinning};
use crate::machine::State;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn create<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::CreateScheduleRequest,
) -> Result<pb::CreateScheduleReply, Status> {
    require_schedules(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let namespace = named(&request.namespace);
    check_names(&namespace, &request.name)?;
    let mut spec = request.spec.unwrap_or_default();
    // A digest is never the user's to say: each run asks what the tag means then.
    spec.job.image_digest.clear();
    let table = checked(&spec).map_err(|e| e.into_status())?;
    require_format_of(node, &spec.job).map_err(|e| e.into_status())?;
    let next_due_ms = table.next(node.log_clock.now_ms()).ok_or_else(|| {
        pb::ErrorInfo::new(pb::ErrorKind::Invalid, "the schedule was not accepted")
            .why(format!("cron: no day in the next eight years is meant by '{}'", spec.cron))
            .next("look at the day of the month and the month")
            .into_status()
    })?;
    let command = CreateSchedule { namespace, name: request.name, spec, next_due_ms, replace: request.replace };
    match node.proposer.propose(Command::new(actor, Kind::CreateSchedule(command))).await {
        Ok((index, Reply::ScheduleCreated { is_new })) => Ok(pb::CreateScheduleReply { index, is_new, next_due_ms }),
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

fn checked(spec: &ScheduleSpec) -> Result<Timetable, Box<pb::ErrorInfo>> {
    let invalid = |why: String| {
        let info = pb::ErrorInfo::new(pb::ErrorKind::Invalid, "the schedule was not accepted").why(why);
        Box::new(info.next("correct it and try again"))
    };
    spec.check().map_err(|faults| invalid(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    Timetable::parse(&spec.cron, &spec.zone).map_err(|e| invalid(e.to_string()))
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    request: pb::ListSchedulesRequest,
) -> Result<pb::ListSchedulesReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let state = node.shared.read();
    read.index = state.index;
    let mut schedules = vec![];
    if let Some(ns) = node.namespace(&state, &request.namespace) {
        for name in state.hot.schedules.names_of(ns) {
            let (row, spec) = rows(node, &state, ns, &request.namespace, name)?;
            schedules.push(info(&request.namespace, name, row, &spec));
        }
    }
    Ok(pb::ListSchedulesReply { read: Some(read), schedules })
}

pub async fn get<S: StateStore>(
    node: &Node<S>,
    request: pb::GetScheduleRequest,
) -> Result<pb::GetScheduleReply, Status> {
    let mut read = node.read_point(request.consistency()).await?;
    let now_ms = node.now_ms();
    let state = node.shared.read();
    read.index = state.index;
    let ns = node.namespace(&state, &request.namespace).ok_or_else(|| unknown(&request.namespace, &request.name))?;
    let (row, spec) = rows(node, &state, ns, &request.namespace, &request.name)?;
    let next_ms = match Timetable::parse(&spec.cron, &spec.zone) {
        Ok(table) => table.after(now_ms.max(row.last_due_ms)).take(limits::SCHEDULE_NEXT_SHOWN).collect(),
        // A newer build may have accepted more: what is in the row still holds.
        Err(_) => row.due_ms().into_iter().collect(),
    };
    let named_jobs: BTreeSet<u64> = row.runs.iter().map(|run| run.job).filter(|job| *job > 0).collect();
    // Those whose retention is over are not there any more.
    let jobs = named_jobs.into_iter().filter_map(|job| node.summary(&state, ns, JobId(job)).ok()).collect();
    let schedule = info(&request.namespace, &request.name, row, &spec);
    Ok(pb::GetScheduleReply { read: Some(read), schedule: Some(schedule), next_ms, job: Some(spec.job), jobs })
}

pub async fn pause<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::PauseScheduleRequest,
) -> Result<pb::ChangeReply, Status> {
    require_schedules(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let pb::PauseScheduleRequest { namespace, name, paused } = request;
    let command = PauseSchedule { namespace: named(&namespace), name, paused };
    change(node, actor, Kind::PauseSchedule(command), String::new()).await
}

pub async fn delete<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::DeleteScheduleRequest,
) -> Result<pb::ChangeReply, Status> {
    require_schedules(&node.shared.read().hot).map_err(|e| e.into_status())?;
    let command = DeleteSchedule { namespace: named(&request.namespace), name: request.name };
    change(node, actor, Kind::DeleteSchedule(command), String::new()).await
}

/// By hand. The image is pinned here, as at every submit.
pub async fn run<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    trace: Option<&TraceContext>,
    request: pb::RunScheduleRequest,
) -> Result<pb::SubmitReply, Status> {
    let pb::RunScheduleRequest { request_id, namespace, name } = request;
    if !request_id.is_empty() {
        RequestId::check(&request_id).map_err(|e| errors::invalid(e.to_string()))?;
    }
    // A leader that stood still may have been replaced meanwhile and not know it, nor the newest schedules.
    node.read_point(pb::Consistency::Linearizable).await?;
    let (row, spec) = {
        let state = node.shared.read();
        require_schedules(&state.hot).map_err(|e| e.into_status())?;
        let ns = node.namespace(&state, &namespace).ok_or_else(|| unknown(&namespace, &name))?;
        rows(node, &state, ns, &namespace, &name)?
    };
    let namespace = named(&namespace);
    let image_digest = pinning::digest_now(node, &namespace, &spec.job).await.map_err(|e| e.into_status())?;
    let request_hash = hash(&namespace, &name);
    let spec_hash = row.spec_hash;
    let trigger = TriggerSchedule { namespace, name, request_id, request_hash, spec_hash, image_digest };
    match node.propose_in(trace, Command::new(actor, Kind::TriggerSchedule(trigger))).await {
        Ok((index, Reply::ScheduleRan { run, duplicate })) => Ok(pb::SubmitReply { job_id: run.job, index, duplicate }),
        Ok((_, Reply::Refused(refusal))) => Err(errors::refused(&refusal)),
        Ok((_, other)) => Err(errors::unexpected(&other)),
        Err(error) => Err(errors::write(&error)),
    }
}

/// Ties a request id to this very request.
fn hash(namespace: &str, name: &str) -> Vec<u8> {
    let mut hash = Xxh3::new();
    hash.update(b"schedule\0");
    hash.update(namespace.as_bytes());
    hash.update(&[0]);
    hash.update(name.as_bytes());
    hash.digest128().to_be_bytes().to_vec()
}

/// How far it has come, and what it says.
pub fn rows<S: StateStore>(
    node: &Node<S>,
    state: &State,
    ns: NamespaceId,
    namespace: &str,
    name: &str,
) -> Result<(ScheduleRow, ScheduleSpec), Status> {
    let key = named_key(ns, name);
    let row = node.shared.row(state, Family::Schedule, &key).map_err(|e| errors::internal(&e))?;
    let spec = node.shared.row(state, Family::ScheduleSpec, &key).map_err(|e| errors::internal(&e))?;
    row.zip(spec).ok_or_else(|| unknown(namespace, name))
}

fn unknown(namespace: &str, name: &str) -> Status {
    let what = format!("there is no schedule '{name}' in namespace '{}'", named(namespace));
    errors::not_found(what, "list them with `cloudai schedule list`")
}

fn info(namespace: &str, name: &str, row: ScheduleRow, spec: &ScheduleSpec) -> pb::ScheduleInfo {
    pb::ScheduleInfo {
        namespace: named(namespace),
        name: name.to_owned(),
        cron: spec.cron.clone(),
        zone: spec.zone.clone(),
        overlap: spec.overlap,
        missed_policy: spec.missed,
        template: spec.template.clone(),
        paused: row.paused,
        next_due_ms: row.next_due_ms,
        ran: row.ran,
        overlapped: row.overlapped,
        missed: row.missed,
        refused: row.refused,
        created_ms: row.created_ms,
        updated_ms: row.updated_ms,
        actor: row.actor,
        runs: row.runs.into_iter().rev().collect(),
    }
}

/// The commands are of a newer format: masters of an older build would stop at them.
fn require_schedules(hot: &Hot) -> Result<(), Box<pb::ErrorInfo>> {
    if hot.version >= SCHEDULES_SINCE {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and schedules need {SCHEDULES_SINCE}", hot.version);
    let next = "a cluster that has just started is ready in a moment: try again; otherwise upgrade every master";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, "the cluster has no schedules yet").why(why).next(next).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobSpec;

    #[test]
    fn an_older_format_has_no_schedules_yet() {
        let hot = Hot { version: SCHEDULES_SINCE - 1, ..Hot::default() };
        assert!(require_schedules(&hot).is_err_and(|e| e.what.contains("no schedules yet")));
        assert!(require_schedules(&Hot { version: SCHEDULES_SINCE, ..hot }).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_schedule_names_its_field() {
        let job = JobSpec { image: "busybox".into(), ..JobSpec::default() };
        let valid = ScheduleSpec { cron: "0 2 * * *".into(), zone: "UTC".into(), job, ..ScheduleSpec::default() };
        assert!(checked(&valid).is_ok());
        for (spec, says) in [
            (ScheduleSpec { cron: "0 25 * * *".into(), ..valid.clone() }, "cron: hour: '25'"),
            (ScheduleSpec { zone: "Nowhere".into(), ..valid.clone() }, "timezone: 'Nowhere'"),
            (ScheduleSpec { job: JobSpec::default(), ..valid }, "image:"),
        ] {
            let error = checked(&spec).expect_err("it is wrong");
            assert!(error.why.contains(says), "{error:?}");
        }
    }
}
