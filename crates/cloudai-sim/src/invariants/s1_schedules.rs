//! S1: each time of a schedule is decided once, whoever leads: it has a job, or the record of why there is none. None is decided while the schedule is
//! paused, and at the end every time that has come is decided. Each run has a job of its own, and each such job a run.
//!
//! Every schedule of the simulation comes at each full minute: which times there are is reckoned here, and not asked of the product's calendar.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::rows::{Family, JobSpecRow, ScheduleRow, name_of_key};
use cloudai_types::{NamespaceId, RunOutcome, ScheduleRun};
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::history::Entry;
use crate::plan::schedules::EVERY_MS;

#[derive(Default)]
pub struct Schedules {
    all: BTreeMap<(NamespaceId, String), Schedule>,
    /// Jobs of runs that were not asked for by hand.
    jobs: BTreeSet<u64>,
}

struct Schedule {
    row: ScheduleRow,
    /// Times up to this one came before it.
    since_ms: u64,
    by_hand: u64,
}

impl Invariant for Schedules {
    fn name(&self) -> &'static str {
        "S1"
    }

    fn on_entry(&mut self, entry: &Entry) -> Verdict {
        for (key, row) in entry.rows::<ScheduleRow>(Family::Schedule) {
            let (Some((ns, name)), Some(row)) = (name_of_key(key), row) else { continue };
            let jobs = &mut self.jobs;
            let schedule = self.all.entry((ns, name.to_owned())).or_insert_with(|| {
                // Nothing of it is decided yet, unless its first time comes in its first entry.
                let first = row.runs.first().map_or(row.last_due_ms, |run| row.last_due_ms.min(run.due_ms - 1));
                Schedule { row: ScheduleRow::default(), since_ms: first, by_hand: 0 }
            });
            schedule.changed(row, jobs).map_err(|what| format!("schedule {name}: {what}"))?;
        }
        Ok(())
    }

    fn at_end(&mut self, view: &View) -> Verdict {
        let Some(node) = view.furthest() else { return Ok(()) };
        let clock_ms = node.shared.read().hot.clock_ms;
        for ((_, name), Schedule { row, .. }) in &self.all {
            if !row.paused && row.last_due_ms < clock_ms / EVERY_MS * EVERY_MS {
                return Err(format!(
                    "schedule {name}: it is {clock_ms} ms, and times after {} are open",
                    row.last_due_ms
                ));
            }
        }
        let Some(master) = view.masters.iter().find(|master| master.node.is_some()) else { return Ok(()) };
        let mut submitted = BTreeSet::new();
        for ((family, key), value) in &master.rows.rows().rows {
            let Some(job) = key.get(4..12).and_then(|key| key.first_chunk::<8>()) else { continue };
            if *family != Family::JobSpec {
                continue;
            }
            let row = JobSpecRow::decode(value.as_slice()).map_err(|e| e.to_string())?;
            if row.request_id.starts_with("schedule-") {
                submitted.insert(u64::from_be_bytes(*job));
            }
        }
        if submitted != self.jobs {
            return Err(format!("runs have the jobs {:?}, and schedules have submitted {submitted:?}", self.jobs));
        }
        Ok(())
    }
}

impl Schedule {
    fn changed(&mut self, row: ScheduleRow, jobs: &mut BTreeSet<u64>) -> Verdict {
        let before = std::mem::replace(&mut self.row, row);
        let row = &self.row;
        let is_known = |run: &&ScheduleRun| before.runs.contains(run);
        let new: Vec<&ScheduleRun> = row.runs.iter().filter(|run| !is_known(run)).collect();
        let mut last_ms = before.last_due_ms;
        for run in &new {
            if run.by_hand {
                self.by_hand += 1;
                continue;
            }
            if run.outcome() == RunOutcome::Ran && !jobs.insert(run.job) {
                return Err(format!("{run:?} has the job of another run"));
            }
            if run.due_ms <= last_ms || !run.due_ms.is_multiple_of(EVERY_MS) {
                return Err(format!("{run:?} is of a time that was decided, or is none: the last was {last_ms}"));
            }
            last_ms = run.due_ms;
        }
        if before.paused && row.paused && row.last_due_ms != before.last_due_ms {
            return Err(format!("is paused, and {new:?} were decided"));
        }
        let decided = row.ran + row.overlapped + row.missed + row.refused - self.by_hand;
        let times = (row.last_due_ms / EVERY_MS).saturating_sub(self.since_ms / EVERY_MS);
        if decided != times {
            return Err(format!(
                "{times} times have come up to {}, and {decided} are decided: {row:?}",
                row.last_due_ms
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudai_core::rows::{Write, named_key};

    use super::super::told::{NS, judge, only_the_last_is_wrong, put};
    use super::*;

    /// A minute after the beginning, the next one, and so on.
    fn run(minute: u64, outcome: RunOutcome, job: u64) -> ScheduleRun {
        ScheduleRun { due_ms: minute * EVERY_MS, outcome: outcome as i32, job, times: 1, ..ScheduleRun::default() }
    }

    /// What is written when these are all that was decided, up to a minute.
    fn row(runs: &[ScheduleRun], minute: u64, paused: bool) -> Vec<Write> {
        let of = |outcome| runs.iter().filter(|run| run.outcome() == outcome).count() as u64;
        let row = ScheduleRow {
            last_due_ms: minute * EVERY_MS,
            ran: of(RunOutcome::Ran),
            overlapped: of(RunOutcome::Overlapped),
            missed: of(RunOutcome::Missed),
            runs: runs.to_vec(),
            paused,
            ..ScheduleRow::default()
        };
        vec![put(Family::Schedule, &named_key(NS, "s"), &row)]
    }

    #[test]
    fn each_time_is_decided_once() {
        let (first, second) = (run(1, RunOutcome::Ran, 5), run(2, RunOutcome::Missed, 0));
        let by_hand = ScheduleRun { due_ms: EVERY_MS + 7, job: 6, by_hand: true, ..ScheduleRun::default() };
        let (one, two, three) =
            (vec![first.clone()], vec![first.clone(), by_hand.clone()], vec![first.clone(), by_hand, second]);
        let so_far = [row(&[], 0, false), row(&one, 1, false), row(&two, 1, false), row(&three, 2, false)];
        assert!(judge(&mut Schedules::default(), &so_far).iter().all(Result::is_ok));
        let and = |wrong: Vec<Write>| so_far.iter().cloned().chain([wrong]).collect::<Vec<_>>();
        let more = |run: ScheduleRun| three.iter().cloned().chain([run]).collect::<Vec<_>>();
        let again = and(row(&more(run(2, RunOutcome::Ran, 8)), 2, false));
        only_the_last_is_wrong(&mut Schedules::default(), &again, "was decided");
        let forgotten = and(row(&more(run(4, RunOutcome::Ran, 8)), 4, false));
        only_the_last_is_wrong(&mut Schedules::default(), &forgotten, "4 times have come");
        let same_job = and(row(&more(run(3, RunOutcome::Ran, 5)), 3, false));
        only_the_last_is_wrong(&mut Schedules::default(), &same_job, "job of another run");
    }

    #[test]
    fn nothing_is_decided_while_it_is_paused() {
        let one = [run(1, RunOutcome::Ran, 5)];
        let entries = [row(&[], 0, false), row(&[], 0, true), row(&one, 1, true)];
        only_the_last_is_wrong(&mut Schedules::default(), &entries, "is paused");
    }
}
