//! What a task writes to the engine's disk. Comes in: a container of a task that asked for storage. Goes out: the words of its ending, once it
//! has written more than it asked for.
//!
//! A task has its scratch, and perhaps its image's own files and volumes, on the disk. Where the engine can hold a container's own files to a
//! size it does (`quota`); volumes it holds nowhere. So all of it is looked at now and then: `extent` counts, `verdict` decides, here are the
//! hands. A task that asked for no storage has its scratch in memory: only the folder for its results is looked at, if it has one.

mod extent;
pub mod quota;
mod verdict;

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, MountPoint};
use cloudai_types::{EndReason, JobSpec, ReasonKind, limits};
use tokio::sync::Semaphore;

use self::extent::Extent;
use self::quota::EngineStorage;
use self::verdict::{Looks, Verdict};
use super::meter::Written;
use super::policy::SCRATCH;
use super::{Shared, labels};
use crate::clock;

/// Everybody may write there, and remove only what is theirs.
const SCRATCH_MODE: u32 = 0o1777;

/// What all watched containers of this worker share.
pub struct Storage {
    /// Whether the engine holds a container's own files to a size; until it says otherwise.
    has_quota: AtomicBool,
    looks: Semaphore,
    /// Whether people were told that something does not work.
    told: AtomicBool,
}

impl Storage {
    pub fn find(engine: &EngineStorage) -> Storage {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let has_quota = quota::holds(engine, &mounts);
        tracing::debug!(driver = engine.driver, has_quota, "the engine's storage");
        Storage {
            has_quota: AtomicBool::new(has_quota),
            looks: Semaphore::new(limits::STORAGE_LOOKS_AT_A_TIME),
            told: AtomicBool::new(false),
        }
    }

    pub fn has_quota(&self) -> bool {
        self.has_quota.load(Relaxed)
    }

    /// The engine has said otherwise.
    pub fn on_no_quota(&self) {
        if self.has_quota.swap(false, Relaxed) {
            tracing::warn!("the engine's disk keeps no quotas: what tasks write is only looked at");
        }
    }

    fn tell(&self, error: &io::Error) {
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(%error, "what tasks write to the engine's disk cannot be looked at, and they may write more than they asked for; run the worker as root on the engine's machine");
        }
    }
}

/// Where one container writes, and how much it may.
#[derive(Clone, PartialEq, Debug)]
pub struct Watch {
    /// Bytes.
    allowed: u64,
    /// It asked for so much. Otherwise it is what results may take without storage.
    is_asked: bool,
    layer: Layer,
    /// Volumes and folders of its own.
    folders: Vec<PathBuf>,
    scratch: Option<PathBuf>,
}

/// The container's own copy of its image's files.
#[derive(Clone, PartialEq, Debug)]
enum Layer {
    ReadOnly,
    Here(PathBuf),
    /// The container's id: the engine counts.
    Asked(String),
}

impl Watch {
    /// `asked`: bytes of storage. `None`: nothing of it is on a disk, and nothing is looked at.
    pub fn of(seen: &ContainerInspectResponse, asked: u64) -> Option<Watch> {
        let mounts = seen.mounts.as_deref().unwrap_or_default();
        // What outlives the task, or is others' as well, is none of its storage.
        let labels = seen.config.as_ref().and_then(|config| config.labels.as_ref());
        let shared: Vec<&str> =
            labels.and_then(|l| l.get(labels::SHARED)).map_or(vec![], |text| text.split(',').collect());
        // Any other path of the machine that a task may write to is a folder that this worker has made for it.
        let is_own = |m: &&MountPoint| match (m.typ.as_deref(), m.driver.as_deref()) {
            (Some("volume"), Some("local")) | (Some("bind"), _) => {
                m.rw == Some(true) && !m.destination.as_deref().is_some_and(|at| shared.contains(&at))
            }
            _ => false,
        };
        let source = |m: &MountPoint| m.source.clone().map(PathBuf::from);
        if asked == 0 {
            let is_made = |m: &&MountPoint| m.typ.as_deref() == Some("bind");
            let folders: Vec<PathBuf> = mounts.iter().filter(is_own).filter(is_made).filter_map(source).collect();
            let allowed = limits::RESULT_TOTAL_BYTES_DEFAULT;
            let watch = Watch { allowed, is_asked: false, layer: Layer::ReadOnly, folders, scratch: None };
            return (!watch.folders.is_empty()).then_some(watch);
        }
        let upper = seen.graph_driver.as_ref().and_then(|d| d.data.get("UpperDir"));
        let is_read_only = seen.host_config.as_ref().is_some_and(|h| h.readonly_rootfs == Some(true));
        let layer = match (is_read_only, upper) {
            (true, _) => Layer::ReadOnly,
            (false, Some(upper)) => Layer::Here(PathBuf::from(upper)),
            (false, None) => Layer::Asked(seen.id.clone().unwrap_or_default()),
        };
        let folders: Vec<PathBuf> = mounts.iter().filter(is_own).filter_map(source).collect();
        let is_scratch = |m: &&MountPoint| is_own(m) && m.destination.as_deref() == Some(SCRATCH);
        let scratch = mounts.iter().find(is_scratch).and_then(source);
        Some(Watch { allowed: asked, is_asked: true, layer, folders, scratch })
    }

    async fn look(&self, shared: &Shared) -> Extent {
        let mut folders = self.folders.clone();
        let asked = match &self.layer {
            Layer::ReadOnly => Extent::Bytes(0),
            Layer::Here(upper) => {
                folders.push(upper.clone());
                Extent::Bytes(0)
            }
            Layer::Asked(id) => match shared.engine.layer_bytes(id).await {
                Ok(bytes) => Extent::Bytes(bytes),
                Err(error) => {
                    tracing::debug!(id, %error, "the engine does not say what a container has written");
                    Extent::Bytes(0)
                }
            },
        };
        let count = move || folders.iter().map(|folder| extent::of(folder)).collect::<Vec<_>>();
        let counted = tokio::task::spawn_blocking(count);
        // A worker that stops ends its threads.
        let each = counted.await.unwrap_or_default();
        each.into_iter().fold(asked, |sum, one| match one {
            Ok(extent) => sum.plus(extent),
            Err(error) => {
                // A container that is gone has taken its folders with it.
                if error.kind() != ErrorKind::NotFound {
                    shared.storage.tell(&error);
                }
                sum
            }
        })
    }
}

/// A container is made and not started: where it will write. Opens its scratch to whoever the task is.
pub async fn prepare(shared: &Shared, id: &str, spec: &JobSpec) -> Result<Option<Watch>, Error> {
    let asked = spec.resources.storage_bytes;
    if asked == 0 && !spec.results {
        return Ok(None);
    }
    let watch = Watch::of(&shared.engine.inspect(id).await?, asked);
    if let Some(scratch) = watch.as_ref().and_then(|w| w.scratch.clone()) {
        let open = move || std::fs::set_permissions(&scratch, std::fs::Permissions::from_mode(SCRATCH_MODE));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(open).await {
            tracing::debug!(id, %error, "the scratch keeps the rights that the image gives to its {SCRATCH}");
        }
    }
    Ok(watch)
}

/// Looks until it is over; what its ending says. Never ends otherwise. What each look finds is noted.
pub async fn until_over(shared: &Shared, watch: Option<Watch>, written: &Written) -> String {
    let Some(watch) = watch else { return std::future::pending().await };
    let mut looks = Looks::new(watch.allowed, watch.is_asked);
    let mut pause = limits::STORAGE_LOOK_MIN;
    loop {
        tokio::time::sleep(pause.as_duration()).await;
        let turn = shared.storage.looks.acquire().await.expect("this semaphore is never closed");
        let begun = clock::mono();
        let found = watch.look(shared).await;
        drop(turn);
        if let Extent::Bytes(bytes) = found {
            written.note(bytes);
        }
        let now = clock::mono();
        match looks.judge(found, now, now - begun) {
            Verdict::Over(words) => return words,
            Verdict::LookAgainIn(next) => pause = next,
        }
    }
}

/// The reason of what was killed for what it wrote. A program that has said 0 before it was killed has succeeded.
pub fn reason_of(over: Option<String>, seen: EndReason) -> EndReason {
    match over {
        Some(words) if seen.exit_code.is_some() && !seen.is_success() => {
            let reason = EndReason::new(ReasonKind::DiskQuota, words).with_usage(seen.usage);
            EndReason { exit_code: seen.exit_code, ..reason }
        }
        Some(_) | None => seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerConfig, DriverData, HostConfig};
    use std::collections::HashMap;

    fn mount(typ: &str, driver: Option<&str>, rw: bool, source: &str, destination: &str) -> MountPoint {
        MountPoint {
            typ: Some(typ.into()),
            driver: driver.map(str::to_owned),
            rw: Some(rw),
            source: Some(source.into()),
            destination: Some(destination.into()),
            ..Default::default()
        }
    }

    fn container(read_only: bool, data: &[(&str, &str)]) -> ContainerInspectResponse {
        let data: HashMap<String, String> = data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ContainerInspectResponse {
            id: Some("abc".into()),
            graph_driver: Some(DriverData { name: "overlay2".into(), data }),
            host_config: Some(HostConfig { readonly_rootfs: Some(read_only), ..Default::default() }),
            mounts: Some(vec![
                mount("volume", Some("local"), true, "/v/1/_data", "/tmp"),
                mount("volume", Some("local"), true, "/v/2/_data", "/data"),
                mount("volume", Some("local"), false, "/v/3/_data", "/read"),
                mount("volume", Some("nfs"), true, "/v/4", "/far"),
                mount("bind", None, true, "/w/out", "/cloudai/out"),
                mount("bind", None, false, "/etc", "/etc"),
                mount("tmpfs", None, true, "", "/run"),
            ]),
            ..Default::default()
        }
    }

    #[test]
    fn a_container_writes_to_its_layer_and_its_own_volumes() {
        let upper = [("UpperDir", "/o/1/diff")];
        let watch = Watch::of(&container(true, &upper), 7).unwrap();
        assert_eq!((watch.allowed, &watch.layer), (7, &Layer::ReadOnly));
        assert_eq!(watch.folders, ["/v/1/_data", "/v/2/_data", "/w/out"].map(PathBuf::from));
        assert_eq!(watch.scratch, Some("/v/1/_data".into()));
        assert_eq!(Watch::of(&container(false, &upper), 7).unwrap().layer, Layer::Here("/o/1/diff".into()));
        assert_eq!(Watch::of(&container(false, &[]), 7).unwrap().layer, Layer::Asked("abc".into()), "zfs, btrfs");
        let results = Watch::of(&container(false, &upper), 0).unwrap();
        assert_eq!((results.allowed, results.is_asked, &results.layer), (1 << 30, false, &Layer::ReadOnly));
        assert_eq!((results.folders, results.scratch), (vec!["/w/out".into()], None), "the rest of it is in memory");
        let told = HashMap::from([(labels::SHARED.to_owned(), "/data,/cloudai/out".to_owned())]);
        let config = ContainerConfig { labels: Some(told), ..Default::default() };
        let shares = ContainerInspectResponse { config: Some(config), ..container(true, &upper) };
        assert_eq!(Watch::of(&shares, 7).unwrap().folders, [PathBuf::from("/v/1/_data")]);
        assert_eq!(Watch::of(&shares, 0), None, "nothing of it is its own");
        let plain = ContainerInspectResponse { mounts: None, ..container(false, &upper) };
        assert_eq!(Watch::of(&plain, 0), None, "it asked for nothing");
    }

    #[test]
    fn what_was_killed_for_its_storage_says_so() {
        let over = || Some("it wrote too much".to_owned());
        let killed = reason_of(over(), EndReason::new(ReasonKind::Signal, "signal 9").with_exit_code(137));
        assert_eq!(killed.to_string(), "disk_quota 137: it wrote too much");
        assert_eq!(reason_of(over(), EndReason::exit(1)).kind(), ReasonKind::DiskQuota);
        assert_eq!(reason_of(over(), EndReason::exit(0)), EndReason::exit(0), "it was quicker");
        let vanished = EndReason::new(ReasonKind::EngineError, "somebody removed it");
        assert_eq!(reason_of(over(), vanished.clone()), vanished);
        assert_eq!(reason_of(None, EndReason::exit(1)), EndReason::exit(1));
    }
}
