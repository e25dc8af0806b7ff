//! A pass, where other jobs have a say in where a task goes. Comes in: a job that looks for a place. Goes out: the seats that they leave to it, with
//! what this very pass has placed of them counted in. How those are chosen among, the rest of the pass knows.
//!
//! What they say is looked up once for all jobs to which they say the same, and again only when one of those rules has got news: so a queue full of
//! jobs that stay apart from each other costs one look at each worker and placement, and not one for each job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudai_core::hot::{Job, ShapeId};
use cloudai_core::nearby::{Beside, Nearby, Relation};
use cloudai_types::{JobId, NamespaceId, Near};

use super::Pass;
use crate::roster::Ask;

/// Other jobs, as far as the pass has come to them.
#[derive(Default)]
pub(super) struct Neighbours {
    pub nearby: Nearby,
    known: BTreeMap<Said, Known>,
    /// News when a task was first kept from where it would go together with others.
    alone_since: Option<u64>,
}

/// What others say to a job: rules of its namespace, and itself where it is one of those that they are about.
type Said = (NamespaceId, Option<JobId>, Vec<(Relation, Near)>);

struct Known {
    stamp: u64,
    /// By seat: it is left to the job.
    left: Arc<[bool]>,
    /// Of these shapes a task found no place there.
    vain: BTreeSet<ShapeId>,
}

/// What others leave to one that looks for a place.
pub(super) struct Left {
    pub seats: Arc<[bool]>,
    /// One that asks for the same has looked already, and found nothing.
    pub is_vain: bool,
    said: Said,
    together: bool,
}

impl Neighbours {
    /// Somebody was kept from where it would go together with others, and there are more of those by now.
    pub fn have_news(&self) -> bool {
        self.alone_since.is_some_and(|news| news < self.nearby.changes())
    }

    /// A task to which they left these found no place. `is_for_all`: nor will another one that asks for the same.
    pub fn note_vain(&mut self, left: &Left, shape: ShapeId, is_for_all: bool) {
        if left.together {
            self.alone_since.get_or_insert(self.nearby.changes());
        }
        if is_for_all && let Some(known) = self.known.get_mut(&left.said) {
            known.vain.insert(shape);
        }
    }
}

impl Pass<'_> {
    /// A job without rules from which others stay apart is placed as one with rules.
    pub(super) fn as_others_ask(&mut self, id: JobId, shape: ShapeId, mut ask: Ask) -> Ask {
        let is_meant = ask.by_rules.is_none()
            && self.view.job_labels.get(id).is_some()
            && self.neighbours.nearby.of_job(self.view, id).is_some();
        if is_meant {
            ask.by_rules = Some(shape);
        }
        ask
    }

    /// `None`: others have no say.
    pub(super) fn left_by_others(&mut self, id: JobId, job: &Job, shape: ShapeId) -> Option<Left> {
        let beside = self.neighbours.nearby.of_job(self.view, id)?;
        let is_one = !job.active.is_empty() || self.neighbours.nearby.has_placed(id);
        let rules: Vec<(Relation, Near)> = beside.rules().map(|(relation, near)| (relation, near.clone())).collect();
        let together = rules.iter().any(|(relation, _)| *relation == Relation::TogetherWith);
        let said = (job.namespace, is_one.then_some(id), rules);
        let stamp = beside.stamp();
        let known = self.neighbours.known.get(&said);
        if known.is_none_or(|known| known.stamp != stamp) {
            // News come of what the pass has placed, so the next pass has less of them.
            self.rule_tasks = self.rule_tasks.saturating_sub(u32::from(known.is_some()));
            let fresh = Known { stamp, left: self.seats_left(&beside), vain: BTreeSet::new() };
            self.neighbours.known.insert(said.clone(), fresh);
        }
        let known = self.neighbours.known.get(&said)?;
        Some(Left { seats: known.left.clone(), is_vain: known.vain.contains(&shape), said, together })
    }

    fn seats_left(&self, beside: &Beside) -> Arc<[bool]> {
        let is_left = |seat: u32| {
            let id = self.state.worker(seat);
            self.view.workers.get(&id).is_some_and(|worker| beside.forbid(id, worker).is_none())
        };
        (0..self.state.seats() as u32).map(is_left).collect()
    }
}
