//! Do other jobs leave this place to a task? What they say comes in from outside: it is of one job, and all workers are asked.

use cloudai_core::Hot;
use cloudai_core::hot::Worker;
use cloudai_core::nearby::{Barred, Beside, Relation};
use cloudai_types::{Domain, Near, WorkerId};

use super::siblings::place;
use super::{Refused, WaitKind};

pub fn check(beside: &Beside, id: WorkerId, worker: &Worker) -> Option<Refused> {
    let barred = beside.forbid(id, worker)?;
    let (relation, _) = beside.rules().nth(barred.rule)?;
    let kind = match relation {
        Relation::ApartFrom => WaitKind::ApartFrom,
        Relation::TogetherWith => WaitKind::TogetherWith,
        Relation::KeptAway => WaitKind::KeptAway,
    };
    Some(Refused { kind, subject: barred.rule * 2 + usize::from(barred.is_nowhere) })
}

/// `name_of`: any worker's.
pub(super) fn words(
    beside: &Beside,
    (id, worker): (WorkerId, &Worker),
    reason: Refused,
    name_of: impl Fn(WorkerId) -> String,
) -> (String, String) {
    let rule = reason.subject / 2;
    let Some((relation, Near { jobs, over })) = beside.rules().nth(rule) else { return Default::default() };
    let name = &worker.name;
    let Some(spot) = over.spot(id, &worker.labels) else {
        let why = match relation {
            Relation::ApartFrom => format!("by which it stays apart from {jobs}"),
            Relation::TogetherWith | Relation::KeptAway => format!("by which it goes together with {jobs}"),
        };
        return (format!("without the label {over}, {why}"), format!("{name} has no label {over}"));
    };
    let kind = match over {
        Domain::Worker => String::new(),
        Domain::Label(key) => format!("in a {key} "),
    };
    let here = place(over, &spot, &name_of);
    let other = beside.other_in(rule, &spot).map_or(String::new(), |job| format!(" with one of {job}"));
    match relation {
        Relation::ApartFrom => (
            format!("{kind}with a task of a job that it stays apart from ({jobs})"),
            format!("{name} is {here}{other}"),
        ),
        Relation::KeptAway => (
            format!("{kind}with a task of a job that stays apart from jobs like it ({jobs})"),
            format!("{name} is {here}{other}"),
        ),
        Relation::TogetherWith => {
            let there = match beside.somewhere(rule) {
                Some((spot, job)) => format!("one of {job} is {}", place(over, spot, &name_of)),
                None => "there is none now".to_owned(),
            };
            let message = format!("{kind}without a task of a job that it goes together with ({jobs})");
            (message, format!("{name} is {here}; {there}"))
        }
    }
}

/// What would help on a worker that they keep it from.
pub(crate) fn fix(view: &Hot, beside: &Beside, (id, worker): (WorkerId, &Worker), barred: Barred) -> String {
    let Some((relation, near)) = beside.rules().nth(barred.rule) else { return String::new() };
    let (name, over) = (&worker.name, &near.over);
    let name_of = |id: WorkerId| view.workers.get(&id).map_or_else(|| id.to_string(), |w| w.name.clone());
    let flag = match relation {
        Relation::ApartFrom | Relation::KeptAway => "--apart-from",
        Relation::TogetherWith => "--together-with",
    };
    let Some(spot) = over.spot(id, &worker.labels) else {
        return format!("give {name} the label {over}, which {flag} '{near}' goes by");
    };
    let here = place(over, &spot, name_of);
    let other = beside.other_in(barred.rule, &spot).map_or_else(|| "another job".to_owned(), |job| job.to_string());
    let elsewhere = match over {
        Domain::Worker => "add a worker".to_owned(),
        Domain::Label(key) => format!("add a worker in another {key}"),
    };
    match relation {
        Relation::ApartFrom => {
            format!(
                "{elsewhere}: it starts there, or when the tasks of {other} {here} end; or submit it without {flag} '{near}'"
            )
        }
        Relation::KeptAway => format!(
            "{elsewhere}: it starts there, or when the tasks of {other} {here} end, which stays apart from {}",
            near.jobs
        ),
        Relation::TogetherWith => match beside.somewhere(barred.rule) {
            Some((spot, job)) => {
                let there = place(over, spot, name_of);
                format!(
                    "a worker that takes it {there}, where a task of {job} is; or submit it without {flag} '{near}'"
                )
            }
            None => format!(
                "start a job whose labels meet {}: none of its namespace runs; or submit it without {flag} '{near}'",
                near.jobs
            ),
        },
    }
}
