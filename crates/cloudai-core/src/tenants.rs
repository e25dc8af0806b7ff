//! Namespaces as tenants: what each may have, what its tasks hold now, and what they have held. Comes in: attempts that take resources and
//! give them back, at replicated times, and what operators set. Goes out: reads for the scheduler, which shares the cluster by them, and
//! for `apply`, which keeps quotas. What a fair share is, is not known here.
//!
//! The memory of use is an average that fades: of what was held so long ago it keeps a half each [`limits::USAGE_HALF_LIFE`]. It moves only
//! when something is taken or given back, costs the same however many tasks run, and is made of whole numbers: every master has the same.

use std::collections::BTreeMap;

use cloudai_types::{NamespaceId, Quota, Resources, limits};

use crate::rows::NamespaceRow;

/// Written by `apply` and `load` only.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    by_id: BTreeMap<NamespaceId, Tenant>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tenant {
    pub name: String,
    pub quota: Quota,
    /// What its attempts hold, those apart that only store their results.
    pub used: Resources,
    /// How many attempts that is.
    pub holding: u32,
    average: Average,
}

/// What was held on average, a while ago counting less.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Average {
    /// In [`AVERAGE_PARTS`] of a unit, by dimension.
    held: [u64; 4],
    /// Replicated time at which that was so; 0: nothing was held yet.
    at_ms: u64,
}

/// One GPU fades as well: units are cut into so many.
pub const AVERAGE_PARTS: u64 = 1 << 12;

impl Tenants {
    pub fn get(&self, id: NamespaceId) -> Option<&Tenant> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NamespaceId) -> Option<&mut Tenant> {
        self.by_id.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (NamespaceId, &Tenant)> {
        self.by_id.iter().map(|(id, tenant)| (*id, tenant))
    }

    pub(crate) fn insert(&mut self, id: NamespaceId, tenant: Tenant) {
        self.by_id.insert(id, tenant);
    }
}

impl Tenant {
    pub(crate) fn named(name: String) -> Self {
        Tenant { name, ..Tenant::default() }
    }

    /// Nothing is held yet: attempts tell.
    pub(crate) fn load(row: NamespaceRow) -> Result<Self, String> {
        let held = match row.average_held.as_slice() {
            [] => [0; 4],
            held => held.try_into().map_err(|_| format!("its average has {} numbers", held.len()))?,
        };
        let average = Average { held, at_ms: row.average_at_ms };
        Ok(Tenant { name: row.name, quota: row.quota.unwrap_or_default(), average, ..Tenant::default() })
    }

    pub(crate) fn row(&self) -> NamespaceRow {
        let quota = (self.quota != Quota::default()).then_some(self.quota);
        let average_held = if self.average == Average::default() { vec![] } else { self.average.held.to_vec() };
        NamespaceRow { name: self.name.clone(), quota, average_held, average_at_ms: self.average.at_ms }
    }

    /// An attempt begins to hold something. `now_ms`: replicated time; `None`: in this format nobody remembers.
    pub(crate) fn take(&mut self, needs: &Resources, now_ms: Option<u64>) {
        self.settle(now_ms);
        self.used = self.used.plus(needs);
        self.holding = self.holding.saturating_add(1);
    }

    /// It holds nothing any more.
    pub(crate) fn give_back(&mut self, had: &Resources, now_ms: Option<u64>) {
        self.settle(now_ms);
        self.used = self.used.minus(had);
        self.holding = self.holding.saturating_sub(1);
    }

    fn settle(&mut self, now_ms: Option<u64>) {
        if let Some(now_ms) = now_ms {
            self.average = Average { held: self.average_held(now_ms), at_ms: now_ms.max(self.average.at_ms).max(1) };
        }
    }

    /// What it has held on average, by dimension, in [`AVERAGE_PARTS`] of a unit.
    pub fn average_held(&self, now_ms: u64) -> [u64; 4] {
        if self.average.at_ms == 0 {
            return [0; 4];
        }
        let kept = kept_after(now_ms.saturating_sub(self.average.at_ms));
        let used = self.used.dimensions();
        std::array::from_fn(|d| {
            let (before, now) = (u128::from(self.average.held[d]), u128::from(used[d]) * u128::from(AVERAGE_PARTS));
            let mixed = before * u128::from(kept) + now * u128::from(ONE - kept);
            u64::try_from(mixed >> 32).unwrap_or(u64::MAX)
        })
    }
}

/// The whole, for parts of it.
const ONE: u64 = 1 << 32;

/// What is left of 1 after a half-life's half, quarter, eighth, and so on: 2^(-1/2), 2^(-1/4), … in parts of [`ONE`].
const ROOTS: [u64; 20] = {
    let mut roots = [0; 20];
    // Of one half, the root; of that, the root; …
    let mut last = ONE / 2;
    let mut n = 0;
    while n < roots.len() {
        last = (last << 32).isqrt();
        roots[n] = last;
        n += 1;
    }
    roots
};

/// 2^(-elapsed / half-life), in parts of [`ONE`]: a product over the binary digits of the exponent, the same on every machine.
fn kept_after(elapsed_ms: u64) -> u64 {
    let half_life_ms = limits::USAGE_HALF_LIFE.0;
    let halvings = elapsed_ms / half_life_ms;
    if halvings >= 32 {
        return 0;
    }
    let mut kept = ONE >> halvings;
    let mut rest = elapsed_ms % half_life_ms;
    for root in ROOTS {
        rest *= 2;
        if rest >= half_life_ms {
            rest -= half_life_ms;
            kept = ((u128::from(kept) * u128::from(root)) >> 32) as u64;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_LIFE: u64 = limits::USAGE_HALF_LIFE.0;

    fn gpus(gpus: u32) -> Resources {
        Resources { gpus, ..Resources::default() }
    }

    fn average(tenant: &Tenant, now_ms: u64) -> f64 {
        tenant.average_held(now_ms)[3] as f64 / AVERAGE_PARTS as f64
    }

    #[test]
    fn fading_is_exponential() {
        for elapsed in [0, 1, 1_000, HALF_LIFE / 3, HALF_LIFE / 2, HALF_LIFE, 5 * HALF_LIFE / 2, 9 * HALF_LIFE] {
            let exact = (-(elapsed as f64) / HALF_LIFE as f64).exp2();
            let ours = kept_after(elapsed) as f64 / ONE as f64;
            // The exponent has 20 binary digits.
            assert!((ours - exact).abs() < 2e-6, "after {elapsed} ms: {ours}, not {exact}");
        }
        assert_eq!((kept_after(32 * HALF_LIFE), kept_after(u64::MAX)), (0, 0));
    }

    #[test]
    fn the_average_follows_what_is_held() {
        let mut t = Tenant::named("a".into());
        t.take(&gpus(8), Some(1_000));
        assert_eq!(average(&t, 1_000), 0.0, "it begins to hold it now");
        assert!((average(&t, 1_000 + HALF_LIFE) - 4.0).abs() < 0.01);
        assert!((average(&t, 1_000 + 20 * HALF_LIFE) - 8.0).abs() < 0.01);
        t.give_back(&gpus(8), Some(1_000 + 2 * HALF_LIFE));
        assert_eq!((t.holding, t.used), (0, Resources::default()));
        assert!((average(&t, 1_000 + 2 * HALF_LIFE) - 6.0).abs() < 0.01);
        assert!((average(&t, 1_000 + 4 * HALF_LIFE) - 1.5).abs() < 0.01);
    }

    #[test]
    fn time_that_stands_still_or_goes_back_changes_nothing() {
        let mut t = Tenant::named("a".into());
        t.take(&gpus(4), Some(5_000));
        t.take(&gpus(4), Some(5_000 + HALF_LIFE));
        let before = t.average;
        t.take(&gpus(4), Some(4_000));
        assert_eq!((t.average, t.used), (before, gpus(12)));
    }

    #[test]
    fn an_older_format_remembers_nothing_and_its_row_says_nothing() {
        let mut t = Tenant::named("a".into());
        t.take(&gpus(4), None);
        assert_eq!(t.row(), NamespaceRow { name: "a".into(), ..NamespaceRow::default() });
        t.give_back(&gpus(1), Some(9_000));
        assert_eq!(average(&t, 9_000), 0.0, "not as if it had held them since the epoch");
        let row = t.row();
        let loaded = Tenant::load(row).expect("its own row");
        assert_eq!(loaded, Tenant { used: Resources::default(), holding: 0, ..t });
    }
}
