//! A gang's turn in a pass: all of its tasks are placed, or none is. Comes in: a job whose tasks start together, when its turn has come. Goes
//! out: places for all of them, or what kept one of them from having one. How long others wait for it is decided where it is blocked.
//!
//! Two gangs cannot hold what the other one needs: nothing is held until all of one fits, and workers are kept for one of them at a time.

use cloudai_core::hot::Job;
use cloudai_types::{JobId, WorkerId};

use super::{NO_WORKER, Pass, Turn};
use crate::index::Room;
use crate::lane::{Head, Lane, Leave};
use crate::roster::{Ask, Choice, Place};

/// One of them with a past.
struct Member<'a> {
    index: u32,
    ask: Ask,
    avoid: u32,
    never: &'a [u32],
}

impl<'a> Pass<'a> {
    /// `None`: the namespace's turn goes on, with the job behind it.
    pub(super) fn gang(&mut self, lane: &mut Lane<'a>, head: &Head, job: Option<&'a Job>) -> Option<Turn> {
        // While one of them runs, stops or waits for its next try, the others wait for it.
        let job = job.filter(|job| job.active.is_empty() && job.delayed == 0);
        let Some(job) = job.filter(|_| self.gangs.insert(head.job)) else {
            lane.next_job();
            return None;
        };
        let wanted = job.counts.queued;
        if wanted > self.budget && self.plan.placed > 0 {
            return Some(Turn::BudgetSpent);
        }
        let members = self.members(head, job);
        let asks = members.iter().map(|member| &member.ask);
        let asks: Vec<Ask> = asks.chain(std::iter::repeat_n(&head.ask, job.fresh.len())).copied().collect();
        match lane.allows(head.user, asks.iter().map(Ask::room)) {
            Leave::Now if wanted <= self.budget => {}
            // Those behind it would take what it waits for.
            Leave::Later => return Some(Turn::Done),
            // Others of its user would, and nobody else.
            Leave::LaterForUser => {
                lane.close(head.user);
                lane.next_job();
                return None;
            }
            Leave::Now | Leave::Never => {
                lane.next_job();
                return None;
            }
        }
        self.state.begin_trial();
        // A pass looks at so many tasks with rules at most; a gang is looked at whole.
        let rule_tasks = std::mem::replace(&mut self.rule_tasks, u32::MAX);
        let seats = self.seats(head, job, &members);
        self.rule_tasks = rule_tasks;
        self.siblings.forget(head.job);
        match seats {
            Ok((waiting, fresh)) => {
                self.state.end_trial();
                self.grant = wanted;
                for (index, seat) in waiting {
                    self.emit(head.job, seat, index..index + 1);
                }
                let mut next = job.fresh.start;
                for (seat, here) in fresh {
                    self.emit(head.job, seat, next..next + here);
                    next += here;
                }
                asks.iter().for_each(|ask| lane.charge(head.user, ask, 1));
                lane.next_job();
            }
            Err(choice) => {
                self.state.give_back();
                match choice {
                    Choice::HeldBack => {
                        self.held.insert(head.shape);
                        self.hold_back(lane);
                    }
                    // What its rules forbid is not waited for, and no worker is kept.
                    Choice::KeptAway | Choice::Seat(_) => lane.next_job(),
                    Choice::FitsNowhere => {
                        self.state.set_full_for(head.shape, &head.ask);
                        self.block(*head);
                        lane.drop_line();
                    }
                }
            }
        }
        None
    }

    /// What one of its tasks asks for at most: workers are kept for all of them alike.
    pub(super) fn largest_ask(&mut self, head: &Head) -> Ask {
        let Some(job) = self.view.jobs.get(&head.job).filter(|job| job.apart_ready > 0) else { return head.ask };
        self.members(head, job).iter().fold(head.ask, |largest, member| largest.max(&member.ask))
    }

    fn members(&mut self, head: &Head, job: &'a Job) -> Vec<Member<'a>> {
        let waiting = job.waiting.iter().flat_map(|waiting| waiting.iter());
        let member = |(index, past): (&u32, &'a cloudai_core::Waiting)| {
            let group = self.view.apart.get(head.job, past.memory_mib).filter(|_| past.memory_mib > 0);
            let shape = group.map_or(job.shape, |group| group.shape);
            let ask = self.state.ask(self.view, shape).unwrap_or(head.ask);
            let ask = self.as_others_ask(head.job, shape, ask);
            Member { index: *index, ask, avoid: past.avoid_worker(), never: past.never() }
        };
        waiting.map(member).collect()
    }

    /// Where each goes, in the order of choice, which is the one in which `apply` looks at rules; or what one of them met.
    fn seats(&mut self, head: &Head, job: &Job, members: &[Member]) -> Result<(Indexes, Runs), Choice> {
        let limit_ms = self.view.time_limit_ms(head.job);
        let ends_ms = (limit_ms > 0).then(|| self.view.clock_ms.saturating_add(limit_ms));
        let own = self.state.ask(self.view, job.shape).unwrap_or(head.ask);
        let own = self.as_others_ask(head.job, job.shape, own);
        let mut waiting = vec![];
        // Who may not go everywhere chooses first.
        for member in members {
            let place = taken(match (member.never, member.ask.by_rules) {
                ([], _) | (_, Some(_)) => {
                    let avoid = WorkerId(member.avoid);
                    self.choose((head.job, job.image), &member.ask, avoid, member.never, ends_ms)
                }
                (never, None) => self.state.choose_apart(&member.ask, member.avoid, never, ends_ms),
            })?;
            self.try_out(head.job, place, &member.ask, 1);
            waiting.push((member.index, place.seat));
        }
        let mut fresh: Runs = vec![];
        let mut left = job.fresh.len() as u32;
        while left > 0 {
            let place = taken(self.choose((head.job, job.image), &own, NO_WORKER, &[], ends_ms))?;
            let run = if own.by_rules.is_some() { 1 } else { self.state.run(place, &own, left) };
            self.try_out(head.job, place, &own, run);
            match fresh.last_mut().filter(|(seat, _)| *seat == place.seat) {
                Some((_, here)) => *here += run,
                None => fresh.push((place.seat, run)),
            }
            left -= run;
        }
        if own.by_rules.is_none() {
            // A group per worker, and not one per turn.
            fresh.sort_unstable();
            fresh.dedup_by(|later, first| {
                let is_same = later.0 == first.0;
                first.1 += if is_same { later.1 } else { 0 };
                is_same
            });
        }
        Ok((waiting, fresh))
    }

    fn try_out(&mut self, job: JobId, place: Place, ask: &Ask, tasks: u32) {
        self.state.take(place, ask, tasks);
        let worker = self.state.worker(place.seat).0;
        self.note(job, worker, tasks as usize);
    }
}

/// Those with a past: index and seat.
type Indexes = Vec<(u32, u32)>;
/// Of the others: so many on a seat.
type Runs = Vec<(u32, u32)>;

fn taken(choice: Choice) -> Result<Place, Choice> {
    match choice {
        Choice::Seat(place) => Ok(place),
        Choice::HeldBack | Choice::FitsNowhere | Choice::KeptAway => Err(choice),
    }
}

/// So many tasks that each ask for this fit into `room`.
pub(crate) fn slots(room: &Room, each: &Room) -> u64 {
    room.iter().zip(each).filter_map(|(room, each)| room.checked_div(*each)).min().unwrap_or(0)
}
