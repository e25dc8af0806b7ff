//! Rules of placement, as a plan has them. Comes in: dice. Goes out: jobs whose tasks stay apart, are spread, or ask for a rack; workers that are tainted
//! for a while. Every worker is in one of two racks ([`rack_of`]); a taint goes in any case, so that nobody waits for ever.

use cloudai_types::{JobSpec, Placement, Preference};

use super::{Act, Deed, Order, Plan, resources};
use crate::dice::Dice;

/// The label that says where a worker stands.
pub const RACK: &str = "rack";
/// The taint that an operator gives.
pub const NIGHT: &str = "night";

/// Of the n-th worker.
pub fn rack_of(worker: usize) -> &'static str {
    if worker.is_multiple_of(2) { "a" } else { "b" }
}

pub fn add(plan: &mut Plan, dice: &mut Dice) {
    let workers = plan.workers.len() as u64;
    let night = || vec![NIGHT.to_owned()];
    let rules = [
        (dice.between(2, workers), Placement { apart: "worker".into(), tolerate: night(), ..Placement::default() }),
        (dice.between(2, 3), Placement { apart: RACK.into(), ..Placement::default() }),
        (dice.between(3, 6), Placement { spread: RACK.into(), max_skew: 1, ..Placement::default() }),
        (
            dice.between(2, 4),
            Placement { spread: "worker".into(), max_skew: 1, tolerate: night(), ..Placement::default() },
        ),
        (dice.between(1, 3), Placement { require: vec![format!("{RACK} in (a,c)")], ..Placement::default() }),
        (
            dice.between(1, 3),
            Placement {
                prefer: vec![Preference { expression: format!("{RACK}=b"), weight: 10 }],
                require: vec![format!("!{NIGHT}")],
                ..Placement::default()
            },
        ),
    ];
    for (count, placement) in rules {
        if !dice.chance(500) {
            continue;
        }
        let spec = JobSpec {
            image: "simulated".into(),
            command: vec!["run".into(), dice.between(100, 1_800).to_string(), "0".into()],
            resources: resources(250),
            count: count as u32,
            max_attempts: 2,
            placement: Some(placement),
            ..JobSpec::default()
        };
        let at_ms = dice.between(0, plan.safety_ms - 6_000);
        let order = Order { at_ms, namespace: String::new(), spec, cancel_after_ms: None, reads: false, twice: false };
        plan.orders.push(order);
    }
    for _ in 0..dice.between(1, 2) {
        let worker = dice.below(workers) as u8;
        let (at_ms, for_ms) = (dice.between(0, plan.safety_ms - 8_000), dice.between(1_000, 6_000));
        plan.acts.push(vec![
            Act { at_ms, what: Deed::Taint { worker } },
            Act { at_ms: at_ms + for_ms, what: Deed::Untaint { worker } },
            // Once more when all faults have ended: a call that was on its way all the time may have come last.
            Act { at_ms: plan.safety_ms + 4_000, what: Deed::Untaint { worker } },
        ]);
    }
}
