//! Who is behind a Raft frame. Comes in: a frame's header, this node's own identity, and what the replicated state knows of the
//! masters' disks. Goes out: "go on" or a reason to refuse. Pure: opens no connection.
//!
//! A node id stands for one disk for ever. A wiped or copied disk has another disk id, so it can neither vote nor receive
//! entries in the old node's name.

use cloudai_types::NodeId;

/// What this master says of itself in every header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    pub cluster: String,
    pub node: NodeId,
    pub disk: String,
}

/// A frame's header, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub cluster: String,
    pub from: NodeId,
    pub from_disk: String,
    pub to: NodeId,
    /// Empty: the sender does not know.
    pub to_disk: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    #[error("the frame is of cluster '{theirs}', this master belongs to '{ours}'")]
    OtherCluster { theirs: String, ours: String },
    #[error("the frame is for node {wanted}, this master is node {me}: an address changed hands")]
    OtherNode { wanted: NodeId, me: NodeId },
    /// Others know this node id with another disk: this data directory was wiped or copied.
    #[error("node {me} is known with disk {known}, this data directory is {mine}: it was wiped or copied")]
    MyDiskIsAnother { me: NodeId, known: String, mine: String },
    #[error(
        "node {from} comes with disk {theirs}, but that id belongs to disk {known}: its directory was wiped or copied, and an id is never reused"
    )]
    TheirDiskIsAnother { from: NodeId, theirs: String, known: String },
    #[error("node {from} was removed from the cluster, and an id is never reused")]
    Removed { from: NodeId },
    #[error("the frame has no header")]
    NoHeader,
}

/// What the replicated state says of a node id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownMaster {
    pub disk: String,
    pub removed: bool,
}

/// Checks one header. `known`: the sender's record, if it has registered.
pub fn check(me: &Me, header: &Header, known: Option<&KnownMaster>) -> Result<(), PeerRefusal> {
    if header.cluster != me.cluster {
        return Err(PeerRefusal::OtherCluster { theirs: header.cluster.clone(), ours: me.cluster.clone() });
    }
    if header.to != me.node {
        return Err(PeerRefusal::OtherNode { wanted: header.to, me: me.node });
    }
    if !header.to_disk.is_empty() && header.to_disk != me.disk {
        let known = header.to_disk.clone();
        return Err(PeerRefusal::MyDiskIsAnother { me: me.node, known, mine: me.disk.clone() });
    }
    match known {
        Some(k) if k.removed => Err(PeerRefusal::Removed { from: header.from }),
        Some(k) if k.disk != header.from_disk => Err(PeerRefusal::TheirDiskIsAnother {
            from: header.from,
            theirs: header.from_disk.clone(),
            known: k.disk.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Me {
        Me { cluster: "c".into(), node: 1, disk: "d1".into() }
    }
    fn header() -> Header {
        Header { cluster: "c".into(), from: 2, from_disk: "d2".into(), to: 1, to_disk: "d1".into() }
    }
    fn known(disk: &str, removed: bool) -> KnownMaster {
        KnownMaster { disk: disk.into(), removed }
    }

    #[test]
    fn a_known_peer_passes_and_so_does_one_that_never_registered() {
        assert_eq!(check(&me(), &header(), Some(&known("d2", false))), Ok(()));
        assert_eq!(check(&me(), &Header { to_disk: String::new(), ..header() }, None), Ok(()));
    }

    #[test]
    fn every_mismatch_has_its_own_refusal() {
        let refused = |h: Header, k: Option<KnownMaster>| check(&me(), &h, k.as_ref()).expect_err("refused");
        assert!(matches!(refused(Header { cluster: "x".into(), ..header() }, None), PeerRefusal::OtherCluster { .. }));
        assert!(matches!(refused(Header { to: 3, ..header() }, None), PeerRefusal::OtherNode { .. }));
        assert!(matches!(
            refused(Header { to_disk: "d9".into(), ..header() }, None),
            PeerRefusal::MyDiskIsAnother { .. }
        ));
        assert!(matches!(refused(header(), Some(known("d9", false))), PeerRefusal::TheirDiskIsAnother { .. }));
        assert!(matches!(refused(header(), Some(known("d2", true))), PeerRefusal::Removed { from: 2 }));
    }
}
