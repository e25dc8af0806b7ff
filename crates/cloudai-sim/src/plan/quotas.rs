//! Namespaces with caps, as a plan has them. Comes in: dice. Goes out: one whose tasks are more than it may run, and whose caps change while they do;
//! one that lets urgent tasks stop others. No cap is so low that a task could never start: the end has to come.

use cloudai_types::{JobSpec, QueueOrder, QuotaChange, quota};

use super::{Act, Deed, Order, Plan, resources};
use crate::dice::Dice;

const CAPPED: &str = "capped";
const URGENT: &str = "urgent";

/// One task's milli-CPUs in the capped namespace.
const TASK_CPU: u64 = 250;

pub fn add(plan: &mut Plan, dice: &mut Dice) {
    if dice.chance(600) {
        capped(plan, dice);
    }
    if dice.chance(600) {
        urgent(plan, dice);
    }
}

fn order(namespace: &str, at_ms: u64, spec: JobSpec) -> Order {
    let namespace = namespace.to_owned();
    Order { at_ms, namespace, spec, cancel_after_ms: None, reads: false, twice: false }
}

fn job(count: u64, runs_ms: u64, cpu_milli: u64, priority: i32) -> JobSpec {
    JobSpec {
        image: "simulated".into(),
        command: vec!["run".into(), runs_ms.to_string(), "0".into()],
        resources: resources(cpu_milli),
        count: count as u32,
        max_attempts: 2,
        priority,
        ..JobSpec::default()
    }
}

fn set(namespace: &str, change: QuotaChange) -> Deed {
    Deed::Quota { namespace: namespace.into(), change }
}

fn capped(plan: &mut Plan, dice: &mut Dice) {
    // Beside what everybody else has to do: the end must come soon, also with two at a time.
    for n in 0..3 {
        let spec = job(dice.between(3, 5), dice.between(200, 1_500), TASK_CPU, dice.below(3) as i32 - 1);
        plan.orders.push(order(CAPPED, dice.between(500, 4_000) + 3_000 * n, spec));
    }
    let first = QuotaChange { tasks_max: Some(dice.between(2, 3)), ..QuotaChange::default() };
    let mut acts = vec![Act { at_ms: 0, what: set(CAPPED, first) }];
    let mut at_ms = 2_000;
    for _ in 0..dice.between(2, 4) {
        at_ms += dice.between(1_500, 5_000);
        let change = match dice.below(5) {
            0 => QuotaChange { tasks_max: Some(dice.between(2, 6)), ..QuotaChange::default() },
            1 => QuotaChange { tasks_max: Some(quota::NO_CAP), ..QuotaChange::default() },
            2 => QuotaChange { cpu_milli_max: Some(TASK_CPU * dice.between(2, 4)), ..QuotaChange::default() },
            3 => QuotaChange {
                order: Some(*dice.pick(&QueueOrder::ALL).unwrap_or(&QueueOrder::Fifo) as i32),
                ..QuotaChange::default()
            },
            _ => QuotaChange { wait_max_ms: Some(dice.between(500, 5_000)), ..QuotaChange::default() },
        };
        acts.push(Act { at_ms, what: set(CAPPED, change) });
    }
    plan.acts.push(acts);
}

/// What may be stopped fills every worker, and then something urgent comes.
fn urgent(plan: &mut Plan, dice: &mut Dice) {
    let allows = QuotaChange { preempt: Some(true), ..QuotaChange::default() };
    plan.acts.push(vec![Act { at_ms: 0, what: set(URGENT, allows) }]);
    let room: u64 = plan.workers.iter().map(|has| has.cpu_milli / 1_000).sum();
    let begin_ms = dice.between(1_000, 6_000);
    let sweep = JobSpec { preemptible: true, max_attempts: 1, ..job(room + 1, dice.between(3_000, 5_000), 1_000, -1) };
    plan.orders.push(order(URGENT, begin_ms, sweep));
    for n in 0..2 {
        let at_ms = begin_ms + dice.between(800, 2_500) + 1_500 * n;
        plan.orders.push(order(URGENT, at_ms, job(dice.between(1, 2), dice.between(100, 800), 1_000, 1)));
    }
}
