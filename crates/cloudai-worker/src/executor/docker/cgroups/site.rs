//! Where this worker's parent cgroups are. Comes in: what the engine and this machine say of themselves. Goes out: the hierarchies and a
//! folder in each, or why there can be none. Decides from texts; only [`Here::look`], [`Site::open`] and [`is_stacked`] look at the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{number, read_text, v1};

/// What the engine says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EngineFacts {
    /// `cgroupfs`, `systemd` or `none`.
    pub cgroup_driver: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    pub kernel: String,
    pub host_name: String,
    pub rootless: bool,
}

/// What this machine says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    pub kernel: String,
    pub host_name: String,
    /// `/proc/self/mountinfo`
    pub mounts: String,
}

/// Why there are no parent cgroups.
#[derive(Debug, thiserror::Error)]
pub enum NoSite {
    #[error("this machine's {path} cannot be read: {source}")]
    Proc { path: &'static str, source: io::Error },
    #[error(
        "the engine runs on another machine ({engine}, and this is {here}), and its kernel cannot be asked from here"
    )]
    Elsewhere { engine: String, here: String },
    #[error("the engine runs without root: its cgroups are not this worker's to make")]
    Rootless,
    #[error(
        "the engine has its cgroups made by '{0}', which keeps no parent for this worker; an engine with the driver cgroupfs (native.cgroupdriver=cgroupfs in its exec-opts) does"
    )]
    Driver(String),
    #[error("the hierarchy of '{0}' is not mounted here, or not from its root")]
    NotMounted(&'static str),
    #[error("the cgroup {} cannot be made: {source}; run the worker as root to know what attempts use", path.display())]
    NotWritable { path: PathBuf, source: io::Error },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Version {
    /// Where each of [`v1::CONTROLLERS`] is mounted.
    V1(BTreeMap<&'static str, PathBuf>),
    V2(PathBuf),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    pub version: Version,
    all: Vec<PathBuf>,
    folder: String,
}

impl Site {
    /// `all`: every hierarchy in which the engine makes cgroups.
    pub fn new(version: Version, all: Vec<PathBuf>, folder: String) -> Site {
        Site { version, all, folder }
    }

    /// The hierarchies whose counters are read.
    pub fn counted(&self) -> Vec<&Path> {
        match &self.version {
            Version::V1(by_controller) => {
                let mut paths: Vec<&Path> = by_controller.values().map(PathBuf::as_path).collect();
                paths.sort_unstable();
                // Some controllers may share one.
                paths.dedup();
                paths
            }
            Version::V2(root) => vec![root],
        }
    }

    /// Every hierarchy.
    pub fn all(&self) -> &[PathBuf] {
        &self.all
    }

    /// The folder of this worker's parents, in each hierarchy.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Makes the folder, which shows whether this worker may.
    pub fn open(&self) -> Result<(), NoSite> {
        for hierarchy in self.counted() {
            let path = hierarchy.join(&self.folder);
            fs::create_dir_all(&path).map_err(|source| NoSite::NotWritable { path: path.clone(), source })?;
            // Old kernels count upwards only where they are told to; new ones always do, and have nothing to be told.
            let hierarchical = path.join(v1::USE_HIERARCHY);
            if read_text(&hierarchical).as_deref().and_then(number) == Some(0)
                && let Err(error) = fs::write(&hierarchical, "1")
            {
                tracing::debug!(%error, "peak memory will not be known");
            }
        }
        Ok(())
    }
}

impl Here {
    pub fn look() -> Result<Here, NoSite> {
        let text = |path| fs::read_to_string(path).map_err(|source| NoSite::Proc { path, source });
        Ok(Here {
            kernel: text("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            host_name: text("/proc/sys/kernel/hostname")?.trim().to_owned(),
            mounts: text("/proc/self/mountinfo")?,
        })
    }
}

pub fn find(engine: &EngineFacts, here: &Here, cluster: &str, worker: &str) -> Result<Site, NoSite> {
    if engine.kernel != here.kernel || engine.host_name != here.host_name {
        let named = |host: &str, kernel: &str| format!("{host} with Linux {kernel}");
        return Err(NoSite::Elsewhere {
            engine: named(&engine.host_name, &engine.kernel),
            here: named(&here.host_name, &here.kernel),
        });
    }
    if engine.rootless {
        return Err(NoSite::Rootless);
    }
    if engine.cgroup_driver != "cgroupfs" {
        return Err(NoSite::Driver(engine.cgroup_driver.clone()));
    }
    let hierarchies = hierarchies(&here.mounts);
    let version = if engine.cgroup_version == "2" {
        let root = hierarchies.iter().find(|h| h.is_v2).ok_or(NoSite::NotMounted("cgroup2"))?;
        Version::V2(root.path.clone())
    } else {
        let mut by_controller = BTreeMap::new();
        for controller in v1::CONTROLLERS {
            let its = hierarchies.iter().find(|h| h.controllers.iter().any(|c| c == controller));
            by_controller.insert(controller, its.ok_or(NoSite::NotMounted(controller))?.path.clone());
        }
        Version::V1(by_controller)
    };
    let all = hierarchies.into_iter().map(|h| h.path).collect();
    Ok(Site::new(version, all, format!("cloudai-{cluster}-{worker}")))
}

struct Hierarchy {
    path: PathBuf,
    is_v2: bool,
    /// Of version 1; with `name=…` and the mount's own options.
    controllers: Vec<String>,
}

/// `36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory`. One that is not mounted from its root shows only a part, and
/// paths in it are others than the engine's.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let read = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, path) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let (kind, options) = (file_system.next()?, file_system.nth(1)?);
        let is_v2 = match kind {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let controllers = options.split(',').map(str::to_owned).collect();
        (root == "/").then(|| Hierarchy { path: PathBuf::from(path), is_v2, controllers })
    };
    mountinfo.lines().filter_map(read).collect()
}

/// Whether a block device (`MAJOR:MINOR`) is made of others, which count the same bytes.
pub fn is_stacked(device: &str) -> bool {
    let parts = Path::new("/sys/dev/block").join(device).join("slaves");
    fs::read_dir(parts).is_ok_and(|mut parts| parts.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn engine(version: &str) -> EngineFacts {
        EngineFacts {
            cgroup_driver: "cgroupfs".into(),
            cgroup_version: version.into(),
            kernel: "6.1.0".into(),
            host_name: "node-1".into(),
            rootless: false,
        }
    }

    fn here(mounts: &str) -> Here {
        Here { kernel: "6.1.0".into(), host_name: "node-1".into(), mounts: mounts.into() }
    }

    #[test]
    fn the_kernels_mounts_say_where() {
        let v1 = find(&engine("1"), &here(V1), "c0ffee", "w1").unwrap();
        let paths: Vec<_> = v1.counted().iter().map(|p| p.to_str().unwrap().to_owned()).collect();
        let counted = ["blkio", "cpu,cpuacct", "memory", "pids"].map(|c| format!("/sys/fs/cgroup/{c}"));
        assert_eq!((paths.as_slice(), v1.all().len(), v1.folder()), (&counted[..], 6, "cloudai-c0ffee-w1"));
        let v2 = find(&engine("2"), &here(V2), "c0ffee", "w1").unwrap();
        assert_eq!(v2.version, Version::V2("/sys/fs/cgroup".into()));
    }

    #[test]
    fn each_reason_against_it_is_said() {
        let says = |engine: EngineFacts, mounts: &str| match find(&engine, &here(mounts), "c", "w") {
            Ok(site) => panic!("{site:?}"),
            Err(reason) => reason.to_string(),
        };
        assert!(says(EngineFacts { cgroup_driver: "systemd".into(), ..engine("2") }, V2).contains("'systemd'"));
        assert!(says(EngineFacts { rootless: true, ..engine("2") }, V2).contains("without root"));
        assert!(says(EngineFacts { host_name: "far".into(), ..engine("2") }, V2).contains("another machine (far"));
        assert!(says(EngineFacts { kernel: "5.4".into(), ..engine("2") }, V2).contains("another machine"));
        assert!(says(engine("1"), V2).contains("'memory' is not mounted"));
        assert!(says(engine("2"), "").contains("cgroup2"));
        let inside = V2.replace("0:26 / ", "0:26 /docker/abc ");
        assert!(says(engine("2"), &inside).contains("not from its root"), "a worker inside a container");
    }

    #[test]
    fn a_worker_without_the_right_says_what_would_help() {
        let site = Site::new(Version::V2("/proc/1".into()), vec![], "ours".into());
        assert!(site.open().unwrap_err().to_string().contains("as root"));
    }
}
