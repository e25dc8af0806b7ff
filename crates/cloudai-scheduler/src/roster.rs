//! What a leader remembers between passes: every worker's room in this pass's order, and which shapes fit nowhere. Comes
//! in: the view, once per pass, by comparison (a few words per worker; no event can be missed). Goes out: the next worker
//! for a task. It knows neither jobs nor the queue.
//!
//! Nothing here is truth: a new leader begins with an empty [`PlanState`], and a placement that was refused is put right
//! by the next comparison.

pub(crate) mod by_rules;
mod floor;
mod holds;
mod kept;
mod orders;
mod shapes;
mod trial;

use std::collections::BTreeMap;

use cloudai_core::Hot;
use cloudai_core::hot::{ShapeId, Worker};
use cloudai_types::{HourlyPrice, JobId, Resources, ScorePolicy, Taints, WorkerId, limits};

use crate::images::Images;
use crate::index::{Offer, Room, key, rank_of, seat_of as seat_of_key};
use crate::require::{Needs, RequireId, Requirements, UNTAINTED};
use crate::reserve::{self, Reservation};
use crate::score::{self, Load, Measure, Usual, Wish};
use by_rules::Classes;
use floor::Floor;
use holds::{HeldSeat, lesser};
use kept::Kept;
use orders::{Missed, Orders};
use shapes::KnownShapes;
use trial::Trial;

/// Workers whose labels are compared in each pass.
const LABELS_LOOKED_AT: usize = 256;
/// Requests that are remembered as fitting nowhere; more would cost what they save.
const HOPELESS_MAX: usize = 16;
/// Holders of an image that one choice looks at.
const HOLDERS_LOOKED_AT: usize = 64;
/// So often orders are dropped that nobody has asked for since the last time.
const ORDERS_IDLE_PASSES: usize = 256;
/// Forgotten shapes that may stay known before all are looked up again.
const SHAPES_STALE_MAX: usize = 1_024;

/// The scheduler's memory between passes. Owned by the leader's scheduling loop; made anew with each leadership.
#[derive(Clone, Debug, Default)]
pub struct PlanState {
    /// Of the namespace whose turn it is.
    pub(crate) policy: ScorePolicy,
    /// Workers by seat. A seat is a place in these vectors; ascending, so that seats order as worker ids do.
    ids: Vec<WorkerId>,
    seats: Vec<Seat>,
    /// Room and marks by seat, apart from the rest: the search reads nothing else.
    offers: Vec<Offer>,
    measure: Measure,
    orders: Orders,
    /// Workers that this pass may still put into orders which are not kept up.
    order_looks: usize,
    images: Images,
    requirements: Requirements,
    shapes: KnownShapes,
    floor: Floor,
    /// Workers as the rules of a shape tell them apart, for shapes whose rules do. Forgotten when a label or a taint changes, or who takes work.
    classes: BTreeMap<ShapeId, Classes>,
    /// What the smallest of those that fitted nowhere asked for: who asks for as much fits nowhere either. Kept short; each is smaller than the
    /// others in some way.
    hopeless: Vec<Ask>,
    /// Round robin: the seat after the one taken last.
    turn: u32,
    /// Every label is to be compared in the next pass.
    labels_changed: bool,
    /// Passes so far: which seats' labels are compared unasked.
    pub(crate) passes: usize,
    /// Where the search for due indexes goes on, for jobs with too many to look at in one pass.
    pub(crate) due_from: BTreeMap<JobId, u32>,
    /// The same for groups of indexes that stand apart.
    pub(crate) apart_from: BTreeMap<(JobId, u32), u32>,
    /// How many of those were tried in vain since something could be placed, or since the scheduler was woken.
    pub(crate) vain: usize,
    /// The last pass said that there is more.
    pub(crate) goes_on: bool,
    /// Workers that are kept for tasks which fit nowhere, by their order in the queue.
    pub(crate) reservations: Vec<Reservation>,
    /// What runs on them.
    kept: Kept,
    /// Shapes for which no worker could be kept, and in which pass.
    pub(crate) vain_choices: BTreeMap<ShapeId, usize>,
    /// Of those the ones that count by now in this pass.
    holds: Vec<HeldSeat>,
    /// What fits, while these holds last, on none but them: who asks for as much need not be searched for. Kept short, as `hopeless` is.
    only_held: Vec<Ask>,
    /// What is taken may be given back.
    trial: Option<Trial>,
}

/// Where an index goes that may not go everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    Seat(Place),
    /// It fits only on workers that are reserved for another task.
    HeldBack,
    /// Nothing that asks for as much fits anywhere.
    FitsNowhere,
    /// It would fit, on workers that it may not go to.
    KeptAway,
}

impl Choice {
    fn at(seat: u32) -> Self {
        Choice::Seat(Place { seat, in_time: false })
    }
}

#[derive(Clone, Debug, Default)]
struct Seat {
    capacity: Resources,
    session: u64,
    labels: BTreeMap<String, String>,
    taints: Taints,
    price: HourlyPrice,
    /// It is in the orders: the worker is schedulable.
    is_in: bool,
}

/// A seat for a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub seat: u32,
    /// It takes what is reserved there, and has ended in time.
    pub in_time: bool,
}

/// What a task of one shape asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    offer: Offer,
    require: Option<RequireId>,
    is_gang: bool,
    /// Its shape, if that has rules that prefer some workers, or look at where the job's tasks are.
    pub by_rules: Option<ShapeId>,
}

impl Ask {
    /// It places all tasks of its job, or none.
    pub fn is_gang(&self) -> bool {
        self.is_gang
    }

    /// In the dimensions of a worker's room.
    pub fn room(&self) -> &Room {
        &self.offer.room
    }

    /// As much as either of them asks for. Both are of one job, and ask for the same labels.
    pub fn max(mut self, other: &Ask) -> Ask {
        self.offer.room.iter_mut().zip(other.offer.room).for_each(|(mine, theirs)| *mine = theirs.max(*mine));
        self
    }

    /// True when every worker that fits `self` fits `other` as well.
    fn is_as_large_as(&self, other: &Ask) -> bool {
        (other.require.is_none() || self.require == other.require)
            && other.offer.marks & UNTAINTED & !self.offer.marks == 0
            && self.offer.room.iter().zip(&other.offer.room).all(|(mine, theirs)| mine >= theirs)
    }
}

impl PlanState {
    /// To be called when a worker's row changed (an operator gave it other labels under a session that goes on). Without a
    /// call the change is found all the same, 256 workers per pass; a new session is noticed at once in any case.
    pub fn on_worker_changed(&mut self) {
        self.labels_changed = true;
    }

    /// All images that this worker has now, as fingerprints; in the place of what it said before.
    pub fn on_images(&mut self, worker: WorkerId, images: Vec<u16>) {
        self.images.set(worker, images);
    }

    /// Compares with the view and takes over what changed.
    pub(crate) fn sync(&mut self, view: &Hot, policy: ScorePolicy) {
        let same_order = self.ids.len() <= view.workers.len()
            && self.ids.iter().zip(view.workers.keys()).all(|(known, id)| known == id);
        if !same_order {
            let mut images = std::mem::take(&mut self.images);
            images.retain(|worker| view.workers.contains_key(&worker));
            *self = PlanState { images, ..PlanState::default() };
        }
        self.policy = policy;
        self.order_looks = limits::PASS_ORDER_LOOKS_MAX;
        let mut gained = false;
        let mut resized = false;
        let new = view.workers.len() - self.ids.len();
        self.ids.reserve(new);
        self.seats.reserve(new);
        self.offers.reserve(new);
        for (seat, (id, worker)) in view.workers.iter().enumerate() {
            if seat == self.ids.len() {
                self.ids.push(*id);
                self.seats.push(Seat::default());
                self.offers.push(Offer::default());
            }
            let known = &self.seats[seat];
            let room = room_of(worker);
            if self.offers[seat].room == room
                && known.is_in == worker.is_schedulable()
                && known.capacity == worker.capacity
                && known.session == worker.session
                && known.taints == worker.taints
                && (!self.looks_at_labels(seat, view.workers.len()) || known.labels == worker.labels)
            {
                continue;
            }
            resized |= known.capacity != worker.capacity;
            gained |= self.reseat(seat as u32, worker, room);
        }
        self.labels_changed = false;
        self.passes = self.passes.wrapping_add(1);
        if resized {
            let largest = score::largest_of(view);
            if largest != self.measure.largest {
                self.measure.largest = largest;
                self.orders.forget(|_| true);
            }
        }
        self.sync_usual(view);
        if self.passes.is_multiple_of(ORDERS_IDLE_PASSES) {
            self.orders.forget_idle();
        }
        let is_lower = self.floor.take_in(&view.shapes.by_id);
        if gained || is_lower {
            self.floor.fits_nowhere = false;
        }
        if gained {
            self.shapes.none_is_full();
            self.hopeless.clear();
        }
        self.sync_kept(view);
        if self.shapes.len().max(self.floor.shapes()) > view.shapes.by_id.len() + SHAPES_STALE_MAX {
            self.forget_shapes();
            self.floor.take_in(&view.shapes.by_id);
        }
        if self.due_from.len() > SHAPES_STALE_MAX {
            self.due_from.retain(|job, _| view.jobs.contains_key(job));
        }
        if self.apart_from.len() > SHAPES_STALE_MAX {
            self.apart_from.retain(|(job, memory_mib), _| view.apart.get(*job, *memory_mib).is_some());
        }
    }

    /// The usual tasks change as jobs come and end: whoever ranks by them begins anew then.
    fn sync_usual(&mut self, view: &Hot) {
        let mut of_namespaces = view.queue.namespaces().filter_map(|(id, _)| view.tenants.get(id)?.quota.policy());
        let looks = |policy: ScorePolicy| score::of(policy).looks_at_usual();
        let usual = if looks(self.policy) || of_namespaces.any(looks) { Usual::of(view) } else { Usual::default() };
        if usual != self.measure.usual {
            self.measure.usual = usual;
            self.orders.forget(looks);
        }
    }

    /// What a shape asks for. `None` for a shape that the view does not know.
    pub(crate) fn ask(&mut self, view: &Hot, shape: ShapeId) -> Option<Ask> {
        if let Some(ask) = self.shapes.ask(shape) {
            return Some(ask);
        }
        let (spec, _) = view.shapes.by_id.get(&shape)?;
        let require = Needs::of(spec).map(|needs| self.require(needs));
        let [cpu, memory, storage, gpus] = spec.resources.dimensions();
        let marks = require.map_or(0, RequireId::mark) | if Needs::only_untainted(spec) { UNTAINTED } else { 0 };
        let by_rules = spec.rules.as_ref().is_some_and(|rules| rules.choose_among_workers()).then_some(shape);
        let is_gang = spec.gang > 0;
        let ask = Ask { offer: Offer { room: [cpu, memory, storage, gpus, 1], marks }, require, is_gang, by_rules };
        self.shapes.insert(shape, ask);
        Some(ask)
    }

    pub(crate) fn is_full_for(&mut self, shape: ShapeId) -> bool {
        self.shapes.is_full(shape)
    }

    /// The shape fits nowhere until some worker gains room, labels or readiness.
    pub(crate) fn set_full_for(&mut self, shape: ShapeId, ask: &Ask) {
        if self.fits_where_held(ask) || (ask.is_gang && !self.holds.is_empty()) {
            // It would fit but for a reservation, and that may be gone in the next pass without anything that is noticed here.
            return;
        }
        self.shapes.set_full(shape);
        // That all of a gang do not fit says nothing of one.
        if !ask.is_gang && !self.is_hopeless(ask) {
            self.hopeless.retain(|known| !known.is_as_large_as(ask));
            if self.hopeless.len() < HOPELESS_MAX {
                self.hopeless.push(*ask);
                let floor = self.floor.ask();
                self.floor.fits_nowhere = self.search(&floor, &[]).is_none() && !self.fits_where_held(&floor);
            }
        }
    }

    /// No waiting task fits anywhere, whatever its shape, until some worker gains something.
    pub(crate) fn is_full(&self) -> bool {
        self.floor.fits_nowhere
    }

    /// The worker that the policy prefers among those that fit, or one that ranks not much worse and has the image. `avoid` is taken only
    /// when no other fits. `ends_ms`: when its limit would end; none: never.
    pub(crate) fn choose(&mut self, ask: &Ask, avoid: WorkerId, image: u16, ends_ms: Option<u64>) -> Choice {
        if self.is_hopeless(ask) {
            return Choice::FitsNowhere;
        }
        if self.only_held.iter().any(|known| ask.is_as_large_as(known)) {
            return self.where_held(ask, &[], ends_ms);
        }
        let avoid = self.seat_of(avoid);
        self.order_for(ask);
        if let Some(first) = self.search(ask, &[avoid]) {
            return Choice::at(self.with_image(ask, avoid, image, first).unwrap_or(first));
        }
        let elsewhere = self.in_time(ask, &[avoid], ends_ms);
        if let Some(choice) = elsewhere.or_else(|| avoid.and_then(|_| self.anywhere(ask, &[], ends_ms))) {
            return choice;
        }
        if !self.holds.is_empty() && self.only_held.len() < HOPELESS_MAX {
            self.only_held.retain(|known| !known.is_as_large_as(ask));
            self.only_held.push(*ask);
        }
        if self.fits_where_held(ask) { Choice::HeldBack } else { Choice::FitsNowhere }
    }

    fn anywhere(&mut self, ask: &Ask, but: &[Option<u32>], ends_ms: Option<u64>) -> Option<Choice> {
        self.search(ask, but).map(Choice::at).or_else(|| self.in_time(ask, but, ends_ms))
    }

    /// The best of some that have the image, unless the first choice has it or all of them rank too far behind it.
    fn with_image(&self, ask: &Ask, avoid: Option<u32>, image: u16, first: u32) -> Option<u32> {
        let slack = score::of(self.policy).image_slack()?;
        if image == 0 || self.images.has(self.worker(first), image) {
            return None;
        }
        let first_key = self.key(first)?;
        let worst = key(rank_of(first_key).saturating_add(slack), u32::MAX);
        let holders = self.images.holders(image, self.worker(first)).take(HOLDERS_LOOKED_AT);
        let seats = holders.filter_map(|worker| self.seat_of(worker)).filter(|seat| {
            Some(*seat) != avoid && self.offers[*seat as usize].admits(&ask.offer) && self.meets(ask, *seat)
        });
        let keys = seats.filter_map(|seat| self.key(seat));
        keys.min().filter(|key| *key <= worst).map(seat_of_key)
    }

    /// The same for one that may not go to the workers `never` at all.
    pub(crate) fn choose_apart(&mut self, ask: &Ask, avoid: u32, never: &[u32], ends_ms: Option<u64>) -> Choice {
        if self.is_hopeless(ask) {
            return Choice::FitsNowhere;
        }
        self.order_for(ask);
        let forbidden: Vec<Option<u32>> = never.iter().map(|worker| self.seat_of(WorkerId(*worker))).collect();
        let mut also_avoided = forbidden.clone();
        also_avoided.push(self.seat_of(WorkerId(avoid)));
        let found = self.anywhere(ask, &also_avoided, ends_ms).or_else(|| self.anywhere(ask, &forbidden, ends_ms));
        found.unwrap_or_else(|| {
            if self.search(ask, &[]).is_some() {
                Choice::KeptAway
            } else if self.fits_where_held(ask) {
                Choice::HeldBack
            } else {
                Choice::FitsNowhere
            }
        })
    }

    fn meets(&self, ask: &Ask, seat: u32) -> bool {
        ask.require.is_none_or(|set| self.requirements.met_by(set, seat))
            && ask.offer.marks & UNTAINTED & !self.offers[seat as usize].marks == 0
    }

    /// Schedulable, and with the labels that it asks for; room apart.
    pub(crate) fn could(&self, ask: &Ask, seat: u32) -> bool {
        self.seats[seat as usize].is_in && self.meets(ask, seat)
    }

    pub(crate) fn seats_that_could(&self, ask: &Ask) -> impl Iterator<Item = u32> {
        (0..self.seats.len() as u32).filter(move |seat| self.could(ask, *seat))
    }

    pub(crate) fn capacity(&self, seat: u32) -> Room {
        reserve::capacity_of(&self.seats[seat as usize].capacity)
    }

    pub(crate) fn schedulable(&self) -> usize {
        self.seats.iter().filter(|seat| seat.is_in).count()
    }

    pub(crate) fn seat_of(&self, worker: WorkerId) -> Option<u32> {
        self.ids.binary_search(&worker).ok().map(|seat| seat as u32)
    }

    /// How many tasks can be put there before another choice is due: at least one, at most `most`.
    pub(crate) fn run(&self, place: Place, ask: &Ask, most: u32) -> u32 {
        if most == 1 || place.in_time || !score::of(self.policy).keeps_choice() {
            return 1;
        }
        let room = &self.offers[place.seat as usize].room;
        let fitting = room.iter().zip(&ask.offer.room).filter(|(_, need)| **need > 0).map(|(room, need)| room / need);
        fitting.min().unwrap_or(1).clamp(1, u64::from(most)) as u32
    }

    /// Takes room for `times` tasks, which fit.
    pub(crate) fn take(&mut self, place: Place, ask: &Ask, times: u32) {
        let Place { seat, in_time } = place;
        let take = |room: &mut Room| {
            for (room, need) in room.iter_mut().zip(&ask.offer.room) {
                *room = room.saturating_sub(need.saturating_mul(u64::from(times)));
            }
        };
        let offered = &mut self.offers[seat as usize].room;
        if let Some(trial) = &mut self.trial {
            let held = self.holds.iter().find(|held| held.seat == seat);
            trial.before.push((seat, *offered, held.map(|held| held.free)));
        }
        if !in_time {
            take(offered);
        }
        if let Some(held) = self.holds.iter_mut().find(|held| held.seat == seat) {
            take(&mut held.free);
            *offered = lesser(offered, &held.free);
        }
        if self.policy == ScorePolicy::RoundRobin {
            self.turn = seat + 1;
        }
        self.place_in_order(seat);
    }

    pub(crate) fn worker(&self, seat: u32) -> WorkerId {
        self.ids[seat as usize]
    }

    pub(crate) fn seats(&self) -> usize {
        self.ids.len()
    }

    /// Comparing all labels of 10,000 workers costs more than the rest of a pass, and they hardly ever change.
    fn looks_at_labels(&self, seat: usize, workers: usize) -> bool {
        let windows = workers.div_ceil(LABELS_LOOKED_AT).max(1);
        self.labels_changed || seat / LABELS_LOOKED_AT == self.passes % windows
    }

    fn is_hopeless(&self, ask: &Ask) -> bool {
        self.hopeless.iter().any(|known| ask.is_as_large_as(known))
    }

    /// The first in order that fits and is none of `but`.
    fn search(&mut self, ask: &Ask, but: &[Option<u32>]) -> Option<u32> {
        let (requirements, offers) = (&self.requirements, &self.offers);
        let also = |seat| !but.contains(&Some(seat)) && ask.require.is_none_or(|set| requirements.met_by(set, seat));
        if self.policy == ScorePolicy::RoundRobin && self.turn > 0 {
            let from_turn = self.orders.now.index.first_fit(key(0, self.turn), &ask.offer, offers, also);
            if from_turn.is_some() {
                return from_turn;
            }
        }
        self.orders.now.index.first_fit(0, &ask.offer, offers, also)
    }

    /// Round robin: its turn is after those of the seats from the turn on.
    fn is_before_turn(&self, seat: u32) -> bool {
        self.policy == ScorePolicy::RoundRobin && seat < self.turn
    }

    /// Takes over a worker that changed. True when a task that fitted nowhere might fit now.
    fn reseat(&mut self, seat: u32, worker: &Worker, room: Room) -> bool {
        let at = seat as usize;
        let was_in = self.seats[at].is_in;
        let mut gained = !was_in || room.iter().zip(&self.offers[at].room).any(|(now, before)| now > before);
        // One that has no label meets some expressions as well.
        let is_new = self.seats[at].session == 0 && !was_in;
        if is_new || self.seats[at].labels != worker.labels || self.seats[at].taints != worker.taints {
            self.offers[at].marks = self.requirements.relabel(seat, &self.seats[at].labels, worker);
            self.seats[at].labels.clone_from(&worker.labels);
            self.seats[at].taints.clone_from(&worker.taints);
            self.classes.clear();
            gained = true;
        }
        if was_in != worker.is_schedulable() {
            self.classes.clear();
        }
        self.offers[at].room = room;
        self.seats[at].capacity = worker.capacity;
        self.seats[at].session = worker.session;
        self.seats[at].price = worker.price;
        self.seats[at].is_in = worker.is_schedulable();
        self.place_in_order(seat);
        gained && worker.is_schedulable()
    }

    /// Its place in the order at hand; `None`: it is not schedulable.
    fn key(&self, seat: u32) -> Option<u64> {
        self.orders.now.key(seat)
    }

    /// True when a task that asks for this has its order without more looks than this pass has left.
    pub(crate) fn may_order(&self, ask: &Ask) -> bool {
        self.order_looks > 0 || self.orders.has(self.policy, &self.wish(ask))
    }

    fn wish(&self, ask: &Ask) -> Wish {
        let [cpu, memory, storage, gpus, _] = ask.offer.room;
        score::of(self.policy).wish(&[cpu, memory, storage, gpus], &self.measure)
    }

    /// The workers in the order in which such a task would take them.
    fn order_for(&mut self, ask: &Ask) {
        match self.orders.turn_to(self.policy, self.wish(ask)) {
            Missed::Seats(seats) => seats.into_iter().for_each(|seat| self.put(seat)),
            Missed::All => self.rekey(),
        }
    }

    /// Puts the seat where its offer belongs now.
    fn place_in_order(&mut self, seat: u32) {
        self.orders.note(seat, self.seats.len());
        if !self.orders.now.is_stale() {
            self.put(seat);
        }
    }

    fn put(&mut self, seat: u32) {
        let now = self.key_of(seat);
        self.orders.now.put(seat, now, &self.offers);
    }

    fn key_of(&self, seat: u32) -> Option<u64> {
        let Seat { capacity, price, .. } = self.seats.get(seat as usize).filter(|seat| seat.is_in)?;
        let [cpu, memory, storage, gpus, attempts] = self.free(seat);
        let load = Load {
            capacity: capacity.dimensions(),
            free: [cpu, memory, storage, gpus],
            attempts: limits::WORKER_ATTEMPTS_MAX as u64 - attempts,
            price: *price,
        };
        let order = &self.orders.now;
        Some(key(score::of(order.policy()).rank(&load, order.wish(), &self.measure), seat))
    }

    /// Makes the order at hand anew.
    fn rekey(&mut self) {
        let keys: Vec<Option<u64>> = (0..self.seats.len() as u32).map(|seat| self.key_of(seat)).collect();
        self.order_looks = self.order_looks.saturating_sub(keys.len());
        self.orders.now.build(keys.into_iter(), &self.offers);
    }

    fn require(&mut self, needs: Needs) -> RequireId {
        if let Some(id) = self.requirements.known(&needs) {
            return id;
        }
        let of = |seat: u32| (&self.seats[seat as usize].labels, &self.seats[seat as usize].taints);
        let (id, meets) = self.requirements.add_set(needs, self.seats.len() as u32, of);
        for seat in meets {
            self.offers[seat as usize].marks |= id.mark();
            self.place_in_order(seat);
        }
        id
    }

    /// Shapes of ended jobs pile up; the live ones are looked up again as they are met.
    fn forget_shapes(&mut self) {
        self.shapes.clear();
        self.floor = Floor::default();
        self.classes.clear();
        self.hopeless.clear();
        self.requirements.forget_sets();
        for offer in &mut self.offers {
            offer.marks &= UNTAINTED;
        }
        self.orders.forget(|_| true);
    }
}

/// What a worker has free in the view.
pub(crate) fn room_of(worker: &Worker) -> Room {
    let [cpu, memory, storage, gpus] = worker.free().dimensions();
    [cpu, memory, storage, gpus, limits::WORKER_ATTEMPTS_MAX.saturating_sub(worker.active.len()) as u64]
}
