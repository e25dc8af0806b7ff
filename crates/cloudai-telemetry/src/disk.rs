//! How full a disk is. Comes in: a path. Goes out: the room of the file system that holds it, as somebody who is not root may use it.

use std::path::Path;

/// Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Disk {
    pub free: u64,
    pub total: u64,
}

/// `None` where the path is not there or its file system does not say. Waits as long as the file system does: not for a loop that must not.
pub fn disk_of(path: &Path) -> Option<Disk> {
    let stat = rustix::fs::statvfs(path).ok()?;
    // Blocks that are kept for root are no room: what is full without them is full.
    let total = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_add(stat.f_bavail);
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(Disk { free: bytes(stat.f_bavail), total: bytes(total) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_folder_has_a_size_and_one_of_nothing_has_none() {
        let disk = disk_of(&std::env::temp_dir()).expect("a folder");
        assert!(disk.total > 0 && disk.free <= disk.total, "{disk:?}");
        assert_eq!(disk_of(Path::new("/no/such/folder")), None);
    }
}
