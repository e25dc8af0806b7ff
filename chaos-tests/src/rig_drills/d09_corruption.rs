//! D09: what lies on a stopped master's disk is changed: bits flip, files end early. When it starts again it either notices and refuses, or it can be
//! shown that no harm was done: its state is that of the others, and every answer it gives is theirs. Each position is tried on its own,
//! from the same good copy. In the end a damaged master is replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::{Consistency, ListJobsRequest};

use super::{Drill, Size, d10_wiped_disk, standard_load, standard_options};
use crate::rig::outcome::{Invalid, valid};
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);
/// It has refused by then, or it runs.
const DECIDED: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(30);
const REPLACED: Duration = Duration::from_secs(60);
const POSITIONS_SHORT: usize = 6;

pub const DRILL: Drill = Drill {
    id: "D09",
    name: "corruption",
    injects: "bit flips and truncation at 24 places on a stopped master: write-ahead log, tables, manifests, pointers, snapshot, who it is and its vote",
    must_hold: "each noticed at start or when read, or shown harmless (same state, same answers); replaced ≤ 60 s afterwards",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// In this thousandth of the file.
    Flip(u64),
    /// Only so many thousandths are left.
    Cut(u64),
}

/// One kind of file. The vote lies in the log's database, in its write-ahead log or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    what: &'static str,
    folder: &'static str,
    suffix: &'static str,
}

const TARGETS: [Target; 8] = [
    Target { what: "the log's write-ahead log", folder: "raft", suffix: ".log" },
    Target { what: "the log's table", folder: "raft", suffix: ".sst" },
    Target { what: "the log's manifest", folder: "raft", suffix: "MANIFEST-" },
    Target { what: "the log's pointer", folder: "raft", suffix: "CURRENT" },
    Target { what: "the state's table", folder: "state", suffix: ".sst" },
    Target { what: "the state's manifest", folder: "state", suffix: "MANIFEST-" },
    Target { what: "the snapshot's table", folder: "snapshots", suffix: ".sst" },
    Target { what: "who it is", folder: "", suffix: "node.json" },
];
const DAMAGES: [Damage; 3] = [Damage::Flip(137), Damage::Flip(811), Damage::Cut(503)];

/// What came of one position.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It ended and said why.
    Refused(String),
    /// It runs and says that it cannot read what is damaged.
    SaidWhenRead(String),
    /// It runs, and its state and answers are those of the others.
    Harmless,
    Wrong(String),
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let victim = rig.followers(&leader).remove(0);
    // A start writes the log's memory out as tables: afterwards every kind of file is there.
    for _ in 0..2 {
        rig.kill(&victim)?;
        rig.start(&victim)?;
        rig.wait_caught_up(AGAIN)?;
        std::thread::sleep(Duration::from_secs(2));
    }
    rig.kill(&victim)?;
    let mount = rig.machine(&victim)?.disk.clone().context("a master has a disk")?.mount;
    let good = rig.ours.dir.join("good-copy");
    copy(&mount, &good)?;
    let all: Vec<(Target, Damage)> = TARGETS.iter().flat_map(|t| DAMAGES.map(|d| (*t, d))).collect();
    let chosen: Vec<(Target, Damage)> = match size {
        Size::Full => all.clone(),
        // Another part each time, spread over all kinds.
        Size::Short => (0..POSITIONS_SHORT).map(|n| all[(n * 5 + seed as usize) % all.len()]).collect(),
    };
    let mut outcomes: Vec<(String, Outcome)> = vec![];
    for (target, damage) in &chosen {
        put_back(&good, &mount)?;
        let name = format!("{}, {damage:?}", target.what);
        let band = rig.timeline.begin(format!("{victim}: {name}"));
        let file = spoil(&mount, target, *damage)?;
        rig.timeline.prove(band, format!("{} changed", file.display()));
        let outcome = start_and_look(rig, &victim).with_context(|| name.clone())?;
        // Nobody else may suffer from it.
        let outcome = others_ended(rig, &victim)?.unwrap_or(outcome);
        rig.timeline.end(band);
        say(format!("     {name}: {outcome:?}"));
        outcomes.push((name, outcome));
        if rig.machine(&victim)?.pid().is_some() {
            rig.kill(&victim)?;
        }
    }
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|(_, o)| wanted(o)).count();
    report.measured("positions", outcomes.len());
    report.measured("noticed at the start", count(|o| matches!(o, Outcome::Refused(_))));
    report.measured("noticed when read", count(|o| matches!(o, Outcome::SaidWhenRead(_))));
    report.measured("shown harmless", count(|o| *o == Outcome::Harmless));
    let wrong: Vec<String> = outcomes
        .iter()
        .filter_map(|(name, o)| if let Outcome::Wrong(what) = o { Some(format!("{name}: {what}")) } else { None })
        .collect();
    report.none("neither noticed nor harmless", &wrong);

    // A master that was found damaged is replaced.
    put_back(&good, &mount)?;
    spoil(&mount, &TARGETS[2], Damage::Cut(300))?;
    rig.load()?.gate(size)?;
    let replaced = d10_wiped_disk::replace(rig, &victim)?;
    report.within("replaced by a new master that votes", replaced.took, REPLACED);
    Ok(())
}

/// `cp -a`: everything, with its modes.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut command = Command::new("cp");
    command.arg("-a").arg(format!("{}/.", from.display())).arg(to);
    crate::command::run(&mut command, AGAIN)?.ok("cp -a")?;
    Ok(())
}

fn put_back(good: &Path, mount: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(mount).with_context(|| format!("cannot list {}", mount.display()))? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    copy(good, mount)
}

fn spoil(mount: &Path, target: &Target, damage: Damage) -> anyhow::Result<PathBuf> {
    let file = largest(&mount.join(target.folder), target.suffix)
        .ok_or_else(|| Invalid(format!("{} does not exist in {}", target.what, mount.display())))?;
    let mut bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = bytes.len() as u64;
    valid(length > 0, || format!("{} is empty", file.display()))?;
    match damage {
        Damage::Flip(part) => bytes[(length * part / 1000) as usize] ^= 0x10,
        Damage::Cut(part) => bytes.truncate((length * part / 1000) as usize),
    }
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn largest(folder: &Path, suffix: &str) -> Option<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = vec![];
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                // Only a named folder is searched below: the data directory itself holds the others.
                folders.push(path);
            } else if name.ends_with(suffix) || name.starts_with(suffix) {
                found.push((entry.metadata().map_or(0, |m| m.len()), path));
            }
        }
    }
    found.into_iter().max().map(|(_, path)| path)
}

fn start_and_look(rig: &mut Rig, victim: &str) -> anyhow::Result<Outcome> {
    let before = rig.machine(victim)?.said().len();
    rig.start(victim)?;
    let began = Instant::now();
    loop {
        if let Some(code) = rig.machine(victim)?.ended()? {
            return refusal(rig, victim, before, code);
        }
        if rig.wait_caught_up(Duration::from_millis(300)).is_ok() {
            break;
        }
        if began.elapsed() > DECIDED {
            return Ok(Outcome::Wrong(format!("it neither ended nor caught up within {} s", DECIDED.as_secs())));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let outcome = compare(rig, victim)?;
    if let Some(code) = rig.machine(victim)?.ended()? {
        return refusal(rig, victim, before, code);
    }
    Ok(outcome)
}

/// A damaged master that takes another one down with it.
fn others_ended(rig: &mut Rig, victim: &str) -> anyhow::Result<Option<Outcome>> {
    let mut found = None;
    for master in rig.masters().into_iter().filter(|m| m != victim) {
        if let Some(code) = rig.machine(&master)?.ended()? {
            found = Some(Outcome::Wrong(format!("{master} ended with {code}, and its disk is fine")));
            rig.start(&master)?;
        }
    }
    Ok(found)
}

fn refusal(rig: &mut Rig, victim: &str, before: usize, code: i32) -> anyhow::Result<Outcome> {
    let said = rig.machine(victim)?.said();
    let new = said.get(before..).unwrap_or_default();
    if code == 0 {
        return Ok(Outcome::Wrong("it ended with 0".to_owned()));
    }
    let words =
        ["damaged", "orrupt", "cannot be trusted", "lacks entry", "checksum", "cannot be opened", "cannot be loaded"];
    let line = new.lines().rev().find(|l| words.iter().any(|w| l.contains(w)));
    Ok(match line {
        Some(line) => Outcome::Refused(line.chars().take(220).collect()),
        None => Outcome::Wrong(format!(
            "it ended with {code} and did not say why: {}",
            new.lines().last().unwrap_or_default()
        )),
    })
}

/// Its state at an index that the leader was seen at too, and all that it answers.
fn compare(rig: &Rig, victim: &str) -> anyhow::Result<Outcome> {
    let leader = rig.leader()?;
    let mut seen: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    let began = Instant::now();
    let equal = loop {
        std::thread::sleep(Duration::from_millis(3));
        for (name, view) in rig.views() {
            let index = view.read.map_or(0, |r| r.index);
            seen.entry(index).or_default().insert(name, view.digest);
        }
        let both = seen.values().find_map(|by| Some((*by.get(victim)?, *by.get(&leader)?)));
        if let Some((own, others)) = both {
            break own == others;
        }
        if began.elapsed() > DECIDED {
            return Ok(Outcome::Wrong("its state could not be compared with the leader's".to_owned()));
        }
    };
    if !equal {
        return Ok(Outcome::Wrong("its state is another one than the leader's".to_owned()));
    }
    let own = match answers_of(rig, victim) {
        Ok(own) => own,
        Err(error) => return Ok(Outcome::SaidWhenRead(format!("{error:#}").chars().take(220).collect())),
    };
    let others = answers_of(rig, &leader)?;
    let newest = own.keys().next_back().copied().unwrap_or_default();
    ensure!(newest > 0, "{victim} knows no job at {} ns", clock::now_ns());
    let different = others.range(..=newest).find(|(job, state)| match (own.get(job), state) {
        (None, _) => true,
        // It may have read before this one ended.
        (Some(mine), state) => mine.1 > 0 && mine != *state,
    });
    Ok(match different {
        None => Outcome::Harmless,
        Some((job, state)) => Outcome::Wrong(format!("job {job} is {state:?}, and it says {:?}", own.get(job))),
    })
}

/// All jobs as this master itself has them: state and end.
fn answers_of(rig: &Rig, master: &str) -> anyhow::Result<BTreeMap<u64, (i32, u64)>> {
    let client = rig.client_of(master, AGAIN)?;
    let (mut before, mut all) = (0, BTreeMap::new());
    loop {
        let request = ListJobsRequest {
            limit: 1000,
            before,
            consistency: Consistency::Stale as i32,
            ..ListJobsRequest::default()
        };
        let page = rig.wait(client.list_jobs(request)).with_context(|| format!("{master} cannot list its jobs"))?;
        all.extend(page.jobs.iter().map(|j| (j.id, (j.state, j.ended_ms))));
        before = page.next_before;
        if before == 0 {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_file_of_a_kind_is_spoiled_in_one_place() {
        let dir = tempfile::tempdir().expect("there is a temporary folder");
        fs::create_dir_all(dir.path().join("raft")).expect("it is ours");
        for (name, size) in [("1.sst", 10), ("2.sst", 2000), ("CURRENT", 5)] {
            fs::write(dir.path().join("raft").join(name), vec![0u8; size]).expect("it is ours");
        }
        let file = spoil(dir.path(), &TARGETS[1], Damage::Flip(500)).expect("there is a table");
        let bytes = fs::read(&file).expect("it is there");
        assert_eq!((bytes.len(), bytes.iter().filter(|b| **b != 0).count(), bytes[1000]), (2000, 1, 0x10));
        spoil(dir.path(), &TARGETS[1], Damage::Cut(500)).expect("there is a table");
        assert_eq!(fs::read(&file).expect("it is there").len(), 1000);
    }
}
