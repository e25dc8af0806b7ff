//! I8: two masters at the same applied index have the same state digest, now and at any time before; at the end, the same rows.

use std::collections::BTreeMap;

use cloudai_core::rows::{ClusterRow, Family};
use prost::Message;

use super::{Invariant, Verdict, View};
use crate::network::HostId;
use crate::rows::Commit;

#[derive(Default)]
pub struct Digest {
    at: BTreeMap<u64, (u64, HostId)>,
}

impl Invariant for Digest {
    fn name(&self) -> &'static str {
        "I8"
    }

    fn on_commit(&mut self, commit: &Commit, _: bool, _: &View) -> Verdict {
        let Some(write) = commit.writes.iter().rfind(|w| w.family == Family::Cluster) else { return Ok(()) };
        let value = write.value.as_deref().unwrap_or_default();
        let row = ClusterRow::decode(value).map_err(|e| format!("the cluster's row does not decode: {e}"))?;
        let (digest, first) = *self.at.entry(commit.index).or_insert((row.digest, commit.master));
        if digest == row.digest {
            return Ok(());
        }
        let (index, now) = (commit.index, row.digest);
        Err(format!("at index {index}: m{first} had {digest:016x}, m{} has {now:016x}", commit.master))
    }

    fn at_end(&mut self, view: &View) -> Verdict {
        let mut running = view.masters.iter().filter(|m| m.node.is_some());
        let Some(first) = running.next() else { return Ok(()) };
        let rows = first.rows.rows();
        for other in running {
            let theirs = other.rows.rows();
            let odd = rows.rows.iter().zip(&theirs.rows).find(|(a, b)| a != b).map(|(a, _)| a.0.clone());
            if rows.rows.len() != theirs.rows.len() || odd.is_some() {
                return Err(format!("the rows of m{} and m{} differ, first at {odd:?}", first.host, other.host));
            }
        }
        Ok(())
    }
}
