//! A spec as every master of a format reads it. Comes in: a spec from the log, however it was submitted, and the format in use. Goes out: the same
//! without the fields that masters of an older build do not see: so nobody does, also not to refuse a bad one.

use cloudai_types::{JobSpec, PullPolicy};

use crate::command::{
    GANGS_SINCE, ISOLATION_SINCE, JOB_LABELS_SINCE, PINNED_SINCE, PLACEMENT_SINCE, PREEMPTION_SINCE,
    PROCESSES_MAX_SINCE, QUEUE_TIMEOUT_SINCE, RESULTS_SINCE, RETRY_SINCE, SECRETS_SINCE, VOLUMES_SINCE,
};

pub(super) fn keep(spec: &mut JobSpec, version: u32) {
    if version < PROCESSES_MAX_SINCE {
        spec.processes_max = 0;
    }
    if version < ISOLATION_SINCE {
        forget_isolation(spec);
    }
    if version < RETRY_SINCE {
        spec.retry = None;
    }
    if version < RESULTS_SINCE {
        spec.results = false;
        spec.inputs.clear();
    }
    if version < PINNED_SINCE {
        spec.image_digest.clear();
    }
    if version < SECRETS_SINCE {
        spec.secrets.clear();
    }
    if version < QUEUE_TIMEOUT_SINCE {
        spec.queue_timeout_ms = 0;
    }
    if version < PLACEMENT_SINCE {
        spec.placement = None;
    }
    if version < JOB_LABELS_SINCE {
        spec.labels.clear();
    }
    if version < VOLUMES_SINCE {
        spec.volumes.clear();
        spec.mounts.iter_mut().for_each(|mount| mount.write = false);
    }
    if version < GANGS_SINCE {
        spec.gang = false;
    }
    if version < PREEMPTION_SINCE {
        spec.preemptible = false;
    }
}

/// As an older build reads it.
fn forget_isolation(spec: &mut JobSpec) {
    spec.open_files = 0;
    spec.shm_bytes = 0;
    spec.stop_signal = 0;
    spec.grace_ms = 0;
    spec.user.clear();
    spec.network.clear();
    spec.pull = PullPolicy::Missing as i32;
    spec.writable_root = false;
}
