//! What belongs to one rig: a prefix for names in the kernel, and a folder. Comes in: nothing. Goes out: a take-down that finds everything
//! by these exact names, so that it works after a crash as well, and never touches what others made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use anyhow::Context as _;

use crate::command::{Finished, run};
use crate::transcript::say;

/// Namespaces are `cairig-PID-N-NAME`, folders `/tmp/cairig-PID-N`.
const WORD: &str = "cairig";
const LIMIT: Duration = Duration::from_secs(30);

static COUNT: AtomicU32 = AtomicU32::new(0);
static LIVE: Mutex<Vec<Ours>> = Mutex::new(vec![]);
static ON_SIGNAL: Once = Once::new();

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    pub prefix: String,
    pub dir: PathBuf,
}

impl Ours {
    /// New names; first takes down what killed processes have left, and from now on listens for Ctrl-C.
    pub fn claim() -> anyhow::Result<Ours> {
        sweep();
        ON_SIGNAL.call_once(take_down_on_signal);
        let prefix = format!("{WORD}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ours = Ours { dir: std::env::temp_dir().join(&prefix), prefix };
        fs::create_dir_all(&ours.dir).with_context(|| format!("cannot make {}", ours.dir.display()))?;
        LIVE.lock().expect("nothing panics while it is held").push(ours.clone());
        Ok(ours)
    }

    /// The network namespace of a machine.
    pub fn namespace(&self, machine: &str) -> String {
        format!("{}-{machine}", self.prefix)
    }

    /// Everything that carries our prefix goes; what is gone already is fine.
    pub fn take_down(&self) {
        for namespace in namespaces().into_iter().filter(|n| n.starts_with(&format!("{}-", self.prefix))) {
            for pid in pids_in(&namespace) {
                kill(pid);
            }
            let _ = quiet("ip", &["netns", "del", &namespace]);
        }
        for mount in mounts_below(&self.dir) {
            // A frozen file system cannot be unmounted; one that is not frozen refuses.
            let _ = quiet("fsfreeze", &["-u", &mount]);
            if !quiet("umount", &[&mount]).is_ok_and(|done| done.code == 0) {
                std::thread::sleep(Duration::from_millis(200));
                let _ = quiet("umount", &["-l", &mount]);
            }
        }
        if let Err(error) = fs::remove_dir_all(&self.dir)
            && self.dir.exists()
        {
            say(format!("{} cannot be removed: {error}", self.dir.display()));
        }
        LIVE.lock().expect("nothing panics while it is held").retain(|live| live != self);
    }
}

pub(super) fn quiet(program: &str, arguments: &[&str]) -> anyhow::Result<Finished> {
    run(Command::new(program).args(arguments), LIMIT)
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with(WORD)).collect()
}

fn pids_in(namespace: &str) -> Vec<i32> {
    let listed = quiet("ip", &["netns", "pids", namespace]).map(|done| done.stdout).unwrap_or_default();
    // This very process has a thread in the client's namespace; `ip` lists main threads, and ours may be one.
    let own = std::process::id();
    listed.lines().filter_map(|l| l.trim().parse().ok()).filter(|pid: &i32| *pid as u32 != own).collect()
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // A refusal means that it has ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = table.lines().filter_map(|l| l.split(' ').nth(1));
    let mut ours: Vec<String> = points.filter(|p| Path::new(p).starts_with(dir)).map(str::to_owned).collect();
    ours.reverse();
    ours
}

/// Whose process is gone has been killed before it could take down its rig.
fn sweep() {
    let folders = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let names = folders.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|n| n.starts_with(WORD));
    let of_namespaces = namespaces().into_iter().map(|n| n.split('-').take(3).collect::<Vec<_>>().join("-"));
    let mut prefixes: Vec<String> = names.chain(of_namespaces).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    for prefix in prefixes {
        let Some(pid) = prefix.split('-').nth(1).and_then(|p| p.parse::<u32>().ok()) else { continue };
        if pid != std::process::id() && !Path::new(&format!("/proc/{pid}")).exists() {
            say(format!("takes down what process {pid} has left: {prefix}"));
            Ours { dir: std::env::temp_dir().join(&prefix), prefix }.take_down();
        }
    }
}

fn take_down_on_signal() {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut term) = signal(SignalKind::terminate()) else { return };
            tokio::select! { _ = term.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        });
        say("interrupted: takes everything down");
        let live = LIVE.lock().map(|l| l.clone()).unwrap_or_default();
        for ours in live {
            ours.take_down();
        }
        std::process::exit(130);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_folder_are_ours() {
        assert_eq!(mounts_below(Path::new("/nowhere/at/all")), Vec::<String>::new());
        assert!(mounts_below(Path::new("/proc")).iter().any(|p| p == "/proc"));
    }
}
