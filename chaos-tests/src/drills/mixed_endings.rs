//! Hundreds of tasks that end in every way there is, on two workers: each has its reason, and afterwards nothing of them is left on the machine:
//! no container, network, volume, cgroup or folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Options};
use crate::command::run as run_command;
use crate::engine;
use crate::transcript::say;
use crate::views::JobView;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(900);

/// One way to end; `tasks` of all kinds together are 500.
struct Kind {
    name: &'static str,
    tasks: usize,
    flags: &'static [&'static str],
    image: &'static str,
    command: &'static [&'static str],
    /// Task state, reason, exit code.
    ends: (&'static str, &'static str, Option<i64>),
}

const SMALL: &[&str] = &["--memory", "16m"];
const BUSYBOX: &str = "cloudai/busybox";

const KINDS: [Kind; 10] = [
    Kind {
        name: "success",
        tasks: 180,
        flags: &["--memory", "16m", "--results"],
        image: BUSYBOX,
        command: &["true"],
        ends: ("Succeeded", "exit_code", Some(0)),
    },
    Kind {
        name: "exit-3",
        tasks: 60,
        flags: SMALL,
        image: BUSYBOX,
        command: &["sh", "-c", "exit 3"],
        ends: ("Failed", "exit_code", Some(3)),
    },
    Kind {
        name: "killed",
        tasks: 40,
        flags: SMALL,
        image: BUSYBOX,
        command: &["sh", "-c", "kill -9 $$"],
        ends: ("Failed", "signal", Some(137)),
    },
    Kind {
        name: "crashed",
        tasks: 40,
        flags: SMALL,
        image: BUSYBOX,
        command: &["sh", "-c", "kill -11 $$"],
        ends: ("Failed", "signal", Some(139)),
    },
    Kind {
        name: "memory",
        tasks: 30,
        flags: SMALL,
        image: BUSYBOX,
        command: &["tail", "/dev/zero"],
        ends: ("Failed", "out_of_memory", Some(137)),
    },
    Kind {
        name: "time-out",
        tasks: 40,
        flags: &["--memory", "16m", "--timeout", "500ms"],
        image: BUSYBOX,
        command: &["sleep", "100"],
        ends: ("Failed", "timeout", Some(143)),
    },
    Kind {
        name: "storage",
        tasks: 30,
        flags: &["--memory", "64m", "--storage", "2m"],
        image: BUSYBOX,
        command: &["sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=8; sleep 100"],
        ends: ("Failed", "disk_quota", Some(137)),
    },
    Kind {
        name: "no-image",
        tasks: 30,
        flags: &["--memory", "16m", "--pull", "never"],
        image: "cloudai/there-is-none",
        command: &["true"],
        ends: ("Failed", "image_not_found", None),
    },
    Kind {
        name: "no-program",
        tasks: 30,
        flags: SMALL,
        image: BUSYBOX,
        command: &["no-such-program"],
        ends: ("Failed", "start_failed", Some(127)),
    },
    Kind {
        name: "cancelled",
        tasks: 20,
        flags: SMALL,
        image: BUSYBOX,
        command: &["sleep", "1000"],
        ends: ("Cancelled", "cancelled", None),
    },
];

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let parts = if size == Size::Full { 1 } else { 10 };
    let volumes = engine::names(&["volume", "ls", "--quiet"])?;
    let networks = engine::names(&["network", "ls", "--format", "{{.Name}}"])?;
    let cluster = Cluster::start(&Options::docker(3, 2))?;
    let id = cluster.id()?;
    let mut jobs = vec![];
    for kind in &KINDS {
        let array = format!("0-{}", kind.tasks / parts - 1);
        let all =
            [&["--name", kind.name, "--array", &array, "--cpu", "0.2"], kind.flags, &[kind.image, "--"], kind.command]
                .concat();
        jobs.push(cluster.cli.submit(&all)?);
    }
    let tasks: usize = KINDS.iter().map(|k| k.tasks / parts).sum();
    say(format!("{tasks} tasks of {} kinds", KINDS.len()));
    cancel_in_all_states(&cluster, jobs.last().context("there are jobs")?)?;
    // What is not seen now is not missed afterwards.
    ensure!(folders(&cluster.dir)?.len() == 2, "each worker has a folder for what its tasks write");
    if cgroups(&id)?.is_empty() {
        say("NOT RUN: no cgroup can be left, because this machine's workers make none: see docs/endings.md");
    }

    let mut wrong = vec![];
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for (kind, job) in KINDS.iter().zip(&jobs) {
        cluster.cli.ended(job, LIMIT)?;
        let job = whole(&cluster, job, kind.tasks / parts)?;
        wrong.extend(wrong_endings(kind, &job));
        for attempt in job.tasks.iter().filter_map(|t| t.attempts.last()) {
            *endings.entry(attempt.ending().to_owned()).or_default() += 1;
        }
    }
    check::none("endings", &wrong)?;
    say(format!("each ended as it should: {endings:?}"));

    let label = format!("cloudai.cluster={id}");
    wait::until("no container being left", LIMIT, Duration::from_millis(300), || {
        Ok(engine::containers(&[&label, "cloudai.attempt"], false)?.is_empty().then_some(()))
    })?;
    wait::until("no folder of a task being left", LIMIT, Duration::from_millis(300), || {
        Ok(folders(&cluster.dir)?.values().all(|inside| *inside == 0).then_some(()))
    })?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    let left = engine::containers(&[&label], false)?;
    ensure!(left.is_empty(), "containers are left although all workers have stopped: {left:?}");
    let new = |before: &BTreeSet<String>, now: BTreeSet<String>| now.difference(before).cloned().collect::<Vec<_>>();
    let left = new(&volumes, engine::names(&["volume", "ls", "--quiet"])?);
    ensure!(left.is_empty(), "volumes are left: {left:?}");
    let left = new(&networks, engine::names(&["network", "ls", "--format", "{{.Name}}"])?);
    ensure!(left.is_empty(), "networks are left: {left:?}");
    let left = cgroups(&id)?;
    ensure!(left.is_empty(), "cgroups are left: {left:?}");
    say("nothing is left of them: no container, network, volume, cgroup or folder");
    Ok(Verdict::Passed)
}

/// Some wait, some run: the job is cancelled as it is.
fn cancel_in_all_states(cluster: &Cluster, job: &str) -> anyhow::Result<()> {
    wait::until("one of them running", LIMIT, Duration::from_millis(100), || {
        let job = cluster.cli.job(job)?;
        Ok(job.tasks.iter().any(|t| t.attempts.iter().any(|a| a.state == "Running")).then_some(()))
    })?;
    cluster.cli.ok(&["job", "cancel", job])?;
    Ok(())
}

/// `job show` pages; an array may be longer than a page.
fn whole(cluster: &Cluster, job: &str, tasks: usize) -> anyhow::Result<JobView> {
    let shown = cluster.cli.job(job)?;
    ensure!(shown.tasks.len() == tasks, "job {job} shows {} tasks, not {tasks}", shown.tasks.len());
    Ok(shown)
}

fn wrong_endings(kind: &Kind, job: &JobView) -> Vec<String> {
    let (state, reason, code) = kind.ends;
    let mut wrong = vec![];
    for task in &job.tasks {
        let name = format!("{} {}/{}", kind.name, job.id, task.index);
        if task.state != state {
            wrong.push(format!("{name} is {}, not {state}", task.state));
        }
        // A cancelled task that waited has no attempt.
        let Some(last) = task.attempts.last() else {
            if kind.name != "cancelled" {
                wrong.push(format!("{name} has no attempt"));
            }
            continue;
        };
        let ended = last.reason.as_ref();
        let is_right = ended.is_some_and(|r| r.kind == reason && (code.is_none() || r.exit_code == code));
        if !is_right {
            wrong.push(format!("{name} ended as {ended:?}, not as {reason} {code:?}"));
        }
    }
    wrong
}

/// How many tasks have something in each worker's folder of what tasks write.
fn folders(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, usize>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).context("the cluster has a folder")? {
        let folder = entry?.path().join("outputs");
        if let Ok(inside) = fs::read_dir(&folder) {
            found.insert(folder, inside.count());
        }
    }
    Ok(found)
}

/// Cgroups that this cluster's workers have made.
fn cgroups(cluster: &str) -> anyhow::Result<Vec<String>> {
    let found = run_command(
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-path", &format!("*{cluster}*")]),
        Duration::from_secs(60),
    )?;
    Ok(found.stdout.lines().map(str::to_owned).collect())
}
