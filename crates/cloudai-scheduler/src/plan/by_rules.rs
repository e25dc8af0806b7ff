//! A pass, where a job's rules ask for more than room and labels. Comes in: a task of such a job. Goes out: the worker for it, with what this very pass
//! has placed of its job counted in. Tasks are placed one by one, in the order in which `apply` checks them.

use cloudai_core::hot::Job;
use cloudai_types::{JobId, Rules, WorkerId};

use super::{JobOutcome, NO_WORKER, Pass};
use crate::lane::{Head, Progress};
use crate::roster::by_rules::Sibling;
use crate::roster::{Ask, Choice};

impl Pass<'_> {
    /// The worker for one task that does not stand apart, or does and has rules. `avoid`: one that is taken only when no other fits.
    pub(super) fn choose(
        &mut self,
        job: (JobId, u16),
        ask: &Ask,
        avoid: WorkerId,
        never: &[u32],
        ends_ms: Option<u64>,
    ) -> Choice {
        let (id, image) = job;
        if ask.by_rules.is_none() {
            return self.state.choose(ask, avoid, image, ends_ms);
        }
        let view = self.view;
        let job = view.jobs.get(&id);
        let shape = job.and_then(|job| view.shapes.get(job.shape));
        // The queue holds live jobs only, and what is by rules has some.
        let (Some(job), Some(shape)) = (job, shape) else { return Choice::KeptAway };
        // Others may have some about it.
        let none = Rules::default();
        let rules = shape.rules.as_deref().unwrap_or(&none);
        if self.rule_tasks == 0 {
            // It was something for the others: the next pass goes on here.
            self.plan.more = true;
            return Choice::KeptAway;
        }
        let asked = ask.by_rules.unwrap_or(job.shape);
        let left = self.left_by_others(id, job, asked);
        // Nobody who passes by ending in time may have looked.
        let is_alike = never.is_empty() && !rules.look_at_siblings() && self.state.passes_until_ms().is_none();
        if is_alike && left.as_ref().is_some_and(|left| left.is_vain) {
            return Choice::KeptAway;
        }
        let whereabouts = self.siblings.of(&view.workers, id, job, shape);
        let seats = left.as_ref().map(|left| left.seats.as_ref());
        let who = Sibling { rules, whereabouts, left: seats, avoid: avoid.0, never, image, ends_ms };
        let choice = self.state.choose_by_rules(view, ask, &who);
        if let (Choice::KeptAway, Some(left)) = (choice, &left) {
            self.neighbours.note_vain(left, asked, is_alike);
        }
        self.rule_tasks = self.rule_tasks.saturating_sub(u32::from(matches!(choice, Choice::Seat(_))));
        choice
    }

    /// Indexes that were never placed, of a job with rules.
    pub(super) fn fresh_by_rules(
        &mut self,
        head: &Head,
        job: &Job,
        ends_ms: Option<u64>,
        progress: &mut Progress,
    ) -> JobOutcome {
        while progress.fresh < job.fresh.len() as u32 {
            if let Some(spent) = self.spent() {
                return spent;
            }
            let place = match self.choose((head.job, job.image), &head.ask, NO_WORKER, &[], ends_ms) {
                Choice::Seat(place) => place,
                // Other jobs of its shape have their siblings elsewhere.
                Choice::KeptAway => return JobOutcome::Done,
                Choice::HeldBack => return JobOutcome::HeldBack,
                Choice::FitsNowhere => return JobOutcome::FitsNowhere,
            };
            self.state.take(place, &head.ask, 1);
            let index = job.fresh.start + progress.fresh;
            self.emit(head.job, place.seat, index..index + 1);
            progress.fresh += 1;
        }
        JobOutcome::Done
    }

    /// So many more tasks of the job are there.
    pub(super) fn note(&mut self, id: JobId, worker: u32, tasks: usize) {
        let view = self.view;
        let Some(whereabouts) = self.siblings.known(id) else { return };
        let shape = view.jobs.get(&id).and_then(|job| view.shapes.get(job.shape));
        let rules = shape.and_then(|shape| shape.rules.as_deref());
        let worker = WorkerId(worker);
        if let (Some(rules), Some(there)) = (rules, view.workers.get(&worker)) {
            (0..tasks).for_each(|_| whereabouts.add(rules, worker, there));
        }
    }
}
