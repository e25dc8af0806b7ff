//! Whether the engine itself can hold a container's own files to a size. Comes in: what the engine says of its storage, and the mounts of
//! this machine. Goes out: yes or no. Pure.
//!
//! An engine does not say whether its disk keeps quotas of projects: the mount does. On an engine elsewhere the mounts here say nothing;
//! should they seem to, its first refusal ends the belief.

use std::path::Path;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EngineStorage {
    /// `overlay2`, `btrfs`, `zfs`, …
    pub driver: String,
    /// The file system below the driver.
    pub backing: String,
    /// Where the engine keeps everything.
    pub root: String,
}

/// `mounts`: of `/proc/self/mountinfo`.
pub fn holds(engine: &EngineStorage, mounts: &str) -> bool {
    match engine.driver.as_str() {
        "btrfs" | "zfs" => true,
        "overlay2" => engine.backing == "xfs" && keeps_project_quotas(&engine.root, mounts),
        _ => false,
    }
}

/// `36 31 8:1 / /var/lib/docker rw,relatime - xfs /dev/sda1 rw,attr2,prjquota`
fn keeps_project_quotas(folder: &str, mounts: &str) -> bool {
    let read = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let at = mount.split(' ').nth(4)?.to_owned();
        let options = file_system.split(' ').nth(2)?;
        Some((at, options.split(',').any(|o| o == "prjquota" || o == "pquota")))
    };
    let around = mounts.lines().filter_map(read).filter(|(at, _)| Path::new(folder).starts_with(at));
    // The innermost; of two at one place the later one, which hides the other.
    around.max_by_key(|(at, _)| Path::new(at).components().count()).is_some_and(|(_, keeps)| keeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 23 8:1 / /var/lib/docker rw,relatime shared:9 - xfs /dev/sda1 rw,attr2,inode64,prjquota
41 23 8:2 / /data rw,relatime - xfs /dev/sdb1 rw,attr2,noquota
42 40 8:3 / /var/lib/docker/volumes rw - ext4 /dev/sdc1 rw
";

    #[test]
    fn drivers_and_mounts_decide() {
        let of = |driver: &str, backing: &str, root: &str| {
            let engine = EngineStorage { driver: driver.into(), backing: backing.into(), root: root.into() };
            holds(&engine, MOUNTS)
        };
        assert!(of("overlay2", "xfs", "/var/lib/docker"));
        assert!(of("overlay2", "xfs", "/var/lib/docker/100000.100000"));
        assert!(!of("overlay2", "xfs", "/data/docker"), "no quotas on that disk");
        assert!(!of("overlay2", "xfs", "/var/lib/docker/volumes"), "another disk lies over it");
        assert!(!of("overlay2", "xfs", "/var/lib/docker2"));
        assert!(!of("overlay2", "extfs", "/var/lib/docker"));
        assert!(of("btrfs", "", "/x") && of("zfs", "", "/x"));
        assert!(!of("vfs", "xfs", "/var/lib/docker") && !of("", "", ""));
        assert!(!holds(&EngineStorage { driver: "overlay2".into(), backing: "xfs".into(), root: "/".into() }, ""));
    }
}
