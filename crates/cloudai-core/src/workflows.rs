//! Live jobs of workflows, and what holds some of them back. Comes in: changes by `apply` and `load` alone. Goes out: who waits for whom,
//! and which tasks are blocked. What a dependency that is met or missed leads to is not decided here.
//!
//! A job that waits for others has a *gate*, with a *hold* for each dependency that is not met yet. Most leave at once: nothing of them is
//! anywhere else until the last hold is gone. Where a dependency holds index by index, or where a retry has found tasks with a past, the tasks leave
//! one by one, and the gate knows which have. A job without dependencies, or whose dependencies are met, has no gate: it costs what any job costs.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::{Condition, JobId, TaskId, WorkflowId};

use crate::bits::Bits;
use crate::rows::{GateRow, HoldRow, JobRow, Unmet};

/// Those of all workflows. Written by `apply` and `load` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workflows {
    members: BTreeMap<JobId, Member>,
    gates: BTreeMap<JobId, Gate>,
    /// (who is waited for, who waits): exactly the holds of all gates.
    dependents: BTreeSet<(JobId, JobId)>,
}

/// A live job of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub workflow: WorkflowId,
    /// Replicated time from which on its tasks are in the queue; 0: since the submit, or they are not yet.
    pub released_ms: u64,
    /// Why some of its tasks were cancelled by nobody.
    pub unmet: Option<Unmet>,
}

/// What holds a job back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Who is waited for; none of them has ended.
    pub holds: BTreeMap<JobId, Hold>,
    /// Tasks that wait no more. `None`: they leave all at once, and none of them was ever released.
    pub settled: Option<Bits>,
}

/// A dependency that is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub on: Condition,
    /// Index by index: those for which it is decided. `None`: as a whole.
    pub met: Option<Bits>,
}

impl Gate {
    /// True for a task that waits.
    pub fn holds_back(&self, index: u32) -> bool {
        self.settled.as_ref().is_none_or(|settled| !settled.get(index))
    }

    /// So many of `count` tasks.
    pub fn blocked(&self, count: u32) -> u32 {
        count.saturating_sub(self.settled.as_ref().map_or(0, Bits::ones))
    }

    /// Nothing that this task waits for is missing any more.
    pub(crate) fn is_open_for(&self, index: u32) -> bool {
        self.holds.values().all(|hold| hold.met.as_ref().is_some_and(|met| met.get(index)))
    }

    /// `None`: its tasks leave all at once.
    pub(crate) fn row(&self) -> Option<GateRow> {
        self.settled.as_ref().map(|settled| GateRow { count: settled.len(), settled: settled.bytes().to_vec() })
    }
}

impl Hold {
    pub(crate) fn row(&self) -> HoldRow {
        HoldRow {
            on: self.on as i32,
            each: self.met.as_ref().map_or(0, Bits::len),
            met: self.met.as_ref().map_or(vec![], |met| met.bytes().to_vec()),
        }
    }

    /// `None`: no row that this build has written.
    pub(crate) fn from_row(row: &HoldRow) -> Option<Self> {
        let met = (row.each > 0).then(|| Bits::from_bytes(row.each, &row.met));
        Some(Hold { on: Condition::try_from(row.on).ok()?, met })
    }
}

impl Workflows {
    /// The workflow that a live job is of.
    pub fn member(&self, job: JobId) -> Option<&Member> {
        self.members.get(&job)
    }

    pub fn members(&self) -> impl Iterator<Item = (JobId, &Member)> {
        self.members.iter().map(|(job, member)| (*job, member))
    }

    /// Its live jobs, in order.
    pub fn live_jobs(&self, workflow: WorkflowId) -> impl Iterator<Item = JobId> + '_ {
        let from = self.members.range(JobId(workflow.0)..);
        from.take_while(move |(_, member)| member.workflow == workflow).map(|(job, _)| *job)
    }

    /// `None`: nothing holds it back.
    pub fn gate(&self, job: JobId) -> Option<&Gate> {
        self.gates.get(&job)
    }

    /// How many of a job's tasks wait for others.
    pub fn blocked(&self, job: JobId, count: u32) -> u32 {
        self.gates.get(&job).map_or(0, |gate| gate.blocked(count))
    }

    pub fn gates(&self) -> impl Iterator<Item = (JobId, &Gate)> {
        self.gates.iter().map(|(job, gate)| (*job, gate))
    }

    /// A task of a live job waits for other jobs.
    pub fn is_blocked(&self, task: TaskId) -> bool {
        self.gates.get(&task.job).is_some_and(|gate| gate.holds_back(task.index))
    }

    /// Who waits for it.
    pub fn dependents(&self, job: JobId) -> impl Iterator<Item = JobId> + '_ {
        self.dependents.range((job, JobId(0))..).take_while(move |(of, _)| *of == job).map(|(_, child)| *child)
    }

    pub fn dependents_len(&self) -> usize {
        self.dependents.len()
    }

    pub(crate) fn join(&mut self, job: JobId, workflow: WorkflowId) {
        self.members.insert(job, Member { workflow, released_ms: 0, unmet: None });
    }

    pub(crate) fn member_mut(&mut self, job: JobId) -> Option<&mut Member> {
        self.members.get_mut(&job)
    }

    /// It has ended.
    pub(crate) fn leave(&mut self, job: JobId) -> Option<Member> {
        self.members.remove(&job)
    }

    pub(crate) fn hold(&mut self, job: JobId, waits_for: JobId, hold: Hold) {
        self.gates.entry(job).or_default().holds.insert(waits_for, hold);
        self.dependents.insert((waits_for, job));
    }

    /// One hold less; the gate stays.
    pub(crate) fn take_hold(&mut self, job: JobId, waits_for: JobId) -> Option<Hold> {
        self.dependents.remove(&(waits_for, job));
        self.gates.get_mut(&job)?.holds.remove(&waits_for)
    }

    pub(crate) fn gate_mut(&mut self, job: JobId) -> Option<&mut Gate> {
        self.gates.get_mut(&job)
    }

    /// Its tasks leave one by one.
    pub(crate) fn settle_one_by_one(&mut self, job: JobId, settled: Bits) {
        self.gates.entry(job).or_default().settled = Some(settled);
    }

    /// Nothing of it waits any more.
    pub(crate) fn open(&mut self, job: JobId) -> Option<Gate> {
        let gate = self.gates.remove(&job)?;
        for waits_for in gate.holds.keys() {
            self.dependents.remove(&(*waits_for, job));
        }
        Some(gate)
    }

    /// A live job's row, with what is known here.
    pub(crate) fn complete(&self, job: JobId, row: JobRow) -> JobRow {
        match self.members.get(&job) {
            Some(member) => member.complete(row),
            None => row,
        }
    }
}

impl Member {
    pub(crate) fn complete(&self, row: JobRow) -> JobRow {
        JobRow { workflow: self.workflow.0, released_ms: self.released_ms, unmet: self.unmet, ..row }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Hold = Hold { on: Condition::Success, met: None };

    #[test]
    fn a_gate_holds_everything_until_its_last_hold_is_gone() {
        let mut w = Workflows::default();
        w.hold(JobId(3), JobId(1), WHOLE);
        w.hold(JobId(3), JobId(2), WHOLE);
        assert!(w.is_blocked(TaskId { job: JobId(3), index: 7 }) && !w.is_blocked(TaskId { job: JobId(1), index: 0 }));
        assert_eq!((w.dependents(JobId(1)).collect::<Vec<_>>(), w.gates[&JobId(3)].blocked(9)), (vec![JobId(3)], 9));
        assert_eq!(w.take_hold(JobId(3), JobId(1)), Some(WHOLE));
        assert_eq!((w.dependents(JobId(1)).count(), w.dependents_len()), (0, 1));
        w.open(JobId(3));
        assert_eq!(w, Workflows::default());
    }

    #[test]
    fn index_by_index_a_task_waits_for_all_of_its_own() {
        let mut w = Workflows::default();
        let each = || Hold { on: Condition::Success, met: Some(Bits::new(4)) };
        w.hold(JobId(3), JobId(1), each());
        w.hold(JobId(3), JobId(2), each());
        w.settle_one_by_one(JobId(3), Bits::new(4));
        let gate = w.gate_mut(JobId(3)).expect("it is held");
        gate.holds.get_mut(&JobId(1)).and_then(|h| h.met.as_mut()).map(|m| m.set(2));
        assert!(!gate.is_open_for(2));
        gate.holds.get_mut(&JobId(2)).and_then(|h| h.met.as_mut()).map(|m| m.set(2));
        assert!(gate.is_open_for(2) && !gate.is_open_for(1));
        gate.settled.as_mut().map(|s| s.set(2));
        assert_eq!((gate.blocked(4), gate.holds_back(2), gate.holds_back(1)), (3, false, true));
        let hold = gate.holds[&JobId(1)].clone();
        assert_eq!(Hold::from_row(&hold.row()), Some(hold));
        assert_eq!(Hold::from_row(&HoldRow { on: 9, ..HoldRow::default() }), None);
    }

    #[test]
    fn live_jobs_of_a_workflow_follow_each_other() {
        let mut w = Workflows::default();
        for (job, workflow) in [(1, 1), (2, 1), (3, 1), (4, 4)] {
            w.join(JobId(job), WorkflowId(workflow));
        }
        w.leave(JobId(2));
        assert_eq!(w.live_jobs(WorkflowId(1)).collect::<Vec<_>>(), [JobId(1), JobId(3)]);
        assert_eq!(w.live_jobs(WorkflowId(4)).count() + w.live_jobs(WorkflowId(9)).count(), 1);
    }
}
