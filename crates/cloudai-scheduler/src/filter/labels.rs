//! Does the worker have every label that the job requires, with exactly that value?

use cloudai_core::hot::{Shape, Worker};

use super::{Refused, WaitKind};

/// The first required label that is missing or has another value.
pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    let subject = missing(shape, worker).next()?;
    Some(Refused { kind: WaitKind::MissingLabel, subject })
}

/// Places in `shape.require` of all labels that the worker lacks.
pub(crate) fn missing<'a>(shape: &'a Shape, worker: &'a Worker) -> impl Iterator<Item = usize> + 'a {
    let lacks = |(k, v): &(String, String)| worker.labels.get(k) != Some(v);
    shape.require.iter().enumerate().filter(move |(_, label)| lacks(label)).map(|(at, _)| at)
}

pub(super) fn words(shape: &Shape, worker: &Worker, subject: usize) -> (String, String) {
    let (key, value) = &shape.require[subject];
    let example = match worker.labels.get(key) {
        Some(other) => format!("{} has {key}={other}", worker.name),
        None => format!("{} has no label {key}", worker.name),
    };
    (format!("without the label {key}={value}"), example)
}
