//! The orders of the workers that are in use, each of one policy and one wish. Comes in: which one is asked for, and which seats changed. Goes out: that
//! order, and the seats that it has missed. Ranks are not made here.
//!
//! One order is at hand and follows each change at once. The others only know how far they have followed, and catch up when they are asked for:
//! a cluster with one policy that looks at workers alone has one order, and keeps no record of changes.

use cloudai_types::{ScorePolicy, limits};

use crate::index::{Index, Offer};
use crate::score::Wish;

/// The key of a seat that is in no order. No seat has this number.
const OUT: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(super) struct Order {
    policy: ScorePolicy,
    wish: Wish,
    pub index: Index,
    /// By seat.
    keys: Vec<u64>,
    /// It is to be made anew before anybody looks at it.
    is_stale: bool,
    /// Changes that it has followed, of all that there ever were.
    followed: u64,
    /// The last time that it was at hand, in switches.
    used: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub now: Order,
    others: Vec<Order>,
    /// Seats that changed, in the order of the changes; the first are forgotten.
    changed: Vec<u32>,
    forgotten: u64,
    switches: u64,
    /// So many of them were there when idle orders were dropped.
    looked_through: u64,
}

/// What is to be done to the order at hand.
pub(super) enum Missed {
    Seats(Vec<u32>),
    /// It is to be made anew.
    All,
}

impl Order {
    fn new(policy: ScorePolicy, wish: Wish) -> Self {
        Order { policy, wish, index: Index::default(), keys: vec![], is_stale: true, followed: 0, used: 0 }
    }

    pub fn policy(&self) -> ScorePolicy {
        self.policy
    }

    pub fn wish(&self) -> &Wish {
        &self.wish
    }

    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    pub fn key(&self, seat: u32) -> Option<u64> {
        self.keys.get(seat as usize).copied().filter(|key| *key != OUT)
    }

    /// By seat; `None`: it is in no order.
    pub fn build(&mut self, keys: impl Iterator<Item = Option<u64>>, offers: &[Offer]) {
        self.keys = keys.map(|key| key.unwrap_or(OUT)).collect();
        self.index = Index::build(self.keys.iter().copied().filter(|key| *key != OUT).collect(), offers);
        self.is_stale = false;
    }

    /// Puts the seat where its offer belongs now.
    pub fn put(&mut self, seat: u32, now: Option<u64>, offers: &[Offer]) {
        let at = seat as usize;
        if at >= self.keys.len() {
            self.keys.resize(offers.len(), OUT);
        }
        let old = std::mem::replace(&mut self.keys[at], now.unwrap_or(OUT));
        match (Some(old).filter(|old| *old != OUT), now) {
            (Some(old), Some(now)) if old == now => self.index.touch(now, &offers[at]),
            (old, now) => {
                if let Some(old) = old {
                    self.index.remove(old, offers);
                }
                if let Some(now) = now {
                    self.index.insert(now, offers);
                }
            }
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        let now = Order::new(ScorePolicy::default(), Wish::default());
        Orders { now, others: vec![], changed: vec![], forgotten: 0, switches: 0, looked_through: 0 }
    }
}

impl Orders {
    pub fn has(&self, policy: ScorePolicy, wish: &Wish) -> bool {
        let is_it = |order: &Order| order.policy == policy && order.wish == *wish && !order.is_stale;
        is_it(&self.now) || self.others.iter().any(is_it)
    }

    /// Takes this order to hand.
    pub fn turn_to(&mut self, policy: ScorePolicy, wish: Wish) -> Missed {
        if (self.now.policy, self.now.wish) == (policy, wish) {
            return if self.now.is_stale { Missed::All } else { Missed::Seats(vec![]) };
        }
        let known = self.others.iter().position(|order| (order.policy, order.wish) == (policy, wish));
        let next = known.map_or_else(|| Order::new(policy, wish), |at| self.others.swap_remove(at));
        let mut last = std::mem::replace(&mut self.now, next);
        self.switches += 1;
        (last.followed, last.used) = (self.forgotten + self.changed.len() as u64, self.switches);
        if !last.is_stale {
            self.others.push(last);
        }
        if self.others.len() >= limits::WORKER_ORDERS_MAX
            && let Some(oldest) = (0..self.others.len()).min_by_key(|at| self.others[*at].used)
        {
            self.others.swap_remove(oldest);
        }
        let Some(from) = self.now.followed.checked_sub(self.forgotten).filter(|_| !self.now.is_stale) else {
            return Missed::All;
        };
        let mut seats = self.changed.split_at(from as usize).1.to_vec();
        seats.sort_unstable();
        seats.dedup();
        // One by one is dearer than all at once.
        if seats.len() > self.now.keys.len() / 2 { Missed::All } else { Missed::Seats(seats) }
    }

    /// The seat's offer changed, or whether it is in. The order at hand is the caller's to change.
    pub fn note(&mut self, seat: u32, seats: usize) {
        if self.others.is_empty() {
            return;
        }
        self.changed.push(seat);
        if self.changed.len() > 2 * seats + 1_024 {
            let half = self.changed.len() / 2;
            self.changed.drain(..half);
            self.forgotten += half as u64;
        }
    }

    /// What these were made from has changed.
    pub fn forget(&mut self, is_concerned: impl Fn(ScorePolicy) -> bool) {
        self.others.retain(|order| !is_concerned(order.policy));
        self.now.is_stale |= is_concerned(self.now.policy);
    }

    /// Those that were not at hand since the last call.
    pub fn forget_idle(&mut self) {
        self.others.retain(|order| order.used > self.looked_through);
        self.looked_through = self.switches;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ScorePolicy::{Alignment, Balanced, Greedy};

    const SEATS: usize = 10;

    /// What it misses; a new order is made at once.
    fn turn_to(orders: &mut Orders, policy: ScorePolicy, wish: Wish) -> Option<Vec<u32>> {
        match orders.turn_to(policy, wish) {
            Missed::Seats(seats) => Some(seats),
            Missed::All => {
                let offers = [Offer::default(); SEATS];
                orders.now.build((0..SEATS as u64).map(Some), &offers);
                None
            }
        }
    }

    #[test]
    fn an_order_that_was_left_catches_up() {
        let mut orders = Orders::default();
        assert_eq!(turn_to(&mut orders, Balanced, [0; 4]), None, "it was never made");
        orders.note(1, SEATS);
        assert_eq!(turn_to(&mut orders, Balanced, [0; 4]), Some(vec![]), "what is at hand misses nothing");
        assert_eq!(turn_to(&mut orders, Alignment, [16, 1, 0, 0]), None);
        [3, 2, 3].into_iter().for_each(|seat| orders.note(seat, SEATS));
        assert_eq!(turn_to(&mut orders, Balanced, [0; 4]), Some(vec![2, 3]));
        orders.note(4, SEATS);
        assert_eq!(turn_to(&mut orders, Alignment, [16, 1, 0, 0]), Some(vec![4]), "it was there for the others");
        (0..6).for_each(|seat| orders.note(seat, SEATS));
        assert_eq!(turn_to(&mut orders, Balanced, [0; 4]), None, "too many: all at once");
        (0..5_000).for_each(|n| orders.note(n % 3, SEATS));
        assert_eq!(turn_to(&mut orders, Alignment, [16, 1, 0, 0]), None, "what it missed is forgotten");
    }

    #[test]
    fn what_an_order_was_made_from_may_change() {
        let mut orders = Orders::default();
        turn_to(&mut orders, Greedy, [0; 4]);
        turn_to(&mut orders, Balanced, [0; 4]);
        orders.forget(|policy| policy == Greedy);
        assert!(orders.has(Balanced, &[0; 4]) && !orders.has(Greedy, &[0; 4]));
        assert_eq!(turn_to(&mut orders, Greedy, [0; 4]), None);
        orders.forget(|policy| policy == Greedy);
        assert!(!orders.has(Greedy, &[0; 4]), "also what is at hand");
        assert_eq!((turn_to(&mut orders, Balanced, [0; 4]), orders.others.len()), (Some(vec![]), 0));
    }

    #[test]
    fn only_what_is_in_use_is_kept() {
        let mut orders = Orders::default();
        for n in 0..2 * limits::WORKER_ORDERS_MAX as u64 {
            turn_to(&mut orders, Alignment, [16, n, 0, 0]);
            turn_to(&mut orders, Balanced, [0; 4]);
        }
        assert_eq!(orders.others.len(), limits::WORKER_ORDERS_MAX - 1);
        let newest = 2 * limits::WORKER_ORDERS_MAX as u64 - 1;
        assert!(orders.has(Alignment, &[16, newest, 0, 0]) && !orders.has(Alignment, &[16, 0, 0, 0]));
        orders.forget_idle();
        turn_to(&mut orders, Greedy, [0; 4]);
        orders.forget_idle();
        assert!(orders.has(Balanced, &[0; 4]), "it was at hand until a moment ago");
        assert_eq!(orders.others.len(), 1);
        orders.forget_idle();
        assert!(orders.others.is_empty(), "one policy, one order");
    }
}
