//! Commands that make no sense, for histories: `apply` must refuse them and go on.

use cloudai_core::command::*;
use cloudai_types::QuotaChange;
use cloudai_types::volume::Volume;
use cloudai_types::{
    ClusterConfig, Dependency, EndReason, JobSpec, NearRule, Placement, Resources, Results, RetryRule, RetryRules,
    ScheduleSpec, SecretUse, WorkflowNode, WorkflowSpec,
};
use proptest::prelude::*;

use crate::histories::USED;

/// Short ones, none, and one that never comes.
fn shift(n: i32) -> u64 {
    match n % 4 {
        0 => 0,
        1 => u64::MAX,
        other => u64::from(other.unsigned_abs()) * 1_000,
    }
}

/// Any numbers and any texts in every field.
pub fn garbage() -> impl Strategy<Value = Kind> {
    let id = || prop_oneof![0..5u64, Just(u64::MAX), any::<u64>()];
    let small = || prop_oneof![0..5u32, Just(u32::MAX), any::<u32>()];
    let text = || prop_oneof![Just(String::new()), "[a-z]{1,3}", ".{0,90}"];
    let bytes = || proptest::collection::vec(any::<u8>(), 0..70);
    let labels = || proptest::collection::btree_map(text(), text(), 0..3);
    let resources = || {
        (id(), id(), id(), small()).prop_map(|(cpu_milli, memory_bytes, storage_bytes, gpus)| Resources {
            cpu_milli,
            memory_bytes,
            storage_bytes,
            gpus,
        })
    };
    let spec = (text(), text(), resources(), labels(), any::<i32>(), small(), small()).prop_map(
        |(name, image, resources, require, priority, count, max_attempts)| JobSpec {
            placement: (priority % 2 == 0).then(|| Placement {
                require: vec![name.clone()],
                tolerate: vec![image.clone()],
                apart: if count % 2 == 0 { "worker".into() } else { name.clone() },
                spread: image.clone(),
                max_skew: count % 5,
                apart_from: vec![NearRule { jobs: image.clone(), over: name.clone() }; (count % 3) as usize],
                together_with: vec![NearRule { jobs: name.clone(), over: String::new() }; (count % 2) as usize],
                ..Placement::default()
            }),
            labels: if count % 4 == 0 { require.clone() } else { Default::default() },
            open_files: max_attempts,
            shm_bytes: u64::from(count),
            stop_signal: max_attempts,
            grace_ms: u64::from(count),
            user: image.clone(),
            network: name.clone(),
            pull: priority,
            writable_root: priority > 0,
            image_digest: match count % 3 {
                0 => format!("sha256:{:064x}", count),
                1 => name.clone(),
                _ => String::new(),
            },
            secrets: (priority % 5 == 0)
                .then(|| SecretUse { name: name.clone(), env: image.clone(), file: String::new() })
                .into_iter()
                .collect(),
            name,
            image,
            resources,
            require,
            priority,
            count: count % 2_000_000,
            max_attempts,
            processes_max: priority.unsigned_abs() % 100,
            results: priority % 3 == 0,
            queue_timeout_ms: shift(priority),
            gang: count % 5 == 1,
            volumes: if priority % 4 == 0 { vec![Volume { kind: priority % 5, ..Volume::default() }] } else { vec![] },
            retry: count.is_multiple_of(3).then(|| RetryRules {
                rules: vec![RetryRule { reason: priority % 20, action: priority % 4 }],
                jitter_percent: max_attempts,
                memory_factor_percent: count % 300,
                memory_max_bytes: resources.memory_bytes,
                ..RetryRules::default()
            }),
            ..Default::default()
        },
    );
    let report = (id(), small(), small(), any::<i32>(), any::<Option<i32>>(), text(), any::<u64>()).prop_map(
        |(job, index, number, state, code, detail, at)| AttemptReport {
            job,
            index,
            number,
            state: state % 8,
            reason: code.map(|code| EndReason {
                kind: code % 20,
                exit_code: Some(code),
                usage: (code % 2 == 0).then_some(USED),
                results: (code % 3 == 0).then(|| Box::new(Results::new(detail.repeat(99), vec![], 0))),
                detail: detail.repeat(30),
            }),
            started_ms: at,
            ended_ms: at,
        },
    );
    prop_oneof![
        (text(), text(), bytes(), spec).prop_map(|(namespace, request_id, request_hash, spec)| {
            let replay_of =
                spec.count.is_multiple_of(4).then_some(TaskKey { job: spec.count.into(), index: spec.max_attempts });
            Kind::SubmitJob(SubmitJob { namespace, request_id, request_hash, spec, replay_of })
        }),
        id().prop_map(|job| Kind::CancelJob(CancelJob { job })),
        (text(), proptest::collection::vec((text(), text(), any::<i32>(), small()), 0..5)).prop_map(|(name, nodes)| {
            let node = |(name, node, on, count): (String, String, i32, u32)| WorkflowNode {
                spec: JobSpec {
                    image: "busybox".into(),
                    count: count % 2_000_000,
                    inputs: if on % 3 == 0 { [("i".to_owned(), format!("@{node}/0"))].into() } else { [].into() },
                    ..JobSpec::default()
                },
                name,
                depends_on: vec![Dependency { node, on: on % 4, each: on % 2 == 0 }],
            };
            let workflow = WorkflowSpec { name, nodes: nodes.into_iter().map(node).collect() };
            Kind::SubmitWorkflow(SubmitWorkflow { namespace: "default".into(), workflow, ..SubmitWorkflow::default() })
        }),
        (small(), id(), text(), any::<bool>()).prop_map(|(namespace, workflow, from, retry)| {
            if retry {
                Kind::RetryWorkflow(RetryWorkflow { namespace, workflow, from })
            } else {
                Kind::CancelWorkflow(CancelWorkflow { namespace, workflow })
            }
        }),
        proptest::collection::vec((id(), small(), proptest::collection::vec(small(), 0..4)), 0..3).prop_map(|groups| {
            let groups = groups.into_iter().map(|(job, worker, indexes)| PlaceGroup { job, worker, indexes }).collect();
            Kind::PlaceTasks(PlaceTasks { groups })
        }),
        (small(), id(), proptest::collection::vec(report, 0..3))
            .prop_map(|(worker, session, reports)| Kind::ReportAttempts(ReportAttempts { worker, session, reports })),
        (small(), resources(), labels(), text()).prop_map(|(worker, capacity, labels, software)| Kind::RegisterWorker(
            RegisterWorker {
                worker,
                capacity,
                labels,
                software: software.repeat(40),
                reserved: (worker % 2 == 0).then_some(capacity),
                leaving: worker % 3 == 0,
                price_micros: if worker % 5 == 0 { u64::MAX } else { worker.into() },
                metrics_addr: software.repeat(worker as usize % 400),
            }
        )),
        (small(), id()).prop_map(|(worker, session)| Kind::LoseWorker(LoseWorker { worker, session })),
        (any::<i32>(), text(), bytes(), labels()).prop_map(|(role, name, secret_hash, labels)| Kind::Authorize(
            Authorize { role: role % 3, name, secret_hash, labels }
        )),
        (any::<i32>(), text(), bytes(), bytes()).prop_map(|(role, name, secret_hash, key_hash)| Kind::RedeemToken(
            RedeemToken { role: role % 3, name, secret_hash, key_hash }
        )),
        (any::<i32>(), text()).prop_map(|(role, name)| Kind::Revoke(Revoke { role: role % 3, name })),
        (text(), any::<bool>(), id()).prop_map(|(name, draining, deadline_ms)| Kind::SetDrain(SetDrain {
            name,
            draining,
            deadline_ms
        })),
        (id(), id(), small(), small()).prop_map(|(by, job, index, number)| {
            Kind::PreemptTasks(PreemptTasks { job: by, victims: vec![AttemptKey { job, index, number }] })
        }),
        (text(), text(), text(), any::<bool>()).prop_map(|(name, key, value, tainted)| Kind::SetTaint(SetTaint {
            name,
            key,
            value,
            tainted
        })),
        (small(), id()).prop_map(|(worker, session)| Kind::WorkerLeaves(WorkerLeaves { worker, session })),
        (text(), small(), id(), id()).prop_map(|(namespace, weight, tasks, cpu)| Kind::SetQuota(SetQuota {
            namespace,
            change: QuotaChange {
                weight: Some(weight),
                tasks_max: Some(tasks),
                cpu_milli_max: Some(cpu),
                order: weight.checked_sub(5).map(|order| order as i32),
                wait_max_ms: Some(cpu),
                score_policy: (weight % 2 == 0).then_some(tasks),
                queued_max: tasks.checked_mul(7),
                user_tasks_max: cpu.checked_rem(5),
                user_queued_max: Some(cpu),
                ..QuotaChange::default()
            },
        })),
        (id(), text(), text(), text(), small()).prop_map(|(node, name, disk, addr, version)| Kind::RegisterMaster(
            RegisterMaster {
                node,
                name,
                disk,
                raft_addr: addr.clone(),
                grpc_addr: addr.repeat(20),
                http_addr: addr,
                version
            }
        )),
        id().prop_map(|node| Kind::ForgetMaster(ForgetMaster { node })),
        any::<i32>().prop_map(|score_policy| Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy } })),
        proptest::collection::vec(bytes(), 0..3).prop_map(|keys| Kind::ExpireRequests(ExpireRequests { keys })),
        (proptest::collection::vec((small(), id()), 0..4), id()).prop_map(|(jobs, ended_until_ms)| {
            let jobs = jobs.into_iter().map(|(namespace, job)| ExpiringJob { namespace, job }).collect();
            Kind::ExpireJobs(ExpireJobs { jobs, ended_until_ms })
        }),
        (small(), id(), proptest::collection::vec(small(), 0..4), any::<bool>()).prop_map(
            |(namespace, job, indexes, replay)| {
                let groups = vec![DeadGroup { namespace, job, indexes }];
                if replay { Kind::ReplayDead(ReplayDead { groups }) } else { Kind::DropDead(DropDead { groups }) }
            }
        ),
        (text(), -1..3i32, text(), bytes()).prop_map(|(namespace, kind, name, sealed)| Kind::SetSecret(SetSecret {
            namespace,
            kind,
            name,
            sealed
        })),
        (text(), -1..3i32, text()).prop_map(|(namespace, kind, name)| Kind::RemoveSecret(RemoveSecret {
            namespace,
            kind,
            name
        })),
        (text(), text(), (text(), text(), any::<i32>()), id(), any::<bool>()).prop_map(
            |(namespace, name, (cron, zone, n), next_due_ms, replace)| {
                let spec = ScheduleSpec {
                    cron,
                    job: JobSpec { image: zone.clone(), ..JobSpec::default() },
                    zone,
                    overlap: n % 4,
                    missed: n % 5,
                    template: String::new(),
                };
                Kind::CreateSchedule(CreateSchedule { namespace, name, spec, next_due_ms, replace })
            }
        ),
        (small(), text(), (id(), id(), id(), id()), small(), any::<bool>(), text()).prop_map(
            |(namespace, name, (spec_hash, due_ms, next_due_ms, missed_last_ms), missed, is_missed, refused)| {
                let image_digest = refused.clone();
                Kind::RunSchedule(RunSchedule {
                    namespace,
                    name,
                    spec_hash,
                    due_ms,
                    next_due_ms,
                    missed,
                    missed_last_ms,
                    is_missed,
                    image_digest,
                    refused,
                })
            }
        ),
        (text(), text(), small()).prop_map(|(namespace, name, n)| match n % 4 {
            0 => Kind::DeleteSchedule(DeleteSchedule { namespace, name }),
            1 => Kind::PauseSchedule(PauseSchedule { namespace, name, paused: n > 9 }),
            2 => Kind::DeleteTemplate(DeleteTemplate { namespace, name, version: n / 4 }),
            _ => Kind::CreateTemplate(CreateTemplate { document: name.repeat(n as usize % 3_000), namespace, name }),
        }),
        (text(), text(), text(), bytes(), id()).prop_map(|(namespace, name, request_id, request_hash, spec_hash)| {
            let image_digest = name.clone();
            Kind::TriggerSchedule(TriggerSchedule {
                namespace,
                name,
                request_id,
                request_hash,
                spec_hash,
                image_digest,
            })
        }),
        proptest::collection::vec((id(), any::<i32>(), small(), small()), 0..4).prop_map(|notes| {
            let note = |(job, cause, workers, memory_mib): (u64, i32, u32, u32)| ReasonNote {
                job,
                cause: cause % 20,
                workers,
                of: workers,
                memory_mib,
            };
            Kind::NoteReasons(NoteReasons { notes: notes.into_iter().map(note).collect() })
        }),
        (text(), id()).prop_map(|(cluster, founders)| Kind::FoundCluster(FoundCluster { cluster, founders })),
    ]
}
