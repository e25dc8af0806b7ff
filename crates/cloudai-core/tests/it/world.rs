//! A master without a log: hot state, rows in memory, and the next log index. After every entry it checks what must always hold.

use cloudai_core::command::{Command, Kind, Proposal, VERSION};
use cloudai_core::memory::MemRows;
use cloudai_core::rows::{Family, JobNotesRow, JobRow, Rows, TaskRow, job_key, task_key};
use cloudai_core::{Applied, Hot, apply, invariants, load};
use cloudai_types::{JobId, NamespaceId, TaskId};
use prost::Message;

use crate::canonical::canonical;

#[derive(Clone, Default)]
pub struct World {
    pub hot: Hot,
    pub rows: MemRows,
    pub index: u64,
}

impl World {
    pub fn entry(&mut self, at_ms: u64, kinds: Vec<Kind>) -> Applied {
        self.entry_by("admin/test", at_ms, kinds)
    }

    pub fn entry_by(&mut self, actor: &str, at_ms: u64, kinds: Vec<Kind>) -> Applied {
        let commands: Vec<Command> = kinds.into_iter().map(|kind| Command::new(actor, kind)).collect();
        let replies = commands.len();
        let applied = self.proposal(Proposal { version: VERSION, at_ms, commands });
        assert_eq!(applied.replies.len(), replies, "one reply per command");
        applied
    }

    pub fn one(&mut self, at_ms: u64, kind: Kind) -> Applied {
        self.entry(at_ms, vec![kind])
    }

    pub fn proposal(&mut self, proposal: Proposal) -> Applied {
        self.index += 1;
        let applied = apply(&mut self.hot, &self.rows, self.index, proposal).expect("a known command");
        self.rows.write(applied.writes.clone());
        applied
    }

    /// I3, I4, I7 and the indexes; then I9: what the rows say is what is in memory.
    pub fn check(&self) {
        let faults = invariants::check(&self.hot);
        assert!(faults.is_empty(), "after entry {}: {faults:#?}", self.index);
        let faults = invariants::check_notes(&self.rows);
        assert!(faults.is_empty(), "after entry {}: {faults:#?}", self.index);
        let loaded = load::load(&self.rows).expect("rows that apply wrote load");
        assert_eq!(canonical(&loaded), canonical(&self.hot), "I9 after entry {}", self.index);
    }

    pub fn job_notes(&self, ns: NamespaceId, job: JobId) -> Option<JobNotesRow> {
        self.row(Family::JobNotes, &job_key(ns, job))
    }

    pub fn row<M: Message + Default>(&self, family: Family, key: &[u8]) -> Option<M> {
        Some(M::decode(self.rows.get(family, key)?.as_slice()).expect("rows that apply wrote decode"))
    }

    pub fn task_row(&self, ns: NamespaceId, task: TaskId) -> Option<TaskRow> {
        self.row(Family::Task, &task_key(ns, task))
    }

    pub fn job_row(&self, ns: NamespaceId, job: JobId) -> Option<JobRow> {
        self.row(Family::Job, &job_key(ns, job))
    }
}
