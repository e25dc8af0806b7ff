//! Whose turn it is: the share of the cluster that each namespace has, by its weight. Comes in: what a namespace's tasks hold and have held,
//! its weight, what there is in all. Goes out: a number to compare with the others', lowest first, and how many tasks of a kind it may be
//! given until another one's turn comes. Priorities and queues are not known here: they order a namespace's own tasks.
//!
//! The share is the dominant one: of the dimension in which the namespace has the largest part. What was held on average counts as much as
//! what is held now, so that who has used little lately may have up to twice its part for a while, and two that have waited alike get
//! what their weights say.
//!
//! Source: Ghodsi et al., "Dominant Resource Fairness: Fair Allocation of Multiple Resource Types", NSDI'11 (weights: section 4.3). Use that
//! fades by half in a fixed time: as in Slurm's priority/multifactor plugin.

use cloudai_core::Hot;
use cloudai_core::tenants::{AVERAGE_PARTS, Tenant};
use cloudai_types::{Resources, limits};

use crate::index::{DIMENSIONS, Room};

/// A share of the whole by weight, in 2^-[`SHARE_BITS`]; smaller goes first.
pub type Share = u64;

const SHARE_BITS: u32 = 40;

/// What all workers that take tasks have, in the dimensions of [`Room`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Whole(Room);

/// One namespace's side of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Account {
    weight: u64,
    /// Now and on average, in [`AVERAGE_PARTS`] of a unit.
    held: [u128; DIMENSIONS],
}

impl Whole {
    pub fn of(view: &Hot) -> Self {
        let mut whole: Room = [0; DIMENSIONS];
        for worker in view.workers.values().filter(|worker| worker.is_schedulable()) {
            let [cpu, memory, storage, gpus] = worker.capacity.dimensions();
            let here = [cpu, memory, storage, gpus, limits::WORKER_ATTEMPTS_MAX as u64];
            whole.iter_mut().zip(here).for_each(|(sum, n)| *sum = sum.saturating_add(n));
        }
        Whole(whole)
    }
}

impl Whole {
    /// Of the dimension of which most is held: 0 to 1, for people.
    pub fn part(&self, used: &Resources) -> f64 {
        let parts = used.dimensions().into_iter().zip(self.0).filter(|(_, whole)| *whole > 0);
        parts.map(|(used, whole)| used as f64 / whole as f64).fold(0.0, f64::max)
    }
}

impl Account {
    pub fn of(tenant: &Tenant, now_ms: u64) -> Self {
        let [cpu, memory, storage, gpus] = tenant.used.dimensions();
        let now = [cpu, memory, storage, gpus, u64::from(tenant.holding)];
        let [cpu, memory, storage, gpus] = tenant.average_held(now_ms);
        // Attempts are counted and not remembered: they decide only where tasks ask for nothing.
        let average = [cpu, memory, storage, gpus, u64::from(tenant.holding) * AVERAGE_PARTS];
        let parts = |n: u64| u128::from(n) * u128::from(AVERAGE_PARTS);
        Account {
            weight: tenant.quota.weight(),
            held: std::array::from_fn(|d| parts(now[d]).saturating_add(average[d].into())),
        }
    }

    /// It holds so many more that each ask for this.
    pub fn charge(&mut self, each: &Room, times: u32) {
        for (held, asked) in self.held.iter_mut().zip(each) {
            let more = u128::from(*asked) * u128::from(AVERAGE_PARTS) * u128::from(times);
            *held = held.saturating_add(more);
        }
    }

    /// The share of the dimension in which it has most. Of what the cluster does not have, nobody has a share.
    pub fn share(&self, whole: &Whole) -> Share {
        let shares = self.held.iter().zip(whole.0).filter(|(_, whole)| *whole > 0);
        let shares =
            shares.map(|(held, whole)| held.checked_shl(SHARE_BITS).map_or(u128::MAX, |h| h / self.parts(whole)));
        shares.max().map_or(0, |share| Share::try_from(share).unwrap_or(Share::MAX))
    }

    /// How many tasks that each ask for this until its share is above `other`: at least one.
    pub fn tasks_until_above(&self, other: Share, each: &Room, whole: &Whole) -> u32 {
        let mut tasks = u128::from(u32::MAX);
        for d in (0..DIMENSIONS).filter(|d| each[*d] > 0 && whole.0[*d] > 0) {
            let level = (u128::from(other) * self.parts(whole.0[d])) >> SHARE_BITS;
            let step = u128::from(each[d]) * u128::from(AVERAGE_PARTS);
            tasks = tasks.min(level.saturating_sub(self.held[d]) / step + 1);
        }
        u32::try_from(tasks).unwrap_or(u32::MAX)
    }

    fn parts(&self, whole: u64) -> u128 {
        u128::from(whole) * u128::from(AVERAGE_PARTS) * u128::from(self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WHOLE: Whole = Whole([9_000, 18, 0, 0, 1_000]);

    fn account(weight: u64) -> Account {
        Account { weight, held: [0; DIMENSIONS] }
    }

    /// Gives the lowest its next task until nothing of the whole is left; what each has then.
    fn fill(whole: Whole, asks: &[(u64, Room)]) -> Vec<u32> {
        let mut left = whole.0;
        let mut accounts: Vec<Account> = asks.iter().map(|(weight, _)| account(*weight)).collect();
        let mut tasks = vec![0; asks.len()];
        loop {
            let order = |n: &usize| (accounts[*n].share(&whole), *n);
            let fits = |n: &usize| asks[*n].1.iter().zip(left).all(|(ask, left)| *ask <= left);
            let Some(n) = (0..asks.len()).filter(fits).min_by_key(order) else { return tasks };
            left.iter_mut().zip(asks[n].1).for_each(|(left, ask)| *left -= ask);
            accounts[n].charge(&asks[n].1, 1);
            tasks[n] += 1;
        }
    }

    #[test]
    fn the_example_of_the_paper() {
        // 9 CPUs, 18 GB; A's tasks ask for 1 CPU and 4 GB, B's for 3 CPUs and 1 GB: three and two tasks, two thirds each.
        assert_eq!(fill(WHOLE, &[(1, [1_000, 4, 0, 0, 1]), (1, [3_000, 1, 0, 0, 1])]), [3, 2]);
    }

    #[test]
    fn weights_are_parts() {
        let each = [10, 0, 0, 0, 1];
        assert_eq!(fill(Whole([6_000, 0, 0, 0, 1_000]), &[(3, each), (2, each), (1, each)]), [300, 200, 100]);
    }

    #[test]
    fn tasks_that_ask_for_nothing_are_counted() {
        let nothing = [0, 0, 0, 0, 1];
        assert_eq!(fill(WHOLE, &[(3, nothing), (1, nothing)]), [750, 250]);
    }

    #[test]
    fn what_the_cluster_does_not_have_is_nobodys_share() {
        let mut a = account(1);
        a.charge(&[0, 0, 5, 5, 0], 3);
        assert_eq!((a.share(&WHOLE), a.share(&Whole::default())), (0, 0));
    }

    proptest! {
        /// Many at a time is what one at a time would be.
        #[test]
        fn so_many_and_no_fewer_lift_it_above_the_other(
            each in prop::array::uniform5(0u64..50), before in 0u32..100, other in 0u64..(1 << 41), weight in 1u64..9,
        ) {
            let mut a = account(weight);
            a.charge(&[7, 1, 1, 1, 1], before);
            let n = a.tasks_until_above(other, &each, &WHOLE);
            prop_assert!(n >= 1);
            let share_after = |n: u32| {
                let mut a = a;
                a.charge(&each, n);
                a.share(&WHOLE)
            };
            if n < 1 << 20 && share_after(1) > share_after(0) {
                // Whole numbers are cut off on both sides: one part of 2^40 does not matter.
                prop_assert!(share_after(n) + 1 > other, "{n} leave it at {}, below {other}", share_after(n));
                prop_assert!(n == 1 || share_after(n - 1) <= other, "{} would have been enough", n - 1);
            }
        }
    }
}
