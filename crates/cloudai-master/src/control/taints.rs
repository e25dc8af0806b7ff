//! Calls about taints of workers. Comes in: requests whose caller is admitted. Goes out: a command for each; what ran there is never asked about.

use cloudai_core::Hot;
use cloudai_core::command::{Kind, PLACEMENT_SINCE, SetTaint};
use cloudai_proto::v1 as pb;
use cloudai_types::placement::{check_taint, taint_text};
use tonic::Status;

use super::errors;
use super::workers::{change, worker_is_known};
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn taint<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::TaintWorkerRequest,
) -> Result<pb::ChangeReply, Status> {
    let pb::TaintWorkerRequest { name, key, value } = request;
    check_taint(&key, &value).map_err(errors::invalid)?;
    require_taints(&node.shared.read().hot).map_err(|e| e.into_status())?;
    worker_is_known(node, &name).await?;
    let note =
        format!("only tasks that tolerate {} start there from now on; what runs goes on", taint_text(&key, &value));
    change(node, actor, Kind::SetTaint(SetTaint { name, key, value, tainted: true }), note).await
}

pub async fn untaint<S: StateStore>(
    node: &Node<S>,
    actor: &str,
    request: pb::UntaintWorkerRequest,
) -> Result<pb::ChangeReply, Status> {
    let pb::UntaintWorkerRequest { name, key } = request;
    check_taint(&key, "").map_err(errors::invalid)?;
    require_taints(&node.shared.read().hot).map_err(|e| e.into_status())?;
    worker_is_known(node, &name).await?;
    let had = |hot: &Hot| hot.worker_named(&name).is_some_and(|(_, worker)| worker.taints.contains_key(&key));
    let note = if had(&node.shared.read().hot) { key.clone() } else { format!("{key}, which it did not have") };
    let untaint = SetTaint { name, key, value: String::new(), tainted: false };
    change(node, actor, Kind::SetTaint(untaint), note).await
}

/// The command is of a newer format: masters of an older build would stop at it.
fn require_taints(hot: &Hot) -> Result<(), Box<pb::ErrorInfo>> {
    if hot.version >= PLACEMENT_SINCE {
        return Ok(());
    }
    let why = format!("it uses format {} of the log, and taints need {PLACEMENT_SINCE}", hot.version);
    let next = "upgrade every master: the newer format is then used by itself";
    Err(pb::ErrorInfo::new(pb::ErrorKind::Conflict, "the cluster has no taints yet").why(why).next(next).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_of_an_older_format_has_no_taints() {
        let hot = Hot { version: PLACEMENT_SINCE - 1, ..Hot::default() };
        let error = require_taints(&hot).expect_err("it is refused");
        assert!(error.why.contains("format 6") && error.why.contains("need 7"), "{error:?}");
        assert!(require_taints(&Hot { version: PLACEMENT_SINCE, ..hot }).is_ok());
    }
}
