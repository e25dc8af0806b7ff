//! D04: what an operator does on purpose: the leadership is handed over, and every master is restarted, one after the other. Clients notice a
//! pause of milliseconds, and no failed call. With CLOUDAI_OLD_BIN the masters begin as a former program, and each restart brings one of them
//! to the present one: the two work together until the last has moved.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::TransferLeaderRequest;

use super::{Drill, Size};
use crate::history::{Event, History};
use crate::rig::load::PROBE;
use crate::rig::report::percentile;
use crate::rig::{LoadPlan, Options, Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);
const HAND_OVERS_FULL: u32 = 20;
const HAND_OVERS_SHORT: u32 = 3;
/// Around a hand-over, so that its gap and nothing else's is seen.
const AROUND: Duration = Duration::from_millis(700);
/// A master's own word for an fsync of more than 100 ms.
const DISK_SLOW: &str = "the disk is slow";
/// One submit right after the other: what it cannot do in this time is a gap.
const PROBE_PAUSE: Duration = Duration::from_micros(200);
const RESTART: Duration = Duration::from_secs(10);

pub const DRILL: Drill = Drill {
    id: "D04",
    name: "rolling upgrade",
    injects: "planned hand-overs; SIGTERM and a new start of each master in turn; with CLOUDAI_OLD_BIN from the former program to the present one",
    must_hold: "planned hand-over: write gap ≤ 50 ms and no failed call; each restart: gap ≤ 1 s and no error for clients that retry",
    needs: &[],
    options,
    load,
    run,
};

fn load(seed: u64) -> Option<LoadPlan> {
    Some(LoadPlan { probe: Some(PROBE_PAUSE), ..LoadPlan::standard(seed) })
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    if let Some(old) = rig.options.masters_begin_as.clone() {
        ensure!(old.is_file(), "{OLD} names {}, which is no file", old.display());
        report.measured("masters begin as", old.display());
    }
    hand_overs(rig, report, size)?;
    rolling(rig, report, size)
}

/// Names a former program.
const OLD: &str = "CLOUDAI_OLD_BIN";

fn options(_: Size) -> Options {
    Options { masters_begin_as: std::env::var_os(OLD).map(PathBuf::from), ..Options::noop() }
}

fn hand_overs(rig: &mut Rig, report: &mut Report, size: Size) -> anyhow::Result<()> {
    let count = if size == Size::Full { HAND_OVERS_FULL } else { HAND_OVERS_SHORT };
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let client = rig.client(AGAIN)?;
    let began_ns = clock::now_ns();
    let (mut gaps, mut calm) = (vec![], vec![]);
    for round in 0..count {
        rig.wait_caught_up(AGAIN)?;
        let from = rig.leader()?;
        let before_ns = clock::now_ns();
        std::thread::sleep(AROUND);
        let stalls = disk_stalls(rig);
        let band = rig.timeline.begin(format!("{from} hands over"));
        let from_ns = clock::now_ns();
        let handed = rig.wait(client.transfer_leader(TransferLeaderRequest::default()));
        let handed = handed.context("the leadership cannot be handed over")?;
        ensure!(handed.leader != from && !handed.leader.is_empty(), "{from} handed over to '{}'", handed.leader);
        rig.timeline.prove(band, format!("{} leads", handed.leader));
        rig.timeline.end(band);
        std::thread::sleep(AROUND);
        let to_ns = clock::now_ns();
        let history = rig.load()?.so_far()?;
        let gap = Duration::from_nanos(history.write_gap(from_ns, to_ns));
        calm.push(Duration::from_nanos(history.write_gap(before_ns, from_ns)));
        let (way, ms) = (format!("{from} → {}", handed.leader), gap.as_millis());
        // It counts all the same: who leads next may have given the disk its work.
        let stalled = if disk_stalls(rig) == stalls { "" } else { "; an fsync took more than 100 ms meanwhile" };
        gaps.push(gap);
        say(format!("     {} of {count}: {way} with a gap of {ms} ms{stalled}", round + 1));
    }
    let failed = failures(rig.load()?.so_far()?, began_ns, |_| true);
    report.measured("hand-overs", count);
    report
        .measured("as long without a hand-over: write gap, max", format!("{} ms", percentile(&calm, 1.0).as_millis()));
    report.measured("hand-over: write gap, p50", format!("{} ms", percentile(&gaps, 0.5).as_millis()));
    report.within("hand-over: write gap, max", percentile(&gaps, 1.0), Duration::from_millis(50));
    report.none("hand-over: failed calls", &failed);
    Ok(())
}

/// How often any master's disk has stood still so far.
fn disk_stalls(rig: &Rig) -> usize {
    rig.masters().iter().map(|m| rig.machines[m].said().matches(DISK_SLOW).count()).sum()
}

fn rolling(rig: &mut Rig, report: &mut Report, size: Size) -> anyhow::Result<()> {
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    // The leader last, as the manual says: it hands over when it is asked to end.
    let mut order = rig.followers(&leader);
    order.push(leader);
    let began_ns = clock::now_ns();
    let mut gaps = vec![];
    for master in order {
        rig.wait_caught_up(AGAIN)?;
        std::thread::sleep(AROUND);
        let was_leader = rig.leader()? == master;
        // The present program, whatever it began as.
        rig.machine(&master)?.binary = None;
        let from_ns = clock::now_ns();
        rig.restart(&master, RESTART)?;
        rig.wait_caught_up(AGAIN)?;
        let gap = rig.load()?.so_far()?.write_gap(from_ns, clock::now_ns());
        let part = if was_leader { "the leader" } else { "a follower" };
        say(format!("     {master}, {part}, restarted with a gap of {} ms", gap / 1_000_000));
        gaps.push(Duration::from_nanos(gap));
    }
    let retrying: BTreeSet<u32> = retrying_clients(rig.load()?.so_far()?);
    ensure!(!retrying.is_empty(), "no client of this load retries");
    let failed = failures(rig.load()?.so_far()?, began_ns, |client| retrying.contains(&client));
    report.measured("restarts", gaps.len());
    report.within("restart: write gap, max", percentile(&gaps, 1.0), Duration::from_secs(1));
    report.none("restart: errors of clients that retry", &failed);
    Ok(())
}

/// Whose operations name no master: the client library goes from one to the next.
fn retrying_clients(history: &History) -> BTreeSet<u32> {
    let any = history.records.iter().filter(|r| r.master.is_none());
    any.map(|r| r.client).chain([PROBE]).collect()
}

/// Calls that did not end well since then.
pub(super) fn failures(history: &History, from_ns: u64, counts: impl Fn(u32) -> bool) -> Vec<String> {
    let since = history.records.iter().filter(|r| r.at_ns >= from_ns && counts(r.client));
    since
        .filter_map(|r| match &r.event {
            Event::Fail { why } | Event::Info { why } => Some(format!("client {} at {} ns: {why}", r.client, r.at_ns)),
            Event::Invoke { .. } | Event::Ok { .. } => None,
        })
        .collect()
}
