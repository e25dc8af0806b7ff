//! What must always hold, one file each, with the numbers of docs/ARCHITECTURE.md, and more of the simulation's own. Comes in: every entry of
//! the log, once; every commit of every master, the whole cluster between two steps, its end. Goes out: the first violation. An invariant
//! looks; it changes nothing.

mod e1_one_leader;
mod f1_gates;
mod i01_total;
mod i02_forward;
mod i03_one_live;
mod i04_capacity;
mod i05_stale;
mod i06_requests;
mod i07_live_worker;
mod i08_digest;
mod i09_rebuild;
mod i10_limits;
mod i11_gangs;
mod l1_lease;
mod p1_rules;
mod p2_preemption;
mod q1_quotas;
mod s1_schedules;
mod w1_one_container;
mod w2_outside;
mod w3_lease;

use std::sync::{Arc, Mutex};

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;

use crate::coverage::{Counts, Coverage};
use crate::disk::SimLog;
use crate::engine::Engine;
use crate::history::{Entry, History};
use crate::master::SimNode;
use crate::network::{HostId, Net};
use crate::oracle::Oracle;
use crate::rows::{Commit, SimRows};
use crate::worker::Belief;

/// The whole cluster at one moment, between two steps.
pub struct View<'a> {
    pub now_ms: u64,
    pub masters: &'a [MasterView],
    pub workers: &'a [WorkerView],
    pub oracle: &'a Oracle,
    pub net: &'a Net,
}

pub struct MasterView {
    pub host: HostId,
    /// `None`: its process is down.
    pub node: Option<SimNode>,
    pub log: SimLog,
    pub rows: SimRows,
    /// Why its process ended on its own.
    pub ended: Option<String>,
}

pub struct WorkerView {
    pub name: String,
    pub capacity: cloudai_types::Resources,
    pub engine: Engine,
    pub belief: Arc<Mutex<Belief>>,
    /// The agent's process has been up, and was not paused, since then.
    pub acting_since_ms: Option<u64>,
}

impl WorkerView {
    pub fn belief(&self) -> Belief {
        self.belief.lock().expect("no panic under it").clone()
    }

    /// Up and not paused for long enough to have done what was due.
    pub fn acts_for(&self, now_ms: u64, at_least_ms: u64) -> bool {
        self.acting_since_ms.is_some_and(|since| now_ms >= since + at_least_ms)
    }
}

impl View<'_> {
    /// The master that has applied most.
    pub fn furthest(&self) -> Option<&SimNode> {
        self.masters.iter().filter_map(|m| m.node.as_ref()).max_by_key(|n| n.shared.read().index)
    }
}

pub type Verdict = Result<(), String>;

/// One invariant. The hooks that it does not need it leaves alone.
pub trait Invariant: Send {
    /// Its number in the list.
    fn name(&self) -> &'static str;

    /// An entry of the log was applied, by somebody and for the first time.
    fn on_entry(&mut self, _: &Entry) -> Verdict {
        Ok(())
    }

    /// A master has committed; `is_first`: none had come this far before.
    fn on_commit(&mut self, _: &Commit, _is_first: bool, _: &View) -> Verdict {
        Ok(())
    }

    /// After each step.
    fn on_step(&mut self, _: &View) -> Verdict {
        Ok(())
    }

    /// Now and then, for each running master: its whole state, and what the core's own check says of it.
    fn on_state(&mut self, _: &MasterView, _: &Hot, _: &[CoreFault]) -> Verdict {
        Ok(())
    }

    /// When everything has come to rest.
    fn at_end(&mut self, _: &View) -> Verdict {
        Ok(())
    }
}

/// The first thing that was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub invariant: String,
    pub what: String,
}

/// All of them.
pub struct Checks {
    all: Vec<Box<dyn Invariant>>,
    furthest_index: u64,
    history: History,
    coverage: Coverage,
}

impl Default for Checks {
    fn default() -> Self {
        let all: Vec<Box<dyn Invariant>> = vec![
            Box::<e1_one_leader::OneLeader>::default(),
            Box::<i01_total::Total>::default(),
            Box::<i02_forward::Forward>::default(),
            Box::<i03_one_live::OneLive>::default(),
            Box::<i04_capacity::Capacity>::default(),
            Box::<i05_stale::Stale>::default(),
            Box::<i06_requests::Requests>::default(),
            Box::<i07_live_worker::LiveWorker>::default(),
            Box::<i08_digest::Digest>::default(),
            Box::<i09_rebuild::Rebuild>::default(),
            Box::<i10_limits::Limits>::default(),
            Box::<i11_gangs::Gangs>::default(),
            Box::<l1_lease::Lease>::default(),
            Box::<f1_gates::Gates>::default(),
            Box::<q1_quotas::Quotas>::default(),
            Box::<p1_rules::Placements>::default(),
            Box::<p2_preemption::Preemption>::default(),
            Box::<s1_schedules::Schedules>::default(),
            Box::<w1_one_container::OneContainer>::default(),
            Box::<w2_outside::Outside>::default(),
            Box::<w3_lease::StopsInTime>::default(),
        ];
        Checks { all, furthest_index: 0, history: History::default(), coverage: Coverage::default() }
    }
}

impl Checks {
    fn ask(&mut self, mut question: impl FnMut(&mut dyn Invariant) -> Verdict) -> Result<(), Violation> {
        for invariant in &mut self.all {
            question(invariant.as_mut()).map_err(|what| Violation { invariant: invariant.name().to_owned(), what })?;
        }
        Ok(())
    }

    pub fn on_commits(&mut self, commits: &[Commit], view: &View) -> Result<(), Violation> {
        for commit in commits {
            let is_first = commit.index > self.furthest_index;
            self.furthest_index = self.furthest_index.max(commit.index);
            self.ask(|i| i.on_commit(commit, is_first, view))?;
            // A state that goes further than any before it may have begun further back: its new entries are the ones that nobody has told.
            if is_first {
                self.on_entries(commit)?;
            }
        }
        Ok(())
    }

    fn on_entries(&mut self, commit: &Commit) -> Result<(), Violation> {
        let entries = self.history.new_entries(commit);
        for entry in entries.map_err(|what| Violation { invariant: "I9".into(), what })? {
            self.ask(|i| i.on_entry(&entry))?;
            self.coverage.on_entry(&entry);
        }
        Ok(())
    }

    /// What has happened so far.
    pub fn seen(&self) -> &Counts {
        &self.coverage.counts
    }

    pub fn on_step(&mut self, view: &View) -> Result<(), Violation> {
        self.ask(|i| i.on_step(view))
    }

    pub fn on_states(&mut self, view: &View) -> Result<(), Violation> {
        for master in view.masters {
            let Some(node) = &master.node else { continue };
            let state = node.shared.read();
            let faults = cloudai_core::invariants::check(&state.hot);
            self.coverage.on_state(&state.hot);
            self.ask(|i| i.on_state(master, &state.hot, &faults))?;
            if let Some(fault) = faults.first() {
                return Err(Violation {
                    invariant: fault.invariant.to_owned(),
                    what: format!("m{}: {fault}", master.host),
                });
            }
        }
        Ok(())
    }

    pub fn at_end(&mut self, view: &View) -> Result<(), Violation> {
        self.ask(|i| i.at_end(view))
    }
}

/// The core's own check, for one number.
fn core_says(name: &str, master: &MasterView, faults: &[CoreFault]) -> Verdict {
    match faults.iter().find(|f| f.invariant == name) {
        Some(fault) => Err(format!("m{}: {}", master.host, fault.what)),
        None => Ok(()),
    }
}

/// For the tests of those that look at entries: rows as `apply` writes them.
#[cfg(test)]
mod told {
    use cloudai_core::command::AttemptState;
    use cloudai_core::rows::{AttemptRow, Family, JobSpecRow, Write, job_key, task_key};
    use cloudai_types::{JobId, JobSpec, NamespaceId, Resources, TaskId};
    use prost::Message;

    use super::{Invariant, Verdict};
    use crate::history::Entry;

    /// Where everything is.
    pub const NS: NamespaceId = NamespaceId(1);

    pub fn put(family: Family, key: &[u8], row: &impl Message) -> Write {
        Write { family, key: key.to_vec(), value: Some(row.encode_to_vec()) }
    }

    pub fn task(job: u64, index: u32) -> TaskId {
        TaskId { job: JobId(job), index }
    }

    /// A job of tasks that ask for a quarter of a CPU.
    pub fn job(id: u64, spec: JobSpec) -> Write {
        let resources = Resources { cpu_milli: 250, ..Resources::default() };
        let row = JobSpecRow { spec: JobSpec { resources, ..spec }, ..JobSpecRow::default() };
        put(Family::JobSpec, &job_key(NS, JobId(id)), &row)
    }

    /// A live attempt.
    pub fn attempt(task: TaskId, number: u32, worker: u32) -> Write {
        let row = AttemptRow { number, worker, state: AttemptState::Assigned as i32, ..AttemptRow::default() };
        put(Family::Attempt, &task_key(NS, task), &row)
    }

    /// It has ended.
    pub fn ended(task: TaskId) -> Write {
        Write { family: Family::Attempt, key: task_key(NS, task).to_vec(), value: None }
    }

    /// What an invariant says of entries, one after the other.
    pub fn judge(invariant: &mut impl Invariant, entries: &[Vec<Write>]) -> Vec<Verdict> {
        entries.iter().map(|writes| invariant.on_entry(&Entry::of(writes))).collect()
    }

    /// All but the last are in order.
    pub fn only_the_last_is_wrong(invariant: &mut impl Invariant, entries: &[Vec<Write>], why: &str) {
        let verdicts = judge(invariant, entries);
        let (last, before) = verdicts.split_last().expect("there are entries");
        assert!(before.iter().all(Result::is_ok), "{before:?}");
        assert!(last.as_ref().is_err_and(|what| what.contains(why)), "'{why}' was expected, and not {last:?}");
    }
}
