//! Where the tasks of a job are, for rules that keep them apart or spread them. Comes in: its live attempts and the workers, once, and each
//! placement after that. Goes out: whether one more may go somewhere, and how many are there already. It is worked out when it is needed, and kept
//! for one command or one pass at most: labels change, and few jobs ask. Room and readiness are not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudai_types::{Domain, JobId, Rules, Spot, WorkerId};

use crate::hot::{Job, Shape, ShapeId, Worker};

type Workers = BTreeMap<WorkerId, Worker>;

/// Of one job. Empty where its shape's rules do not ask.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// Tasks by spot of [`Rules::apart`].
    apart: BTreeMap<Spot, u32>,
    /// The same of [`Rules::spread`].
    spread: BTreeMap<Spot, u32>,
    /// With a `max_skew`: the spots over which it is spread.
    over: Arc<BTreeSet<Spot>>,
}

/// Of the jobs that somebody has asked for, in one command or one pass.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    jobs: BTreeMap<JobId, Whereabouts>,
    over: BTreeMap<ShapeId, Arc<BTreeSet<Spot>>>,
}

/// A rule that keeps a task from a worker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Forbidden {
    /// A task of the job is in the same spot.
    Apart,
    /// The worker is in none of the spots that tasks stay apart by.
    NowhereApart,
    /// One more here would be too far ahead of where the fewest are.
    Spread,
    /// The worker is in none of the spots that tasks are spread over.
    NowhereSpread,
}

impl Siblings {
    /// `shape`: the job's own, by its number. The first time costs a look at each live attempt of the job; the first of a shape with a `max_skew`
    /// one at each worker.
    pub fn of(&mut self, workers: &Workers, id: JobId, job: &Job, shape: &Shape) -> &mut Whereabouts {
        let over = &mut self.over;
        self.jobs.entry(id).or_insert_with(|| {
            let over = over.entry(job.shape).or_insert_with(|| spots(workers, shape));
            Whereabouts::new(workers, Some(job), shape, over.clone())
        })
    }

    /// What was counted of it is not so after all.
    pub fn forget(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// If somebody has asked for it.
    pub fn known(&mut self, id: JobId) -> Option<&mut Whereabouts> {
        self.jobs.get_mut(&id)
    }
}

/// Over which tasks of this shape are spread: those of schedulable workers that it accepts. Without a `max_skew` nobody asks.
fn spots(workers: &Workers, shape: &Shape) -> Arc<BTreeSet<Spot>> {
    let spread = shape.rules.as_ref().and_then(|rules| rules.spread.as_ref());
    let Some(spread) = spread.filter(|spread| spread.max_skew > 0) else { return Arc::default() };
    let could = workers.iter().filter(|(_, worker)| worker.is_schedulable() && shape.accepts(worker));
    Arc::new(could.filter_map(|(id, worker)| spread.over.spot(*id, &worker.labels)).collect())
}

impl Whereabouts {
    /// `job`: `None` for one that was not submitted yet, none of whose tasks is anywhere.
    pub fn of(workers: &Workers, job: Option<&Job>, shape: &Shape) -> Self {
        Self::new(workers, job, shape, spots(workers, shape))
    }

    fn new(workers: &Workers, job: Option<&Job>, shape: &Shape, over: Arc<BTreeSet<Spot>>) -> Self {
        let mut of = Whereabouts { over, ..Whereabouts::default() };
        let rules = shape.rules.as_deref().filter(|rules| rules.apart.is_some() || rules.spread.is_some());
        for attempt in job.filter(|_| rules.is_some()).into_iter().flat_map(|job| job.active.values()) {
            if let (Some(rules), Some(worker)) = (rules, workers.get(&attempt.worker)) {
                of.add(rules, attempt.worker, worker);
            }
        }
        of
    }

    /// One more task is there.
    pub fn add(&mut self, rules: &Rules, id: WorkerId, worker: &Worker) {
        let apart = rules.apart.as_ref().and_then(|domain| domain.spot(id, &worker.labels));
        let spread = rules.spread.as_ref().and_then(|spread| spread.over.spot(id, &worker.labels));
        for (tally, spot) in [(&mut self.apart, apart), (&mut self.spread, spread)] {
            if let Some(spot) = spot {
                let here = tally.entry(spot).or_default();
                *here = here.saturating_add(1);
            }
        }
    }

    /// What keeps one more task from this worker; `None`: it may go there.
    pub fn forbid(&self, rules: &Rules, id: WorkerId, worker: &Worker) -> Option<Forbidden> {
        let spot_of = |domain: &Domain| domain.spot(id, &worker.labels);
        if let Some(domain) = &rules.apart {
            match spot_of(domain) {
                None => return Some(Forbidden::NowhereApart),
                Some(spot) if self.is_taken(&spot) => return Some(Forbidden::Apart),
                Some(_) => {}
            }
        }
        let spread = rules.spread.as_ref().filter(|spread| spread.max_skew > 0)?;
        match spot_of(&spread.over) {
            None => Some(Forbidden::NowhereSpread),
            Some(spot) => (self.crowd(&spot) >= self.crowd_max(spread.max_skew)).then_some(Forbidden::Spread),
        }
    }

    /// Of those that stay apart, one is in this spot.
    pub fn is_taken(&self, spot: &Spot) -> bool {
        self.apart.contains_key(spot)
    }

    /// Of those that are spread, so many are in this spot.
    pub fn crowd(&self, spot: &Spot) -> u32 {
        self.spread.get(spot).copied().unwrap_or(0)
    }

    /// A spot with so many takes no more of them.
    pub fn crowd_max(&self, max_skew: u32) -> u32 {
        self.fewest().map_or(0, |(_, tasks)| tasks).saturating_add(max_skew)
    }

    /// How many spots it is spread over; 0 without a `max_skew`.
    pub fn spots(&self) -> usize {
        self.over.len()
    }

    /// Where the fewest are of those that are spread with a `max_skew`; `None`: there is nowhere to go.
    pub fn fewest(&self) -> Option<(&Spot, u32)> {
        self.over.iter().map(|spot| (spot, self.crowd(spot))).min_by_key(|(_, tasks)| *tasks)
    }
}
