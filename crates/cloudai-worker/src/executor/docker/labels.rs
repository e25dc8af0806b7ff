//! What is written on a container, so that a restarted worker knows it again without asking anybody.

use std::collections::HashMap;

use cloudai_agent::Needs;
use cloudai_types::volume::{VolumeKind, plain_path};
use cloudai_types::{AttemptId, JobSpec, Millis, Resources, signal};

use super::Start;

pub const CLUSTER: &str = "cloudai.cluster";
pub const WORKER: &str = "cloudai.worker";
pub const JOB: &str = "cloudai.job";
pub const TASK: &str = "cloudai.task";
pub const ATTEMPT: &str = "cloudai.attempt";
pub const FENCE: &str = "cloudai.fence";
/// What this worker needs of the spec: `assigned=… cpu_milli=… memory=… storage=… gpus=… timeout_ms=… stop=… grace_ms=… signal=… results=…`.
pub const NEEDS: &str = "cloudai.needs";
/// On a container that only keeps a network namespace, instead of what belongs to an attempt.
pub const SANDBOX: &str = "cloudai.sandbox";
/// The device ids of the GPUs that it holds: `GPU-…,GPU-…`.
pub const GPUS: &str = "cloudai.gpus";

/// The name of its job's namespace; an older worker has not written it.
pub const NAMESPACE: &str = "cloudai.namespace";

/// Where it writes to what is not its own, `/target,…`: named volumes, shares of servers, paths of the machine. None of its storage.
pub const SHARED: &str = "cloudai.shared";

/// The name by which a repeated message finds its container. The cluster is part of it, because job ids of two clusters on one
/// engine are alike.
pub fn container_name(cluster: &str, attempt: AttemptId) -> String {
    let short = cluster.get(..8).unwrap_or(cluster);
    format!("cloudai-{}-{}.{}-{short}", attempt.task.job, attempt.task.index, attempt.number)
}

/// The cgroup around an attempt's container, in a folder that is its cluster's and its worker's.
pub fn cgroup_name(attempt: AttemptId) -> String {
    format!("{}-{}.{}", attempt.task.job, attempt.task.index, attempt.number)
}

/// The number of the signal that asks an attempt to stop.
pub fn stop_signal(spec: &JobSpec) -> u32 {
    if spec.stop_signal == 0 { signal::TERM } else { spec.stop_signal }
}

pub fn write(cluster: &str, worker: &str, start: &Start, gpus: &[String]) -> HashMap<String, String> {
    let needs = Needs::of(&start.spec);
    let r = needs.resources;
    let text = format!(
        "assigned={} cpu_milli={} memory={} storage={} gpus={} timeout_ms={} stop={} grace_ms={} signal={} results={}",
        start.assigned_index,
        r.cpu_milli,
        r.memory_bytes,
        r.storage_bytes,
        r.gpus,
        needs.timeout.map_or(0, |t| t.0),
        u8::from(needs.stop_on_disconnect),
        needs.grace.map_or(0, |g| g.0),
        stop_signal(&start.spec),
        u8::from(needs.results),
    );
    let mut labels = HashMap::from([
        (CLUSTER.to_owned(), cluster.to_owned()),
        (WORKER.to_owned(), worker.to_owned()),
        (JOB.to_owned(), start.attempt.task.job.to_string()),
        (TASK.to_owned(), start.attempt.task.to_string()),
        (ATTEMPT.to_owned(), start.attempt.to_string()),
        (FENCE.to_owned(), start.fence.clone()),
        (NEEDS.to_owned(), text),
    ]);
    let shared = shared_targets(&start.spec);
    if !shared.is_empty() {
        labels.insert(SHARED.to_owned(), shared.join(","));
    }
    if !start.spec.namespace.is_empty() {
        labels.insert(NAMESPACE.to_owned(), start.spec.namespace.clone());
    }
    if !gpus.is_empty() {
        labels.insert(GPUS.to_owned(), gpus.join(","));
    }
    labels
}

/// Paths in the container; none of them holds a comma.
fn shared_targets(spec: &JobSpec) -> Vec<String> {
    let volumes = spec.volumes.iter().filter(|v| v.kind != VolumeKind::Tmpfs as i32).map(|v| &v.target);
    let mounts = spec.mounts.iter().filter(|m| m.write).map(|m| &m.target);
    volumes.chain(mounts).map(|target| plain_path(target)).collect()
}

#[derive(Clone, PartialEq, Debug)]
pub struct Ours {
    pub attempt: AttemptId,
    /// Empty where it is not known.
    pub namespace: String,
    pub assigned_index: u64,
    pub needs: Needs,
    pub gpus: Vec<String>,
    pub stop_signal: u32,
}

/// `None` when the labels are not ours, or were changed by someone.
pub fn read(labels: &HashMap<String, String>) -> Option<Ours> {
    let attempt = labels.get(ATTEMPT)?.parse().ok()?;
    let needs = Needs::default();
    let namespace = labels.get(NAMESPACE).cloned().unwrap_or_default();
    let mut ours = Ours { attempt, namespace, assigned_index: 0, needs, gpus: vec![], stop_signal: signal::TERM };
    let mut r = Resources::default();
    for part in labels.get(NEEDS)?.split(' ') {
        let (key, value) = part.split_once('=')?;
        let n: u64 = value.parse().ok()?;
        match key {
            "assigned" => ours.assigned_index = n,
            "cpu_milli" => r.cpu_milli = n,
            "memory" => r.memory_bytes = n,
            "storage" => r.storage_bytes = n,
            "gpus" => r.gpus = u32::try_from(n).ok()?,
            "timeout_ms" => ours.needs.timeout = (n > 0).then_some(Millis(n)),
            "stop" => ours.needs.stop_on_disconnect = n != 0,
            "grace_ms" => ours.needs.grace = (n > 0).then_some(Millis(n)),
            "signal" => ours.stop_signal = u32::try_from(n).ok().filter(|n| signal::is_signal(*n))?,
            "results" => ours.needs.results = n != 0,
            // Of a newer version.
            _ => {}
        }
    }
    ours.needs.resources = r;
    if let Some(gpus) = labels.get(GPUS) {
        ours.gpus = gpus.split(',').map(str::to_owned).collect();
    }
    Some(ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{JobId, OnDisconnect};
    use std::sync::Arc;

    #[test]
    fn a_restarted_worker_reads_what_was_written() {
        let resources = Resources { cpu_milli: 500, memory_bytes: 1 << 25, storage_bytes: 7, gpus: 2 };
        let spec = JobSpec {
            resources,
            timeout_ms: 2_000,
            on_disconnect: OnDisconnect::Stop as i32,
            grace_ms: 700,
            stop_signal: 2,
            results: true,
            namespace: "team-a".to_owned(),
            ..Default::default()
        };
        let attempt = AttemptId::new(JobId(3), 7, 2);
        let start =
            Start { attempt, fence: "1.40".into(), assigned_index: 40, spec: Arc::new(spec.clone()), trace: None };
        let labels = write("0123456789abcdef", "w1", &start, &["GPU-1".to_owned(), "GPU-3".to_owned()]);
        let ours = read(&labels).unwrap();
        assert_eq!((ours.attempt, ours.assigned_index, ours.gpus.join(" ")), (attempt, 40, "GPU-1 GPU-3".to_owned()));
        assert_eq!((ours.needs, ours.stop_signal, ours.namespace.as_str()), (Needs::of(&spec), 2, "team-a"));
        assert_eq!(ours.needs.grace, Some(Millis(700)));
        assert_eq!(container_name("0123456789abcdef", attempt), format!("cloudai-{}-7.2-01234567", JobId(3)));
        for broken in [ATTEMPT, NEEDS] {
            let mut labels = labels.clone();
            labels.insert(broken.to_owned(), "x".to_owned());
            assert_eq!(read(&labels), None);
        }
    }

    #[test]
    fn what_an_older_worker_wrote_stops_as_it_did() {
        let needs = "assigned=40 cpu_milli=500 memory=0 storage=0 gpus=0 timeout_ms=0 stop=0";
        let attempt = AttemptId::new(JobId(3), 7, 2);
        let labels = HashMap::from([(ATTEMPT.to_owned(), attempt.to_string()), (NEEDS.to_owned(), needs.to_owned())]);
        let ours = read(&labels).unwrap();
        assert_eq!((ours.needs.grace, ours.stop_signal, ours.assigned_index), (None, signal::TERM, 40));
        assert_eq!(ours.namespace, "");
    }
}
