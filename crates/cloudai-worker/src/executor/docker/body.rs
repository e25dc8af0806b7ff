//! A spec as the engine's create request. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountTmpfsOptions, MountType,
    ResourcesUlimits,
};

use cloudai_types::{JobSpec, limits};
use zeroize::Zeroizing;

use super::policy::Settings;
use super::{Start, labels};

/// The engine refuses less.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
const NANO_CPUS_PER_MILLI: u64 = 1_000_000;
/// What the engine refuses: less than a hundredth of a CPU.
const CPU_MILLI_MIN: u64 = 10;
/// Everybody may write to a folder in memory, and remove only what is theirs.
const IN_MEMORY_MODE: i64 = 0o1777;
/// The engine's own copy of the log, which is read while the container is there.
const ENGINE_LOG_MAX: &str = "20m";

pub struct Machine<'a> {
    pub cluster: &'a str,
    pub worker: &'a str,
    /// CPUs of the engine's machine, in thousandths: it refuses a limit above that.
    pub cpu_milli: u64,
    pub init: bool,
    /// The network mode: one of this worker's own sandboxes, or what the policy allowed. `None`: the engine makes a network for it.
    pub network: Option<&'a str>,
    /// The image by its content.
    pub image: &'a str,
    pub settings: &'a Settings,
    /// Whether the engine holds a container's own files to a size.
    pub has_quota: bool,
    /// Whether the engine has the usual number of open files to give.
    pub has_open_files: bool,
    /// The cgroup that outlives the container. `None`: the engine's own, and nothing is measured.
    pub cgroup_parent: Option<&'a str>,
    /// Variables that are secrets.
    pub secrets: &'a [(String, Zeroizing<String>)],
}

/// Processes and threads that an attempt may have at a time.
pub fn processes_limit(spec: &JobSpec) -> u64 {
    u64::from(if spec.processes_max == 0 { limits::PROCESSES_DEFAULT } else { spec.processes_max })
}

pub fn create(machine: &Machine<'_>, start: &Start, mut mounts: Vec<Mount>, gpus: &[String]) -> ContainerCreateBody {
    let (spec, settings) = (&start.spec, machine.settings);
    let task = start.attempt.task;
    let mut env: Vec<String> = settings.home.iter().map(|home| format!("HOME={home}")).collect();
    // What the program itself says of its trace wins.
    env.extend(start.trace.map(|trace| format!("TRACEPARENT={trace}")));
    env.extend(spec.env.iter().map(|(k, v)| format!("{k}={v}")));
    env.extend(machine.secrets.iter().map(|(k, v)| format!("{k}={}", v.as_str())));
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
            device_ids: Some(gpus.to_vec()),
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..Default::default()
        }]
    });
    mounts.extend(settings.on_disk.iter().map(|path| on_disk(path)));
    mounts.extend(settings.in_memory.iter().map(|path| in_memory(path)));
    let holds_layer = machine.has_quota && settings.writable_root && r.storage_bytes > 0;
    let shm = if spec.shm_bytes == 0 { limits::SHM_BYTES_DEFAULT } else { spec.shm_bytes };
    let open_files = match spec.open_files {
        // As many as the engine has itself.
        0 if !machine.has_open_files => None,
        0 => Some(limits::OPEN_FILES_DEFAULT),
        asked => Some(asked),
    };
    let host = HostConfig {
        nano_cpus,
        memory,
        // Equal to the memory: no swap.
        memory_swap: memory,
        pids_limit: Some(as_i64(processes_limit(spec))),
        cgroup_parent: machine.cgroup_parent.map(str::to_owned),
        init: machine.init.then_some(true),
        network_mode: machine.network.map(str::to_owned),
        // A dump of a crash goes where the machine wants it, which is none of the task's storage.
        ulimits: Some([("core", Some(0)), ("nofile", open_files)].into_iter().filter_map(ulimit).collect()),
        shm_size: Some(as_i64(shm)),
        storage_opt: holds_layer.then(|| HashMap::from([("size".to_owned(), r.storage_bytes.to_string())])),
        readonly_rootfs: (!settings.writable_root).then_some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
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
        image: Some(machine.image.to_owned()),
        user: Some(settings.user.clone()),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(env),
        labels: Some(labels::write(machine.cluster, machine.worker, start, gpus)),
        host_config: Some(host),
        ..Default::default()
    }
}

/// A nameless volume: on the engine's disk, with what the image has there, and gone with the container.
fn on_disk(path: &str) -> Mount {
    Mount { target: Some(path.to_owned()), typ: Some(MountType::VOLUME), ..Default::default() }
}

fn in_memory(path: &str) -> Mount {
    let options = MountTmpfsOptions {
        size_bytes: Some(as_i64(limits::SCRATCH_BYTES_DEFAULT)),
        mode: Some(IN_MEMORY_MODE),
        ..Default::default()
    };
    Mount {
        target: Some(path.to_owned()),
        typ: Some(MountType::TMPFS),
        tmpfs_options: Some(options),
        ..Default::default()
    }
}

fn ulimit((name, most): (&str, Option<u32>)) -> Option<ResourcesUlimits> {
    let most = Some(i64::from(most?));
    Some(ResourcesUlimits { name: Some(name.to_owned()), soft: most, hard: most })
}

fn as_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::policy::{self, Image, Policy};
    use super::*;
    use cloudai_telemetry::TraceContext;
    use cloudai_types::{AttemptId, JobId, Resources};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn body(spec: JobSpec) -> ContainerCreateBody {
        on(spec, false, true)
    }

    fn on(spec: JobSpec, has_quota: bool, has_open_files: bool) -> ContainerCreateBody {
        let image = Image { id: "sha256:1".into(), ..Image::default() };
        let settings = policy::settings(&spec, &image, &Policy::new(true, &[])).unwrap();
        let attempt = AttemptId::new(JobId(1), 4, 2);
        let start = Start {
            attempt,
            fence: "1.9".into(),
            assigned_index: 9,
            spec: Arc::new(spec),
            trace: TraceContext::parse(TRACE),
        };
        let machine = Machine {
            cluster: "c0ffee00c0ffee00",
            worker: "w1",
            cpu_milli: 2_000,
            init: true,
            network: None,
            image: &image.id,
            settings: &settings,
            has_quota,
            has_open_files,
            cgroup_parent: None,
            secrets: &[],
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
            let who = (body.user.as_deref(), body.image.as_deref());
            assert_eq!(who, (Some(policy::NOBODY), Some("sha256:1")), "{text}");
            assert_eq!((body.entrypoint, body.volumes), (None, None), "{text}");
        }
    }

    #[test]
    fn a_task_has_no_rights_and_one_folder_to_write_to() {
        let body = body(JobSpec { image: "i".into(), ..Default::default() });
        assert!(body.env.unwrap().contains(&"HOME=/tmp".to_owned()));
        let host = body.host_config.unwrap();
        assert_eq!((host.cap_drop, host.cap_add), (Some(vec!["ALL".to_owned()]), None));
        assert_eq!((host.readonly_rootfs, host.shm_size), (Some(true), Some(64 << 20)));
        let mounts = host.mounts.unwrap();
        assert_eq!(
            (mounts.len(), mounts[0].typ, mounts[0].target.as_deref()),
            (1, Some(MountType::TMPFS), Some("/tmp"))
        );
        let options = mounts[0].tmpfs_options.as_ref().unwrap();
        assert_eq!((options.size_bytes, options.mode), (Some(64 << 20), Some(0o1777)));
        let limits: Vec<_> = host.ulimits.unwrap().into_iter().map(|u| (u.name.unwrap(), u.soft, u.hard)).collect();
        let equal = |name: &str, most| (name.to_owned(), Some(most), Some(most));
        assert_eq!(limits, [equal("core", 0), equal("nofile", 16_384)]);
    }

    #[test]
    fn what_a_spec_asks_for_is_what_it_gets() {
        let resources = Resources { storage_bytes: 5 << 20, ..Default::default() };
        let asks = JobSpec { image: "i".into(), open_files: 128, shm_bytes: 1 << 20, resources, ..Default::default() };
        let asks = JobSpec { user: "root".into(), ..asks };
        let plain = body(asks.clone());
        assert_eq!(plain.user.as_deref(), Some("0:0"));
        let host = plain.host_config.unwrap();
        assert_eq!((host.shm_size, host.ulimits.unwrap()[1].hard), (Some(1 << 20), Some(128)));
        let mounts = host.mounts.unwrap();
        assert_eq!((mounts.len(), mounts[0].typ, &mounts[0].source), (1, Some(MountType::VOLUME), &None));
        // Only what can be written to needs a quota, and only where there are quotas.
        let writable = JobSpec { writable_root: true, ..asks.clone() };
        let quota =
            |spec, has_quota| on(spec, has_quota, true).host_config.unwrap().storage_opt.map(|o| o["size"].clone());
        assert_eq!(quota(writable.clone(), true).as_deref(), Some("5242880"));
        assert_eq!((quota(writable.clone(), false), quota(asks, true)), (None, None));
        assert_eq!(body(writable).host_config.unwrap().readonly_rootfs, None);
    }

    #[test]
    fn an_engine_with_few_open_files_gives_what_it_has() {
        let of = |open_files| {
            let spec = JobSpec { image: "i".into(), open_files, ..Default::default() };
            let limits = on(spec, false, false).host_config.unwrap().ulimits.unwrap();
            limits.into_iter().map(|u| (u.name.unwrap(), u.hard.unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(of(0), [("core".to_owned(), 0)]);
        assert_eq!(of(100), [("core".to_owned(), 0), ("nofile".to_owned(), 100)]);
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

    #[test]
    fn a_program_hears_of_its_trace_unless_its_job_says_another() {
        let last = |spec: JobSpec| {
            let env = body(spec).env.unwrap();
            env.iter().rfind(|e| e.starts_with("TRACEPARENT=")).unwrap().clone()
        };
        assert_eq!(last(JobSpec { image: "i".into(), ..Default::default() }), format!("TRACEPARENT={TRACE}"));
        let env = BTreeMap::from([("TRACEPARENT".to_owned(), "own".to_owned())]);
        assert_eq!(last(JobSpec { image: "i".into(), env, ..Default::default() }), "TRACEPARENT=own");
    }
}
