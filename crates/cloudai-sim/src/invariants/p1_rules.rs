//! P1: no task is placed where its job's rules forbid: on a worker whose labels it does not want, or whose taint it does not tolerate; beside a task
//! of the same job that it stays apart from; too far ahead of where the fewest are.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::rows::{AttemptRow, Family, JobSpecRow, WorkerRow, WorkerState};
use cloudai_types::{JobId, Rules, Spot, TaskId, WorkerId};

use super::{Invariant, Verdict};
use crate::history::Entry;

#[derive(Default)]
pub struct Placements {
    rules: BTreeMap<JobId, Rules>,
    workers: BTreeMap<WorkerId, WorkerRow>,
    /// Live attempts of jobs: number and worker.
    live: BTreeMap<JobId, BTreeMap<u32, (u32, WorkerId)>>,
}

impl Invariant for Placements {
    fn name(&self) -> &'static str {
        "P1"
    }

    fn on_entry(&mut self, entry: &Entry) -> Verdict {
        for (_, job, row) in entry.job_rows::<JobSpecRow>(Family::JobSpec) {
            let rules = row.spec.placement.as_ref().map(Rules::parse).transpose();
            let rules = rules.map_err(|fault| format!("{}: a job with {fault}", JobId(job)))?;
            self.rules.insert(JobId(job), rules.unwrap_or_default());
        }
        // What changed in the same entry may have been otherwise when the task was placed.
        let mut changed = BTreeSet::new();
        for (key, row) in entry.rows::<WorkerRow>(Family::Worker) {
            let id = WorkerId(key.first_chunk::<4>().map_or(0, |key| u32::from_be_bytes(*key)));
            changed.insert(id);
            self.workers.insert(id, row.unwrap_or_default());
        }
        let (mut placed, mut left) = (vec![], BTreeSet::new());
        for (_, task, row) in entry.task_rows::<AttemptRow>(Family::Attempt) {
            let live = self.live.entry(task.job).or_default();
            let Some(row) = row else {
                live.remove(&task.index);
                left.insert(task.job);
                continue;
            };
            let now = (row.number, WorkerId(row.worker));
            let before = live.insert(task.index, now);
            if before.is_some_and(|before| before.0 != row.number) {
                // One ended and another began in one entry.
                left.insert(task.job);
            }
            if before != Some(now) {
                placed.push((task, now.1));
            }
        }
        for (task, worker) in &placed {
            self.apart(*task)?;
            if changed.contains(worker) {
                continue;
            }
            self.accepted(*task, *worker)?;
            if changed.is_empty() && !left.contains(&task.job) {
                self.even(*task, *worker)?;
            }
        }
        Ok(())
    }
}

impl Placements {
    fn accepted(&self, task: TaskId, id: WorkerId) -> Verdict {
        let (Some(rules), Some(worker)) = (self.rules.get(&task.job), self.workers.get(&id)) else {
            return Err(format!("{task}: its job or its worker {id} has no row"));
        };
        if let Some(wanted) = rules.require.iter().find(|wanted| !wanted.is_met_by(&worker.labels)) {
            return Err(format!(
                "{task} wants {wanted} and was placed on {}, which has {:?}",
                worker.name, worker.labels
            ));
        }
        if !rules.tolerates(&worker.taints) {
            return Err(format!("{task} was placed on {}, which is tainted with {:?}", worker.name, worker.taints));
        }
        Ok(())
    }

    /// Live attempts of a job by where they are.
    fn spots(&self, job: JobId, spot: impl Fn(WorkerId, &WorkerRow) -> Option<Spot>) -> BTreeMap<Spot, u32> {
        let mut spots = BTreeMap::new();
        for (_, id) in self.live.get(&job).into_iter().flat_map(|live| live.values()) {
            if let Some(spot) = self.workers.get(id).and_then(|worker| spot(*id, worker)) {
                *spots.entry(spot).or_default() += 1;
            }
        }
        spots
    }

    /// Labels stay as they are in the simulation: what is apart stays apart.
    fn apart(&self, task: TaskId) -> Verdict {
        let Some(domain) = self.rules.get(&task.job).and_then(|rules| rules.apart.as_ref()) else { return Ok(()) };
        let crowded =
            self.spots(task.job, |id, worker| domain.spot(id, &worker.labels)).into_iter().find(|(_, n)| *n > 1);
        match crowded {
            Some((spot, n)) => Err(format!("{task}: {n} tasks of its job are in {spot:?} and must be apart")),
            None => Ok(()),
        }
    }

    fn even(&self, task: TaskId, id: WorkerId) -> Verdict {
        let Some(rules) = self.rules.get(&task.job) else { return Ok(()) };
        let Some(spread) = rules.spread.as_ref().filter(|spread| spread.max_skew > 0) else { return Ok(()) };
        let has = self.spots(task.job, |id, worker| spread.over.spot(id, &worker.labels));
        let takes = |worker: &WorkerRow| {
            worker.state() == WorkerState::Ready
                && !worker.draining
                && !worker.leaving
                && rules.require.iter().all(|wanted| wanted.is_met_by(&worker.labels))
                && rules.tolerates(&worker.taints)
        };
        let could = self.workers.iter().filter(|(_, worker)| takes(worker));
        let over: BTreeSet<Spot> = could.filter_map(|(id, worker)| spread.over.spot(*id, &worker.labels)).collect();
        let fewest = over.iter().map(|spot| has.get(spot).copied().unwrap_or(0)).min().unwrap_or(0);
        let here = self.workers.get(&id).and_then(|worker| spread.over.spot(id, &worker.labels));
        let here = here.and_then(|spot| has.get(&spot)).copied().unwrap_or(0);
        if here > fewest + spread.max_skew {
            let skew = spread.max_skew;
            return Err(format!(
                "{task} is one of {here} where it is, the fewest are {fewest}, and max_skew is {skew}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudai_core::rows::{Write, worker_key};
    use cloudai_types::{JobSpec, Placement};

    use super::super::told::{attempt, ended, job, judge, only_the_last_is_wrong, put, task};
    use super::*;

    fn worker(id: u32, rack: &str, taint: Option<&str>) -> Write {
        let row = WorkerRow {
            name: format!("w{id}"),
            state: WorkerState::Ready as i32,
            labels: BTreeMap::from([("rack".into(), rack.into())]),
            taints: taint.map(|key| (key.to_owned(), String::new())).into_iter().collect(),
            ..WorkerRow::default()
        };
        put(Family::Worker, &worker_key(WorkerId(id)), &row)
    }

    /// Three workers in two racks, and a job with these rules.
    fn cluster(placement: Placement) -> Vec<Write> {
        let spec = JobSpec { placement: Some(placement), ..JobSpec::default() };
        vec![job(1, spec), worker(1, "a", None), worker(2, "a", None), worker(3, "b", Some("night"))]
    }

    fn on(index: u32, worker: u32) -> Vec<Write> {
        vec![attempt(task(1, index), 1, worker)]
    }

    #[test]
    fn two_in_one_rack_are_not_apart() {
        let rules = || Placement { apart: "rack".into(), tolerate: vec!["night".into()], ..Placement::default() };
        let entries = [cluster(rules()), on(0, 1), on(1, 3), vec![ended(task(1, 0))], on(2, 2), on(3, 1)];
        only_the_last_is_wrong(&mut Placements::default(), &entries, "must be apart");
    }

    #[test]
    fn who_is_two_ahead_is_not_spread() {
        let rules = || Placement { spread: "rack".into(), max_skew: 1, ..Placement::default() };
        let tolerant = Placement { tolerate: vec!["night".into()], ..rules() };
        let entries = [cluster(tolerant), on(0, 1), on(1, 3), on(2, 2), on(3, 1)];
        only_the_last_is_wrong(&mut Placements::default(), &entries, "max_skew is 1");
        // Where the other rack takes none of them it does not count.
        let alone = [cluster(rules()), on(0, 1), on(1, 2), on(2, 1)];
        assert!(judge(&mut Placements::default(), &alone).iter().all(Result::is_ok));
    }

    #[test]
    fn a_taint_and_a_label_keep_away() {
        only_the_last_is_wrong(&mut Placements::default(), &[cluster(Placement::default()), on(0, 3)], "tainted");
        let b = Placement { require: vec!["rack=b".into()], ..Placement::default() };
        only_the_last_is_wrong(&mut Placements::default(), &[cluster(b), on(0, 1)], "wants rack=b");
    }
}
