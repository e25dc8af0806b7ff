//! The entries of the log as they were applied, each once and in order, whoever applied it first. Comes in: commits. Goes out: the rows that each
//! entry has changed. A state that a power cut set back applies old entries again: their digest is known, and they are passed over. Knows no
//! row's meaning, but for the cluster's own.

use std::collections::BTreeSet;

use cloudai_core::rows::{ClusterRow, Family, TaskRow, Write, task_of_key};
use cloudai_types::{NamespaceId, TaskId};
use prost::Message;

use crate::rows::Commit;

/// What one entry has changed. Of many entries in one commit the oldest may be told as one: then a row that changed twice shows its last value.
pub struct Entry<'a> {
    /// Replicated time.
    pub clock_ms: u64,
    /// In order of family and key.
    writes: &'a [Write],
}

#[derive(Default)]
pub struct History {
    /// Digests of the entries that were told. Each is chained to all before it, so none comes twice.
    told: BTreeSet<u64>,
}

impl History {
    /// Those of a commit that nobody has applied before.
    pub fn new_entries<'a>(&mut self, commit: &'a Commit) -> Result<Vec<Entry<'a>>, String> {
        let writes = commit.writes.as_slice();
        // The cluster's row is in every entry, and comes first.
        let begins: Vec<usize> = (0..writes.len()).filter(|at| writes[*at].family == Family::Cluster).collect();
        let ends = begins.iter().skip(1).copied().chain([writes.len()]);
        let mut entries = vec![];
        for (begin, end) in begins.iter().copied().zip(ends) {
            let value = writes[begin].value.as_deref().unwrap_or_default();
            let row = ClusterRow::decode(value).map_err(|e| format!("the cluster's row does not decode: {e}"))?;
            if self.told.insert(row.digest) {
                entries.push(Entry { clock_ms: row.clock_ms, writes: &writes[begin..end] });
            }
        }
        Ok(entries)
    }
}

impl<'a> Entry<'a> {
    #[cfg(test)]
    pub fn of(writes: &'a [Write]) -> Self {
        Entry { clock_ms: 0, writes }
    }

    /// The rows of one family that it has changed, in order of their keys; `None`: deleted. A row that does not decode is empty: I9 loads them all.
    pub fn rows<M: Message + Default>(&self, family: Family) -> impl Iterator<Item = (&'a [u8], Option<M>)> {
        let of = self.writes.iter().filter(move |write| write.family == family);
        of.map(|write| (write.key.as_slice(), write.value.as_deref().map(|value| M::decode(value).unwrap_or_default())))
    }

    /// The same of a family whose rows are of tasks.
    pub fn task_rows<M: Message + Default>(
        &self,
        family: Family,
    ) -> impl Iterator<Item = (NamespaceId, TaskId, Option<M>)> {
        self.rows(family).filter_map(|(key, row)| task_of_key(key).map(|(ns, task)| (ns, task, row)))
    }

    /// The same of a family whose keys begin with namespace and job.
    pub fn job_rows<M: Message + Default>(&self, family: Family) -> impl Iterator<Item = (NamespaceId, u64, M)> {
        self.rows(family).filter_map(|(key, row)| {
            let (ns, job) = (key.first_chunk::<4>()?, key.get(4..12)?.first_chunk::<8>()?);
            Some((NamespaceId(u32::from_be_bytes(*ns)), u64::from_be_bytes(*job), row?))
        })
    }

    /// Tasks whose record of ended attempts has changed.
    pub fn tasks(&self) -> impl Iterator<Item = (NamespaceId, TaskId, TaskRow)> {
        self.task_rows(Family::Task).filter_map(|(ns, task, row)| Some((ns, task, row?)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn commit(digests: &[u64]) -> Commit {
        let cluster = |digest: &u64| Write {
            family: Family::Cluster,
            key: vec![],
            value: Some(ClusterRow { digest: *digest, clock_ms: digest * 10, ..ClusterRow::default() }.encode_to_vec()),
        };
        let job = || Write { family: Family::Job, key: vec![0; 12], value: Some(vec![]) };
        let writes = digests.iter().flat_map(|digest| [cluster(digest), job()]).collect();
        Commit { master: 1, index: digests.last().copied().unwrap_or(0), writes: Arc::new(writes) }
    }

    #[test]
    fn each_entry_is_told_once_also_where_a_commit_begins_with_old_ones() {
        let mut history = History::default();
        let mut told = |digests: &[u64]| {
            let commit = commit(digests);
            let entries = history.new_entries(&commit).expect("they decode");
            entries.iter().map(|e| (e.clock_ms, e.writes.len())).collect::<Vec<_>>()
        };
        assert_eq!(told(&[1, 2]), [(10, 2), (20, 2)]);
        assert_eq!(told(&[1]), [], "another master");
        assert_eq!(told(&[2, 3]), [(30, 2)], "a state that was set back");
    }
}
