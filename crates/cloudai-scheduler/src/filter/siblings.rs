//! Do the job's own tasks leave this place to one more? Their whereabouts come in from outside: they are of one job, and all workers are asked.

use cloudai_core::Hot;
use cloudai_core::hot::{Shape, Worker};
use cloudai_core::whereabouts::{Forbidden, Whereabouts};
use cloudai_types::{Domain, Rules, Spot, Spread, WorkerId};

use super::{Refused, WaitKind};

pub fn check(shape: &Shape, whereabouts: &Whereabouts, id: WorkerId, worker: &Worker) -> Option<Refused> {
    let (kind, subject) = match forbidden(shape, whereabouts, id, worker)? {
        Forbidden::Apart => (WaitKind::Apart, 0),
        Forbidden::NowhereApart => (WaitKind::Apart, 1),
        Forbidden::Spread => (WaitKind::Spread, 0),
        Forbidden::NowhereSpread => (WaitKind::Spread, 1),
    };
    Some(Refused { kind, subject })
}

pub(crate) fn forbidden(shape: &Shape, whereabouts: &Whereabouts, id: WorkerId, worker: &Worker) -> Option<Forbidden> {
    whereabouts.forbid(shape.rules.as_deref().filter(|rules| rules.look_at_siblings())?, id, worker)
}

/// `on worker-3`, or `in rack=b`.
pub(crate) fn place(domain: &Domain, spot: &Spot, name_of: impl Fn(WorkerId) -> String) -> String {
    match (domain, spot) {
        (Domain::Label(key), Spot::Value(value)) => format!("in {key}={value}"),
        (_, Spot::Worker(id)) => format!("on {}", name_of(*id)),
        (Domain::Worker, Spot::Value(value)) => format!("in {value}"),
    }
}

/// `name_of`: any worker's.
pub(super) fn words(
    rules: &Rules,
    whereabouts: &Whereabouts,
    (id, worker): (WorkerId, &Worker),
    reason: Refused,
    name_of: impl Fn(WorkerId) -> String,
) -> (String, String) {
    let name = &worker.name;
    let is_apart = reason.kind == WaitKind::Apart;
    let domain = if is_apart { rules.apart.as_ref() } else { rules.spread.as_ref().map(|spread| &spread.over) };
    let Some(domain) = domain else { return (String::new(), String::new()) };
    let Some(spot) = domain.spot(id, &worker.labels) else {
        let why = if is_apart { "by which its tasks stay apart" } else { "over which its tasks are spread" };
        return (format!("without the label {domain}, {why}"), format!("{name} has no label {domain}"));
    };
    let here = place(domain, &spot, &name_of);
    let kind = match domain {
        Domain::Worker => String::new(),
        Domain::Label(key) => format!("in a {key} "),
    };
    if is_apart {
        return (format!("{kind}with a task of its job, whose tasks stay apart"), format!("{name} is {here}"));
    }
    let max_skew = rules.spread.as_ref().map_or(0, |spread| spread.max_skew);
    let (there, fewest) = match whereabouts.fewest() {
        Some((spot, fewest)) => (place(domain, spot, &name_of), fewest),
        None => ("anywhere".to_owned(), 0),
    };
    let example = format!("{name} is {here} with {}; the fewest are {fewest}, {there}", whereabouts.crowd(&spot));
    (format!("{kind}with as many of its job's tasks as max_skew {max_skew} allows"), example)
}

/// What would help on a worker that they keep it from.
pub(crate) fn fix(
    view: &Hot,
    shape: &Shape,
    whereabouts: &Whereabouts,
    worker: &Worker,
    forbidden: Forbidden,
) -> String {
    let rules = shape.rules.as_deref().cloned().unwrap_or_default();
    let apart = rules.apart.map(|domain| domain.to_string()).unwrap_or_default();
    let Spread { over, max_skew } = rules.spread.unwrap_or(Spread { over: Domain::Worker, max_skew: 0 });
    let name = &worker.name;
    match forbidden {
        Forbidden::NowhereApart => format!("give {name} the label {apart}, by which its tasks stay apart"),
        Forbidden::NowhereSpread => format!("give {name} the label {over}, over which its tasks are spread"),
        Forbidden::Apart if apart == Domain::Worker.to_string() => {
            format!("add a worker: it starts there, or when the task of its job on {name} ends")
        }
        Forbidden::Apart => {
            format!("add a worker in another {apart}: it starts there, or when a task of its job ends")
        }
        Forbidden::Spread => {
            let name_of = |id: WorkerId| view.workers.get(&id).map_or_else(|| id.to_string(), |w| w.name.clone());
            let fewest = whereabouts.fewest().map(|(spot, _)| place(&over, spot, name_of));
            let wider = max_skew.saturating_add(1);
            format!(
                "room {}, where the fewest tasks of its job are; or submit it with --spread {over}:{wider}",
                fewest.unwrap_or_else(|| "elsewhere".to_owned())
            )
        }
    }
}
