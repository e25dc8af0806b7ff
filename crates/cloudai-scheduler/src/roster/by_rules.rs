//! The choice of a worker for a task whose job's rules prefer some, keep its tasks apart, or spread them. Comes in: what it asks for, its rules,
//! where its siblings are, and what other jobs leave to it. Goes out: the worker, or that there is none for it. Which job it is, and what was placed already, the pass knows.
//!
//! Workers that the rules cannot tell apart make a class, and classes are kept from pass to pass. The order: what is preferred most; of that where the
//! fewest siblings are; of that the policy's order, images included. So one look goes over the classes, and then over the workers of the first
//! that have room. That is slower than the index, and only jobs with such rules pay for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::whereabouts::Whereabouts;
use cloudai_types::{Domain, Rules, Spot, WorkerId};

use super::{Ask, Choice, Place, PlanState};
use crate::index::{key, rank_of, seat_of};
use crate::score;

/// Workers of one shape, as its rules tell them apart.
#[derive(Clone, Debug)]
pub(super) struct Classes(Vec<Class>);

#[derive(Clone, Debug)]
struct Class {
    liking: u32,
    /// Where its tasks stay apart by a label; by worker each seat is its own.
    apart: Option<Spot>,
    /// `None`: the rules do not spread, or they do and this is in no spot.
    spread: Option<Spot>,
    seats: Vec<u32>,
    /// In the pass of this number nobody here has room any more.
    full_in: usize,
}

/// What the workers of one class have in common: how much they are liked, and both spots.
type Alike = (Reverse<u32>, Option<Spot>, Option<Spot>);

/// Who looks, beside what it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sibling<'a> {
    pub rules: &'a Rules,
    pub whereabouts: &'a Whereabouts,
    /// By seat: other jobs leave it to this one. `None`: they have no say.
    pub left: Option<&'a [bool]>,
    /// A worker that is taken only when no other fits; 0: none.
    pub avoid: u32,
    /// Workers that are not taken at all.
    pub never: &'a [u32],
    pub image: u16,
    /// When its limit would end; none: never.
    pub ends_ms: Option<u64>,
}

impl PlanState {
    /// As [`PlanState::choose`], by rules. `KeptAway`: it would fit, where its rules or its past do not let it go.
    pub(crate) fn choose_by_rules(&mut self, view: &Hot, ask: &Ask, who: &Sibling<'_>) -> Choice {
        if self.is_hopeless(ask) {
            return Choice::FitsNowhere;
        }
        self.order_for(ask);
        let mut forbidden: Vec<Option<u32>> = who.never.iter().map(|worker| self.seat_of(WorkerId(*worker))).collect();
        let avoided = self.seat_of(WorkerId(who.avoid));
        if avoided.is_some() {
            forbidden.push(avoided);
            if let Some(choice) = self.anywhere_by_rules(view, ask, who, &forbidden) {
                return choice;
            }
            forbidden.pop();
        }
        self.anywhere_by_rules(view, ask, who, &forbidden).unwrap_or_else(|| {
            if self.search(ask, &[]).is_some() {
                Choice::KeptAway
            } else if self.fits_where_held(ask) {
                Choice::HeldBack
            } else {
                Choice::FitsNowhere
            }
        })
    }

    fn anywhere_by_rules(&mut self, view: &Hot, ask: &Ask, who: &Sibling<'_>, but: &[Option<u32>]) -> Option<Choice> {
        if let Some(seat) = self.best_by_rules(ask, who, but) {
            return Some(Choice::at(seat));
        }
        let may = |seat: u32| {
            let id = self.worker(seat);
            let worker = view.workers.get(&id);
            !but.contains(&Some(seat))
                && who.is_left(seat)
                && worker.is_some_and(|w| who.whereabouts.forbid(who.rules, id, w).is_none())
        };
        let seat = self.in_time_where(ask, who.ends_ms, may)?;
        Some(Choice::Seat(Place { seat, in_time: true }))
    }

    fn best_by_rules(&mut self, ask: &Ask, who: &Sibling<'_>, but: &[Option<u32>]) -> Option<u32> {
        let shape = ask.by_rules?;
        let mut classes = match self.classes.remove(&shape) {
            Some(classes) => classes,
            None => self.classes_of(ask, who.rules),
        };
        let found = self.best_of(&mut classes, ask, who, but);
        self.classes.insert(shape, classes);
        found
    }

    fn best_of(&self, classes: &mut Classes, ask: &Ask, who: &Sibling<'_>, but: &[Option<u32>]) -> Option<u32> {
        let pass = self.passes;
        let max_skew = who.rules.spread.as_ref().map_or(0, |spread| spread.max_skew);
        let crowd_max = if max_skew > 0 { who.whereabouts.crowd_max(max_skew) } else { u32::MAX };
        let open = classes.0.iter().enumerate().filter(|(_, class)| class.full_in != pass && !class.is_taken(who));
        let places = open.map(|(at, class)| (Reverse(class.liking), class.crowd(who), at));
        let mut order: Vec<(Reverse<u32>, u32, usize)> = places.filter(|(_, crowd, _)| *crowd < crowd_max).collect();
        order.sort_unstable();
        for alike in order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let mut best: Option<(bool, u64)> = None;
            for (_, _, at) in alike {
                let class = &mut classes.0[*at];
                let mut has_room = false;
                for seat in class.seats.iter().filter(|seat| self.offers[**seat as usize].admits(&ask.offer)) {
                    has_room = true;
                    if let Some(rank) = self.rank_by_rules(*seat, who, but) {
                        best = Some(best.map_or(rank, |best| best.min(rank)));
                    }
                }
                if !has_room {
                    class.full_in = pass;
                }
            }
            if let Some((_, first)) = best {
                let alike = alike.iter().flat_map(|(_, _, at)| &classes.0[*at].seats);
                return Some(self.with_image_of(alike, ask, who, but, first));
            }
        }
        None
    }

    /// Its place in the policy's order; `None`: it may not be taken.
    fn rank_by_rules(&self, seat: u32, who: &Sibling<'_>, but: &[Option<u32>]) -> Option<(bool, u64)> {
        let is_taken =
            who.rules.apart == Some(Domain::Worker) && who.whereabouts.is_taken(&Spot::Worker(self.worker(seat)));
        let may = !is_taken && who.is_left(seat) && !but.contains(&Some(seat));
        let key = self.key(seat).filter(|_| may)?;
        Some((self.is_before_turn(seat), key))
    }

    /// The first, or one that is as good by the rules, not much worse by the policy, and has the image.
    fn with_image_of<'a>(
        &self,
        alike: impl Iterator<Item = &'a u32>,
        ask: &Ask,
        who: &Sibling<'_>,
        but: &[Option<u32>],
        first: u64,
    ) -> u32 {
        let slack = score::of(self.policy).image_slack().filter(|_| who.image != 0);
        let Some(slack) = slack.filter(|_| !self.images.has(self.worker(seat_of(first)), who.image)) else {
            return seat_of(first);
        };
        let worst = key(rank_of(first).saturating_add(slack), u32::MAX);
        let holders = alike.filter(|seat| self.offers[**seat as usize].admits(&ask.offer)).filter_map(|seat| {
            let (_, key) = self.rank_by_rules(*seat, who, but).filter(|(_, key)| *key <= worst)?;
            self.images.has(self.worker(*seat), who.image).then_some(key)
        });
        holders.min().map_or(seat_of(first), seat_of)
    }

    /// Of the workers that take work and have what is required; those that are in no spot, where the rules ask for one, are left out.
    fn classes_of(&self, ask: &Ask, rules: &Rules) -> Classes {
        let mut classes: BTreeMap<Alike, Vec<u32>> = BTreeMap::new();
        let by_label = rules.apart.as_ref().filter(|domain| **domain != Domain::Worker);
        for seat in self.seats_that_could(ask) {
            let labels = &self.seats[seat as usize].labels;
            let spot = |domain: &Domain| domain.spot(self.worker(seat), labels);
            let apart = by_label.and_then(spot);
            let spread = rules.spread.as_ref().and_then(|spread| spot(&spread.over));
            let must_be_spread = rules.spread.as_ref().is_some_and(|spread| spread.max_skew > 0);
            if by_label.is_some() && apart.is_none() || must_be_spread && spread.is_none() {
                continue;
            }
            classes.entry((Reverse(rules.liking(labels)), apart, spread)).or_default().push(seat);
        }
        let class = |((Reverse(liking), apart, spread), seats): (Alike, Vec<u32>)| Class {
            liking,
            apart,
            spread,
            seats,
            full_in: 0,
        };
        Classes(classes.into_iter().map(class).collect())
    }
}

impl Sibling<'_> {
    fn is_left(&self, seat: u32) -> bool {
        self.left.is_none_or(|left| left.get(seat as usize) == Some(&true))
    }
}

impl Class {
    fn is_taken(&self, who: &Sibling<'_>) -> bool {
        self.apart.as_ref().is_some_and(|spot| who.whereabouts.is_taken(spot))
    }

    /// Siblings that are here. Who is in no spot comes after those that are in one.
    fn crowd(&self, who: &Sibling<'_>) -> u32 {
        match (&who.rules.spread, &self.spread) {
            (None, _) => 0,
            (Some(_), None) => u32::MAX - 1,
            (Some(_), Some(spot)) => who.whereabouts.crowd(spot),
        }
    }
}
