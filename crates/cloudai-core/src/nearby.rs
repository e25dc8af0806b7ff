//! Where tasks of other jobs are, for rules about them. Comes in: who looks, and each placement after the first look. Goes out: whether one of its
//! tasks may go somewhere. As [`crate::whereabouts`], it is worked out when somebody asks, and kept for one command or one pass. Room and readiness
//! are not known here, nor where the job's own other tasks are: to its own rules a job is no other job.
//!
//! That a job stays apart from others holds for both sides: a job without rules may not start near one that stays apart from jobs like it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudai_types::{JobId, NamespaceId, Near, Rules, Spot, WorkerId};

use crate::hot::{Hot, Worker};
use crate::job_labels::Labels;

/// Of the namespaces that somebody has asked for, in one command or one pass.
#[derive(Clone, Debug, Default)]
pub struct Nearby {
    spaces: BTreeMap<NamespaceId, Space>,
    /// Where tasks were placed since: the state that a pass reads does not know of them.
    placed: Placed,
    changes: u64,
}

type Placed = BTreeMap<JobId, BTreeSet<WorkerId>>;

/// Rules of one namespace.
#[derive(Clone, Debug, Default)]
struct Space {
    /// Where jobs are that meet a rule.
    meeting: BTreeMap<Near, Arc<Tally>>,
    /// Where jobs are that have a rule to stay apart. `None`: nobody with labels has asked yet.
    keeping: Option<BTreeMap<Near, Arc<Tally>>>,
}

/// Who is where, by one rule.
#[derive(Clone, Debug, Default)]
struct Tally {
    spots: BTreeMap<Spot, Here>,
    /// Grows with each change.
    changes: u64,
}

/// Jobs in one spot: two are enough to tell anybody of another one.
#[derive(Clone, Copy, Debug)]
struct Here {
    first: JobId,
    second: Option<JobId>,
}

/// Who looks for a place.
#[derive(Clone, Copy, Debug)]
pub struct Looker<'a> {
    pub namespace: NamespaceId,
    pub job: JobId,
    pub labels: Option<&'a Labels>,
    pub rules: Option<&'a Rules>,
}

/// How a job and others stand to each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Relation {
    /// It stays apart from those.
    ApartFrom,
    /// It goes where one of those is.
    TogetherWith,
    /// Those stay apart from jobs like it.
    KeptAway,
}

/// What other jobs say of where one may go, as of the look.
#[derive(Clone, Debug)]
pub struct Beside {
    job: JobId,
    rules: Vec<(Relation, Near, Arc<Tally>)>,
}

/// A rule that keeps a task from a worker, by its place among those of [`Beside`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Barred {
    pub rule: usize,
    /// The worker does not have the label that the rule goes by.
    pub is_nowhere: bool,
}

impl Nearby {
    /// Of a live job. `None`: other jobs have no part in where it goes, which is so for most.
    pub fn of_job(&mut self, hot: &Hot, id: JobId) -> Option<Beside> {
        if hot.shapes.near == 0 && hot.job_labels.are_none() {
            return None;
        }
        let job = hot.jobs.get(&id)?;
        let rules = hot.shapes.get(job.shape).and_then(|shape| shape.rules.as_deref());
        self.of(hot, &Looker { namespace: job.namespace, job: id, labels: hot.job_labels.get(id), rules })
    }

    /// The first look by a rule costs one at each live attempt of the jobs that meet it; the first of a job with labels one at each of those that
    /// stay apart from others.
    pub fn of(&mut self, hot: &Hot, looker: &Looker<'_>) -> Option<Beside> {
        let rules = looker.rules.filter(|rules| rules.look_at_others());
        if rules.is_none() && looker.labels.is_none() {
            return None;
        }
        let Nearby { spaces, placed, .. } = self;
        let Space { meeting, keeping } = spaces.entry(looker.namespace).or_default();
        let mut beside = Beside { job: looker.job, rules: vec![] };
        let mut meets = |relation, near: &Near| {
            let tally = match meeting.get(near) {
                Some(known) => known.clone(),
                None => {
                    let new = Arc::new(meeting_of(hot, looker.namespace, near, placed));
                    meeting.insert(near.clone(), new.clone());
                    new
                }
            };
            beside.rules.push((relation, near.clone(), tally));
        };
        if let Some(rules) = rules {
            rules.apart_from.iter().for_each(|near| meets(Relation::ApartFrom, near));
            rules.together_with.iter().for_each(|near| meets(Relation::TogetherWith, near));
        }
        if let Some(labels) = looker.labels {
            let keeping = keeping.get_or_insert_with(|| keeping_of(hot, looker.namespace, placed));
            let about_it = keeping.iter().filter(|(near, _)| near.jobs.is_met_by(labels));
            beside.rules.extend(about_it.map(|(near, tally)| (Relation::KeptAway, near.clone(), tally.clone())));
        }
        (!beside.rules.is_empty()).then_some(beside)
    }

    /// Other jobs keep a task of this one from the worker.
    pub fn forbids(&mut self, hot: &Hot, id: JobId, worker: WorkerId) -> bool {
        let beside = self.of_job(hot, id).zip(hot.workers.get(&worker));
        beside.is_some_and(|(beside, there)| beside.forbid(worker, there).is_some())
    }

    /// A task of a live job was placed there.
    pub fn add(&mut self, hot: &Hot, id: JobId, worker: WorkerId) {
        if hot.job_labels.are_none() {
            return;
        }
        let (Some(job), Some(there)) = (hot.jobs.get(&id), hot.workers.get(&worker)) else { return };
        let (labels, apart_from) = (hot.job_labels.get(id), apart_from(hot, id));
        if labels.is_none() && apart_from.is_empty() {
            return;
        }
        self.placed.entry(id).or_default().insert(worker);
        let Some(Space { meeting, keeping }) = self.spaces.get_mut(&job.namespace) else { return };
        for (near, tally) in meeting.iter_mut().filter(|(near, _)| is_met(near, labels)) {
            self.changes += u64::from(Arc::make_mut(tally).note(near, id, worker, there));
        }
        let Some(keeping) = keeping else { return };
        for near in apart_from {
            let tally = keeping.entry(near.clone()).or_default();
            self.changes += u64::from(Arc::make_mut(tally).note(near, id, worker, there));
        }
    }

    /// So often somebody may fare otherwise since than before.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// A task of it was placed since the first look.
    pub fn has_placed(&self, job: JobId) -> bool {
        self.placed.contains_key(&job)
    }
}

impl Beside {
    /// What keeps one more task from this worker; `None`: it may go there.
    pub fn forbid(&self, id: WorkerId, worker: &Worker) -> Option<Barred> {
        self.rules.iter().enumerate().find_map(|(rule, (relation, near, tally))| {
            let spot = near.over.spot(id, &worker.labels);
            let other = spot.as_ref().and_then(|spot| tally.other_in(spot, self.job));
            let is_barred = match relation {
                Relation::ApartFrom => spot.is_none() || other.is_some(),
                Relation::TogetherWith => other.is_none(),
                Relation::KeptAway => other.is_some(),
            };
            is_barred.then_some(Barred { rule, is_nowhere: spot.is_none() })
        })
    }

    /// The rules, in the order of [`Barred::rule`].
    pub fn rules(&self) -> impl Iterator<Item = (Relation, &Near)> {
        self.rules.iter().map(|(relation, near, _)| (*relation, near))
    }

    /// One of the jobs that the rule is about, in this spot.
    pub fn other_in(&self, rule: usize, spot: &Spot) -> Option<JobId> {
        self.rules.get(rule).and_then(|(_, _, tally)| tally.other_in(spot, self.job))
    }

    /// The first spot where one of the jobs is that the rule is about.
    pub fn somewhere(&self, rule: usize) -> Option<(&Spot, JobId)> {
        let (_, _, tally) = self.rules.get(rule)?;
        tally.spots.iter().find_map(|(spot, here)| Some((spot, here.other_than(self.job)?)))
    }

    /// Of one job and the same rules, two with equal stamps forbid the same.
    pub fn stamp(&self) -> u64 {
        self.rules.iter().map(|(_, _, tally)| tally.changes).sum()
    }
}

impl Tally {
    /// A task of the job is on this worker. True when that is news.
    fn note(&mut self, near: &Near, job: JobId, id: WorkerId, worker: &Worker) -> bool {
        let Some(spot) = near.over.spot(id, &worker.labels) else { return false };
        let is_new = match self.spots.entry(spot) {
            Entry::Vacant(nobody) => {
                nobody.insert(Here { first: job, second: None });
                true
            }
            Entry::Occupied(mut here) => {
                let Here { first, second } = here.get_mut();
                let is_second = *first != job && second.is_none();
                if is_second {
                    *second = Some(job);
                }
                is_second
            }
        };
        self.changes += u64::from(is_new);
        is_new
    }

    fn other_in(&self, spot: &Spot, job: JobId) -> Option<JobId> {
        self.spots.get(spot).and_then(|here| here.other_than(job))
    }
}

impl Here {
    fn other_than(&self, job: JobId) -> Option<JobId> {
        if self.first == job { self.second } else { Some(self.first) }
    }
}

fn meeting_of(hot: &Hot, namespace: NamespaceId, near: &Near, placed: &Placed) -> Tally {
    let jobs = hot.job_labels.placed(namespace).chain(placed_in(hot, namespace, placed));
    let mut tally = Tally::default();
    for id in jobs.filter(|id| is_met(near, hot.job_labels.get(*id))) {
        places_of(hot, id, placed).for_each(|(worker, there)| _ = tally.note(near, id, worker, there));
    }
    tally
}

fn keeping_of(hot: &Hot, namespace: NamespaceId, placed: &Placed) -> BTreeMap<Near, Arc<Tally>> {
    let mut keeping: BTreeMap<Near, Tally> = BTreeMap::new();
    for id in hot.job_labels.keepers(namespace).chain(placed_in(hot, namespace, placed)) {
        for near in apart_from(hot, id) {
            let tally = keeping.entry(near.clone()).or_default();
            places_of(hot, id, placed).for_each(|(worker, there)| _ = tally.note(near, id, worker, there));
        }
    }
    keeping.into_iter().map(|(near, tally)| (near, Arc::new(tally))).collect()
}

fn placed_in(hot: &Hot, namespace: NamespaceId, placed: &Placed) -> impl Iterator<Item = JobId> {
    let is_in = move |id: &&JobId| hot.jobs.get(id).is_some_and(|job| job.namespace == namespace);
    placed.keys().filter(is_in).copied()
}

/// Where the job's tasks are, on some workers more than once.
fn places_of<'a>(hot: &'a Hot, id: JobId, placed: &'a Placed) -> impl Iterator<Item = (WorkerId, &'a Worker)> {
    let live = hot.jobs.get(&id).into_iter().flat_map(|job| job.active.values().map(|attempt| attempt.worker));
    let since = placed.get(&id).into_iter().flatten().copied();
    live.chain(since).filter_map(|worker| Some((worker, hot.workers.get(&worker)?)))
}

fn apart_from(hot: &Hot, id: JobId) -> &[Near] {
    let shape = hot.jobs.get(&id).and_then(|job| hot.shapes.get(job.shape));
    shape.and_then(|shape| shape.rules.as_deref()).map_or(&[], |rules| &rules.apart_from)
}

/// A job without labels is never meant, whatever the expression.
fn is_met(near: &Near, labels: Option<&Labels>) -> bool {
    labels.is_some_and(|labels| near.jobs.is_met_by(labels))
}
