//! D12: a worker dies: its process is killed, its cable is pulled, or it dies in the same moment as the leader. It is noticed, its tasks run
//! elsewhere, and nobody else's task is touched.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_client::Client;
use cloudai_proto::v1::{
    CancelJobRequest, Consistency, ListTasksRequest, ListWorkersRequest, SubmitRequest, TaskInfo, WorkerState,
};
use cloudai_types::{JobId, JobSpec, Resources};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::report::percentile;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

const AGAIN: Duration = Duration::from_secs(30);
const TASKS: u32 = 30;
/// Far beyond every limit: a drill must not hang.
const NOTICED: Duration = Duration::from_secs(40);

pub const DRILL: Drill = Drill {
    id: "D12",
    name: "worker death",
    injects: "SIGKILL to a worker; its link down; a worker and the leader killed together",
    must_hold: "noticed ≤ 15 s also when it dies with the leader; re-run placed ≤ 1 s later, p99 ≤ 20 s after the death; other workers' tasks untouched",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Killed,
    Unplugged,
    WithLeader,
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    let all = [Death::WithLeader, Death::Killed, Death::Unplugged];
    let chosen: Vec<Death> = match size {
        Size::Full => all.to_vec(),
        // Each takes the time of a lease.
        Size::Short => vec![all[seed as usize % all.len()]],
    };
    for death in chosen {
        one(rig, report, size, death)?;
    }
    Ok(())
}

fn one(rig: &mut Rig, report: &mut Report, size: Size, death: Death) -> anyhow::Result<()> {
    let what = match death {
        Death::Killed => "killed",
        Death::Unplugged => "unplugged",
        Death::WithLeader => "killed with the leader",
    };
    rig.wait_caught_up(AGAIN)?;
    rig.wait_workers(AGAIN)?;
    let client = rig.client(AGAIN)?;
    let job = submit(rig, &client)?;
    rig.load()?.gate(size)?;
    let before = tasks(rig, &client, job)?;
    let place = |t: &TaskInfo| t.attempts.last().map_or(String::new(), |a| a.worker.clone());
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    before.iter().for_each(|t| *held.entry(place(t)).or_default() += 1);
    let victim = held.iter().max_by_key(|(_, n)| **n).map(|(w, _)| w.clone()).context("no worker has a task")?;
    let leader = rig.leader()?;
    let died_ns = clock::now_ns();
    let died_ms = clock::wall_ms();
    let unplugged = match death {
        Death::Killed => {
            rig.kill(&victim)?;
            None
        }
        Death::Unplugged => Some(rig.unplug(&victim)?),
        Death::WithLeader => {
            rig.kill(&victim)?;
            rig.kill(&leader)?;
            None
        }
    };
    wait::until("the worker's loss", NOTICED, Duration::from_millis(20), || {
        let request = ListWorkersRequest { consistency: Consistency::Linearizable as i32 };
        let workers = rig.wait(client.list_workers(request))?.workers;
        Ok(workers.iter().any(|w| w.name == victim && w.state() == WorkerState::Lost).then_some(()))
    })?;
    let noticed = Duration::from_nanos(clock::now_ns() - died_ns);
    let after = wait::until("its tasks running elsewhere", AGAIN, Duration::from_millis(20), || {
        let now = tasks(rig, &client, job)?;
        Ok(now
            .iter()
            .all(|t| place(t) != victim && t.attempts.last().is_some_and(|a| a.reason.is_none()))
            .then_some(now))
    })?;
    let (mut placed, mut since_death, mut touched) = (vec![], vec![], vec![]);
    for (old, new) in before.iter().zip(&after) {
        if place(old) != victim {
            if new.attempts.len() != old.attempts.len() {
                touched.push(format!("task {} of {} has {} attempts", new.index, place(old), new.attempts.len()));
            }
            continue;
        }
        ensure!(new.attempts.len() >= 2, "task {} moved without a new attempt: {new:?}", new.index);
        let pair = &new.attempts[new.attempts.len() - 2..];
        placed.push(Duration::from_millis(pair[1].assigned_ms.saturating_sub(pair[0].ended_ms)));
        since_death.push(Duration::from_millis(pair[1].assigned_ms.saturating_sub(died_ms)));
    }
    say(format!(
        "     {victim} {what}: noticed after {} ms, {} tasks placed again within {} ms of it",
        noticed.as_millis(),
        placed.len(),
        percentile(&placed, 1.0).as_millis()
    ));
    report.require(&format!("{what}: tasks that moved"), !placed.is_empty(), placed.len(), "some");
    report.within(&format!("{what}: noticed"), noticed, Duration::from_secs(15));
    report.within(&format!("{what}: loss → placed again, max"), percentile(&placed, 1.0), Duration::from_secs(1));
    report.within(
        &format!("{what}: death → placed again, p99"),
        percentile(&since_death, 0.99),
        Duration::from_secs(20),
    );
    report.none(&format!("{what}: tasks of other workers touched"), &touched);
    match unplugged {
        Some(unplugged) => unplugged.lift(rig)?,
        None => rig.start(&victim)?,
    }
    if death == Death::WithLeader {
        rig.start(&leader)?;
    }
    let request = CancelJobRequest { job: JobId(job).to_string(), ..CancelJobRequest::default() };
    rig.wait(client.cancel_job(request)).context("the job cannot be cancelled")?;
    Ok(())
}

/// Tasks that all run; returns their job.
fn submit(rig: &Rig, client: &Client) -> anyhow::Result<u64> {
    let spec = JobSpec {
        name: "long".into(),
        image: "noop".into(),
        command: vec!["sleep".into(), "600".into()],
        resources: Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Resources::default() },
        count: TASKS,
        ..JobSpec::default()
    };
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec) };
    let job = rig.wait(client.submit(request)).context("the job cannot be submitted")?.job_id;
    wait::until("running tasks", AGAIN, Duration::from_millis(50), || {
        let running = tasks(rig, client, job)?;
        let there = running.iter().filter(|t| t.attempts.last().is_some_and(|a| a.started_ms > 0)).count();
        Ok((there == TASKS as usize).then_some(()))
    })?;
    Ok(job)
}

fn tasks(rig: &Rig, client: &Client, job: u64) -> anyhow::Result<Vec<TaskInfo>> {
    let request = ListTasksRequest { job: JobId(job).to_string(), limit: TASKS, ..ListTasksRequest::default() };
    Ok(rig.wait(client.list_tasks(request)).context("tasks cannot be listed")?.tasks)
}
