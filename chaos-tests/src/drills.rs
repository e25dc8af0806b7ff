//! One drill per promise of the project, in a file each. Comes in: its size. Goes out: a verdict, or an error that says
//! which promise did not hold. A drill that cannot inject its fault says NOT RUN and why; it never passes silently.

pub mod agent_kills;
pub mod bad_input;
pub mod big_task;
pub mod canary;
pub mod certificates;
pub mod doctor;
pub mod engine_restarts;
pub mod explained;
pub mod fair_shares;
pub mod large_result;
pub mod leader_kills;
pub mod limits_hold;
pub mod lines;
pub mod loud_task;
pub mod masters_killed;
pub mod mixed_endings;
pub mod noop_records;
pub mod paused_agent;
pub mod preemption;
pub mod prometheus;
pub mod run_codes;
pub mod screens;
pub mod trace;
pub mod wiped_master;
pub mod worker_killed;
pub mod workflow_failover;
pub mod workflow_replay;

use std::sync::atomic::{AtomicBool, Ordering};

use crate::transcript::say;

static WRITES_DOCS: AtomicBool = AtomicBool::new(false);

/// From now on drills that have something for the docs write it there.
pub fn write_docs() {
    WRITES_DOCS.store(true, Ordering::Relaxed);
}

fn writes_docs() -> bool {
    WRITES_DOCS.load(Ordering::Relaxed)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// For `cargo test`.
    Small,
    /// As the issue names it.
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Why it could not be run here.
    NotRun(String),
}

pub type Drill = fn(Size) -> anyhow::Result<Verdict>;

/// What it is called by, what it shows, drill.
pub const ALL: [(&str, &str, Drill); 25] = [
    ("2", "submits go on while leaders are killed", leader_kills::run),
    ("3", "all masters killed at once lose nothing", masters_killed::run),
    ("4", "a worker killed, with and without its containers", worker_killed::run),
    ("5", "a wiped master comes back as a new one", wiped_master::run),
    ("6", "the Raft port accepts masters only", certificates::run),
    ("7", "run gives exit codes, streams and the sample's result", run_codes::run),
    ("8", "explain says why a task waits", explained::run),
    ("limits", "a limit that is reached ends its task by name, and its neighbours go on", limits_hold::run),
    ("endings", "hundreds of endings of every kind, and nothing left behind", mixed_endings::run),
    ("agent-kills", "an agent killed at any moment runs nothing twice and loses nothing", agent_kills::run),
    ("engine-restarts", "tasks go on over a restart of the engine, or run again", engine_restarts::run),
    ("paused-agent", "a worker that is paused or gone keeps no task past its lease", paused_agent::run),
    ("secrets", "a canary secret is found nowhere", canary::run),
    ("loud-task", "a task that prints a gigabyte hurts nobody", loud_task::run),
    ("large-result", "a large result is stored once, though its worker was killed", large_result::run),
    ("fair-shares", "namespaces get their parts by weight, and a quota holds only its own back", fair_shares::run),
    ("big-task", "a big task and a gang start among a flood of small ones", big_task::run),
    ("preemption", "urgent tasks take the room of others, with leaders killed", preemption::run),
    ("workflow-failover", "a large workflow runs once and in order while leaders are killed", workflow_failover::run),
    ("workflow-replay", "a trace of a workflow runs as the simulator says", workflow_replay::run),
    ("doctor", "the doctor names what is wrong with a cluster, and nothing else", doctor::run),
    ("screens", "top, status and job watch on a terminal, with leaders killed", screens::run),
    ("prometheus", "a Prometheus sees the cluster, its faults and nothing else", prometheus::run),
    ("trace", "one trace, whole, from the command to the report, though the leader was killed", trace::run),
    ("bad-input", "bad input is refused clearly, and other work goes on", bad_input::run),
];

/// Runs one, and says how it went. False: it failed.
pub fn perform(number: &str, name: &str, drill: Drill, size: Size) -> bool {
    say(format!("---- {number}: {name}"));
    match drill(size) {
        Ok(Verdict::Passed) => {
            say(format!("---- {number}: PASSED"));
            true
        }
        Ok(Verdict::NotRun(why)) => {
            say(format!("---- {number}: NOT RUN: {why}"));
            true
        }
        Err(error) => {
            say(format!("---- {number}: FAILED: {error:#}"));
            false
        }
    }
}

/// Some(NotRun) when no Docker engine answers; builds the sample images otherwise.
fn needs_docker() -> anyhow::Result<Option<Verdict>> {
    if let Some(why) = crate::engine::why_not() {
        return Ok(Some(Verdict::NotRun(format!("no Docker engine answers ({why})"))));
    }
    crate::engine::images()?;
    Ok(None)
}
