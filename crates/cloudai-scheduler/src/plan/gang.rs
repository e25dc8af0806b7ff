//! A gang's turn in a pass: all of its tasks are placed, or none is. Comes in: a job whose tasks start together, when its turn has come. Goes
//! out: places for all of them, or what kept one of them from having one. How long others wait for it is decided where it is blocked.
//!
//! Two gangs cannot hold what the other one needs: nothing is held until all of one fits, and workers are kept for one of them at a time.

use std::collections::BTreeMap;

use cloudai_core::hot::Job;
use cloudai_types::WorkerId;

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
        match lane.allows(asks.iter().map(Ask::room)) {
            Leave::Now if wanted <= self.budget => {}
            // Those behind it would take what it waits for.
            Leave::Later => return Some(Turn::Done),
            Leave::Now | Leave::Never => {
                lane.next_job();
                return None;
            }
        }
        self.state.begin_trial();
        match self.seats(head, job, &members) {
            Ok((fresh, waiting)) => {
                self.state.end_trial();
                self.grant = wanted;
                let mut next = job.fresh.start;
                for (seat, here) in fresh {
                    self.emit(head.job, seat, next..next + here);
                    next += here;
                }
                for (index, seat) in waiting {
                    self.emit(head.job, seat, index..index + 1);
                }
                asks.iter().for_each(|ask| lane.charge(ask, 1));
                lane.next_job();
            }
            Err(choice) => {
                self.state.give_back();
                match choice {
                    Choice::HeldBack => {
                        self.held.insert(head.shape);
                        self.hold_back(lane);
                    }
                    // A worker without a seat for one of them has none for this gang: what its rules forbid is not waited for.
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
            let ask = self.state.ask(self.view, group.map_or(job.shape, |group| group.shape)).unwrap_or(head.ask);
            Member { index: *index, ask, avoid: past.avoid_worker(), never: past.never() }
        };
        waiting.map(member).collect()
    }

    /// For those that were never placed by seat, for the others by index; or what one of them met.
    #[expect(clippy::type_complexity, reason = "read once, where it is made")]
    fn seats(
        &mut self,
        head: &Head,
        job: &Job,
        members: &[Member],
    ) -> Result<(BTreeMap<u32, u32>, Vec<(u32, u32)>), Choice> {
        let limit_ms = self.view.time_limit_ms(head.job);
        let ends_ms = (limit_ms > 0).then(|| self.view.clock_ms.saturating_add(limit_ms));
        let own = self.state.ask(self.view, job.shape).unwrap_or(head.ask);
        let mut waiting = vec![];
        // Who may not go everywhere chooses first.
        for member in members {
            let place = taken(match member.never {
                [] => self.state.choose(&member.ask, WorkerId(member.avoid), job.image, ends_ms),
                never => self.state.choose_apart(&member.ask, member.avoid, never, ends_ms),
            })?;
            self.state.take(place, &member.ask, 1);
            waiting.push((member.index, place.seat));
        }
        let mut fresh = BTreeMap::new();
        let mut left = job.fresh.len() as u32;
        while left > 0 {
            let place = taken(self.state.choose(&own, NO_WORKER, job.image, ends_ms))?;
            let run = self.state.run(place, &own, left);
            self.state.take(place, &own, run);
            *fresh.entry(place.seat).or_default() += run;
            left -= run;
        }
        Ok((fresh, waiting))
    }
}

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
