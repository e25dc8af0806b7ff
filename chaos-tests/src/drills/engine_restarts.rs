//! The container engine is killed and stopped under running tasks. With live restore they go on, and the worker adopts them: one attempt, every
//! line. Without it they die with the engine, and run again as a loss of infrastructure, which costs the user no attempt. What is
//! submitted while there is no engine waits for it.

use std::time::Duration;

use anyhow::ensure;

use super::{Size, Verdict, lines, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Options};
use crate::own_engine::{self, OwnEngine};
use crate::transcript::say;
use crate::views::JobView;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(240);
const LINES: u32 = 60;
const TASKS: usize = 4;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    if let Some(why) = own_engine::why_not() {
        return Ok(Verdict::NotRun(why));
    }
    let dir = tempfile::Builder::new().prefix("cloudai-eng-").tempdir()?;
    let mut engine = OwnEngine::start(dir.path(), true)?;
    engine.load("cloudai/busybox")?;
    let mut options = Options::docker(1, 1);
    options.flags = vec!["--docker-socket".into(), engine.socket().display().to_string()];
    let cluster = Cluster::start(&options)?;
    let ways: &[bool] = if size == Size::Full { &[true, false] } else { &[true] };
    for kill in ways {
        adopted(&cluster, &mut engine, *kill)?;
    }
    // Nothing runs now: the engine becomes one that takes its containers along.
    engine.stop()?;
    engine.start_again(false)?;
    let ways: &[bool] = if size == Size::Full { &[false, true] } else { &[false] };
    for kill in ways {
        retried(&cluster, &mut engine, *kill)?;
    }
    let left = engine.docker(&["ps", "--all", "--filter", "label=cloudai.attempt", "--format", "{{.Names}}"])?;
    ensure!(left.trim().is_empty(), "containers are left although all tasks have ended: {left}");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn submit(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let (array, script) = (format!("0-{}", TASKS - 1), lines::script(LINES, "0.1"));
    let flags =
        ["--name", name, "--array", &array, "--cpu", "0.1", "--memory", "16m", "--network", "none", "cloudai/busybox"];
    cluster.cli.submit(&[&flags[..], &["--", "sh", "-c", &script]].concat())
}

fn until_all_run(cluster: &Cluster, job: &str) -> anyhow::Result<()> {
    wait::until("all of them running", LIMIT, Duration::from_millis(100), || {
        let shown = cluster.cli.job(job)?;
        let running = shown.tasks.iter().filter(|t| t.attempts.iter().any(|a| a.state == "Running")).count();
        Ok((running == TASKS).then_some(()))
    })
}

fn whole_logs(cluster: &Cluster, job: &JobView) -> anyhow::Result<Vec<String>> {
    let mut wrong = vec![];
    for task in &job.tasks {
        wrong.extend(lines::of(cluster, &format!("{}/{}", job.id, task.index), LINES)?);
    }
    Ok(wrong)
}

fn end(engine: &mut OwnEngine, kill: bool) -> anyhow::Result<&'static str> {
    if kill {
        engine.kill()?;
        Ok("killed")
    } else {
        engine.stop()?;
        Ok("stopped")
    }
}

fn adopted(cluster: &Cluster, engine: &mut OwnEngine, kill: bool) -> anyhow::Result<()> {
    let job = submit(cluster, "adopted")?;
    until_all_run(cluster, &job)?;
    let how = end(engine, kill)?;
    let late = submit(cluster, "late")?;
    std::thread::sleep(Duration::from_secs(3));
    engine.start_again(true)?;
    let mut wrong = vec![];
    for job in [job, late] {
        let shown = cluster.cli.ended(&job, LIMIT)?;
        wrong.extend(check::every_task_succeeded_once(&shown, TASKS));
        wrong.extend(check::no_task_ran_twice(&shown));
        wrong.extend(whole_logs(cluster, &shown)?);
    }
    check::none("live restore on", &wrong)?;
    say(format!(
        "live restore on, engine {how}: {TASKS} tasks went on in their first attempt with all {LINES} lines; {TASKS} that came while it was away waited for it"
    ));
    Ok(())
}

fn retried(cluster: &Cluster, engine: &mut OwnEngine, kill: bool) -> anyhow::Result<()> {
    let job = submit(cluster, "retried")?;
    until_all_run(cluster, &job)?;
    let how = end(engine, kill)?;
    engine.start_again(false)?;
    let shown = cluster.cli.ended(&job, LIMIT)?;
    let mut wrong = whole_logs(cluster, &shown)?;
    for task in &shown.tasks {
        let endings: Vec<&str> = task.attempts.iter().map(|a| a.ending()).collect();
        let (last, before) = endings.split_last().unwrap_or((&"", &[]));
        if task.state != "Succeeded"
            || *last != "exit_code"
            || before.is_empty()
            || before.iter().any(|e| *e != "engine_error")
        {
            wrong.push(format!("task {}/{} is {} after {endings:?}", shown.id, task.index, task.state));
        }
    }
    check::none("live restore off", &wrong)?;
    say(format!(
        "live restore off, engine {how}: {TASKS} tasks died with it, ran again, and succeeded, at no cost of the one attempt they had"
    ));
    Ok(())
}
