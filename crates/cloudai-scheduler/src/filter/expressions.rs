//! Do the worker's labels meet every expression that the job requires?

use cloudai_core::hot::{Shape, Worker};

use super::{Refused, WaitKind};

/// The first expression that does not hold.
pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    let subject = unmet(shape, worker).next()?;
    Some(Refused { kind: WaitKind::UnmetExpression, subject })
}

/// Places in the rules' `require` of all that do not hold.
pub(crate) fn unmet<'a>(shape: &'a Shape, worker: &'a Worker) -> impl Iterator<Item = usize> + 'a {
    let required = shape.rules.iter().flat_map(|rules| rules.require.iter());
    required.enumerate().filter(|(_, expression)| !expression.is_met_by(&worker.labels)).map(|(at, _)| at)
}

/// The expression at that place, as people write it.
pub(crate) fn text(shape: &Shape, subject: usize) -> String {
    let expression = shape.rules.as_ref().and_then(|rules| rules.require.get(subject));
    expression.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn words(shape: &Shape, worker: &Worker, subject: usize) -> (String, String) {
    let expression = shape.rules.as_ref().and_then(|rules| rules.require.get(subject));
    let key = expression.map_or("", |expression| expression.key());
    let example = match worker.labels.get(key) {
        Some(value) => format!("{} has {key}={value}", worker.name),
        None => format!("{} has no label {key}", worker.name),
    };
    (format!("not meeting {}", text(shape, subject)), example)
}
