//! Does the job tolerate every taint of the worker?

use cloudai_core::hot::{Shape, Worker};
use cloudai_types::placement::taint_text;

use super::{Refused, WaitKind};

pub fn check(shape: &Shape, worker: &Worker) -> Option<Refused> {
    untolerated(shape, worker).next().map(|_| Refused { kind: WaitKind::Tainted, subject: 0 })
}

/// Those that keep it away, by name.
pub(crate) fn untolerated<'a>(shape: &'a Shape, worker: &'a Worker) -> impl Iterator<Item = (&'a str, &'a str)> {
    let tolerated = |key: &str, value: &str| {
        shape.rules.as_ref().is_some_and(|rules| rules.tolerate.iter().any(|toleration| toleration.covers(key, value)))
    };
    let taints = worker.taints.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    taints.filter(move |(key, value)| !tolerated(key, value))
}

/// The first of them, as people write it.
pub(super) fn first(shape: &Shape, worker: &Worker) -> String {
    untolerated(shape, worker).next().map(|(key, value)| taint_text(key, value)).unwrap_or_default()
}

pub(super) fn words(shape: &Shape, worker: &Worker) -> (String, String) {
    let taint = first(shape, worker);
    (format!("tainted with {taint}, which it does not tolerate"), format!("{} is one of them", worker.name))
}
