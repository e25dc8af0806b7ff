//! What each attempt used, by a parent cgroup of its own. Comes in: attempts that begin, end and are removed. Goes out: the cgroup
//! parent of an attempt's container, and what the kernel counted there.
//!
//! The engine removes a container's own cgroup as soon as its last process has ended, and the counters with it. So each attempt gets a
//! cgroup around its container's: the kernel counts upwards, and the parent's counters stay until the worker takes it away. Its path
//! follows from cluster, worker and attempt, so that a restarted worker finds it again. Where such cgroups can be is found in `site`;
//! what the kernel's files say is read in `v1` and `v2`; here are the hands.
//!
//! No task ever fails or waits because its usage cannot be measured: then it simply is not known. What the numbers are for is not known
//! here.

mod site;
mod v1;
mod v2;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use cloudai_types::{AttemptId, Usage, limits};

pub use self::site::EngineFacts;
use self::site::{Here, Site, Version};
use super::{Shared, labels};

/// A container that was just removed may have its cgroup for another moment.
const REMOVE_TRIES_MAX: u32 = 5;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// What a parent's counters said when the last process had ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    pub usage: Usage,
    /// A process was killed because the container had reached its own limit of memory. `None`: the kernel does not tell a parent.
    pub killed_for_memory: Option<bool>,
    /// A process was refused because the container had reached its limit of processes. `None`: the kernel does not tell a parent.
    pub refused_process: Option<bool>,
}

/// What a parent says while something runs in it. An absent number is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    pub cpu_micros: Option<u64>,
    /// With the kernel's copies of files, which count for the limit as well.
    pub memory_bytes: Option<u64>,
}

/// The parents of this worker's attempts.
pub struct Parents {
    /// `None`: there are none, and nothing is known of any attempt.
    site: Option<Site>,
    /// Whether people were told that something does not work.
    told: AtomicBool,
}

impl Parents {
    /// Looks whether this worker can have parents on the engine's machine; if not, says why, once.
    pub fn find(engine: &EngineFacts, cluster: &str, worker: &str) -> Parents {
        let site = Here::look().and_then(|here| site::find(engine, &here, cluster, worker));
        let site = site.and_then(|site| site.open().map(|()| site));
        if let Err(reason) = &site {
            tracing::warn!(%reason, "what attempts use will not be known");
        }
        Parents { site: site.ok(), told: AtomicBool::new(false) }
    }

    /// Makes the parent of an attempt, unless it is there. What its container is to be told; `None`: it gets no parent.
    fn make(&self, attempt: AttemptId) -> Option<String> {
        let site = self.site.as_ref()?;
        let name = labels::cgroup_name(attempt);
        for hierarchy in site.counted() {
            let path = hierarchy.join(site.folder()).join(&name);
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                // Somebody may have removed the folder above it.
                Err(e) if e.kind() == ErrorKind::NotFound && fs::create_dir_all(&path).is_ok() => {}
                Err(error) => {
                    self.tell(&format!("the cgroup {} cannot be made: {error}", path.display()));
                    return None;
                }
            }
        }
        Some(format!("/{}/{name}", site.folder()))
    }

    /// What was counted. `None`: nothing is known.
    fn read(&self, attempt: AttemptId) -> Option<Counters> {
        let site = self.site.as_ref()?;
        let name = labels::cgroup_name(attempt);
        let within = |hierarchy: &Path| hierarchy.join(site.folder()).join(&name);
        let counters = match &site.version {
            Version::V1(by_controller) => {
                // Made by a run that knew of parents, or there is none.
                by_controller.values().all(|h| within(h).exists()).then_some(())?;
                let read = |controller: &str, file: &str| read_text(&within(by_controller.get(controller)?).join(file));
                v1::counters(read, site::is_stacked)
            }
            Version::V2(root) => {
                within(root).exists().then_some(())?;
                v2::counters(|file| read_text(&within(root).join(file)), site::is_stacked)
            }
        };
        // To start a program takes CPU time: without any, the container was somewhere else.
        if counters.usage.cpu_micros.unwrap_or(0) == 0 {
            self.tell("the engine does not put containers below the cgroups of this worker");
            return None;
        }
        Some(counters)
    }

    /// What an attempt that runs uses: two small files, and nothing is said where they are not.
    pub fn read_now(&self, attempt: AttemptId) -> Now {
        let Some(site) = &self.site else { return Now::default() };
        let within = PathBuf::from(site.folder()).join(labels::cgroup_name(attempt));
        let now = match &site.version {
            Version::V1(by_controller) => {
                v1::now(|controller, file| read_text(&by_controller.get(controller)?.join(&within).join(file)))
            }
            Version::V2(root) => v2::now(|file| read_text(&root.join(&within).join(file))),
        };
        // A program takes CPU time and memory: without any, it is somewhere else.
        let some = |n: &u64| *n > 0;
        Now { cpu_micros: now.cpu_micros.filter(some), memory_bytes: now.memory_bytes.filter(some) }
    }

    /// True when nothing of it is left.
    fn remove(&self, attempt: AttemptId) -> bool {
        let Some(site) = &self.site else { return true };
        let name = labels::cgroup_name(attempt);
        // In each of them: the engine makes its parents in all.
        let each = site.all().iter().map(|h| is_gone(&h.join(site.folder()).join(&name)));
        each.fold(true, |all, one| all & one)
    }

    /// Removes what an earlier run left of other attempts than these.
    pub fn tidy_up(&self, keep: &BTreeSet<AttemptId>) {
        let Some(site) = &self.site else { return };
        let keep: BTreeSet<String> = keep.iter().map(|a| labels::cgroup_name(*a)).collect();
        for hierarchy in site.all() {
            let Ok(entries) = fs::read_dir(hierarchy.join(site.folder())) else { continue };
            let dirs = entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
            for dir in dirs.filter(|e| e.file_name().to_str().is_some_and(|n| !keep.contains(n))) {
                if !is_gone(&dir.path()) {
                    tracing::warn!(path = %dir.path().display(), "a cgroup of an earlier run cannot be removed: something is in it");
                }
            }
        }
    }

    /// The worker ends: the folder of its parents goes, if no container is left in it.
    pub fn close(&self) {
        let Some(site) = &self.site else { return };
        for hierarchy in site.all() {
            is_gone(&hierarchy.join(site.folder()));
        }
    }

    fn tell(&self, reason: &str) {
        if !self.told.swap(true, Relaxed) {
            tracing::warn!(reason, "what an attempt used is not known; this is said once");
        }
    }
}

/// An attempt's container is about to be made: its cgroup parent. On a thread that may wait, because the kernel makes one at a time.
pub async fn make(shared: &Arc<Shared>, attempt: AttemptId) -> Option<String> {
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || shared.parents.make(attempt)).await.ok().flatten()
}

/// No process of the attempt is left: what was counted. May be asked again, also by a later run, until [`remove`].
pub async fn read(shared: &Arc<Shared>, attempt: AttemptId) -> Option<Counters> {
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || shared.parents.read(attempt)).await.ok().flatten()
}

/// The attempt's container is gone, or there was none.
pub async fn remove(shared: &Arc<Shared>, attempt: AttemptId) {
    for _ in 0..REMOVE_TRIES_MAX {
        let it = shared.clone();
        // A worker that stops ends its threads: the next start removes the rest.
        if tokio::task::spawn_blocking(move || it.parents.remove(attempt)).await.unwrap_or(true) {
            return;
        }
        tokio::time::sleep(REMOVE_PAUSE).await;
    }
    tracing::warn!(%attempt, "the cgroup of an attempt cannot be removed now; the next start of this worker does it");
}

/// The worker ends. What belongs to no container goes first: a removal that the end cut off leaves one.
pub async fn close(shared: &Arc<Shared>) -> Result<(), bollard::errors::Error> {
    let containers = shared.engine.list(&shared.options.cluster, &shared.options.worker).await?;
    let attempt_of = |labels: Option<HashMap<String, String>>| Some(labels::read(&labels?)?.attempt);
    let kept = containers.into_iter().filter_map(|c| attempt_of(c.labels)).collect();
    shared.parents.tidy_up(&kept);
    shared.parents.close();
    Ok(())
}

/// Removes an empty cgroup. False: it is there and not empty, or may not be removed.
fn is_gone(path: &Path) -> bool {
    match fs::remove_dir(path) {
        Ok(()) => true,
        Err(e) => e.kind() == ErrorKind::NotFound,
    }
}

fn read_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(limits::CGROUP_FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A file of one number.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number behind a word in a file of `word number` lines.
fn number_of(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ').and_then(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn words_and_numbers() {
        assert_eq!(number("42\n"), Some(42));
        assert_eq!(number("max\n"), None);
        let text = "oom 3\noom_kill 2\n";
        assert_eq!(
            (number_of(text, "oom"), number_of(text, "oom_kill"), number_of(text, "x")),
            (Some(3), Some(2), None)
        );
    }

    #[test]
    fn without_a_site_nothing_is_known_and_nothing_is_done() {
        let parents = Parents { site: None, told: AtomicBool::new(false) };
        let attempt = AttemptId::new(JobId(1), 0, 1);
        assert_eq!((parents.make(attempt), parents.read(attempt)), (None, None));
        assert_eq!(parents.read_now(attempt), Now::default());
        assert!(parents.remove(attempt));
        parents.tidy_up(&BTreeSet::new());
        parents.close();
    }

    /// In a folder that only looks like cgroups: a folder does not count, so the numbers are written by hand.
    #[test]
    fn a_parent_is_made_read_and_removed_and_what_others_left_goes() {
        let root = tempfile::tempdir().unwrap();
        let site = Site::new(Version::V2(root.path().to_owned()), vec![root.path().to_owned()], "ours".into());
        site.open().unwrap();
        let parents = Parents { site: Some(site), told: AtomicBool::new(false) };
        let id = |n| AttemptId::new(JobId(1), n, 1);
        let path = parents.make(id(0)).unwrap();
        assert_eq!(path, format!("/ours/{}", labels::cgroup_name(id(0))));
        assert_eq!(parents.make(id(0)), Some(path.clone()), "again is fine");
        let folder = root.path().join(&path[1..]);
        assert_eq!(parents.read(id(0)), None, "nothing was counted: the container is elsewhere");
        std::fs::write(folder.join("cpu.stat"), "usage_usec 7\n").unwrap();
        assert_eq!(parents.read(id(0)).unwrap().usage.cpu_micros, Some(7));
        assert_eq!(parents.read(id(9)), None, "it has no parent");
        std::fs::write(folder.join("memory.current"), "4096\n").unwrap();
        assert_eq!(parents.read_now(id(0)), Now { cpu_micros: Some(7), memory_bytes: Some(4_096) });
        std::fs::write(folder.join("memory.current"), "0\n").unwrap();
        assert_eq!(parents.read_now(id(0)).memory_bytes, None, "nothing runs there");
        assert_eq!(parents.read_now(id(9)), Now::default());
        assert!(!parents.remove(id(0)), "it is not empty");
        std::fs::remove_file(folder.join("cpu.stat")).unwrap();
        std::fs::remove_file(folder.join("memory.current")).unwrap();
        for n in 1..4 {
            parents.make(id(n)).unwrap();
        }
        parents.tidy_up(&BTreeSet::from([id(2)]));
        let left: Vec<_> =
            std::fs::read_dir(root.path().join("ours")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, [labels::cgroup_name(id(2)).as_str()]);
        assert!(parents.remove(id(2)) && parents.remove(id(2)));
        parents.close();
        assert!(!root.path().join("ours").exists());
    }
}
