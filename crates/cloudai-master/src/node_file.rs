//! `node.json`: what makes a data directory one particular Raft node. Comes in: a directory. Goes out: the node's id, its
//! cluster and its disk id, a random number written once. An empty directory is a new disk: it can never speak for an old
//! node id, because the other masters remember which disk that id had.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use cloudai_types::NodeId;
use serde::{Deserialize, Serialize};

/// Raised when the layout of the data directory changes.
pub const FORMAT: u32 = 1;
const NAME: &str = "node.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    pub format: u32,
    pub cluster: String,
    pub node: NodeId,
    /// 32 hex digits.
    pub disk: String,
    /// True once this node was refused as wiped, copied or removed: it never starts again.
    #[serde(default)]
    pub quarantined: Option<String>,
    /// xxh3 of the other fields; none in files of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum NodeFileError {
    #[error("cannot {what} {path}: {source}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{path} is damaged ({source}); this disk cannot be trusted: join again under a new id with an empty data directory"
    )]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{path} is damaged (its checksum does not fit); this disk cannot be trusted: join again under a new id with an empty data directory"
    )]
    Altered { path: PathBuf },
    #[error("{path} has format {found}, this program knows up to {FORMAT}: use a newer program")]
    Newer { path: PathBuf, found: u32 },
    #[error(
        "{path} belongs to cluster {found}, the certificate to cluster {expected}: use the right data directory or identity"
    )]
    OtherCluster { path: PathBuf, found: String, expected: String },
    #[error(
        "this node was refused by its cluster: {reason}. Its id is never reused: empty {dir}, run `cloudai cluster add NAME` and join with the new token"
    )]
    Quarantined { dir: PathBuf, reason: String },
}

impl NodeFile {
    /// `None`: the directory has no node yet.
    pub fn load(dir: &Path, cluster: &str) -> Result<Option<NodeFile>, NodeFileError> {
        let path = dir.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(NodeFileError::Io { what: "read", path, source }),
        };
        let file: NodeFile =
            serde_json::from_slice(&text).map_err(|source| NodeFileError::Damaged { path: path.clone(), source })?;
        if file.sum.as_ref().is_some_and(|sum| *sum != file.checksum()) {
            return Err(NodeFileError::Altered { path });
        }
        if file.format > FORMAT {
            return Err(NodeFileError::Newer { path, found: file.format });
        }
        if file.cluster != cluster {
            return Err(NodeFileError::OtherCluster { path, found: file.cluster, expected: cluster.to_owned() });
        }
        match file.quarantined {
            Some(reason) => Err(NodeFileError::Quarantined { dir: dir.to_owned(), reason }),
            None => Ok(Some(file)),
        }
    }

    /// A node on a new disk; `disk_id` is random.
    pub fn create(dir: &Path, cluster: &str, node: NodeId, disk_id: u128) -> Result<NodeFile, NodeFileError> {
        let disk = format!("{disk_id:032x}");
        let file = NodeFile { format: FORMAT, cluster: cluster.to_owned(), node, disk, quarantined: None, sum: None };
        let file = file.summed();
        file.save(dir)?;
        Ok(file)
    }

    fn checksum(&self) -> String {
        let NodeFile { format, cluster, node, disk, quarantined, sum: _ } = self;
        let text = format!("{format}\n{cluster}\n{node}\n{disk}\n{quarantined:?}");
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
    }

    fn summed(self) -> NodeFile {
        NodeFile { sum: Some(self.checksum()), ..self }
    }

    /// Remember that this disk must not be used again.
    pub fn quarantine(&self, dir: &Path, reason: &str) -> Result<(), NodeFileError> {
        NodeFile { quarantined: Some(reason.to_owned()), ..self.clone() }.summed().save(dir)
    }

    /// Written beside, fsynced, renamed: never half a file.
    fn save(&self, dir: &Path) -> Result<(), NodeFileError> {
        let path = dir.join(NAME);
        let beside = dir.join("node.json.new");
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(self).expect("plain fields serialise"))?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)?;
            std::fs::File::open(dir)?.sync_all()
        };
        write().map_err(|source| NodeFileError::Io { what: "write", path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_one_node_of_one_cluster() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert_eq!(NodeFile::load(dir.path(), "c1").expect("empty"), None);
        let made = NodeFile::create(dir.path(), "c1", 2, 7).expect("created");
        assert_eq!(NodeFile::load(dir.path(), "c1").expect("there"), Some(made.clone()));
        assert!(matches!(NodeFile::load(dir.path(), "c2"), Err(NodeFileError::OtherCluster { .. })));
        made.quarantine(dir.path(), "wiped").expect("written");
        assert!(matches!(NodeFile::load(dir.path(), "c1"), Err(NodeFileError::Quarantined { .. })));
        let text = std::fs::read_to_string(dir.path().join(NAME)).expect("there");
        std::fs::write(dir.path().join(NAME), text.replace("\"node\": 2", "\"node\": 3")).expect("written");
        assert!(matches!(NodeFile::load(dir.path(), "c1"), Err(NodeFileError::Altered { .. })));
        let old = text
            .lines()
            .filter(|l| !l.contains("\"sum\""))
            .collect::<Vec<_>>()
            .join("\n")
            .replace("wiped\",", "wiped\"");
        std::fs::write(dir.path().join(NAME), old).expect("written");
        assert!(
            matches!(NodeFile::load(dir.path(), "c1"), Err(NodeFileError::Quarantined { .. })),
            "as before there were sums"
        );
        std::fs::write(dir.path().join(NAME), "{").expect("written");
        assert!(matches!(NodeFile::load(dir.path(), "c1"), Err(NodeFileError::Damaged { .. })));
    }
}
