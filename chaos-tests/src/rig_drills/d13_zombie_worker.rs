//! D13: a worker is cut off long enough to be replaced, works on, and comes back. What it did meanwhile counts for nothing; what it still does
//! is stopped; and a task with `on_disconnect: stop` was never executed twice at a time.
//!
//! The other half, an agent that is paused and cannot stop anything itself, needs a supervisor beside the worker that is not built
//! yet.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use cloudai_client::Client;
use cloudai_proto::v1::{AttemptPhase, TaskInfo, TaskState, WorkerState};
use cloudai_types::{AttemptId, JobId, OnDisconnect, TaskId};

use super::{Drill, Size, evidence, standard_load, standard_options, work};
use crate::checker::{Execution, Until};
use crate::rig::faults::partition::{Cut, one_way};
use crate::rig::outcome::valid;
use crate::rig::preflight::Need;
use crate::rig::report::percentile;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

/// Of each kind, over three workers.
const TASKS: u32 = 9;
/// It ends while its worker is cut off, after the loss was possible at the earliest or before: both are late.
const ENDS_AFTER: f64 = 10.0;
const CUT_FULL: Duration = Duration::from_secs(40);
/// After the loss, in the short size: the same tasks run elsewhere by then.
const CUT_AFTER_LOSS_SHORT: Duration = Duration::from_millis(500);
/// Without a renewal for this long a `stop` task is over.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);
/// After the worker has spoken to the leader again.
const ZOMBIE_STOPPED_WITHIN: Duration = Duration::from_secs(5);
/// A drill must not hang.
const LIMIT: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub const DRILL: Drill = Drill {
    id: "D13",
    name: "zombie worker",
    injects: "a worker with running tasks is cut off from all masters for 40 s, then healed",
    must_hold: "late results fenced 100 %; stale executions stopped ≤ 5 s after contact; 'stop' tasks over ≤ 8 s and 0 ms of overlap",
    needs: &[Need::Nft],
    options: standard_options,
    load: standard_load,
    run,
};

/// The three jobs of the drill.
struct Jobs {
    /// Ends while cut off, with a result that comes late.
    late: JobId,
    /// Runs through it all.
    zombie: JobId,
    stop: JobId,
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    rig.load()?.gate(size)?;
    let client = rig.client(LIMIT)?;
    let jobs = Jobs {
        zombie: work::submit(rig, &client, work::sleepers("zombie", TASKS, 600.0, OnDisconnect::Continue))?,
        stop: work::submit(rig, &client, work::sleepers("stop", TASKS, 600.0, OnDisconnect::Stop))?,
        late: work::submit(rig, &client, work::sleepers("late", TASKS, ENDS_AFTER, OnDisconnect::Continue))?,
    };
    let before: BTreeMap<JobId, Vec<TaskInfo>> = [jobs.late, jobs.zombie, jobs.stop]
        .into_iter()
        .map(|job| Ok((job, work::all_run(rig, &client, job)?)))
        .collect::<anyhow::Result<_>>()?;
    let on = |worker: &str, job: JobId| before[&job].iter().filter(|t| work::place(t) == worker).count();
    let has_all = |w: &String| before.keys().all(|job| on(w, *job) > 0);
    let victim = rig.workers().into_iter().find(has_all).context("no worker runs a task of each kind")?;
    let held: Vec<(JobId, u32)> = before
        .iter()
        .flat_map(|(job, tasks)| tasks.iter().filter(|t| work::place(t) == victim).map(|t| (*job, t.index)))
        .collect();

    let leader = rig.leader()?;
    // Only the leader speaks to a worker, and a worker to whomever it can find.
    let mut cuts: Vec<Cut> = rig.masters().iter().map(|m| one_way(&victim, m)).collect();
    cuts.push(one_way(&leader, &victim));
    let cut_ns = clock::now_ns();
    let partition = rig.partition(&format!("{victim} cut off from all masters"), &cuts)?;
    wait::until("the worker's loss", LIMIT, LOOK_EVERY, || {
        Ok(work::is_state(rig, &client, &victim, WorkerState::Lost)?.then_some(()))
    })?;
    let noticed = Duration::from_nanos(clock::now_ns() - cut_ns);
    let moved = wait::until("its tasks running elsewhere", LIMIT, LOOK_EVERY, || {
        let now = tasks_of(rig, &client, &held)?;
        let elsewhere =
            now.values().all(|t| work::place(t) != victim && work::last(t).is_some_and(|a| a.started_ms > 0));
        Ok(elsewhere.then_some(now.len()))
    })?;
    let until = match size {
        Size::Full => CUT_FULL.saturating_sub(Duration::from_nanos(clock::now_ns() - cut_ns)),
        Size::Short => CUT_AFTER_LOSS_SHORT,
    };
    std::thread::sleep(until);
    let healed_ns = clock::now_ns();
    let dropped = partition.lift(rig)?;
    say(format!("     {victim} lost after {} ms, {moved} tasks moved, {dropped} packets dropped", noticed.as_millis()));
    wait::until("the worker's return", LIMIT, LOOK_EVERY, || {
        Ok(work::is_state(rig, &client, &victim, WorkerState::Ready)?.then_some(()))
    })?;
    let contact_ns = clock::now_ns();
    let stale: Vec<AttemptId> = held
        .iter()
        .filter(|(job, _)| *job == jobs.zombie)
        .map(|(job, index)| AttemptId::new(*job, *index, 1))
        .collect();
    let ran = wait::until("the end of its stale executions", LIMIT, LOOK_EVERY, || {
        let ran = evidence::of_worker(rig, &victim)?;
        let is_over = |a: &AttemptId| ran.get(a).is_some_and(|e| matches!(e.until, Until::Ended(_)));
        Ok(stale.iter().all(is_over).then_some(ran))
    })?;
    // The late reports have come by then, or they never will.
    std::thread::sleep(Duration::from_secs(1));
    let after = tasks_of(rig, &client, &held)?;
    judge(report, &jobs, &Seen { ran, after, cut_ns, healed_ns, contact_ns, noticed })?;
    for job in [jobs.zombie, jobs.stop] {
        work::cancel(rig, &client, job)?;
    }
    Ok(())
}

struct Seen {
    /// On the cut-off worker.
    ran: BTreeMap<AttemptId, Execution>,
    /// The tasks that it held, after its return.
    after: BTreeMap<TaskId, TaskInfo>,
    cut_ns: u64,
    healed_ns: u64,
    contact_ns: u64,
    noticed: Duration,
}

fn judge(report: &mut Report, jobs: &Jobs, seen: &Seen) -> anyhow::Result<()> {
    let first = |task: &TaskId| AttemptId { task: *task, number: 1 };
    let end = |task: &TaskId| match seen.ran.get(&first(task)).map(|e| e.until) {
        Some(Until::Ended(at)) => Some(at),
        Some(Until::Died(_) | Until::Running) | None => None,
    };
    let of = |job: JobId| seen.after.keys().filter(move |t| t.job == job);
    report.within("noticed", seen.noticed, Duration::from_secs(15));

    // Ended by itself while nobody could hear of it.
    let late: Vec<&TaskId> =
        of(jobs.late).filter(|t| end(t).is_some_and(|at| (seen.cut_ns..seen.healed_ns).contains(&at))).collect();
    valid(!late.is_empty(), || "no task ended while its worker was cut off: there was no late result".to_owned())?;
    let accepted: Vec<String> = late.iter().filter_map(|task| accepted_late(task, &seen.after[*task])).collect();
    report.measured("late results", late.len());
    report.none("late results that were accepted", &accepted);
    let lost: Vec<String> = seen
        .after
        .iter()
        .filter(|(_, t)| t.attempts.first().is_none_or(|a| a.phase() != AttemptPhase::Lost))
        .map(|(id, t)| format!("{id}: {:?}", t.attempts.first()))
        .collect();
    report.none("attempts of the cut-off worker that are not Lost", &lost);

    let stops: Vec<Duration> = of(jobs.zombie)
        .map(|task| Duration::from_nanos(end(task).unwrap_or(u64::MAX).saturating_sub(seen.contact_ns)))
        .collect();
    let overlapped = of(jobs.zombie).filter(|t| end(t).is_some_and(|at| at >= seen.healed_ns)).count();
    valid(overlapped > 0, || "no stale execution was left when the worker came back".to_owned())?;
    report.measured("stale executions at the heal", overlapped);
    report.measured("heal → contact", format!("{} ms", (seen.contact_ns - seen.healed_ns) / 1_000_000));
    report.within("contact → stale executions stopped, max", percentile(&stops, 1.0), ZOMBIE_STOPPED_WITHIN);

    let mut over = vec![];
    let mut running = vec![];
    for task in of(jobs.stop) {
        match end(task) {
            Some(at) => over.push(Duration::from_nanos(at.saturating_sub(seen.cut_ns))),
            None => running.push(format!("{task} was not stopped")),
        }
    }
    report.none("'stop' tasks that ran on", &running);
    report.within("cut → 'stop' tasks over, max", percentile(&over, 1.0), STOPPED_WITHIN);
    Ok(())
}

fn accepted_late(task: &TaskId, info: &TaskInfo) -> Option<String> {
    let first = info.attempts.first()?;
    let exited = first.phase() == AttemptPhase::Exited;
    let succeeded_by_it = info.state() == TaskState::Succeeded && info.attempts.len() == 1;
    (exited || succeeded_by_it).then(|| format!("{task}: {first:?}"))
}

fn tasks_of(rig: &Rig, client: &Client, held: &[(JobId, u32)]) -> anyhow::Result<BTreeMap<TaskId, TaskInfo>> {
    let mut found = BTreeMap::new();
    let jobs: std::collections::BTreeSet<JobId> = held.iter().map(|(job, _)| *job).collect();
    for job in jobs {
        for task in work::tasks(rig, client, job)? {
            if held.contains(&(job, task.index)) {
                found.insert(TaskId { job, index: task.index }, task);
            }
        }
    }
    Ok(found)
}
