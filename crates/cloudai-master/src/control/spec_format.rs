//! Whether the log's format in use can hold a spec. Comes in: a checked spec. Goes out: a refusal that names what would be lost: a job must not be
//! accepted and then run without what it asked for. Between a cluster's start, or an upgrade, and the moment at which every master is known to
//! understand the newest format, `apply` would leave it out.

use cloudai_core::command::{
    GANGS_SINCE, ISOLATION_SINCE, JOB_LABELS_SINCE, PLACEMENT_SINCE, PREEMPTION_SINCE, PROCESSES_MAX_SINCE,
    QUEUE_TIMEOUT_SINCE, RESULTS_SINCE, RETRY_SINCE, SECRETS_SINCE, VOLUMES_SINCE,
};
use cloudai_proto::v1 as pb;
use cloudai_types::{JobSpec, PullPolicy};

use crate::node::Node;
use crate::state_store::StateStore;

/// The state is looked at only for a spec that asks for something newer: most ask for none of it.
pub fn require_format_of<S: StateStore>(node: &Node<S>, spec: &JobSpec) -> Result<(), Box<pb::ErrorInfo>> {
    match newest(spec) {
        None => Ok(()),
        Some(asked) => allow(asked, node.shared.read().hot.version),
    }
}

fn allow((field, since): (&'static str, u32), version: u32) -> Result<(), Box<pb::ErrorInfo>> {
    if version >= since {
        return Ok(());
    }
    let info = pb::ErrorInfo::new(pb::ErrorKind::Conflict, format!("the cluster cannot keep '{field}' of a job yet"))
        .why(format!("it uses format {version} of the log, and '{field}' needs {since}"))
        .next("a cluster that has just started is ready in a moment: submit again; otherwise upgrade every master");
    Err(info.into())
}

/// What of the spec needs the newest format, and which that is.
fn newest(spec: &JobSpec) -> Option<(&'static str, u32)> {
    let isolation = spec.open_files != 0
        || spec.shm_bytes != 0
        || spec.stop_signal != 0
        || spec.grace_ms != 0
        || !spec.user.is_empty()
        || !spec.network.is_empty()
        || spec.pull() != PullPolicy::Missing
        || spec.writable_root;
    let asked = [
        ("processes_max", PROCESSES_MAX_SINCE, spec.processes_max != 0),
        ("open_files, shm, stop_signal, grace, user, network, pull or writable_root", ISOLATION_SINCE, isolation),
        ("retry", RETRY_SINCE, spec.retry.is_some()),
        ("results or inputs", RESULTS_SINCE, spec.needs_store()),
        ("queue_timeout", QUEUE_TIMEOUT_SINCE, spec.queue_timeout_ms != 0),
        ("gang", GANGS_SINCE, spec.gang),
        ("preemptible", PREEMPTION_SINCE, spec.preemptible),
        ("volumes", VOLUMES_SINCE, !spec.volumes.is_empty() || spec.mounts.iter().any(|m| m.write)),
        ("secrets", SECRETS_SINCE, !spec.secrets.is_empty()),
        ("labels", JOB_LABELS_SINCE, !spec.labels.is_empty()),
        (
            "require with expressions, prefer, tolerate, apart, spread, apart_from or together_with",
            PLACEMENT_SINCE,
            spec.placement.is_some(),
        ),
    ];
    let needed = asked.into_iter().filter(|(_, _, is_asked)| *is_asked);
    needed.map(|(field, since, _)| (field, since)).max_by_key(|(_, since)| *since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_not_accepted_that_would_run_without_what_it_asks_for() {
        let results = JobSpec { results: true, ..JobSpec::default() };
        let secrets = JobSpec { secrets: vec![Default::default()], ..results.clone() };
        let table = [
            (JobSpec::default(), None, 1),
            (results, Some("results"), RESULTS_SINCE),
            (secrets, Some("secrets"), SECRETS_SINCE),
            (JobSpec { placement: Some(Default::default()), ..JobSpec::default() }, Some("prefer"), PLACEMENT_SINCE),
            (
                JobSpec { labels: [("app".to_owned(), "db".to_owned())].into(), ..JobSpec::default() },
                Some("labels"),
                JOB_LABELS_SINCE,
            ),
            (JobSpec { user: "root".into(), ..JobSpec::default() }, Some("user"), ISOLATION_SINCE),
            (JobSpec { queue_timeout_ms: 1, ..JobSpec::default() }, Some("queue_timeout"), QUEUE_TIMEOUT_SINCE),
        ];
        for (spec, named, since) in table {
            let asked = newest(&spec);
            assert!(asked.is_none_or(|asked| allow(asked, since).is_ok()), "{named:?}");
            assert_eq!(asked.is_some(), named.is_some(), "{named:?}");
            if let (Some(named), Some(asked)) = (named, asked) {
                let error = allow(asked, since - 1).expect_err("it is refused");
                assert!(error.what.contains(named) && error.why.contains(&since.to_string()), "{error:?}");
            }
        }
    }
}
