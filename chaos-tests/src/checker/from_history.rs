//! What the load generator wrote down, as the checkers look at it. Comes in: a [`History`]. Goes out: [`Op`]s. An operation without
//! an outcome counts as unknown: it may have been done.

use std::collections::BTreeSet;

use cloudai_proto::v1::JobState;
use cloudai_types::JobId;

use super::facts::{Asked, Op, Seen, Told};
use crate::history::{Answer, Call, Event, History};

pub fn ops(history: &History) -> Vec<Op> {
    history
        .operations()
        .iter()
        .flat_map(|o| {
            let (back, told) = match o.outcome {
                None => (u64::MAX, Told::Unknown),
                Some((at, Event::Ok { answer })) => (at, told(o.call, answer)),
                Some((at, Event::Fail { .. })) => (at, Told::Failed),
                Some((at, Event::Info { .. } | Event::Invoke { .. })) => (at, Told::Unknown),
            };
            let op = Op { client: o.client, call: o.invoked_ns, back, asked: asked(o.call), told };
            // Of a write that was sent again, the tries before are a write of their own: it may have taken effect, at another place.
            let is_repeated =
                matches!(o.outcome, Some((_, Event::Ok { answer: Answer::Written { repeated: true, .. } })));
            let before = is_repeated.then(|| Op { back: u64::MAX, told: Told::Unknown, ..op.clone() });
            before.into_iter().chain([op])
        })
        .collect()
}

fn asked(call: &Call) -> Asked {
    match call {
        Call::Submit { request_id } => Asked::Submit { request: request_id.clone() },
        Call::GetJob { job } => Asked::Get { job: JobId(*job) },
        Call::ListJobs { .. } => Asked::List,
        Call::Write { key, value } => Asked::Write { key: key.clone(), value: *value },
        Call::Read { key } => Asked::Read { key: key.clone() },
        Call::StaleRead { key } => Asked::StaleRead { key: key.clone() },
    }
}

fn told(call: &Call, answer: &Answer) -> Told {
    match answer {
        Answer::Submitted { job, index, duplicate } => {
            Told::Submitted { job: JobId(*job), index: *index, duplicate: *duplicate }
        }
        Answer::Job { state, index } => {
            let state = state.map(|s| JobState::try_from(s).unwrap_or_default());
            Told::Job { index: *index, job: state.map(|state| Seen { state, ended: vec![] }) }
        }
        Answer::Jobs { ids, index } => {
            // A page that is not full has everything.
            let is_full = matches!(call, Call::ListJobs { limit } if ids.len() >= *limit as usize);
            let from = ids.iter().min().filter(|_| is_full).copied().unwrap_or(0);
            let jobs: BTreeSet<JobId> = ids.iter().map(|id| JobId(*id)).collect();
            Told::Jobs { index: *index, jobs, from: JobId(from) }
        }
        Answer::Written { index, .. } => Told::Written { index: *index },
        Answer::Value { value, index, .. } => Told::Value { value: *value, index: *index },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Record;

    fn record(at_ns: u64, op: u64, event: Event) -> Record {
        Record { at_ns, client: 0, op, master: None, event }
    }

    #[test]
    fn outcomes_join_their_calls_and_an_open_one_is_unknown() {
        let submit = |id: &str| Event::Invoke { call: Call::Submit { request_id: id.into() } };
        let answer = Answer::Submitted { job: 7, index: 3, duplicate: false };
        let records = vec![
            record(1, 1, submit("a")),
            record(2, 2, submit("b")),
            record(3, 3, submit("c")),
            record(4, 1, Event::Ok { answer }),
            record(5, 2, Event::Fail { why: "no".into() }),
        ];
        let ops = ops(&History { records });
        assert_eq!(ops[0].told, Told::Submitted { job: JobId(7), index: 3, duplicate: false });
        assert_eq!((ops[0].call, ops[0].back), (1, 4));
        assert_eq!((&ops[1].told, &ops[2].told), (&Told::Failed, &Told::Unknown));
    }

    #[test]
    fn a_write_that_was_sent_again_is_two() {
        let call = Call::Write { key: "k".into(), value: 1 };
        let answer = |repeated| Answer::Written { index: 3, repeated };
        let told = |repeated| {
            let records = vec![
                record(1, 1, Event::Invoke { call: call.clone() }),
                record(2, 1, Event::Ok { answer: answer(repeated) }),
            ];
            ops(&History { records }).into_iter().map(|op| (op.call, op.told)).collect::<Vec<_>>()
        };
        assert_eq!(told(false), [(1, Told::Written { index: 3 })]);
        assert_eq!(told(true), [(1, Told::Unknown), (1, Told::Written { index: 3 })]);
    }

    #[test]
    fn a_full_page_speaks_only_of_its_own_range() {
        let list = Call::ListJobs { limit: 2 };
        let page = |ids: Vec<u64>| match told(&list, &Answer::Jobs { ids, index: 1 }) {
            Told::Jobs { from, .. } => from,
            other => panic!("a list is told as {other:?}"),
        };
        assert_eq!((page(vec![9, 5]), page(vec![9])), (JobId(5), JobId(0)));
    }
}
