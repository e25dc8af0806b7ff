//! Crashes, power cuts and errors at every step that writes: three masters over the real stores under load, ended at one place
//! (`cloudai_raft::Failpoint`), started again. Then: nothing acknowledged is lost, all masters hold the same, no vote went back.
//!
//! A process is ended for real: each run is a child process of this test. A power cut is a crash after which each log is cut back
//! to what its fsyncs covered.
//!
//! `FAILPOINT=NAME MODE=kill|power|error|delay` repeats one; `FAILPOINT_ROUNDS=N` runs each at N moments.
#![allow(clippy::unwrap_used)] // a test may fail loudly

#[path = "failpoints/child.rs"]
mod child;
mod common;
#[path = "failpoints/group.rs"]
mod group;
#[path = "failpoints/power.rs"]
mod power;
#[path = "failpoints/verify.rs"]
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cloudai_raft::Failpoint;

/// A child that takes longer hangs.
const CHILD_LIMIT: Duration = Duration::from_secs(120);
const COUNTS_MAX: usize = 4;
/// Runs at a time: they mostly wait for elections.
const AT_A_TIME: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The process is gone, the machine is not.
    Kill,
    /// The machine is gone too.
    Power,
    /// The step fails on one master, which then stops or tries again.
    Error,
    /// The step takes longer than an election.
    Delay,
}

impl Mode {
    const ALL: [Mode; 4] = [Mode::Kill, Mode::Power, Mode::Error, Mode::Delay];

    fn name(self) -> &'static str {
        match self {
            Mode::Kill => "kill",
            Mode::Power => "power",
            Mode::Error => "error",
            Mode::Delay => "delay",
        }
    }

    /// A delay anywhere else would stop all three masters, which share a thread.
    fn fits(self, place: Failpoint) -> bool {
        self != Mode::Delay || matches!(place, Failpoint::LogSync | Failpoint::LogSyncFlushed)
    }
}

#[derive(Clone, Copy, Debug)]
struct Run {
    place: Failpoint,
    mode: Mode,
    /// Which hit of the place it happens at, from 1 on.
    hit: u64,
}

/// How often each place is reached when nothing is wrong. A place that is not reached would be tested by nothing. What a follower
/// needs (log or checkpoint) depends on time, so this looks more than once.
fn count_hits() -> BTreeMap<&'static str, u64> {
    let mut all: BTreeMap<&'static str, u64> = Failpoint::ALL.iter().map(|p| (p.name(), 0)).collect();
    for _ in 0..COUNTS_MAX {
        let dir = tempfile::tempdir().unwrap();
        let (code, out) = spawn(dir.path(), &[("CHILD_MODE", "count".into())]);
        assert_eq!(code, Some(0), "the workload without a fault:\n{out}");
        verify::verify(dir.path()).unwrap_or_else(|e| panic!("without a fault: {e}"));
        let text = std::fs::read_to_string(dir.path().join("hits")).unwrap();
        for (name, hits) in text.lines().map(|l| l.split_once(' ').unwrap()) {
            let most = all.get_mut(name).expect("a name of the list");
            *most = (*most).max(hits.parse().unwrap());
        }
        if all.values().all(|n| *n > 0) {
            break;
        }
    }
    all
}

fn spawn(dir: &Path, env: &[(&str, String)]) -> (Option<i32>, String) {
    let log = dir.join("child.log");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--ignored", "--nocapture"])
        .env("CHILD_DIR", dir)
        .envs(env.iter().map(|(k, v)| (*k, v.clone())))
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let until = Instant::now() + CHILD_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            return (Some(-1), format!("hangs:\n{}", tail(&log)));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let status = if dir.join(child::ENDED).exists() { Some(0) } else { status };
    (status, tail(&log))
}

fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    text.lines().rev().take(12).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn perform(run: Run) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let env = [
        ("CHILD_MODE", run.mode.name().to_owned()),
        ("CHILD_PLACE", run.place.name().to_owned()),
        ("CHILD_HIT", run.hit.to_string()),
    ];
    let (code, out) = spawn(dir.path(), &env);
    match (run.mode, code) {
        (Mode::Kill | Mode::Power, None) | (Mode::Error | Mode::Delay, Some(0)) => {}
        // It was not reached as often as in the counting run: the workload ended first.
        (Mode::Kill | Mode::Power, Some(0)) => {}
        _ => return Err(format!("the child ended with {code:?}:\n{out}")),
    }
    if run.mode == Mode::Power {
        power::cut(dir.path());
    }
    verify::verify(dir.path())
}

#[test]
#[ignore = "the child of the suite below; does nothing alone"]
fn child_process() {
    if std::env::var_os("CHILD_DIR").is_some() {
        child::run();
    }
}

#[test]
fn every_place_survives_every_fault() {
    let hits = count_hits();
    let never: Vec<_> = hits.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    assert!(never.is_empty(), "the workload never reaches {never:?}: these places are tested by nothing");
    let rounds: u64 = std::env::var("FAILPOINT_ROUNDS").map_or(1, |n| n.parse().unwrap());
    let only = (std::env::var("FAILPOINT").ok(), std::env::var("MODE").ok());
    let mut runs = vec![];
    for place in Failpoint::ALL.iter().copied() {
        for mode in Mode::ALL.into_iter().filter(|m| m.fits(place)) {
            if only.0.as_ref().is_some_and(|n| n != place.name()) || only.1.as_ref().is_some_and(|m| m != mode.name()) {
                continue;
            }
            for round in 0..rounds {
                // Spread over the workload: the first hits are the cluster's birth, the last ones its end.
                let seed = (place as u64 * 31 + mode as u64 * 7 + round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let most = hits[place.name()];
                runs.push(Run { place, mode, hit: 1 + (seed >> 33) % most });
            }
        }
    }
    let (todo, failed) = (Mutex::new(runs.iter()), Mutex::new(vec![]));
    let began = Instant::now();
    std::thread::scope(|s| {
        for _ in 0..AT_A_TIME {
            s.spawn(|| {
                loop {
                    let Some(run) = todo.lock().unwrap().next().copied() else { return };
                    if let Err(why) = perform(run) {
                        let (place, mode, hit) = (run.place.name(), run.mode.name(), run.hit);
                        failed.lock().unwrap().push(format!("FAILPOINT={place} MODE={mode} (hit {hit}): {why}"));
                    }
                }
            });
        }
    });
    println!("{} places, {} runs in {:.0?}", hits.len(), runs.len(), began.elapsed());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} runs failed:\n{}", failed.len(), runs.len(), failed.join("\n\n"));
}
