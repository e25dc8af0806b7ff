//! What `cluster doctor` looks at. Comes in: questions whose caller is admitted. Goes out: how this very master is, and what workers have said
//! of themselves. What is right and what is not, is judged by whoever asked.

use cloudai_core::command::VERSION;
use cloudai_net::CertificateAuthority;
use cloudai_proto::v1 as pb;
use cloudai_telemetry::disk_of;
use tonic::Status;

use super::errors;
use crate::node::Node;
use crate::state_store::StateStore;

pub async fn master<S: StateStore>(node: &Node<S>) -> Result<pb::CheckMasterReply, Status> {
    let (data_dir, identity_dir) = (node.config.data_dir.clone(), node.identity_dir.clone());
    let of_disk = move || (disk_of(&data_dir).unwrap_or_default(), CertificateAuthority::load(&identity_dir).is_ok());
    let looked = tokio::task::spawn_blocking(of_disk).await;
    let (disk, has_ca_key) = looked.map_err(|e| errors::internal(&std::io::Error::other(e)))?;
    let leadership = node.raft.leadership().borrow().clone();
    let fsyncs = node.metrics.fsync_seconds.get_sample_count();
    let fsync_us = node.metrics.fsync_seconds.get_sample_sum() * 1e6;
    let state = node.shared.read();
    Ok(pb::CheckMasterReply {
        name: node.config.name.clone(),
        node_id: node.me.node,
        condition: Some(pb::MachineCondition {
            now_ms: node.now_ms(),
            software: env!("CARGO_PKG_VERSION").to_owned(),
            certificate_end_ms: (node.surroundings.certificate_end)().0,
            disk_free_bytes: disk.free,
            disk_bytes: disk.total,
            engine_trouble: String::new(),
        }),
        version_max: VERSION,
        leader_id: leadership.leader.map_or(0, |leader| leader.id),
        term: leadership.term,
        applied_index: state.index,
        fsyncs,
        fsync_mean_us: if fsyncs == 0 { 0 } else { (fsync_us / fsyncs as f64) as u64 },
        has_state: !state.hot.cluster.is_empty(),
        has_ca_key,
    })
}

pub fn workers<S: StateStore>(node: &Node<S>) -> pb::CheckWorkersReply {
    let state = node.shared.read();
    let workers = state.hot.workers.iter().map(|(id, worker)| {
        let told = node.conditions.of(*id);
        pb::WorkerCheck {
            name: worker.name.clone(),
            state: worker.state as i32,
            draining: worker.draining,
            told_ms_ago: told.as_ref().map_or(0, |told| told.at.elapsed().as_millis() as u64),
            clock_ahead_ms: told.as_ref().map_or(0, |told| told.clock_ahead_ms),
            condition: told.map(|told| told.condition),
        }
    });
    pb::CheckWorkersReply { workers: workers.collect() }
}
