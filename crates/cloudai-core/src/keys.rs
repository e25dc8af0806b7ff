//! Keys of rows. Comes in: ids and names. Goes out: bytes, in which numbers are big-endian so that a scan is in order, and every job's key
//! begins with its namespace. What the rows hold is not known here.

use cloudai_types::{JobId, NamespaceId, NodeId, SecretKind, TaskId, WorkerId, WorkflowId};

pub fn job_key(ns: NamespaceId, job: JobId) -> [u8; 12] {
    let mut k = [0; 12];
    k[..4].copy_from_slice(&ns.0.to_be_bytes());
    k[4..].copy_from_slice(&job.0.to_be_bytes());
    k
}

pub fn task_key(ns: NamespaceId, task: TaskId) -> [u8; 16] {
    let mut k = [0; 16];
    k[..12].copy_from_slice(&job_key(ns, task.job));
    k[12..].copy_from_slice(&task.index.to_be_bytes());
    k
}

/// `None` for a key that is no task's.
pub fn task_of_key(key: &[u8]) -> Option<(NamespaceId, TaskId)> {
    let key: &[u8; 16] = key.try_into().ok()?;
    let ns = u32::from_be_bytes(key[..4].try_into().ok()?);
    let job = u64::from_be_bytes(key[4..12].try_into().ok()?);
    let index = u32::from_be_bytes(key[12..].try_into().ok()?);
    Some((NamespaceId(ns), TaskId { job: JobId(job), index }))
}

pub fn member_key(role: crate::command::MemberRole, name: &str) -> Vec<u8> {
    let mut k = vec![role as i32 as u8];
    k.extend_from_slice(name.as_bytes());
    k
}

/// The key in [`crate::rows::Family::Secret`]. Without a name it is where those of a namespace and kind begin.
pub fn secret_key(ns: NamespaceId, kind: SecretKind, name: &str) -> Vec<u8> {
    let mut k = ns.0.to_be_bytes().to_vec();
    k.push(kind as i32 as u8);
    k.extend_from_slice(name.as_bytes());
    k
}

/// The key of what has a name in its namespace: in [`crate::rows::Family::Schedule`], [`crate::rows::Family::ScheduleSpec`] and
/// [`crate::rows::Family::Template`]. Without a name it is where those of a namespace begin.
pub fn named_key(ns: NamespaceId, name: &str) -> Vec<u8> {
    let mut k = ns.0.to_be_bytes().to_vec();
    k.extend_from_slice(name.as_bytes());
    k
}

/// The other direction. `None` for a key that is none of those.
pub fn name_of_key(key: &[u8]) -> Option<(NamespaceId, &str)> {
    let (ns, name) = key.split_first_chunk::<4>()?;
    Some((NamespaceId(u32::from_be_bytes(*ns)), std::str::from_utf8(name).ok()?))
}

/// The key in [`crate::rows::Family::TemplateVersion`]. No name has a zero byte: versions of one template lie together.
pub fn template_version_key(ns: NamespaceId, name: &str, version: u32) -> Vec<u8> {
    let mut k = named_key(ns, name);
    k.push(0);
    k.extend_from_slice(&version.to_be_bytes());
    k
}

/// The key in [`crate::rows::Family::Alive`].
pub fn alive_key(job: JobId) -> [u8; 8] {
    job.0.to_be_bytes()
}

/// The key in [`crate::rows::Family::Workflow`] and [`crate::rows::Family::WorkflowNodes`].
pub fn workflow_key(ns: NamespaceId, workflow: WorkflowId) -> [u8; 12] {
    job_key(ns, JobId(workflow.0))
}

/// The key in [`crate::rows::Family::Hold`].
pub fn hold_key(job: JobId, waits_for: JobId) -> [u8; 16] {
    let mut k = [0; 16];
    k[..8].copy_from_slice(&job.0.to_be_bytes());
    k[8..].copy_from_slice(&waits_for.0.to_be_bytes());
    k
}

pub fn namespace_key(ns: NamespaceId) -> [u8; 4] {
    ns.0.to_be_bytes()
}

/// The key in [`crate::rows::Family::Master`].
pub fn master_key(node: NodeId) -> [u8; 8] {
    node.to_be_bytes()
}

pub fn worker_key(worker: WorkerId) -> [u8; 4] {
    worker.0.to_be_bytes()
}

/// The singleton's key.
pub const CLUSTER_KEY: &[u8] = b"";
