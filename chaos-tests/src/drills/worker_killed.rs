//! Must show 4: a worker killed together with its containers: its tasks run again elsewhere and end. A worker's agent alone
//! killed and restarted: its containers are adopted, and no task runs twice.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;

use super::{Size, Verdict, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Options};
use crate::engine::{self, Starts};
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(120);

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let cluster = Cluster::start(&Options::docker(3, 2))?;
    let id = cluster.id()?;
    let starts = Starts::watch(&id)?;
    let tasks = if size == Size::Full { 20 } else { 6 };
    agent_alone(&cluster, &id, &starts, tasks)?;
    worker_and_containers(&cluster, &id, &starts, tasks)?;
    let left = engine::containers(&[&format!("cloudai.cluster={id}"), "cloudai.attempt"], false)?;
    ensure!(left.is_empty(), "containers are left although all tasks have ended: {left:?}");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    let left = engine::containers(&[&format!("cloudai.cluster={id}")], false)?;
    ensure!(left.is_empty(), "containers are left although all workers have stopped: {left:?}");
    Ok(Verdict::Passed)
}

fn submit(cluster: &Cluster, name: &str, tasks: usize, seconds: u32) -> anyhow::Result<String> {
    let (array, sleep) = (format!("0-{}", tasks - 1), format!("sleep {seconds}; echo done"));
    cluster.cli.submit(&[
        "--name",
        name,
        "--array",
        &array,
        "--cpu",
        "0.1",
        "--memory",
        "16m",
        "cloudai/busybox",
        "--",
        "sh",
        "-c",
        &sleep,
    ])
}

/// Containers of this worker that run, once it has at least `count`.
fn running_on(id: &str, worker: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let labels = [format!("cloudai.cluster={id}"), format!("cloudai.worker={worker}")];
    wait::until(&format!("{count} containers on {worker}"), LIMIT, Duration::from_millis(200), || {
        let running = engine::containers(&[&labels[0], &labels[1], "cloudai.attempt"], true)?;
        Ok((running.len() >= count).then_some(running))
    })
}

fn agent_alone(cluster: &Cluster, id: &str, starts: &Starts, tasks: usize) -> anyhow::Result<()> {
    let job = submit(cluster, "adopted", tasks, 8)?;
    let before = running_on(id, "worker-1", 2)?;
    cluster.kill("worker-1")?;
    say(format!("killed worker-1's agent alone; {} of its containers run on", before.len()));
    cluster.start_one("worker-1")?;
    let shown = cluster.cli.ended(&job, LIMIT)?;
    let mut wrong = check::every_task_succeeded_once(&shown, tasks);
    wrong.extend(check::no_task_ran_twice(&shown));
    let twice: Vec<_> = starts.so_far().into_iter().filter(|(_, n)| *n != 1).collect();
    wrong.extend(twice.iter().map(|(name, n)| format!("container {name} was started {n} times")));
    check::none("after the agent's restart", &wrong)?;
    let started = starts.so_far().len();
    ensure!(started == tasks, "{started} containers were started for {tasks} tasks");
    say(format!(
        "its containers were adopted: {tasks} tasks, {tasks} containers, every task succeeded in its first attempt"
    ));
    Ok(())
}

fn worker_and_containers(cluster: &Cluster, id: &str, starts: &Starts, tasks: usize) -> anyhow::Result<()> {
    let job = submit(cluster, "moved", tasks, 6)?;
    running_on(id, "worker-1", 2)?;
    // The agent first: it must not report the deaths of its containers, as it could not on a machine that lost its power.
    cluster.kill("worker-1")?;
    let victims = running_on(id, "worker-1", 1)?;
    engine::kill(&victims)?;
    say(format!("killed worker-1 with its {} containers", victims.len()));
    let shown = cluster.cli.ended(&job, LIMIT)?;
    let mut wrong = check::every_task_succeeded_once(&shown, tasks);
    let moved: BTreeSet<u64> = shown.tasks.iter().filter(|t| t.attempts.len() > 1).map(|t| t.index).collect();
    for task in shown.tasks.iter().filter(|t| moved.contains(&t.index)) {
        let (first, last) = (&task.attempts[0], &task.attempts[task.attempts.len() - 1]);
        if first.worker.as_deref() != Some("worker-1")
            || first.reason.as_ref().map(|r| r.kind.as_str()) != Some("worker_lost")
        {
            wrong.push(format!("task {}'s first attempt was not lost with worker-1: {first:?}", task.index));
        }
        if last.worker.as_deref() == Some("worker-1") {
            wrong.push(format!("task {} ran again on the dead worker", task.index));
        }
    }
    wrong.extend(
        starts
            .so_far()
            .into_iter()
            .filter(|(_, n)| *n != 1)
            .map(|(name, n)| format!("container {name} was started {n} times")),
    );
    check::none("after the worker's death", &wrong)?;
    ensure!(!moved.is_empty(), "no task was moved: this shows nothing");
    say(format!("{} of {tasks} tasks ran again on worker-2, and all succeeded", moved.len()));
    // Its dead containers are removed by the agent that comes back.
    cluster.start_one("worker-1")?;
    wait::until("worker-1's dead containers being removed", LIMIT, Duration::from_millis(300), || {
        Ok(engine::containers(&[&format!("cloudai.cluster={id}"), "cloudai.attempt"], false)?.is_empty().then_some(()))
    })
}
