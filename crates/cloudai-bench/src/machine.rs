//! What the machine says about itself and about processes, from /proc and the file system.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Load average of the last minute; 0 where the kernel does not tell.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// CPU time that a process has used, user and system; zero when it is gone.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |t| Duration::from_millis(t * 1_000 / TICKS_PER_SECOND))
}

/// Linux on every architecture that we know.
const TICKS_PER_SECOND: u64 = 100;

fn ticks(stat: &str) -> Option<u64> {
    // The command's name may hold blanks and brackets: what follows its last bracket is fields.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Memory of a process that is in RAM, in bytes; 0 when it is gone.
pub fn resident_bytes(pid: u32) -> u64 {
    status(pid, "VmRSS:").unwrap_or(0) * 1024
}

pub fn threads(pid: u32) -> u64 {
    status(pid, "Threads:").unwrap_or(0)
}

pub fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64)
}

fn status(pid: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|l| l.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
}

/// What a directory occupies on its disk. A file with several names counts once: checkpoints are hard links.
pub fn disk_bytes(dir: &Path) -> u64 {
    fn walk(dir: &Path, seen: &mut BTreeSet<(u64, u64)>) -> u64 {
        let mut bytes = 0;
        // Files come and go while we look.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.path().symlink_metadata() else { continue };
            if meta.is_dir() {
                bytes += walk(&entry.path(), seen);
            } else if seen.insert((meta.dev(), meta.ino())) {
                bytes += meta.blocks() * 512;
            }
        }
        bytes
    }
    walk(dir, &mut BTreeSet::new())
}

/// As many open files as the system lets this process and its children have.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 99 1 1 1";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let me = std::process::id();
        assert!(resident_bytes(me) > 100_000 && threads(me) >= 1 && open_files(me) >= 3);
        assert_eq!((resident_bytes(u32::MAX), threads(u32::MAX), open_files(u32::MAX)), (0, 0, 0));
    }

    #[test]
    fn a_file_with_two_names_occupies_the_disk_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (a, sub) = (dir.path().join("a"), dir.path().join("sub"));
        std::fs::write(&a, vec![1; 100_000]).expect("written");
        std::fs::create_dir(&sub).expect("made");
        let once = disk_bytes(dir.path());
        assert!(once >= 100_000, "{once}");
        std::fs::hard_link(&a, sub.join("b")).expect("linked");
        assert_eq!(disk_bytes(dir.path()), once);
    }
}
