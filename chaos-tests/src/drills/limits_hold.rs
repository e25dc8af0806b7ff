//! A task over its memory, its processes, its storage or its time ends by that limit's name, with what it used, and its neighbours on
//! the same workers go on.

use std::time::Duration;

use anyhow::Context as _;

use super::{Size, Verdict, lines, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::views::AttemptView;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(180);
const NEIGHBOURS: usize = 4;
const LINES: u32 = 60;
const MIB: u64 = 1 << 20;

/// What each does, the ending of it, and the exit code.
struct Offender {
    name: &'static str,
    flags: &'static [&'static str],
    script: &'static str,
    ending: (&'static str, i64),
    /// What its ending says.
    words: &'static str,
}

const OFFENDERS: [Offender; 4] = [
    Offender {
        name: "memory",
        flags: &["--memory", "16m"],
        script: "tail /dev/zero",
        ending: ("out_of_memory", 137),
        words: "memory limit",
    },
    Offender {
        name: "processes",
        flags: &["--memory", "64m", "--processes-max", "64"],
        script: "i=0; while [ $i -lt 100 ]; do sleep 30 & i=$((i+1)); done; exit 9",
        ending: ("exit_code", 2),
        words: "limit of 64 processes",
    },
    Offender {
        name: "storage",
        flags: &["--memory", "64m", "--storage", "8m"],
        script: "dd if=/dev/zero of=/tmp/x bs=1M count=24; sleep 100",
        ending: ("disk_quota", 137),
        words: "asked for 8.0 MiB of storage",
    },
    Offender {
        name: "time",
        flags: &["--memory", "16m", "--timeout", "1s"],
        script: "sleep 100",
        ending: ("timeout", 143),
        words: "",
    },
];

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let cluster = Cluster::start(&Options::docker(3, 2))?;
    let array = format!("0-{}", NEIGHBOURS - 1);
    let script = lines::script(LINES, "0.25");
    let neighbours = ["--name", "neighbours", "--array", &array, "--cpu", "0.1", "--memory", "16m", "cloudai/busybox"];
    let neighbours = cluster.cli.submit(&[&neighbours[..], &["--", "sh", "-c", &script]].concat())?;
    wait::until("all neighbours running", LIMIT, Duration::from_millis(200), || {
        let running = cluster
            .cli
            .job(&neighbours)?
            .tasks
            .iter()
            .filter(|t| t.attempts.iter().any(|a| a.state == "Running"))
            .count();
        Ok((running == NEIGHBOURS).then_some(()))
    })?;
    let mut jobs = vec![];
    for o in &OFFENDERS {
        let all =
            [&["--name", o.name, "--cpu", "0.1"], o.flags, &["cloudai/busybox", "--", "sh", "-c", o.script]].concat();
        jobs.push(cluster.cli.submit(&all)?);
    }
    let mut wrong = vec![];
    for (o, job) in OFFENDERS.iter().zip(&jobs) {
        let shown = cluster.cli.ended(job, LIMIT)?;
        let attempt = shown.tasks[0].attempts.last().context("it has an attempt")?;
        wrong.extend(wrong_ending(o, attempt));
        let reason = attempt.reason.as_ref().context("it has a reason")?;
        say(format!("{}: {} {:?}: {}", o.name, reason.kind, reason.exit_code, reason.detail.as_deref().unwrap_or("")));
    }
    let shown = cluster.cli.ended(&neighbours, LIMIT)?;
    wrong.extend(check::every_task_succeeded_once(&shown, NEIGHBOURS));
    wrong.extend(check::no_task_ran_twice(&shown));
    for index in 0..NEIGHBOURS {
        wrong.extend(lines::of(&cluster, &format!("{neighbours}/{index}"), LINES)?);
    }
    check::none("limits", &wrong)?;
    say(format!("{NEIGHBOURS} neighbours went on, and each printed its {LINES} lines"));
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn wrong_ending(o: &Offender, attempt: &AttemptView) -> Vec<String> {
    let mut wrong = vec![];
    let Some(reason) = &attempt.reason else { return vec![format!("{}: no ending", o.name)] };
    if (reason.kind.as_str(), reason.exit_code) != (o.ending.0, Some(o.ending.1)) {
        wrong.push(format!("{}: it ended as {} {:?}, not as {:?}", o.name, reason.kind, reason.exit_code, o.ending));
    }
    let said = reason.detail.as_deref().unwrap_or_default();
    if !said.contains(o.words) {
        wrong.push(format!("{}: it says '{said}', not '{}'", o.name, o.words));
    }
    match attempt.usage.as_ref().map(|u| u.memory_peak_bytes) {
        Some(Some(peak)) if o.name == "memory" && peak < 15 * MIB => {
            wrong.push(format!("memory: its peak is {peak}, and its limit 16 MiB"));
        }
        Some(Some(_)) => {}
        Some(None) => wrong.push(format!("{}: its peak memory is not recorded", o.name)),
        None => say(format!(
            "{}: NOT RUN: this machine's workers cannot know what attempts use: see docs/endings.md",
            o.name
        )),
    }
    wrong
}
