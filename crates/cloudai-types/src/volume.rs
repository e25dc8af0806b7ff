//! What a task sees beside its image's files and the worker's own paths: volumes that outlive it, shares of a file server, folders in memory.
//! Comes in: what a spec says. Goes out: a checked description, and the one place where its rules stand. Who may use which is the worker's
//! to say; how an engine makes one is not known here.

use crate::limits;
use crate::resources::Bytes;
use crate::spec::{JobSpec, check_name};

/// The numbers are persisted: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum VolumeKind {
    /// Of the worker's engine, by name and namespace; made when it is first used, kept after the task.
    Named = 0,
    /// A share of a file server, mounted by the engine for this attempt.
    Nfs = 1,
    /// In memory, gone with the attempt, counted within its memory.
    Tmpfs = 2,
}

impl VolumeKind {
    pub const ALL: [VolumeKind; 3] = [VolumeKind::Named, VolumeKind::Nfs, VolumeKind::Tmpfs];

    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            VolumeKind::Named => "named",
            VolumeKind::Nfs => "nfs",
            VolumeKind::Tmpfs => "tmpfs",
        }
    }
}

/// One volume of a task. Fields that are not its kind's are empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Message)]
pub struct Volume {
    #[prost(enumeration = "VolumeKind", tag = "1")]
    pub kind: i32,
    /// Absolute path inside the container.
    #[prost(string, tag = "2")]
    pub target: String,
    /// Never of a folder in memory.
    #[prost(bool, tag = "3")]
    pub read_only: bool,
    /// Named: within the job's namespace.
    #[prost(string, tag = "4")]
    pub name: String,
    /// Tmpfs.
    #[prost(uint64, tag = "5")]
    pub size_bytes: u64,
    /// Nfs: a host name or an address.
    #[prost(string, tag = "6")]
    pub server: String,
    /// Nfs: what the server exports, absolute.
    #[prost(string, tag = "7")]
    pub path: String,
    /// Nfs: options of the mount, divided by commas; each name is one of [`NFS_OPTIONS`]. Empty: [`NFS_OPTIONS_DEFAULT`].
    #[prost(string, tag = "8")]
    pub options: String,
}

/// What a spec may say of a mount. Not among them is what would name another server, another port, another owner, or make a file a device.
pub const NFS_OPTIONS: [&str; 20] = [
    "vers",
    "nfsvers",
    "minorversion",
    "proto",
    "soft",
    "softerr",
    "hard",
    "timeo",
    "retrans",
    "rsize",
    "wsize",
    "lock",
    "nolock",
    "noatime",
    "nodiratime",
    "ac",
    "noac",
    "actimeo",
    "cto",
    "nocto",
];
pub const NFS_OPTIONS_DEFAULT: &str = "vers=4";

/// An absolute path without `..`, and without what would mean something else to an engine.
pub fn is_clean_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.split('/').any(|part| part == "..")
        && !path.contains([':', '\0', ',', '\n'])
        && path.len() <= limits::PATH_BYTES_MAX
}

/// As an engine compares paths: without doubled and closing slashes, and without `.`.
pub fn plain_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("/{}", parts.join("/"))
}

impl Volume {
    /// What is wrong with this one alone.
    pub fn check(&self) -> Result<(), String> {
        if !is_clean_path(&self.target) || plain_path(&self.target) == "/" {
            return Err(format!("'{}' is no absolute path inside the container without '..'", self.target));
        }
        let at = &self.target;
        match VolumeKind::try_from(self.kind) {
            Ok(VolumeKind::Named) => {
                check_name(&self.name).map_err(|problem| format!("{at}: the name '{}' {problem}", self.name))?;
                let others = (self.size_bytes, &*self.server, &*self.path, &*self.options);
                if others == (0, "", "", "") { Ok(()) } else { Err(format!("{at}: a named volume has only a name")) }
            }
            Ok(VolumeKind::Tmpfs) => {
                let others = (&*self.name, &*self.server, &*self.path, &*self.options);
                if self.size_bytes == 0 {
                    return Err(format!("{at}: a folder in memory needs a size, for example 64m"));
                }
                if self.read_only || others != ("", "", "", "") {
                    return Err(format!("{at}: a folder in memory has only a size, and can be written to"));
                }
                Ok(())
            }
            Ok(VolumeKind::Nfs) => {
                if !self.name.is_empty() || self.size_bytes > 0 {
                    return Err(format!("{at}: a share of a server has no name and no size of its own"));
                }
                check_server(&self.server).map_err(|problem| format!("{at}: {problem}"))?;
                if !is_clean_path(&self.path) {
                    return Err(format!("{at}: '{}' is no absolute path of the server without '..'", self.path));
                }
                check_options(&self.options).map_err(|problem| format!("{at}: {problem}"))
            }
            Err(_) => Err(format!("{at}: is of a kind that is not known")),
        }
    }
}

/// A host name, an IPv4 or an IPv6 address.
pub fn check_server(server: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let good = (1..=limits::HOST_NAME_BYTES_MAX).contains(&server.len())
        && !server.starts_with('-')
        && server.chars().all(known);
    if good { Ok(()) } else { Err(format!("'{server}' is no host name and no address of a server")) }
}

fn check_options(options: &str) -> Result<(), String> {
    if options.is_empty() {
        return Ok(());
    }
    if options.len() > limits::NFS_OPTIONS_BYTES_MAX {
        return Err(format!("its options have {} bytes; {} are allowed", options.len(), limits::NFS_OPTIONS_BYTES_MAX));
    }
    for option in options.split(',') {
        let (name, value) = option.split_once('=').unwrap_or((option, "0"));
        if !NFS_OPTIONS.contains(&name) {
            return Err(format!("the option '{option}' is not allowed; allowed are {}", NFS_OPTIONS.join(", ")));
        }
        if value.is_empty() || !value.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
            return Err(format!("the option '{option}' has no plain value"));
        }
    }
    Ok(())
}

/// All volumes of a spec, together with its mounts.
pub(crate) fn check_all(spec: &JobSpec, fault: &mut impl FnMut(&'static str, String)) {
    if spec.volumes.len() > limits::VOLUMES_MAX {
        fault("volumes", format!("has {} entries; {} are allowed", spec.volumes.len(), limits::VOLUMES_MAX));
        return;
    }
    for volume in &spec.volumes {
        if let Err(problem) = volume.check() {
            fault("volumes", problem);
        } else if plain_path(&volume.target).split('/').nth(1) == Some("cloudai") {
            fault("volumes", format!("'{}' lies where results and inputs are", volume.target));
        }
    }
    let mut targets: Vec<String> = spec.volumes.iter().map(|v| plain_path(&v.target)).collect();
    targets.extend(spec.mounts.iter().map(|m| plain_path(&m.target)));
    targets.sort_unstable();
    if let Some(twice) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
        fault("volumes", format!("'{}' is the target of two of its mounts or volumes", twice[0]));
    }
    let memory = spec.resources.memory_bytes;
    let in_memory = spec.volumes.iter().fold(0u64, |sum, v| sum.saturating_add(v.size_bytes));
    if memory > 0 && in_memory > memory {
        let (asked, memory) = (Bytes(in_memory), Bytes(memory));
        fault("volumes", format!("{asked} in memory, and all of the memory is {memory}: they are counted within it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resources;
    use crate::spec::{Mount, ValidJobSpec};

    fn named(name: &str, target: &str) -> Volume {
        Volume { kind: VolumeKind::Named as i32, name: name.into(), target: target.into(), ..Volume::default() }
    }

    fn nfs(server: &str, path: &str, options: &str) -> Volume {
        let kind = VolumeKind::Nfs as i32;
        let (server, path, options) = (server.into(), path.into(), options.into());
        Volume { kind, target: "/n".into(), server, path, options, ..Volume::default() }
    }

    fn tmpfs(size_bytes: u64) -> Volume {
        Volume { kind: VolumeKind::Tmpfs as i32, target: "/t".into(), size_bytes, ..Volume::default() }
    }

    #[test]
    fn each_kind_has_its_own_fields_and_no_others() {
        for good in
            [named("cache", "/c"), nfs("nas.lan", "/export/a", ""), nfs("fd00::1", "/", "vers=4.1,soft"), tmpfs(1)]
        {
            assert_eq!(good.check(), Ok(()), "{good:?}");
        }
        for bad in [
            named("", "/c"),
            named("a/b", "/c"),
            named("cache", "c"),
            named("cache", "/"),
            named("cache", "/a/../b"),
            Volume { size_bytes: 1, ..named("cache", "/c") },
            tmpfs(0),
            Volume { read_only: true, ..tmpfs(1) },
            Volume { name: "x".into(), ..tmpfs(1) },
            nfs("", "/export", ""),
            nfs("a,b", "/export", ""),
            nfs("-o", "/export", ""),
            nfs("nas", "export", ""),
            nfs("nas", "/a/../b", ""),
            nfs("nas", "/a", "addr=10.0.0.1"),
            nfs("nas", "/a", "vers=4,port=22"),
            nfs("nas", "/a", "vers=4,,soft"),
            nfs("nas", "/a", "vers=4 addr=x"),
            nfs("nas", "/a", "dev"),
            Volume { kind: 9, ..named("cache", "/c") },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_target_is_taken_once_and_folders_in_memory_are_part_of_the_memory() {
        let faults = |volumes: Vec<Volume>, memory_bytes| {
            let mounts = vec![Mount { source: "/data".into(), target: "/d".into(), write: true }];
            let resources = Resources { memory_bytes, ..Resources::default() };
            let spec = JobSpec { image: "i".into(), volumes, mounts, resources, ..JobSpec::default() };
            ValidJobSpec::parse(spec).err().map_or(vec![], |e| e.faults.iter().map(|f| f.field).collect())
        };
        assert_eq!(faults(vec![named("a", "/c"), tmpfs(64)], 64), [""; 0]);
        assert_eq!(faults(vec![tmpfs(65)], 64), ["volumes"]);
        assert_eq!(faults(vec![tmpfs(65)], 0), [""; 0], "without a limit of memory there is none of this");
        assert_eq!(faults(vec![named("a", "/c"), named("b", "//c/")], 0), ["volumes"]);
        assert_eq!(faults(vec![named("a", "/d")], 0), ["volumes"], "a mount is there");
        assert_eq!(faults(vec![named("a", "/cloudai/out")], 0), ["volumes"]);
        assert_eq!(faults(vec![named("a", "/c"); limits::VOLUMES_MAX + 1], 0), ["volumes"]);
    }
}
