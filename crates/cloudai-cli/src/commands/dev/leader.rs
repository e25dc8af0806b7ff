//! Who leads, as the masters themselves say now. Each live one is asked alone for what it knows; the one that says "I lead" in the highest
//! term is believed.

use std::path::Path;
use std::time::Duration;

use cloudai_client::{Client, ClientOptions};
use cloudai_proto::v1::{ClusterStatusReply, ClusterStatusRequest, Consistency};

use crate::commands::dev::child::{Child, Kind};
use crate::exit::Failure;

/// One master's own time to answer.
const ANSWER: Duration = Duration::from_millis(1500);

pub fn admin_dir(root: &Path) -> std::path::PathBuf {
    root.join("admin")
}

/// A client of the whole cluster.
pub fn client(root: &Path, children: &[Child], retry_for: Duration) -> Result<Client, Failure> {
    let addresses = children.iter().filter_map(|c| c.grpc.clone()).collect();
    Ok(Client::open(&ClientOptions { retry_for, ..ClientOptions::new(addresses, admin_dir(root)) })?)
}

/// The name of the leader, when one says so.
pub async fn leader(root: &Path, children: &[Child]) -> Option<String> {
    let masters = children.iter().filter(|c| c.role == Kind::Master && c.pid().is_some());
    let asked = masters.map(|m| async move {
        let one = client(root, std::slice::from_ref(m), ANSWER).ok()?;
        let request = ClusterStatusRequest { consistency: Consistency::Stale as i32 };
        let reply: ClusterStatusReply = tokio::time::timeout(ANSWER, one.cluster_status(request)).await.ok()?.ok()?;
        reply.read.as_ref().is_some_and(|r| r.leader).then(|| (reply.term, m.name.clone()))
    });
    futures::future::join_all(asked).await.into_iter().flatten().max().map(|(_, name)| name)
}
