//! A1: no acknowledged submit is missing. And its other half: none happened twice, and none happened that was refused.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::JobId;

use super::facts::{Asked, Job, Op, Told};
use super::{Check, Violation};

pub fn check(ops: &[Op], jobs: &[Job]) -> Vec<Violation> {
    let mut wrong = vec![];
    let mut by_request: BTreeMap<&str, Vec<JobId>> = BTreeMap::new();
    let mut by_id: BTreeMap<JobId, &Job> = BTreeMap::new();
    for job in jobs {
        if !job.request.is_empty() {
            by_request.entry(&job.request).or_default().push(job.id);
        }
        if by_id.insert(job.id, job).is_some() {
            wrong.push(format!("job {} is listed twice", job.id));
        }
        if job.tasks.len() != job.count as usize {
            wrong.push(format!("job {} has {} of its {} tasks", job.id, job.tasks.len(), job.count));
        }
    }
    for (request, ids) in by_request.iter().filter(|(_, ids)| ids.len() > 1) {
        let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
        wrong.push(format!("request {request} made {} jobs: {}", ids.len(), ids.join(", ")));
    }

    // A request id may be sent again by the drill itself: the best answer that it ever had decides.
    let mut answers: BTreeMap<&str, Answers> = BTreeMap::new();
    for op in ops {
        let Asked::Submit { request } = &op.asked else { continue };
        let answer = answers.entry(request).or_default();
        match &op.told {
            Told::Submitted { job, .. } => {
                answer.acknowledged.insert(*job);
            }
            Told::Failed => answer.failed = true,
            Told::Unknown => answer.unknown = true,
            Told::Job { .. } | Told::Jobs { .. } | Told::Written { .. } | Told::Value { .. } => {
                wrong.push(format!("request {request}: the history holds an answer that is none to a submit"));
            }
        }
    }
    let mut owner: BTreeMap<JobId, &str> = BTreeMap::new();
    for (request, answer) in &answers {
        if answer.acknowledged.len() > 1 {
            wrong.push(format!("request {request} was acknowledged as {} different jobs", answer.acknowledged.len()));
        }
        for job in &answer.acknowledged {
            match by_id.get(job) {
                None => wrong.push(format!("job {job} was acknowledged (request {request}) and is missing")),
                Some(there) if there.request != *request => wrong.push(format!(
                    "job {job} was acknowledged for request {request} and belongs to request {}",
                    there.request
                )),
                Some(_) => {}
            }
            if let Some(other) = owner.insert(*job, request) {
                wrong.push(format!("requests {other} and {request} were both acknowledged as job {job}"));
            }
        }
        if answer.failed && !answer.unknown && answer.acknowledged.is_empty() && by_request.contains_key(request) {
            wrong.push(format!("request {request} was refused and is there all the same"));
        }
    }
    wrong.into_iter().map(|what| Violation::new(Check::A1, what)).collect()
}

#[derive(Default)]
struct Answers {
    acknowledged: BTreeSet<JobId>,
    failed: bool,
    unknown: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::TaskInfo;

    fn submit(request: &str, told: Told) -> Op {
        Op { client: 0, call: 1, back: 2, asked: Asked::Submit { request: request.into() }, told }
    }
    fn done(id: u64) -> Told {
        Told::Submitted { job: JobId(id), index: id, duplicate: false }
    }
    fn job(id: u64, request: &str) -> Job {
        Job { id: JobId(id), request: request.into(), count: 1, tasks: vec![TaskInfo::default()], ..Job::default() }
    }

    #[test]
    fn what_is_there_once_is_fine_and_the_unknown_may_be_either() {
        let ops = [submit("a", done(1)), submit("b", Told::Unknown), submit("c", Told::Unknown)];
        assert_eq!(check(&ops, &[job(1, "a"), job(2, "b")]), []);
        assert_eq!(check(&[submit("d", Told::Failed)], &[job(1, "of somebody else")]), []);
    }

    #[test]
    fn missing_doubled_swapped_and_refused_ones_are_found() {
        let a = || submit("a", done(1));
        assert_eq!(check(&[a()], &[]).len(), 1);
        assert_eq!(check(&[a()], &[job(1, "a"), job(2, "a")]).len(), 1);
        assert_eq!(check(&[a()], &[job(1, "a"), job(1, "a")]).len(), 2);
        assert_eq!(check(&[a()], &[job(1, "b")]).len(), 1);
        assert_eq!(check(&[a(), submit("a", done(2))], &[job(1, "a"), job(2, "b")]).len(), 2);
        assert_eq!(check(&[submit("c", Told::Failed)], &[job(3, "c")]).len(), 1);
        let mut short = job(1, "a");
        short.count = 2;
        assert_eq!(check(&[a()], &[short]).len(), 1);
    }

    #[test]
    fn a_refusal_after_an_unknown_try_of_the_same_request_proves_nothing() {
        let ops = [submit("a", Told::Unknown), submit("a", Told::Failed)];
        assert_eq!(check(&ops, &[job(1, "a")]), []);
    }
}
