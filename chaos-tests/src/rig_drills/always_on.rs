//! What holds after every drill, whatever it did: the cluster heals, nothing acknowledged is missing, no read was stale, all masters have the
//! same state, nobody panicked. Comes in: the rig as the drill left it. Goes out: rows, and the history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cloudai_proto::v1::SubmitRequest;

use super::evidence;
use crate::checker::facts::{Facts, Told};
use crate::checker::{self, Check};
use crate::history::{Answer, Event, History};
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

/// A9: all faults lifted, everything works again.
const HEAL: Duration = Duration::from_secs(30);

pub fn check(rig: &mut Rig, report: &mut Report) -> anyhow::Result<Option<History>> {
    let healing = rig.timeline.begin("heals");
    let began = Instant::now();
    rig.lift_all()?;
    rig.wait_serving(HEAL).context("A9: the cluster does not heal")?;
    rig.wait_caught_up(HEAL).context("A9: not all masters catch up again")?;
    rig.wait_workers(HEAL).context("A9: not all workers come back")?;
    let healed_ns = clock::now_ns();
    let clients = clients_are_served(rig, healed_ns)?;
    rig.timeline.end(healing);
    rig.timeline.prove(healing, "one leader, all masters caught up, all workers connected");
    report.within("A9 healed", began.elapsed(), HEAL);
    let history = rig.end_load()?;
    let facts = evidence::collect(rig, history.as_ref(), clients)?;
    judge(report, &facts);
    Ok(history)
}

/// A row per check.
fn judge(report: &mut Report, facts: &Facts) {
    let acknowledged = facts.ops.iter().filter(|op| matches!(op.told, Told::Submitted { .. })).count();
    let (jobs, ran) = (facts.jobs.len(), facts.executions.len());
    say(format!(
        "     {acknowledged} submits were acknowledged, {jobs} jobs are there, {ran} executions were recorded"
    ));
    report.measured("acknowledged submits", acknowledged);
    let began = Instant::now();
    let found = checker::check_all(facts);
    say(format!("     the checks took {:.1} s over {} operations", began.elapsed().as_secs_f64(), facts.ops.len()));
    for (check, what) in ROWS {
        let wrong: Vec<String> = found.iter().filter(|v| v.check == check).map(|v| v.what.clone()).collect();
        report.none(what, &wrong);
    }
}

const ROWS: [(Check, &str); 7] = [
    (Check::A1, "A1 acknowledged submits missing or doubled"),
    (Check::A2, "A2 results lost or changed"),
    (Check::A3, "A3 tasks with more than one accepted result"),
    (Check::A4, "A4 overlaps without a loss before them"),
    (Check::A5, "A5 keys that are not linearizable"),
    (Check::A7, "A7 different states at the same index"),
    (Check::A9, "A9 flaws after the heal, panics"),
];

/// When each client of the load has had one submit and one read acknowledged after that moment. Without a load the rig itself asks.
fn clients_are_served(rig: &mut Rig, from_ns: u64) -> anyhow::Result<Vec<(u32, Option<Duration>)>> {
    let since = || Duration::from_nanos(clock::now_ns().saturating_sub(from_ns));
    let Ok(load) = rig.load() else {
        rig.status(HEAL).context("A9: nobody can read")?;
        let spec = crate::load::spec("healed", &["true"]);
        let request = SubmitRequest { spec: Some(spec), ..SubmitRequest::default() };
        rig.wait(rig.client(HEAL)?.submit(request)).context("A9: nobody can submit")?;
        return Ok(vec![(0, Some(since()))]);
    };
    let mut served: BTreeMap<u32, Option<Duration>> = BTreeMap::new();
    while since() < HEAL {
        let history = load.so_far()?;
        let late = history.records.iter().rev().take_while(|r| r.at_ns > from_ns);
        let (mut wrote, mut read) = (BTreeSet::new(), BTreeSet::new());
        for record in late {
            match &record.event {
                Event::Ok { answer: Answer::Submitted { .. } } => wrote.insert(record.client),
                Event::Ok { .. } => read.insert(record.client),
                Event::Invoke { .. } | Event::Fail { .. } | Event::Info { .. } => false,
            };
        }
        for client in history.records.iter().map(|r| r.client) {
            // The probe only submits.
            let done = wrote.contains(&client) && (read.contains(&client) || client == crate::rig::load::PROBE);
            let at = served.entry(client).or_default();
            *at = at.or(done.then(since));
        }
        if !served.is_empty() && served.values().all(Option::is_some) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(served.into_iter().collect())
}
