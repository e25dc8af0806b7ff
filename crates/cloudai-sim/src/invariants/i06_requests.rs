//! I6: one request id, one job; an acknowledged submit is never lost, a failed one never happened, an acknowledged cancel holds.

use std::collections::BTreeMap;

use cloudai_core::rows::{Family, JobRow, JobSpecRow, JobState, WorkflowRow};
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::oracle::{Outcome, Submit};

#[derive(Default)]
pub struct Requests;

impl Invariant for Requests {
    fn name(&self) -> &'static str {
        "I6"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        view.oracle.take_wrong().map_or(Ok(()), |(_, what)| Err(what))
    }

    fn at_end(&mut self, view: &View) -> Verdict {
        for master in view.masters.iter().filter(|m| m.node.is_some()) {
            let rows = master.rows.rows();
            let mut jobs: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let mut workflows: BTreeMap<String, Vec<(u64, WorkflowRow)>> = BTreeMap::new();
            let mut states = BTreeMap::new();
            for ((family, key), value) in &rows.rows {
                let job = key.get(4..12).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
                match family {
                    Family::JobSpec => {
                        let row = JobSpecRow::decode(value.as_slice()).map_err(|e| e.to_string())?;
                        jobs.entry(row.request_id).or_default().push(job);
                    }
                    Family::Job => {
                        states.insert(job, JobRow::decode(value.as_slice()).map_err(|e| e.to_string())?);
                    }
                    Family::Workflow => {
                        let row = WorkflowRow::decode(value.as_slice()).map_err(|e| e.to_string())?;
                        workflows.entry(row.request_id.clone()).or_default().push((job, row));
                    }
                    _ => {}
                }
            }
            for (request, submit) in view.oracle.submits() {
                if submit.is_workflow {
                    let held = workflows.get(&request).map_or(&[][..], Vec::as_slice);
                    workflow(&submit, held).map_err(|what| format!("m{}: {request} {what}", master.host))?;
                    continue;
                }
                let held = jobs.get(&request).cloned().unwrap_or_default();
                let said = &submit.outcome;
                match (said, held.as_slice()) {
                    (Outcome::Acknowledged, [job]) if submit.acks.iter().all(|a| a == job) => {}
                    (Outcome::Failed(_), []) | (Outcome::Unknown, [] | [_]) => {}
                    (_, held) => {
                        let host = master.host;
                        return Err(format!(
                            "m{host}: {request} is {said:?} as {:?}, and there are jobs {held:?}",
                            submit.acks
                        ));
                    }
                }
                for job in held {
                    let row = states.get(&job).ok_or_else(|| format!("{request}: its job has no row"))?;
                    if !row.state().is_ended() {
                        return Err(format!("{request}: its job is {:?} at the end", row.state()));
                    }
                    let c = row.counts;
                    if c.succeeded + c.failed + c.cancelled + c.dead != submit.count {
                        return Err(format!("{request}: of {} tasks, {c:?} are counted", submit.count));
                    }
                    if submit.cancelled && !row.cancel_requested {
                        return Err(format!("{request}: its cancel was acknowledged and is not there: {row:?}"));
                    }
                    if row.state() == JobState::Cancelled && !row.cancel_requested {
                        return Err(format!("{request}: is cancelled, and nobody asked"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What was said of a workflow, and what there is of it.
fn workflow(submit: &Submit, held: &[(u64, WorkflowRow)]) -> Verdict {
    match (&submit.outcome, held) {
        (Outcome::Acknowledged, [(id, _)]) if submit.acks.iter().all(|acked| acked == id) => {}
        (Outcome::Failed(_), []) | (Outcome::Unknown, [] | [_]) => {}
        (said, held) => return Err(format!("is {said:?} as {:?}, and there are {held:?}", submit.acks)),
    }
    match held.iter().find(|(_, row)| row.ended_ms == 0 || row.jobs != submit.count || row.ended.total() != row.jobs) {
        Some((id, row)) => Err(format!("of {} jobs is {id}, and at the end {row:?}", submit.count)),
        None => Ok(()),
    }
}
