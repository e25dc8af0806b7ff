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
        let file = NodeFile { format: FORMAT, cluster: cluster.to_owned(), node, disk, quarantined: None };
        file.save(dir)?;
        Ok(file)
    }

    /// Remember that this disk must not be used again.
    pub fn quarantine(&self, dir: &Path, reason: &str) -> Result<(), NodeFileError> {
        NodeFile { quarantined: Some(reason.to_owned()), ..self.clone() }.save(dir)
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
        std::fs::write(dir.path().join(NAME), "{").expect("written");
        assert!(matches!(NodeFile::load(dir.path(), "c1"), Err(NodeFileError::Damaged { .. })));
    }
}
