//! `types.proto` and `cloudai-types` say the same thing twice; this holds them together. What one encodes the other decodes
//! and encodes again to the same bytes, with every field set, so that a tag, type or field in only one of them shows.

use std::fmt::Debug;

use proptest::prelude::*;
use prost::Message;

use cloudai_types::{
    ClusterConfig, Condition, Dependency, EndReason, EventKind, JobSpec, Missed, NearRule, OnDisconnect, Overlap,
    Placement, Preference, PullPolicy, ReasonKind, Resources, ResultFile, Results, RetryAction, RetryRule, RetryRules,
    RunOutcome, ScheduleRun, ScheduleSpec, ScorePolicy, SecretKind, SecretUse, Usage, Volume, VolumeKind, WaitCause,
    WorkflowNode, WorkflowSpec, spec::Mount,
};

#[allow(clippy::all, dead_code)]
mod twin {
    include!(concat!(env!("OUT_DIR"), "/twin/cloudai.v1.rs"));
}

fn through<A: Message + Default + PartialEq + Debug, B: Message + Default + Debug>(a: &A) {
    let bytes = a.encode_to_vec();
    let b = B::decode(bytes.as_slice()).expect("the twin decodes it");
    let again = b.encode_to_vec();
    assert_eq!(again, bytes, "the twin kept every field: {b:?}");
    assert_eq!(&A::decode(again.as_slice()).expect("decodes"), a);
}

fn resources() -> impl Strategy<Value = Resources> {
    (1u64.., 1u64.., 1u64.., 1u32..).prop_map(|(cpu_milli, memory_bytes, storage_bytes, gpus)| Resources {
        cpu_milli,
        memory_bytes,
        storage_bytes,
        gpus,
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let number = || prop::option::of(any::<u64>());
    (number(), number(), number(), number(), number()).prop_map(
        |(cpu_micros, memory_peak_bytes, read_bytes, written_bytes, processes_max)| Usage {
            cpu_micros,
            memory_peak_bytes,
            read_bytes,
            written_bytes,
            processes_max,
        },
    )
}

fn words() -> impl Strategy<Value = std::collections::BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z]{1,5}", "[a-z]{1,5}", 1..4)
}

prop_compose! {
    fn retry()(
        reason in 1i32..15, action in 1i32..3, delay_ms in 1u64.., delay_factor_percent in 1u32.., delay_max_ms in 1u64..,
        jitter_percent in 1u32.., memory_factor_percent in 1u32.., memory_max_bytes in 1u64..
    ) -> RetryRules {
        RetryRules {
            rules: vec![RetryRule { reason, action }, RetryRule { reason: 1, action: 0 }],
            delay_ms, delay_factor_percent, delay_max_ms, jitter_percent, memory_factor_percent, memory_max_bytes,
        }
    }
}

prop_compose! {
    fn volume()(
        kind in 1i32..3, target in "/[a-z]{1,9}", name in "[a-z]{1,9}", size_bytes in 1u64.., server in "[a-z]{1,9}",
        path in "/[a-z]{1,9}", options in "[a-z]{1,9}"
    ) -> Volume {
        Volume { kind, target, read_only: true, name, size_bytes, server, path, options }
    }
}

prop_compose! {
    fn placement()(text in "[a-z]{1,9}", weight in 1u32.., max_skew in 1u32..) -> Placement {
        Placement {
            require: vec![text.clone(), "b".into()],
            prefer: vec![Preference { expression: text.clone(), weight }],
            tolerate: vec![text.clone()],
            apart: text.clone(),
            spread: text.clone(),
            max_skew,
            apart_from: vec![NearRule { jobs: text.clone(), over: "b".into() }],
            together_with: vec![NearRule { jobs: "b".into(), over: text }],
        }
    }
}

prop_compose! {
    fn spec()(
        name in "[a-z]{1,9}", image in "[a-z]{1,9}", command in prop::collection::vec("[a-z]{1,5}", 1..4),
        env in words(), resources in resources(), require in words(), priority in 1i32..1000, count in 1u32..,
        max_attempts in 1u32.., timeout_ms in 1u64..,
        (processes_max, open_files, shm_bytes, stop_signal, grace_ms, user, network) in
            (1u32.., 1u32.., 1u64.., 1u32.., 1u64.., "[0-9]{1,9}", "[a-z]{1,9}"),
        (retry, inputs, namespace, image_digest, volume, queue_timeout_ms, placement, labels) in
            (retry(), words(), "[a-z]{1,9}", "[a-z]{1,9}", volume(), 1u64.., placement(), words())
    ) -> JobSpec {
        JobSpec {
            name, image, command, env, resources, require, priority: -priority, count, max_attempts, timeout_ms,
            on_disconnect: OnDisconnect::Stop as i32,
            mounts: vec![Mount { source: "/a".into(), target: "/b".into(), write: true }],
            queue_timeout_ms, volumes: vec![volume], gang: true, preemptible: true,
            placement: Some(placement), labels,
            processes_max, open_files, shm_bytes, stop_signal, grace_ms, user, network,
            retry: Some(retry), results: true, inputs, namespace,
            pull: PullPolicy::Never as i32, writable_root: true, image_digest,
            secrets: vec![
                SecretUse { name: "a".into(), env: "A".into(), file: String::new() },
                SecretUse { name: "b".into(), env: String::new(), file: "c".into() },
            ],
        }
    }
}

prop_compose! {
    fn results()(
        manifest in "[a-z]{1,9}", files_total in 1u32.., bytes_total in 1u64.., left_out in 1u32..,
        files in prop::collection::vec(("[a-z]{1,9}", 1u64.., prop::collection::vec(any::<u8>(), 1..33), "[a-z]{1,9}"), 1..4)
    ) -> Results {
        let file = |(path, size, sha256, media_type)| ResultFile { path, size, sha256, media_type };
        Results { manifest, files_total, bytes_total, files: files.into_iter().map(file).collect(), left_out }
    }
}

proptest! {
    #[test]
    fn specs_are_the_same_bytes_in_both(spec in spec()) {
        through::<JobSpec, twin::JobSpec>(&spec);
        // The other direction: the twin has no field that the struct lacks.
        let t = twin::JobSpec::decode(spec.encode_to_vec().as_slice()).expect("decodes");
        prop_assert_eq!(t.command, spec.command);
        prop_assert_eq!(t.priority, spec.priority);
    }

    #[test]
    fn workflows_are_the_same_bytes_in_both(spec in spec(), name in "[a-z]{1,9}", node in "[a-z]{1,9}", on in 1i32..3) {
        let depends_on = vec![Dependency { node: name.clone(), on, each: true }];
        let nodes = vec![WorkflowNode { name: node, spec, depends_on }];
        through::<WorkflowSpec, twin::WorkflowSpec>(&WorkflowSpec { name, nodes });
    }

    #[test]
    fn schedules_are_the_same_bytes_in_both(
        job in spec(), cron in "[0-9*]{1,9}", zone in "[a-z]{1,9}", template in "[a-z]{1,9}", due_ms in 1u64.., decided_ms in 1u64..,
        job_id in 1u64.., why in "[a-z]{1,9}", times in 1u32..
    ) {
        let (overlap, missed) = (Overlap::CancelPrevious as i32, Missed::All as i32);
        through::<ScheduleSpec, twin::ScheduleSpec>(&ScheduleSpec { cron, zone, overlap, missed, job, template });
        let outcome = RunOutcome::Refused as i32;
        let run = ScheduleRun { due_ms, decided_ms, outcome, job: job_id, why, by_hand: true, times };
        through::<ScheduleRun, twin::ScheduleRun>(&run);
    }

    #[test]
    fn reasons_are_the_same_bytes_in_both(
        code in any::<i32>(), detail in ".{1,30}", usage in usage(), results in results()
    ) {
        let mut r = EndReason::new(ReasonKind::ResultStore, detail);
        through::<EndReason, twin::EndReason>(&r);
        r.exit_code = Some(code);
        through::<EndReason, twin::EndReason>(&r);
        r.usage = Some(usage);
        through::<EndReason, twin::EndReason>(&r);
        r.results = Some(Box::new(results));
        through::<EndReason, twin::EndReason>(&r);
    }
}

#[test]
fn the_twin_has_exactly_these_fields() {
    // Destructured without `..`: a field added to the .proto alone does not compile here.
    let twin::JobSpec {
        name: _,
        image: _,
        command: _,
        env: _,
        resources: _,
        require: _,
        priority: _,
        count: _,
        max_attempts: _,
        timeout_ms: _,
        on_disconnect: _,
        mounts: _,
        processes_max: _,
        open_files: _,
        shm_bytes: _,
        stop_signal: _,
        grace_ms: _,
        user: _,
        network: _,
        retry: _,
        results: _,
        inputs: _,
        namespace: _,
        pull: _,
        writable_root: _,
        image_digest: _,
        secrets: _,
        queue_timeout_ms: _,
        volumes: _,
        gang: _,
        preemptible: _,
        placement: _,
        labels: _,
    } = twin::JobSpec::default();
    let twin::ScheduleSpec { cron: _, zone: _, overlap: _, missed: _, job: _, template: _ } =
        twin::ScheduleSpec::default();
    let twin::ScheduleRun { due_ms: _, decided_ms: _, outcome: _, job: _, why: _, by_hand: _, times: _ } =
        twin::ScheduleRun::default();
    let twin::WorkflowSpec { name: _, nodes: _ } = twin::WorkflowSpec::default();
    let twin::WorkflowNode { name: _, spec: _, depends_on: _ } = twin::WorkflowNode::default();
    let twin::Dependency { node: _, on: _, each: _ } = twin::Dependency::default();
    let twin::SecretUse { name: _, env: _, file: _ } = twin::SecretUse::default();
    let twin::RetryRule { reason: _, action: _ } = twin::RetryRule::default();
    let twin::RetryRules {
        rules: _,
        delay_ms: _,
        delay_factor_percent: _,
        delay_max_ms: _,
        jitter_percent: _,
        memory_factor_percent: _,
        memory_max_bytes: _,
    } = twin::RetryRules::default();
    let twin::Volume { kind: _, target: _, read_only: _, name: _, size_bytes: _, server: _, path: _, options: _ } =
        twin::Volume::default();
    let twin::Placement {
        require: _,
        prefer: _,
        tolerate: _,
        apart: _,
        spread: _,
        max_skew: _,
        apart_from: _,
        together_with: _,
    } = twin::Placement::default();
    let twin::NearRule { jobs: _, over: _ } = twin::NearRule::default();
    let twin::Preference { expression: _, weight: _ } = twin::Preference::default();
    let twin::Mount { source: _, target: _, write: _ } = twin::Mount::default();
    let twin::Resources { cpu_milli: _, memory_bytes: _, storage_bytes: _, gpus: _ } = twin::Resources::default();
    let twin::EndReason { kind: _, exit_code: _, detail: _, usage: _, results: _ } = twin::EndReason::default();
    let twin::Results { manifest: _, files_total: _, bytes_total: _, files: _, left_out: _ } = twin::Results::default();
    let twin::ResultFile { path: _, size: _, sha256: _, media_type: _ } = twin::ResultFile::default();
    let twin::Usage { cpu_micros: _, memory_peak_bytes: _, read_bytes: _, written_bytes: _, processes_max: _ } =
        twin::Usage::default();
    let twin::ClusterConfig { score_policy: _ } = twin::ClusterConfig::default();
}

#[test]
fn numbers_mean_the_same_words_in_both() {
    for k in ReasonKind::ALL {
        let t = twin::ReasonKind::try_from(k as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("REASON_KIND_{}", k.name().to_uppercase()));
    }
    assert!(twin::ReasonKind::try_from(ReasonKind::ALL.len() as i32).is_err());
    for p in ScorePolicy::ALL {
        let t = twin::ScorePolicy::try_from(p as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("SCORE_POLICY_{}", p.name().to_uppercase()));
        through::<ClusterConfig, twin::ClusterConfig>(&ClusterConfig { score_policy: p as i32 });
    }
    assert!(twin::ScorePolicy::try_from(ScorePolicy::ALL.len() as i32).is_err());
    for a in RetryAction::ALL {
        let t = twin::RetryAction::try_from(a as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("RETRY_ACTION_{}", a.name().to_uppercase()));
    }
    assert!(twin::RetryAction::try_from(RetryAction::ALL.len() as i32).is_err());
    for v in VolumeKind::ALL {
        let t = twin::VolumeKind::try_from(v as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("VOLUME_KIND_{}", v.name().to_uppercase()));
    }
    assert!(twin::VolumeKind::try_from(VolumeKind::ALL.len() as i32).is_err());
    for c in Condition::ALL {
        let t = twin::Condition::try_from(c as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("CONDITION_{}", c.name().to_uppercase()));
    }
    assert!(twin::Condition::try_from(Condition::ALL.len() as i32).is_err());
    let word = |name: &str| name.to_uppercase().replace('-', "_");
    for o in Overlap::ALL {
        let t = twin::Overlap::try_from(o as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("OVERLAP_{}", word(o.name())));
    }
    assert!(twin::Overlap::try_from(Overlap::ALL.len() as i32).is_err());
    for m in Missed::ALL {
        let t = twin::Missed::try_from(m as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("MISSED_{}", word(m.name())));
    }
    assert!(twin::Missed::try_from(Missed::ALL.len() as i32).is_err());
    for o in RunOutcome::ALL {
        let t = twin::RunOutcome::try_from(o as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("RUN_OUTCOME_{}", word(o.name())));
    }
    assert!(twin::RunOutcome::try_from(RunOutcome::ALL.len() as i32).is_err());
    for p in PullPolicy::ALL {
        let t = twin::PullPolicy::try_from(p as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("PULL_POLICY_{}", p.name().to_uppercase()));
    }
    for k in EventKind::ALL.into_iter().chain([EventKind::Unspecified]) {
        let t = twin::EventKind::try_from(k as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("EVENT_KIND_{}", k.name().to_uppercase()));
    }
    assert!((0..100).all(|n| EventKind::try_from(n).is_ok() == twin::EventKind::try_from(n).is_ok()));
    for c in WaitCause::ALL {
        let t = twin::WaitCause::try_from(c as i32).expect("the twin knows the number");
        assert_eq!(t.as_str_name(), format!("WAIT_CAUSE_{}", c.name().to_uppercase()));
    }
    assert!((0..100).all(|n| WaitCause::try_from(n).is_ok() == twin::WaitCause::try_from(n).is_ok()));
    assert_eq!(twin::SecretKind::Value as i32, SecretKind::Value as i32);
    assert_eq!(twin::SecretKind::RegistryLogin as i32, SecretKind::RegistryLogin as i32);
    assert_eq!(twin::OnDisconnect::Stop as i32, OnDisconnect::Stop as i32);
    assert_eq!(twin::OnDisconnect::Continue as i32, OnDisconnect::Continue as i32);
}
