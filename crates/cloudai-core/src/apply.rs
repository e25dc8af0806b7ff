//! The one function that changes replicated state. Comes in: hot state, point reads of rows, one log entry. Goes out: a reply
//! per command, events, and the row writes that make the change durable. It is total (I1): a refusal is a reply, and no
//! bytes of the log can panic it. It knows no clock: time is what the leader stamped on the entry.
//!
//! Commands of one entry see each other's effects: hot state changes at once, rows through the [`Out`] of the entry.

mod authorize;
mod cancel_job;
mod cancel_workflow;
mod change_schedule;
mod create_schedule;
mod create_template;
mod delete_template;
mod drop_dead;
mod ending;
mod evict_workers;
mod expire_jobs;
mod expire_queued;
mod expire_requests;
mod forget_master;
mod found_cluster;
mod gang;
mod lose_worker;
mod next_try;
mod note_reasons;
mod out;
mod place_tasks;
mod preempt_tasks;
mod raise_version;
mod redeem_token;
mod register_master;
mod register_worker;
mod release;
mod remove_secret;
mod replay_dead;
mod report_attempts;
mod retry_workflow;
mod revoke;
mod run_schedule;
mod set_config;
mod set_drain;
mod set_quota;
mod set_secret;
mod set_taint;
mod spec_of_format;
mod submit_job;
mod submit_workflow;
mod worker_leaves;
mod workflow_record;

use cloudai_types::{TaskId, limits};

use crate::command::{Command, Kind, Proposal, VERSION};
use crate::event::Event;
use crate::hot::Hot;
use crate::news::News;
use crate::reply::{Refusal, Reply};
use crate::rows::{Rows, Write};

use out::Out;
pub(crate) use submit_job::new_job;

/// What one log entry did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// One per command, in the same order.
    pub replies: Vec<Reply>,
    /// In the order in which a listener should hear them.
    pub events: Vec<Event>,
    /// What happened, for people, in the order in which it did.
    pub news: Vec<News>,
    /// At most one per row, by family and key. Always holds the cluster's own row, with the new digest.
    pub writes: Vec<Write>,
}

/// A newer build made this entry: this node must stop, and never skip it (a skipped command would fork its state). Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnknownCommand {
    #[error(
        "log entry {index} has format {found}, this build understands up to {VERSION}: start a newer build of cloudai on this master"
    )]
    Version { index: u64, found: u32 },
    #[error(
        "log entry {index} has a command at place {place} that this build does not know: start a newer build of cloudai on this master"
    )]
    Kind { index: u64, place: usize },
}

/// Applies one entry. `rows` answers as of the previous entry.
pub fn apply(hot: &mut Hot, rows: &impl Rows, index: u64, proposal: Proposal) -> Result<Applied, UnknownCommand> {
    check_known(index, &proposal)?;
    hot.clock_ms = hot.clock_ms.max(proposal.at_ms.min(limits::REPLICATED_TIME_MAX.0));
    let mut out = Out::new(rows, index, hot.clock_ms);
    release_delayed(hot, &mut out);
    let replies = proposal
        .commands
        .into_iter()
        .map(|command| apply_command(hot, &mut out, command).unwrap_or_else(Reply::Refused))
        .collect();
    let (events, news, writes) = out.finish(hot);
    Ok(Applied { replies, events, news, writes })
}

/// Every command is looked at before the first one changes anything.
fn check_known(index: u64, proposal: &Proposal) -> Result<(), UnknownCommand> {
    if proposal.version > VERSION {
        return Err(UnknownCommand::Version { index, found: proposal.version });
    }
    for (place, command) in proposal.commands.iter().enumerate() {
        match &command.kind {
            None => return Err(UnknownCommand::Kind { index, place }),
            // What follows it may have a meaning that this build does not know; newer builds accept it.
            Some(Kind::RaiseVersion(raise)) if raise.version > VERSION => {
                return Err(UnknownCommand::Version { index, found: raise.version });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Waiting indexes whose time has come may be placed from now on.
fn release_delayed(hot: &mut Hot, out: &mut Out) {
    while let Some(&(not_before_ms, id, index)) = hot.delayed.first() {
        if not_before_ms > hot.clock_ms {
            break;
        }
        hot.delayed.remove(&(not_before_ms, id, index));
        let Some(job) = hot.jobs.get_mut(&id) else { continue };
        job.delayed = job.delayed.saturating_sub(1);
        let mut shape = job.shape;
        if let Some(past) = job.waiting.as_ref().and_then(|w| w.get(&index)).filter(|past| past.is_apart()) {
            let own = hot.apart.set_ready(TaskId { job: id, index }, past.memory_mib);
            shape = own.unwrap_or(shape);
            job.apart_ready = job.apart_ready.saturating_add(1);
        }
        hot.queue.insert(job, shape, id);
        out.tasks_ready();
    }
}

fn apply_command(hot: &mut Hot, out: &mut Out, command: Command) -> Result<Reply, Refusal> {
    let Command { actor, trace_parent, kind } = command;
    // `check_known` has seen every command of the entry.
    let Some(kind) = kind else { return Err(Refusal::InvalidValue("a command without a kind".to_owned())) };
    out.asked_by(&actor);
    out.traced_by(trace_parent);
    match kind {
        Kind::SubmitJob(c) => submit_job::submit_job(hot, out, actor, c),
        Kind::CancelJob(c) => cancel_job::cancel_job(hot, out, c),
        Kind::PlaceTasks(c) => Ok(place_tasks::place_tasks(hot, out, c)),
        Kind::ReportAttempts(c) => report_attempts::report_attempts(hot, out, c),
        Kind::RegisterWorker(c) => register_worker::register_worker(hot, out, c),
        Kind::LoseWorker(c) => lose_worker::lose_worker(hot, out, c),
        Kind::Authorize(c) => authorize::authorize(hot, out, c),
        Kind::RedeemToken(c) => redeem_token::redeem_token(out, c),
        Kind::Revoke(c) => revoke::revoke(hot, out, c),
        Kind::SetDrain(c) => set_drain::set_drain(hot, out, c),
        Kind::RegisterMaster(c) => register_master::register_master(hot, out, c),
        Kind::ForgetMaster(c) => forget_master::forget_master(hot, out, c),
        Kind::SetConfig(c) => set_config::set_config(hot, out, c),
        Kind::ExpireRequests(c) => Ok(expire_requests::expire_requests(out, c)),
        // The entry's own time did it.
        Kind::AdvanceClock(_) => Ok(Reply::Done),
        Kind::RaiseVersion(c) => raise_version::raise_version(hot, out, c),
        Kind::StartIncarnation(_) => {
            hot.incarnation = hot.incarnation.saturating_add(1);
            Ok(Reply::Done)
        }
        Kind::FoundCluster(c) => found_cluster::found_cluster(hot, c),
        Kind::ExpireJobs(c) => Ok(expire_jobs::expire_jobs(out, c)),
        Kind::ReplayDead(c) => Ok(replay_dead::replay_dead(hot, out, c)),
        Kind::DropDead(c) => Ok(drop_dead::drop_dead(out, c)),
        Kind::SetSecret(c) => set_secret::set_secret(hot, out, actor, c),
        Kind::RemoveSecret(c) => remove_secret::remove_secret(hot, out, c),
        Kind::ExpireQueued(_) => Ok(expire_queued::expire_queued(hot, out)),
        Kind::EvictWorkers(_) => Ok(evict_workers::evict_workers(hot, out)),
        Kind::PreemptTasks(c) => Ok(preempt_tasks::preempt_tasks(hot, out, &c)),
        Kind::SetQuota(c) => set_quota::set_quota(hot, out, c),
        Kind::SetTaint(c) => set_taint::set_taint(hot, out, c),
        Kind::WorkerLeaves(c) => worker_leaves::worker_leaves(hot, out, c),
        Kind::NoteReasons(c) => Ok(note_reasons::note_reasons(hot, out, &c)),
        Kind::SubmitWorkflow(c) => submit_workflow::submit_workflow(hot, out, actor, c),
        Kind::CancelWorkflow(c) => cancel_workflow::cancel_workflow(hot, out, c),
        Kind::RetryWorkflow(c) => retry_workflow::retry_workflow(hot, out, c),
        Kind::CreateTemplate(c) => create_template::create_template(hot, out, actor, c),
        Kind::DeleteTemplate(c) => delete_template::delete_template(hot, out, c),
        Kind::CreateSchedule(c) => create_schedule::create_schedule(hot, out, actor, c),
        Kind::DeleteSchedule(c) => change_schedule::delete_schedule(hot, out, c),
        Kind::PauseSchedule(c) => change_schedule::pause_schedule(hot, out, c),
        Kind::RunSchedule(c) => run_schedule::run_schedule(hot, out, c),
        Kind::TriggerSchedule(c) => run_schedule::trigger_schedule(hot, out, c),
    }
}

/// A text from the log that ends in a reply or a row, at most [`limits::TEXT_BYTES_MAX`] long.
fn cut(mut text: String) -> String {
    if text.len() > limits::TEXT_BYTES_MAX {
        let end = (0..=limits::TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// SHA-256 hashes from the log.
fn check_hash(what: &str, hash: &[u8]) -> Result<(), Refusal> {
    match hash.len() {
        32 => Ok(()),
        n => Err(Refusal::InvalidValue(format!("{what} has {n} bytes; a SHA-256 has 32"))),
    }
}

fn check_role(role: i32) -> Result<crate::command::MemberRole, Refusal> {
    crate::command::MemberRole::try_from(role).map_err(|_| Refusal::InvalidValue(format!("role {role} is not known")))
}

fn check_name(name: &str) -> Result<(), Refusal> {
    cloudai_types::spec::check_name(name).map_err(|problem| Refusal::InvalidName(cut(problem)))
}
