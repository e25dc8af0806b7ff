//! A time of a schedule has come, or somebody wants a run now. Comes in: what the leader's calendar says. Goes out: a job, or the record of why there
//! is none. A time is decided once: it must be later than the last one that was. The job goes the way of every submit.

use cloudai_types::{JobId, NamespaceId, Overlap, RunOutcome, ScheduleRun, ScheduleSpec};

use super::cancel_job::cancel;
use super::change_schedule::named_schedule;
use super::cut;
use super::ending::end_job_if_done;
use super::out::Out;
use super::submit_job::{earlier_job, submit_job};
use crate::command::{RunSchedule, SubmitJob, TriggerSchedule};
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, ScheduleRow, named_key};

pub fn run_schedule(hot: &mut Hot, out: &mut Out, command: RunSchedule) -> Result<Reply, Refusal> {
    let namespace = NamespaceId(command.namespace);
    let key = named_key(namespace, &command.name);
    let Some(mut row) = out.read::<ScheduleRow>(Family::Schedule, &key) else {
        return Err(Refusal::NoSuchSchedule(cut(command.name)));
    };
    if !is_to_be_decided(&row, &command, out.clock_ms) {
        return Err(Refusal::NotDue(cut(command.name)));
    }
    let RunSchedule { name, due_ms, next_due_ms, missed, missed_last_ms, is_missed, image_digest, refused, .. } =
        command;
    let mut run = ScheduleRun { due_ms, decided_ms: out.clock_ms, ..ScheduleRun::default() };
    // Without a time, only the next one is told: this leader's calendar differs from an earlier one's.
    if due_ms > 0 {
        row.last_due_ms = due_ms;
        if is_missed {
            run.set_missed(missed.saturating_add(1));
        } else {
            if missed > 0 {
                let mut before = ScheduleRun { due_ms: missed_last_ms.min(due_ms), ..run.clone() };
                before.set_missed(missed);
                row.record(before);
            }
            // One request id, one job: a second guard, which also tells people where the job comes from.
            let request_id = format!("schedule-{}-{name}-{due_ms}", namespace.0);
            let submit = SubmitJob { request_id, ..SubmitJob::default() };
            match refused.as_str() {
                "" => match begin(hot, out, namespace, &name, &row, submit, image_digest) {
                    Ok(Begun::Job(job)) => (run.outcome, run.job) = (RunOutcome::Ran as i32, job.0),
                    Ok(Begun::Overlaps(job)) => (run.outcome, run.job) = (RunOutcome::Overlapped as i32, job.0),
                    Err(refusal) => (run.outcome, run.why) = (RunOutcome::Refused as i32, cut(refusal.to_string())),
                },
                _ => (run.outcome, run.why) = (RunOutcome::Refused as i32, cut(refused)),
            }
        }
        row.record(run.clone());
    }
    row.next_due_ms = next_due_ms;
    out.put(Family::Schedule, &key, &row);
    hot.schedules.set(namespace, &name, &row);
    Ok(Reply::ScheduleRan { run, duplicate: false })
}

/// A leader's look may be stale, and two leaders may have looked.
fn is_to_be_decided(row: &ScheduleRow, command: &RunSchedule, clock_ms: u64) -> bool {
    let RunSchedule { spec_hash, due_ms, next_due_ms, .. } = *command;
    let is_new = due_ms == 0 || (due_ms > row.last_due_ms && due_ms <= clock_ms);
    let goes_on = next_due_ms == 0 || next_due_ms > due_ms.max(row.last_due_ms);
    !row.paused && spec_hash == row.spec_hash && is_new && goes_on
}

/// By hand: what stands in the way is the answer, and no record.
pub fn trigger_schedule(hot: &mut Hot, out: &mut Out, command: TriggerSchedule) -> Result<Reply, Refusal> {
    let TriggerSchedule { namespace, name, request_id, request_hash, spec_hash, image_digest } = command;
    let (ns, mut row) = named_schedule(hot, out, &namespace, &name)?;
    let mut run =
        ScheduleRun { due_ms: out.clock_ms, decided_ms: out.clock_ms, by_hand: true, ..ScheduleRun::default() };
    if let Some(job) = earlier_job(out, &request_id, &request_hash, false)? {
        run.job = job.0;
        return Ok(Reply::ScheduleRan { run, duplicate: true });
    }
    if spec_hash != row.spec_hash {
        return Err(Refusal::ScheduleChanged(name));
    }
    let submit = SubmitJob { request_id, request_hash, ..SubmitJob::default() };
    match begin(hot, out, ns, &name, &row, submit, image_digest)? {
        Begun::Overlaps(job) => Err(Refusal::RunOverlaps(name, job)),
        Begun::Job(job) => {
            run.job = job.0;
            row.record(run.clone());
            out.put(Family::Schedule, &named_key(ns, &name), &row);
            Ok(Reply::ScheduleRan { run, duplicate: false })
        }
    }
}

enum Begun {
    Job(JobId),
    /// The earlier run's job lives, and both must not.
    Overlaps(JobId),
}

/// The submit of the schedule's job, which says under which request id.
fn begin(
    hot: &mut Hot,
    out: &mut Out,
    namespace: NamespaceId,
    name: &str,
    row: &ScheduleRow,
    submit: SubmitJob,
    image_digest: String,
) -> Result<Begun, Refusal> {
    let no_such = || Refusal::NoSuchSchedule(cut(name.to_owned()));
    let spec: ScheduleSpec = out.read(Family::ScheduleSpec, &named_key(namespace, name)).ok_or_else(no_such)?;
    let tenant = hot.tenants.get(namespace).ok_or_else(no_such)?;
    let previous = Some(JobId(row.last_job)).filter(|job| hot.jobs.contains_key(job));
    let overlap = spec.overlap();
    if let (Some(job), Overlap::Skip) = (previous, overlap) {
        return Ok(Begun::Overlaps(job));
    }
    let mut job = spec.job;
    job.image_digest = image_digest;
    let submit = SubmitJob { namespace: tenant.name.clone(), spec: job, ..submit };
    let job = match submit_job(hot, out, row.actor.clone(), submit)? {
        Reply::Submitted { job, .. } => job,
        other => return Err(Refusal::InvalidValue(format!("a submit was answered with {other:?}"))),
    };
    // Only now: a job that is refused takes nobody's place.
    if let (Some(previous), Overlap::CancelPrevious) = (previous.filter(|previous| *previous != job), overlap) {
        out.asked_by(&format!("schedule/{name}"));
        cancel(hot, out, previous);
        end_job_if_done(hot, out, previous);
    }
    Ok(Begun::Job(job))
}
