//! Ends containers of `on_disconnect: stop` whose worker cannot: one that is paused, that hangs, or that is gone. A process of its own, started by
//! the worker and outliving it. Comes in: the file in which the worker notes its lease, and the engine's list of this worker's containers.
//! Goes out: SIGKILL to those containers once the lease is over. It knows no master, renews nothing, and reports nothing: the worker
//! finds what has ended, or its lease takes the attempts away.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cloudai_agent::lease_kill_at;
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{Timestamp, limits, signal};
use tokio::sync::oneshot;

use crate::clock;
use crate::executor::docker::Containers;
use crate::lease_file::{self, boot_id};

/// Where a guard writes down that it is the one.
const PID_FILE: &str = "guard.pid";

/// Whose containers, and where.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// The worker's.
    pub data_dir: PathBuf,
    /// The engine's socket.
    pub socket: PathBuf,
    /// The cluster's id and the worker's name, as its containers are labelled.
    pub cluster: String,
    pub worker: String,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error("{} cannot be written", path.display())]
    PidFile { path: PathBuf, source: std::io::Error },
    #[error("the engine cannot be asked")]
    Engine(#[from] bollard::errors::Error),
}

/// What a guard does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The lease holds until then: look again.
    Wait(Timestamp),
    /// It is over: whatever is bound to it ends now.
    Kill,
    /// Another guard has taken over, or there is nothing to guard any more.
    Leave,
}

/// What a guard sees.
#[derive(Clone, Copy, Debug)]
struct Sight {
    now: Timestamp,
    /// The worker's last renewal; `None`: none of this boot.
    renewed: Option<Timestamp>,
    /// The worker's process is there, whatever it does.
    worker: bool,
    /// This guard is the one that was started last.
    is_newest: bool,
    /// Containers that are bound to the lease run, as far as is known.
    bound: bool,
}

/// The slack lets a worker that is well be the first: it stops its containers itself, and knows why.
fn step(sight: Sight) -> Step {
    if !sight.is_newest || (!sight.worker && !sight.bound) {
        return Step::Leave;
    }
    let over = lease_kill_at(sight.renewed) + limits::GUARD_SLACK;
    if sight.now < over { Step::Wait(over) } else { Step::Kill }
}

/// Sees to it that there is one while this process lives. It ends by itself, some time after this process.
pub async fn keep(program: PathBuf, config: GuardConfig) {
    let mut running = None;
    loop {
        let has_ended = match running.as_mut().map(Child::try_wait) {
            None => true,
            Some(ended) => ended.is_ok_and(|status| status.is_some()),
        };
        if has_ended {
            if running.is_some() {
                tracing::warn!("the guard of tasks with on_disconnect: stop has ended; another one is started");
            }
            running = match spawn(&program, &config) {
                Ok(child) => Some(child),
                Err(error) => {
                    tracing::warn!(%error, "there is no guard of tasks with on_disconnect: stop; a worker that is paused will not stop them");
                    None
                }
            };
        }
        tokio::time::sleep(limits::GUARD_RESPAWN.as_duration()).await;
    }
}

/// Its standard input ends with this process.
fn spawn(program: &Path, config: &GuardConfig) -> std::io::Result<Child> {
    use std::os::unix::process::CommandExt as _;
    Command::new(program)
        .args(["worker", "guard", "--data-dir"])
        .arg(&config.data_dir)
        .arg("--docker-socket")
        .arg(&config.socket)
        .args(["--cluster", &config.cluster, "--name", &config.worker])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // A Ctrl-C is for the worker.
        .process_group(0)
        .spawn()
}

/// Guards until there is nothing to guard.
pub async fn guard(config: GuardConfig) -> Result<(), GuardError> {
    let path = config.data_dir.join(PID_FILE);
    let own = std::process::id().to_string();
    fs::write(&path, &own).map_err(|source| GuardError::PidFile { path: path.clone(), source })?;
    let metrics = WorkerMetrics::new(env!("CARGO_PKG_VERSION"));
    let containers = Containers::connect(&config.socket, &config.cluster, &config.worker, metrics).await?;
    let (boot, lease) = (boot_id(), config.data_dir.join("lease"));
    let mut gone = worker_gone();
    let mut worker = true;
    loop {
        // While the worker is there only a lease that is over is a reason to ask the engine.
        let bound = match worker {
            true => vec![],
            false => containers.bound_to_lease().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the guard cannot ask the engine yet");
                vec![String::new()]
            }),
        };
        let sight = Sight {
            now: clock::mono(),
            renewed: lease_file::read(&lease, &boot),
            worker,
            is_newest: fs::read_to_string(&path).is_ok_and(|pid| pid == own),
            bound: !bound.is_empty(),
        };
        let pause = match step(sight) {
            Step::Leave => return Ok(()),
            Step::Wait(until) if worker => (until - sight.now).as_duration(),
            Step::Wait(until) => (until - sight.now).as_duration().min(limits::GUARD_LOOK.as_duration()),
            Step::Kill => {
                kill(&containers).await;
                limits::GUARD_LOOK.as_duration()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            _ = &mut gone, if worker => worker = false,
        }
    }
}

async fn kill(containers: &Containers) {
    let bound = match containers.bound_to_lease().await {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(%error, "the lease is over, and the engine does not say what runs; the guard asks again");
            return;
        }
    };
    for name in bound {
        match containers.signal(&name, signal::KILL).await {
            Ok(()) => tracing::warn!(name, "the lease is over and the worker has not stopped this task: the guard has"),
            Err(error) => tracing::warn!(name, %error, "the lease is over, and a task cannot be stopped yet"),
        }
    }
}

/// The worker holds the other end for as long as it lives. A thread of its own, which nobody waits for when the guard leaves first.
fn worker_gone() -> oneshot::Receiver<()> {
    let (tx, rx) = oneshot::channel();
    std::thread::spawn(move || {
        let mut nothing = [0; 16];
        while std::io::stdin().read(&mut nothing).is_ok_and(|n| n > 0) {}
        // A guard that has left does not need to know.
        let _ = tx.send(());
    });
    rx
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGHT: Sight =
        Sight { now: Timestamp(0), renewed: Some(Timestamp(10_000)), worker: true, is_newest: true, bound: false };

    #[test]
    fn containers_end_with_the_lease_whatever_became_of_the_worker() {
        let over = lease_kill_at(SIGHT.renewed) + limits::GUARD_SLACK;
        for (worker, bound) in [(true, false), (true, true), (false, true)] {
            let at = |now| step(Sight { now, worker, bound, ..SIGHT });
            assert_eq!(at(Timestamp(10_000)), Step::Wait(over));
            assert_eq!(at(Timestamp(over.0 - 1)), Step::Wait(over));
            assert_eq!(at(over), Step::Kill);
        }
        assert_eq!(
            step(Sight { renewed: None, now: Timestamp(60_000), ..SIGHT }),
            Step::Kill,
            "a lease of no boot is none"
        );
    }

    #[test]
    fn a_guard_without_anything_to_guard_leaves() {
        assert_eq!(step(Sight { worker: false, ..SIGHT }), Step::Leave);
        assert_eq!(step(Sight { is_newest: false, ..SIGHT }), Step::Leave, "another one has taken over");
    }

    #[test]
    fn the_guard_comes_after_the_worker_and_before_the_masters_replace_the_task() {
        let guard = Timestamp(0) + limits::STOP_KILL_AFTER + limits::GUARD_SLACK;
        assert!(Timestamp(0) + limits::STOP_KILL_AFTER < guard);
        assert!(guard.0 + limits::GUARD_LOOK.0 + 1_000 < limits::LEASE.0, "the engine needs a moment, too");
    }
}
