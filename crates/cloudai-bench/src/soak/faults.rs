//! Faults now and then, in turn: a planned hand-over, the restart of one worker, the kill of a leader. Comes in: the cluster and the time
//! between two. Goes out: how many of each were made. The killed leader is always the same master: the leadership is handed to it
//! first, so that the others live through the whole run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context as _;
use cloudai_client::Client;
use cloudai_proto::v1::{ClusterStatusRequest, TransferLeaderRequest};
use tokio::sync::watch;

use crate::cluster::Cluster;

const MASTER: &str = "master-3";
const WORKER: &str = "worker-1";
/// A killed master stays away for this long.
const DOWN: Duration = Duration::from_secs(3);
/// A hand-over whose target is behind at the moment is refused; it is asked again.
const HAND_OVER_TRIES: usize = 20;

/// How many of each were made.
pub type Done = Mutex<BTreeMap<&'static str, u64>>;

/// Until `stopped` says so; a fault that has begun is finished first. An error: one could not be made.
pub async fn run(
    cluster: &Cluster,
    client: &Client,
    every: Duration,
    done: &Done,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    for number in 0u64.. {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
        let name = match number % 4 {
            0 | 2 => {
                hand_over(client, "").await?;
                "hand_over"
            }
            1 => {
                cluster.dev(&["kill", WORKER]).await?;
                cluster.dev(&["start", WORKER]).await?;
                "worker_restart"
            }
            _ => {
                hand_over(client, MASTER).await?;
                cluster.dev(&["kill", MASTER]).await?;
                tokio::time::sleep(DOWN).await;
                cluster.dev(&["start", MASTER]).await?;
                "leader_kill"
            }
        };
        *done.lock().expect("nobody panics with it").entry(name).or_default() += 1;
    }
    Ok(())
}

/// To this master, or to whoever is most up to date.
async fn hand_over(client: &Client, to: &str) -> anyhow::Result<()> {
    let mut last = String::new();
    for _try in 0..HAND_OVER_TRIES {
        let leader = client.cluster_status(ClusterStatusRequest::default()).await.map(|s| s.leader).unwrap_or_default();
        if !to.is_empty() && leader == to {
            return Ok(());
        }
        match client.transfer_leader(TransferLeaderRequest { to: to.to_owned() }).await {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(anyhow::anyhow!(last)).with_context(|| format!("the leadership could not be handed to {to:?}"))
}
