//! Certificates for members. Comes in: a one-time token or a valid certificate, and a certificate request. Goes out: a certificate.
//! A redemption is committed before its certificate leaves, and may be repeated with the same key only. The CA's key is a file on
//! each master, outside Raft; so are the keys that seal secrets, and a master that joins gets both.

use cloudai_core::command::{Kind, MemberRole, RedeemToken};
use cloudai_core::{Command, Reply};
use cloudai_net::token::hash_secret;
use cloudai_net::{CertRequest, CertificateAuthority, Identity, Role};
use cloudai_proto::v1 as pb;
use cloudai_types::{Timestamp, limits};
use tonic::Status;
use zeroize::Zeroizing;

use crate::control::errors;
use crate::node::Node;
use crate::secret_keys;
use crate::state_store::StateStore;

pub async fn join<S: StateStore>(node: &Node<S>, request: pb::JoinRequest) -> Result<pb::JoinReply, Status> {
    let csr = CertRequest::parse(&request.csr_pem).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let (role, member) = match request.role() {
        pb::join_request::Role::Worker => (Role::Worker, MemberRole::Worker),
        pb::join_request::Role::Master => (Role::Master, MemberRole::Master),
    };
    let ca = authority(node)?;
    let secrets_keys = if role == Role::Master { secrets_keys(node)? } else { Zeroizing::default() };
    let redeem = RedeemToken {
        role: member as i32,
        name: request.name.clone(),
        secret_hash: hash_secret(&request.secret).to_vec(),
        key_hash: csr.key_digest().to_vec(),
    };
    let actor = format!("joining {role}/{}", request.name);
    let reply = match node.proposer.propose(Command::new(actor, Kind::RedeemToken(redeem))).await {
        Ok((_, Reply::Refused(refusal))) => {
            tracing::warn!(name = request.name, %role, %refusal, "a join was refused");
            return Err(errors::refused(&refusal));
        }
        Ok((_, reply)) => reply,
        Err(error) => return Err(errors::write(&error)),
    };
    let hosts = if role == Role::Master { request.hosts.as_slice() } else { &[] };
    let issued = ca
        .issue(&csr, role, &request.name, hosts, limits::LEAF_VALIDITY, Timestamp(node.now_ms()))
        .map_err(|e| Status::invalid_argument(e.to_string()))?;
    tracing::info!(name = request.name, %role, serial = %issued.identity.serial, "a member joined");
    let node_id = match reply {
        Reply::TokenRedeemed { node, .. } => node.unwrap_or_default(),
        _ => 0,
    };
    let masters = node.raft.members().by_id.into_values().map(|m| pb::MasterAddress {
        node_id: m.id,
        name: m.node.name,
        grpc: m.node.grpc_addr,
        raft: m.node.raft_addr,
        http: m.node.http_addr,
    });
    Ok(pb::JoinReply {
        cert_pem: issued.chain_pem,
        ca_pem: bundle(node)?,
        cluster_id: node.me.cluster.clone(),
        node_id,
        ca_key_pem: if role == Role::Master { ca.key_pem() } else { String::new() },
        secrets_keys: secrets_keys.to_string(),
        masters: masters.collect(),
    })
}

/// The presented certificate is the permission; only its holder's own names are issued again.
pub fn renew<S: StateStore>(node: &Node<S>, who: &Identity, csr_pem: &str) -> Result<pb::RenewReply, Status> {
    let csr = CertRequest::parse(csr_pem).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let ca = authority(node)?;
    // A master's listener keeps its names: it asks for none that its own configuration did not name at joining.
    let issued = ca
        .issue(&csr, who.role, &who.name, &[], limits::LEAF_VALIDITY, Timestamp(node.now_ms()))
        .map_err(|e| Status::invalid_argument(e.to_string()))?;
    tracing::info!(who = %who, serial = %issued.identity.serial, "a certificate was renewed");
    Ok(pb::RenewReply { cert_pem: issued.chain_pem, ca_pem: bundle(node)? })
}

fn authority<S: StateStore>(node: &Node<S>) -> Result<CertificateAuthority, Status> {
    CertificateAuthority::load(&node.identity_dir).map_err(|error| {
        tracing::error!(%error, dir = %node.identity_dir.display(), "the CA cannot be loaded, so nobody can join through this master");
        Status::failed_precondition(
            "this master cannot issue certificates: its CA key is missing or damaged; copy ca-key.pem from another master",
        )
    })
}

/// Before the token is redeemed: a master that cannot open secrets must not join.
fn secrets_keys<S: StateStore>(node: &Node<S>) -> Result<Zeroizing<String>, Status> {
    let path = node.config.secrets_key();
    secret_keys::text(&path).map_err(|error| {
        tracing::error!(%error, path = %path.display(), "the keys that seal secrets cannot be read, so no master can join through this one");
        Status::failed_precondition(
            "this master cannot hand on the keys that seal secrets: the file is damaged or open to others; copy it from another master, with mode 0600",
        )
    })
}

fn bundle<S: StateStore>(node: &Node<S>) -> Result<String, Status> {
    std::fs::read_to_string(node.identity_dir.join(CertificateAuthority::BUNDLE_FILE))
        .map_err(|e| Status::internal(format!("the CA bundle cannot be read: {e}")))
}
