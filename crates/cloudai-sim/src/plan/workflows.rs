//! Jobs that wait for each other, as a plan has them. Comes in: dice. Goes out: a workflow or two of random shape, of which some jobs fail, some only
//! the first time; some are cancelled, most are tried again. Whoever waits for whom is right: that is checked elsewhere.

use cloudai_types::{Condition, Dependency, JobSpec, WorkflowNode, WorkflowSpec};

use super::{Plan, resources};
use crate::dice::Dice;

/// A user's wish of several jobs at once, at its time.
#[derive(Clone, Debug)]
pub struct WorkflowOrder {
    pub at_ms: u64,
    pub spec: WorkflowSpec,
    /// Asked for so long after the submit was acknowledged.
    pub cancel_after_ms: Option<u64>,
    /// Its failures are tried again so long after that, if it is not cancelled.
    pub retry_after_ms: Option<u64>,
    /// Sends the same request a second time, somewhere else, at once.
    pub twice: bool,
}

/// The namespace of all workflows, so that a replay of dead tasks in another one leaves them alone.
pub const NAMESPACE: &str = "flows";

pub fn add(plan: &mut Plan, dice: &mut Dice) {
    for _ in 0..dice.between(1, 2) {
        let spec = draw(dice);
        let is_cancelled = dice.chance(150);
        plan.workflows.push(WorkflowOrder {
            at_ms: dice.between(0, plan.safety_ms - 8_000),
            spec,
            cancel_after_ms: is_cancelled.then(|| dice.between(0, 4_000)),
            retry_after_ms: (!is_cancelled).then(|| dice.between(2_000, 9_000)),
            twice: dice.chance(200),
        });
    }
}

fn draw(dice: &mut Dice) -> WorkflowSpec {
    // All arrays have one size, so that each may wait for another index by index.
    let size = dice.between(2, 3) as u32;
    let mut nodes: Vec<WorkflowNode> = vec![];
    for n in 0..dice.between(3, 6) {
        let mut depends_on = vec![];
        for other in &nodes {
            if !dice.chance(if depends_on.is_empty() { 550 } else { 250 }) {
                continue;
            }
            let on = match dice.below(10) {
                0..=5 => Condition::Success,
                6..=7 => Condition::Completion,
                _ => Condition::Failure,
            };
            let each = other.spec.count == size && dice.chance(500);
            depends_on.push(Dependency { node: other.name.clone(), on: on as i32, each });
        }
        let has_each = depends_on.iter().any(|d| d.each);
        let (program, code) = match dice.below(10) {
            0..=5 => ("run", 0),
            6..=7 => ("flaky", dice.between(1, 3)),
            _ => ("run", dice.between(1, 3)),
        };
        let spec = JobSpec {
            image: "simulated".into(),
            command: vec![program.into(), dice.between(20, 1_200).to_string(), code.to_string()],
            resources: resources(250),
            count: if has_each || dice.chance(400) { size } else { 1 },
            max_attempts: dice.between(1, 2) as u32,
            ..JobSpec::default()
        };
        nodes.push(WorkflowNode { name: format!("n{n}"), spec, depends_on });
    }
    // The order in which they are named says nothing.
    dice.shuffle(&mut nodes);
    WorkflowSpec { name: "simulated".into(), nodes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::ValidWorkflow;

    #[test]
    fn every_workflow_that_is_drawn_is_valid() {
        let mut dice = Dice::new(7);
        for _ in 0..300 {
            let spec = draw(&mut dice);
            assert!(ValidWorkflow::parse(spec.clone()).is_ok(), "{:?}", ValidWorkflow::parse(spec));
        }
    }
}
