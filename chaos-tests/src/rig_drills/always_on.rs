//! What holds after every drill, whatever it did: the cluster heals, nothing acknowledged is missing, no read was stale, all masters have the
//! same state, nobody panicked. Comes in: the rig as the drill left it. Goes out: rows, and the history.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::history::{Answer, Call, Event, History};
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

/// A9: all faults lifted, everything works again.
const HEAL: Duration = Duration::from_secs(30);
/// What is still on its way comes to rest.
const REST: Duration = Duration::from_secs(20);

pub fn check(rig: &mut Rig, report: &mut Report) -> anyhow::Result<Option<History>> {
    let healing = rig.timeline.begin("heals");
    let began = Instant::now();
    rig.lift_all()?;
    rig.wait_serving(HEAL).context("A9: the cluster does not heal")?;
    rig.wait_caught_up(HEAL).context("A9: not all masters catch up again")?;
    rig.wait_workers(HEAL).context("A9: not all workers come back")?;
    let healed_ns = clock::now_ns();
    let all_served = clients_are_served(rig, healed_ns)?;
    rig.timeline.end(healing);
    rig.timeline.prove(healing, "one leader, all masters caught up, all workers connected");
    report.within("A9 healed", began.elapsed(), HEAL);
    report.require("A9 every client writes and reads again", all_served, if all_served { "yes" } else { "no" }, "yes");
    let history = rig.end_load()?;
    one_leader(rig, report);
    if let Some(history) = &history {
        nothing_lost(rig, report, history)?;
        report.none("A5 stale linearizable reads", &stale_reads(history));
    }
    same_state(rig, report)?;
    report.none("nobody panicked", &panics(rig));
    Ok(history)
}

/// Each client of the load has one submit and one read acknowledged after that moment.
fn clients_are_served(rig: &mut Rig, from_ns: u64) -> anyhow::Result<bool> {
    let Ok(load) = rig.load() else { return Ok(true) };
    let began = Instant::now();
    while began.elapsed() < HEAL {
        let history = load.so_far()?;
        let clients: BTreeSet<u32> = history.records.iter().map(|r| r.client).collect();
        let late = history.records.iter().rev().take_while(|r| r.at_ns > from_ns);
        let (mut wrote, mut read) = (BTreeSet::new(), BTreeSet::new());
        for record in late {
            match &record.event {
                Event::Ok { answer: Answer::Submitted { .. } } => wrote.insert(record.client),
                Event::Ok { .. } => read.insert(record.client),
                Event::Invoke { .. } | Event::Fail { .. } | Event::Info { .. } => false,
            };
        }
        // The probe only submits.
        let readers: BTreeSet<u32> = clients.iter().copied().filter(|c| *c != crate::rig::load::PROBE).collect();
        if clients.is_subset(&wrote) && readers.is_subset(&read) {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

fn one_leader(rig: &Rig, report: &mut Report) {
    let views = rig.views();
    let leaders: Vec<&String> =
        views.iter().filter(|(_, v)| v.read.as_ref().is_some_and(|r| r.leader)).map(|(name, _)| name).collect();
    report.require("A9 masters that say they lead", leaders.len() == 1, leaders.len(), "1");
}

/// A1: every acknowledged job is there, and the same job was never given to two requests.
fn nothing_lost(rig: &Rig, report: &mut Report, history: &History) -> anyhow::Result<()> {
    let there = rig.all_jobs()?;
    let acknowledged = history.acknowledged();
    let lost: Vec<String> = acknowledged
        .iter()
        .filter(|(_, job)| !there.contains(job))
        .map(|(at, job)| format!("job {} acknowledged at {at} ns is missing", cloudai_types::JobId(*job)))
        .collect();
    say(format!("     {} submits were acknowledged, {} jobs are there", acknowledged.len(), there.len()));
    report.measured("acknowledged submits", acknowledged.len());
    report.none("A1 acknowledged submits missing", &lost);
    report.none("A1 one job for two requests", &given_twice(history));
    Ok(())
}

fn given_twice(history: &History) -> Vec<String> {
    let mut first: BTreeMap<u64, &str> = BTreeMap::new();
    let mut wrong = vec![];
    for operation in history.operations() {
        if let (Call::Submit { request_id }, Some((_, Answer::Submitted { job, .. }))) =
            (operation.call, operation.answer())
            && let Some(other) = first.insert(*job, request_id)
            && other != request_id
        {
            wrong.push(format!("job {job} was given to the requests {other} and {request_id}"));
        }
    }
    wrong
}

/// A linearizable read shows at least the log index of every write that was acknowledged before it was asked.
pub fn stale_reads(history: &History) -> Vec<String> {
    let mut newest = 0;
    let mut at_invocation: BTreeMap<u64, u64> = BTreeMap::new();
    let mut wrong = vec![];
    for record in &history.records {
        match &record.event {
            Event::Invoke { call } => match call {
                Call::GetJob { .. } | Call::ListJobs { .. } | Call::Read { .. } => {
                    at_invocation.insert(record.op, newest);
                }
                Call::Submit { .. } | Call::Write { .. } | Call::StaleRead { .. } => {}
            },
            Event::Ok { answer } => match answer {
                Answer::Submitted { index, .. } | Answer::Written { index } => newest = newest.max(*index),
                Answer::Job { index, .. } | Answer::Jobs { index, .. } | Answer::Value { index, .. } => {
                    if let Some(known) = at_invocation.remove(&record.op).filter(|known| known > index) {
                        let who = record.master.as_deref().unwrap_or("any master");
                        wrong.push(format!(
                            "{who} answered at {} ns from index {index}, although {known} had been acknowledged",
                            record.at_ns
                        ));
                    }
                }
            },
            Event::Fail { .. } | Event::Info { .. } => {}
        }
    }
    wrong
}

/// A7: the same digest at the same index.
fn same_state(rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let (index, digests) = rig.digests(REST).context("A7")?;
    let different: BTreeSet<u64> = digests.values().copied().collect();
    if different.len() != 1 {
        report.note(format!("A7 digests at index {index}: {digests:x?}"));
    }
    report.require("A7 different states at the same index", different.len() == 1, different.len(), "1");
    Ok(())
}

fn panics(rig: &Rig) -> Vec<String> {
    let mut wrong = vec![];
    for machine in rig.machines.values() {
        let said = machine.said();
        wrong.extend(said.lines().filter(|l| l.contains("panicked at")).map(|l| format!("{}: {l}", machine.name)));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Record;

    fn record(at_ns: u64, op: u64, event: Event) -> Record {
        Record { at_ns, client: 0, op, master: None, event }
    }
    fn submit(id: &str) -> Event {
        Event::Invoke { call: Call::Submit { request_id: id.into() } }
    }
    fn submitted(job: u64, index: u64) -> Event {
        Event::Ok { answer: Answer::Submitted { job, index, duplicate: false } }
    }
    fn read() -> Event {
        Event::Invoke { call: Call::GetJob { job: 1 } }
    }
    fn seen(index: u64) -> Event {
        Event::Ok { answer: Answer::Job { state: Some(0), index } }
    }

    #[test]
    fn a_read_that_was_asked_after_an_acknowledgement_must_show_it() {
        let stale = vec![
            record(1, 1, submit("a")),
            record(2, 2, read()),
            record(3, 1, submitted(1, 10)),
            record(4, 3, read()),
            record(5, 2, seen(9)),
            record(6, 3, seen(9)),
        ];
        let wrong = stale_reads(&History { records: stale });
        assert_eq!(wrong.len(), 1, "the first read was asked before: {wrong:?}");
    }

    #[test]
    fn a_job_belongs_to_one_request() {
        let twice = vec![
            record(1, 1, submit("a")),
            record(2, 1, submitted(7, 10)),
            record(3, 2, submit("b")),
            record(4, 2, submitted(7, 11)),
        ];
        assert_eq!(given_twice(&History { records: twice }).len(), 1);
    }
}
