//! A5 for jobs: once there, a job stays there. Comes in: all operations, and the jobs of the end. Goes out: the jobs whose submits, reads
//! and lists no order explains.
//!
//! A job is a flag that is set once, so no search is needed. In any order that explains its history everybody who missed it comes first,
//! then the submit that made it, then the rest: those who saw it, and repeated submits, which find it there. Indices only grow in that
//! order, and what returned before something else was called stands before it. If no two operations contradict this, nothing does:
//! along a cycle of such demands the rank never falls, so the whole cycle has one rank; within it the index never falls, so the whole cycle has
//! one index; and what is left, "returned before it was called", has no cycle. Which submit made the job is tried out. The tests
//! compare this with a search through all orders.
//!
//! A submit with an unknown outcome may take effect at any time from its call on, or never. A refused one is not among the operations:
//! who saw its job all the same finds no order.

use std::collections::BTreeMap;

use cloudai_types::JobId;

use super::facts::{Asked, Job, Op, Told};
use super::{Check, Violation, cuts};

const TOLD_MAX: usize = 20;

pub fn check(ops: &[Op], jobs: &[Job]) -> Vec<Violation> {
    let histories = histories(ops, jobs);
    let broken = histories.iter().filter(|(_, history)| !is_explained(history));
    let told = |(job, history): (&JobId, &History)| {
        Violation::new(Check::A5, format!("job {job}: no order explains {}", shown(history)))
    };
    broken.map(told).take(TOLD_MAX).collect()
}

/// One operation, as one job's history sees it.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    client: u32,
    call: u64,
    /// The end of all time for a submit of unknown outcome.
    back: u64,
    /// None: no answer told where it stands.
    index: Option<u64>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The job that it was told; the history's own where nobody was told one.
    Submit(JobId),
    Seen,
    Missed,
}

/// A job, with all that concerns it.
#[derive(Debug, Clone, PartialEq, Default)]
struct History {
    job: JobId,
    steps: Vec<Step>,
}

/// Before the job was made, the making itself, and after it.
const RANKS: usize = 3;

fn is_explained(history: &History) -> bool {
    let is_other = |step: &Step| matches!(step.what, What::Submit(job) if job != history.job);
    if history.steps.iter().any(is_other) || index_goes_back(&history.steps) {
        return false;
    }
    let is_submit = |step: &Step| matches!(step.what, What::Submit(_));
    let mut makers = (0..history.steps.len()).filter(|at| is_submit(&history.steps[*at])).peekable();
    if makers.peek().is_none() {
        return history.steps.iter().all(|step| step.what == What::Missed);
    }
    makers.any(|maker| {
        let rank = |at: usize, step: &Step| match step.what {
            What::Missed => 0,
            _ if at == maker => 1,
            What::Seen | What::Submit(_) => 2,
        };
        ranks_fit(history.steps.iter().enumerate().map(|(at, step)| (rank(at, step), step)))
    })
}

/// Whether something was asked for after an answer and stands before it all the same.
fn index_goes_back(steps: &[Step]) -> bool {
    let mut ends: Vec<(u64, u64)> = steps.iter().filter_map(|s| s.index.map(|i| (s.back, i))).collect();
    ends.sort_unstable();
    let mut asked: Vec<(u64, u64)> = steps.iter().filter_map(|s| s.index.map(|i| (s.call, i))).collect();
    asked.sort_unstable();
    let (mut at, mut highest) = (0, 0);
    asked.into_iter().any(|(call, index)| {
        while at < ends.len() && ends[at].0 < call {
            highest = highest.max(ends[at].1);
            at += 1;
        }
        index < highest
    })
}

/// Nothing of a higher rank returned before something of a lower one was called, or has a lower index.
fn ranks_fit<'a>(ranked: impl Iterator<Item = (usize, &'a Step)>) -> bool {
    let (mut last_call, mut first_back) = ([0; RANKS], [u64::MAX; RANKS]);
    let (mut highest, mut lowest) = ([0; RANKS], [u64::MAX; RANKS]);
    for (rank, step) in ranked {
        last_call[rank] = last_call[rank].max(step.call);
        first_back[rank] = first_back[rank].min(step.back);
        if let Some(index) = step.index {
            highest[rank] = highest[rank].max(index);
            lowest[rank] = lowest[rank].min(index);
        }
    }
    let fits = |low: usize, high: usize| last_call[low] <= first_back[high] && highest[low] <= lowest[high];
    fits(0, 1) && fits(0, 2) && fits(1, 2)
}

fn step(op: &Op, what: What) -> Step {
    // A duplicate was answered late: its job took effect at an earlier index.
    let is_late = matches!(op.told, Told::Submitted { duplicate: true, .. });
    let back = if op.told == Told::Unknown { u64::MAX } else { op.back };
    Step { client: op.client, call: op.call, back, index: cuts::index(&op.told).filter(|_| !is_late), what }
}

/// A history per job that a request of these operations made or may have made.
fn histories(ops: &[Op], jobs: &[Job]) -> BTreeMap<JobId, History> {
    // Which job a request made: by its acknowledgement, or by what is there in the end.
    let mut job_of: BTreeMap<&str, JobId> =
        jobs.iter().filter(|j| !j.request.is_empty()).map(|j| (j.request.as_str(), j.id)).collect();
    for op in ops {
        if let (Asked::Submit { request }, Told::Submitted { job, .. }) = (&op.asked, &op.told) {
            job_of.entry(request).or_insert(*job);
        }
    }
    let mut histories: BTreeMap<JobId, History> = BTreeMap::new();
    let mut first_call: BTreeMap<JobId, u64> = BTreeMap::new();
    let mut first_back: BTreeMap<JobId, u64> = BTreeMap::new();
    for op in ops {
        let Asked::Submit { request } = &op.asked else { continue };
        let Some(job) = job_of.get(request.as_str()).copied() else { continue };
        // A job that was only refused is nobody's: a client that sees it has to be explained as well.
        let history = histories.entry(job).or_insert_with(|| History { job, steps: vec![] });
        let told = match &op.told {
            Told::Submitted { job, .. } => *job,
            Told::Unknown => job,
            Told::Failed | Told::Job { .. } | Told::Jobs { .. } | Told::Written { .. } | Told::Value { .. } => continue,
        };
        let step = step(op, What::Submit(told));
        let call = first_call.entry(job).or_insert(step.call);
        *call = (*call).min(step.call);
        let back = first_back.entry(job).or_insert(step.back);
        *back = (*back).min(step.back);
        history.steps.push(step);
    }
    let seen = |there: bool| if there { What::Seen } else { What::Missed };
    for op in ops {
        match (&op.asked, &op.told) {
            (Asked::Get { job }, Told::Job { job: found, .. }) => {
                if let Some(history) = histories.get_mut(job) {
                    history.steps.push(step(op, seen(found.is_some())));
                }
            }
            (Asked::List, Told::Jobs { jobs, from, .. }) => {
                for (job, history) in histories.range_mut(*from..) {
                    let there = jobs.contains(job);
                    // What says nothing new is left out, or thousands of lists times thousands of jobs would be kept: a
                    // list without the job that ended before it was submitted, and a list with it that began after the
                    // acknowledgement. Once there, a job stays there, so both fit any order of the rest.
                    let before = first_call.get(job).is_some_and(|call| op.back < *call);
                    let after = first_back.get(job).is_some_and(|back| op.call > *back);
                    if !(before && !there || after && there) {
                        history.steps.push(step(op, seen(there)));
                    }
                }
            }
            _ => {}
        }
    }
    histories
}

/// The operations of a broken job, in the order of their calls; a long history is shown by its length.
fn shown(history: &History) -> String {
    const SHOWN_MAX: usize = 12;
    let mut sorted: Vec<&Step> = history.steps.iter().collect();
    sorted.sort_by_key(|s| s.call);
    let one = |s: &&Step| {
        let back = if s.back == u64::MAX { "?".to_owned() } else { s.back.to_string() };
        let index = s.index.map_or("no index".to_owned(), |i| format!("index {i}"));
        format!("[{} .. {back}] client {} {:?} ({index})", s.call, s.client, s.what)
    };
    let mut text: Vec<String> = sorted.iter().take(SHOWN_MAX).map(one).collect();
    if sorted.len() > SHOWN_MAX {
        text.push(format!("and {} more", sorted.len() - SHOWN_MAX));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use porcupine_rs::{Model, Operation};
    use proptest::prelude::*;

    use super::*;
    use crate::checker::facts::Seen;

    const JOB: JobId = JobId(1);

    fn op(call: u64, back: u64, asked: Asked, told: Told) -> Op {
        Op { client: 0, call, back, asked, told }
    }
    fn submit(call: u64, back: u64, told: Told) -> Op {
        op(call, back, Asked::Submit { request: "r".into() }, told)
    }
    fn made(job: u64) -> Told {
        Told::Submitted { job: JobId(job), index: job, duplicate: false }
    }
    fn get(call: u64, back: u64, there: bool) -> Op {
        op(call, back, Asked::Get { job: JOB }, Told::Job { index: 1, job: there.then(Seen::default) })
    }
    fn list(call: u64, back: u64, jobs: &[u64]) -> Op {
        let jobs = jobs.iter().map(|j| JobId(*j)).collect();
        op(call, back, Asked::List, Told::Jobs { index: 1, jobs, from: JobId(0) })
    }
    fn wrong(ops: &[Op]) -> usize {
        check(ops, &[Job { id: JOB, request: "r".into(), ..Job::default() }]).len()
    }

    #[test]
    fn while_it_is_submitted_a_job_may_be_seen_or_not() {
        assert_eq!(
            wrong(&[list(1, 2, &[]), submit(3, 9, made(1)), get(4, 5, false), get(6, 7, true), get(10, 11, true)]),
            0
        );
        assert_eq!(wrong(&[submit(3, 9, made(1)), get(4, 5, true), get(6, 7, false)]), 1, "seen, then gone");
        assert_eq!(wrong(&[submit(3, 9, made(1)), list(10, 11, &[])]), 1, "acknowledged, then not listed");
        assert_eq!(wrong(&[list(1, 2, &[1]), submit(3, 9, made(1))]), 1, "seen before it was submitted");
    }

    #[test]
    fn an_unknown_submit_may_take_effect_late_and_a_refused_one_never() {
        assert_eq!(wrong(&[submit(3, 4, Told::Unknown), get(5, 6, false), get(9, 10, true)]), 0);
        assert_eq!(wrong(&[submit(3, 4, Told::Unknown), get(5, 6, true), get(9, 10, false)]), 1);
        assert_eq!(wrong(&[submit(3, 4, Told::Failed), get(9, 10, true)]), 1);
        assert_eq!(wrong(&[submit(3, 4, Told::Failed), get(9, 10, false)]), 0);
    }

    #[test]
    fn a_repeated_submit_is_answered_late() {
        let late = Told::Submitted { job: JOB, index: 20, duplicate: true };
        let seen = op(4, 5, Asked::Get { job: JOB }, Told::Job { index: 15, job: Some(Seen::default()) });
        assert_eq!(wrong(&[submit(3, 9, late), seen]), 0);
    }

    #[test]
    fn a_request_that_was_told_another_job_has_no_order() {
        assert_eq!(wrong(&[submit(3, 9, made(1)), submit(3, 9, made(2))]), 1);
    }

    #[test]
    fn a_long_outage_is_judged_at_once() {
        // Each client's submit is unknown and everybody reads all the time: a search would try each of them at each place.
        let mut ops: Vec<Op> = (0..64).map(|n| submit(n, n + 1, Told::Unknown)).collect();
        ops.extend((0..2_000).map(|n| get(100 + n, 150 + n, false)));
        ops.extend((0..2_000).map(|n| get(2_200 + n, 2_250 + n, true)));
        assert_eq!(wrong(&ops), 0);
        ops.push(get(4_500, 4_501, false));
        assert_eq!(wrong(&ops), 1);
    }

    /// The same as a model for the search through all orders.
    #[derive(Debug, Clone)]
    struct Flag;

    impl Model for Flag {
        /// Whether the job is there, and the highest index so far.
        type State = (bool, u64);
        type Op = Step;
        type Metadata = ();

        fn init() -> (bool, u64) {
            (false, 0)
        }

        fn step(state: &(bool, u64), step: &Step) -> (bool, (bool, u64)) {
            let (there, highest) = *state;
            let index = step.index.unwrap_or(highest);
            let (fits, then) = match step.what {
                What::Submit(job) => (job == JOB, true),
                What::Seen => (there, there),
                What::Missed => (!there, there),
            };
            (fits && index >= highest, (then, index))
        }
    }

    fn is_explained_by_search(history: &History) -> bool {
        let time = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let operation = |s: &Step| Operation {
            client_id: Some(s.client),
            call_time: time(s.call),
            return_time: time(s.back),
            op: s.clone(),
            metadata: None,
        };
        porcupine_rs::check_operations::<Flag>(&history.steps.iter().map(operation).collect::<Vec<_>>())
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let what = prop_oneof![Just(What::Submit(JOB)), Just(What::Seen), Just(What::Missed)];
        (what, 0..20_u64, 1..8_u64, proptest::option::weighted(0.7, 0..6_u64)).prop_map(|(what, call, took, index)| {
            // Twice the time, so that no two moments are the same but for calls.
            let is_open = index.is_none() && matches!(what, What::Submit(_)) && took < 4;
            let back = if is_open { u64::MAX } else { 2 * (call + took) + 1 };
            let index = index.or((!matches!(what, What::Submit(_))).then_some(0));
            Step { client: 0, call: 2 * call, back, index, what }
        })
    }

    /// What a correct cluster could answer, with now and then one answer changed: most random histories are wrong in many ways at once.
    fn nearly_right() -> impl Strategy<Value = Vec<Step>> {
        let one = (0..3_usize, 0..6_u64, 0..6_u64, proptest::bool::weighted(0.1));
        (proptest::collection::vec(one, 1..9), 0..9_usize, any::<bool>()).prop_map(|(all, made_at, is_unknown)| {
            let mut steps = vec![];
            for (at, (kind, early, late, is_wrong)) in all.into_iter().enumerate() {
                let now = 10 * (at as u64 + 1);
                let there = (at > made_at) != is_wrong;
                let (what, index) = match kind {
                    _ if at == made_at => (What::Submit(JOB), (!is_unknown).then_some(now)),
                    0 if at > made_at => (What::Submit(JOB), None),
                    _ if there => (What::Seen, Some(now)),
                    _ => (What::Missed, Some(now)),
                };
                let back = if is_unknown && at == made_at { u64::MAX } else { now + 1 + 4 * late };
                steps.push(Step { client: 0, call: now.saturating_sub(4 * early), back, index, what });
            }
            steps
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn it_says_what_a_search_through_all_orders_says(
            steps in prop_oneof![proptest::collection::vec(any_step(), 0..7), nearly_right()],
        ) {
            let history = History { job: JOB, steps };
            prop_assert_eq!(is_explained(&history), is_explained_by_search(&history));
        }
    }
}
