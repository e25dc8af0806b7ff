//! A spec as the engine's create request. Pure.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount};

use cloudai_types::{JobSpec, limits};

use super::{Start, labels};

/// The engine refuses less.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
const NANO_CPUS_PER_MILLI: u64 = 1_000_000;
/// What the engine refuses: less than a hundredth of a CPU.
const CPU_MILLI_MIN: u64 = 10;
/// Capabilities that no task has needed so far and that make a break-out easier.
const DROPPED: [&str; 5] = ["NET_RAW", "MKNOD", "AUDIT_WRITE", "SETFCAP", "SYS_CHROOT"];
/// The engine's own copy of the log, which is read while the container is there.
const ENGINE_LOG_MAX: &str = "20m";

pub struct Machine<'a> {
    pub cluster: &'a str,
    pub worker: &'a str,
    /// CPUs of the engine's machine, in thousandths: it refuses a limit above that.
    pub cpu_milli: u64,
    pub init: bool,
    /// The network mode: one of this worker's own sandboxes. `None`: the engine makes a network for it.
    pub network: Option<&'a str>,
    /// The cgroup that outlives the container. `None`: the engine's own, and nothing is measured.
    pub cgroup_parent: Option<&'a str>,
}

/// Processes and threads that an attempt may have at a time.
pub fn processes_limit(spec: &JobSpec) -> u64 {
    u64::from(if spec.processes_max == 0 { limits::PROCESSES_DEFAULT } else { spec.processes_max })
}

pub fn create(machine: &Machine<'_>, start: &Start, mounts: Vec<Mount>, gpus: &[u32]) -> ContainerCreateBody {
    let spec = &start.spec;
    let task = start.attempt.task;
    let mut env: Vec<String> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    // Last, so that they win over the user's of the same name.
    env.extend([
        format!("CLOUDAI_JOB={}", task.job),
        format!("CLOUDAI_TASK={task}"),
        format!("CLOUDAI_TASK_INDEX={}", task.index),
        format!("CLOUDAI_TASK_COUNT={}", spec.count),
        format!("CLOUDAI_ATTEMPT={}", start.attempt.number),
        format!("CLOUDAI_FENCE={}", start.fence),
    ]);
    let r = spec.resources;
    let nano_cpus = (r.cpu_milli > 0).then(|| {
        let milli = r.cpu_milli.clamp(CPU_MILLI_MIN, machine.cpu_milli.max(CPU_MILLI_MIN));
        as_i64(milli.saturating_mul(NANO_CPUS_PER_MILLI))
    });
    let memory = (r.memory_bytes > 0).then(|| as_i64(r.memory_bytes.max(MEMORY_BYTES_MIN)));
    let device_requests = (!gpus.is_empty()).then(|| {
        vec![DeviceRequest {
            device_ids: Some(gpus.iter().map(u32::to_string).collect()),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..Default::default()
        }]
    });
    let host = HostConfig {
        nano_cpus,
        memory,
        // Equal to the memory: no swap.
        memory_swap: memory,
        pids_limit: Some(as_i64(processes_limit(spec))),
        cgroup_parent: machine.cgroup_parent.map(str::to_owned),
        init: machine.init.then_some(true),
        network_mode: machine.network.map(str::to_owned),
        cap_drop: Some(DROPPED.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), ENGINE_LOG_MAX.to_owned()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        mounts: (!mounts.is_empty()).then_some(mounts),
        device_requests,
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(env),
        labels: Some(labels::write(machine.cluster, machine.worker, start, gpus)),
        host_config: Some(host),
        ..Default::default()
    }
}

fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{AttemptId, JobId, JobSpec, Resources};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn body(spec: JobSpec) -> ContainerCreateBody {
        let attempt = AttemptId::new(JobId(1), 4, 2);
        let start = Start { attempt, fence: "1.9".into(), assigned_index: 9, spec: Arc::new(spec) };
        let machine = Machine {
            cluster: "c0ffee00c0ffee00",
            worker: "w1",
            cpu_milli: 2_000,
            init: true,
            network: None,
            cgroup_parent: None,
        };
        create(&machine, &start, vec![], &[])
    }

    #[test]
    fn limits_are_within_what_the_engine_takes() {
        let with = |cpu_milli, memory_bytes| {
            let resources = Resources { cpu_milli, memory_bytes, ..Default::default() };
            body(JobSpec { image: "i".into(), resources, ..Default::default() }).host_config.unwrap()
        };
        assert_eq!((with(0, 0).nano_cpus, with(0, 0).memory), (None, None));
        assert_eq!(with(500, 0).nano_cpus, Some(500_000_000));
        assert_eq!(with(64_000, 0).nano_cpus, Some(2_000_000_000), "no more than the machine has");
        assert_eq!(with(1, 0).nano_cpus, Some(10_000_000));
        let host = with(0, 1);
        assert_eq!((host.memory, host.memory_swap), (Some(6 << 20), Some(6 << 20)));
        assert_eq!(with(u64::MAX, u64::MAX).memory, Some(i64::MAX));
        assert_eq!(host.pids_limit, Some(4096));
        let few = body(JobSpec { image: "i".into(), processes_max: 64, ..Default::default() }).host_config.unwrap();
        assert_eq!((few.pids_limit, few.cgroup_parent), (Some(64), None));
    }

    /// CVE-2026-14891: whatever a spec says, a task shares no namespace with the host or with another container. Which sandbox it gets is not
    /// the spec's to say.
    #[test]
    fn host_namespace_bypass() {
        for text in ["host", "container:cloudai", "service:x", "bridge", "--network=host", "--privileged"] {
            let env = BTreeMap::from([("NetworkMode".to_owned(), text.to_owned())]);
            let spec = JobSpec {
                name: text.into(),
                image: text.into(),
                command: vec![text.into()],
                env,
                ..Default::default()
            };
            let body = body(spec);
            let host = body.host_config.unwrap();
            let modes =
                (host.network_mode, host.pid_mode, host.ipc_mode, host.uts_mode, host.userns_mode, host.cgroupns_mode);
            assert_eq!(modes, (None, None, None, None, None, None), "{text}");
            let more = (host.privileged, host.binds, host.devices, host.volumes_from, host.cap_add, host.links);
            assert_eq!(more, (None, None, None, None, None, None), "{text}");
            assert_eq!((body.user, body.entrypoint, body.volumes), (None, None, None), "{text}");
        }
    }

    #[test]
    fn nothing_is_privileged_and_the_task_knows_who_it_is() {
        let env = BTreeMap::from([("CLOUDAI_JOB".to_owned(), "forged".to_owned()), ("A".to_owned(), "b=c".to_owned())]);
        let body =
            body(JobSpec { image: "i".into(), env, command: vec!["a".into(), "b c".into()], ..Default::default() });
        let env = body.env.unwrap();
        assert!(env.contains(&"A=b=c".to_owned()));
        let job = env.iter().rfind(|e| e.starts_with("CLOUDAI_JOB=")).unwrap();
        assert_eq!(*job, format!("CLOUDAI_JOB={}", JobId(1)));
        assert!(env.contains(&"CLOUDAI_TASK_INDEX=4".to_owned()) && env.contains(&"CLOUDAI_ATTEMPT=2".to_owned()));
        assert_eq!(body.cmd, Some(vec!["a".to_owned(), "b c".to_owned()]));
        let host = body.host_config.unwrap();
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!((host.privileged, host.binds, host.network_mode, host.pid_mode), (None, None, None, None));
        assert_eq!(super::super::labels::read(&body.labels.unwrap()).unwrap().attempt, AttemptId::new(JobId(1), 4, 2));
    }
}
