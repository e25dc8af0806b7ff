//! Runs attempts as containers of the local Docker engine, one task of ours per container.
//!
//! Few calls per container, because the engine is the bottleneck: create, start, logs, remove. Endings come from one stream
//! of the engine's events, and not from a call per container. An image is looked for only when a create says that it is not there.

mod attempt;
mod body;
mod bounds;
mod cgroups;
mod containers;
mod endings;
mod engine;
mod faults;
mod gpus;
mod images;
mod kernel_log;
mod labels;
mod log_stream;
mod meter;
mod mounts;
mod outputs;
mod policy;
mod presence;
mod progress;
mod pulls;
mod reason;
mod sandbox;
mod secrets;
mod storage;
mod users;
mod volumes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_agent::{Found, FoundState, Signal};
use cloudai_proto::v1::worker_message::ImagePull;
use cloudai_registry::Logins;
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{AttemptId, Millis, limits};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

use super::{Events, Executor, ExecutorEvent, Meter, Start};
use crate::allowed_mount::AllowedMount;
use crate::logs::LogStore;
use crate::outputs::Outputs;
use crate::secret_files::SecretFiles;
use crate::secrets::SecretSource;
use crate::tasks::Tasks;
use crate::traces::Traces;
use attempt::Running;
use bounds::Bounds;
use cgroups::Parents;
pub use containers::Containers;
use endings::Endings;
use engine::Engine;
use gpus::Gpus;
pub use images::Images;
use meter::{DockerMeter, Metered};
use mounts::AllowedMounts;
pub use policy::Policy;
use pulls::Pulls;
use sandbox::Sandboxes;
use storage::{Storage, Watch};
use users::Users;

/// Creates and starts at a time. More does not make the engine faster, and makes each one slower.
const STARTS_AT_A_TIME: usize = 8;
const REMOVALS_AT_A_TIME: usize = 4;
/// Between two tries to remove a container.
const REMOVE_RETRY_FIRST: Millis = Millis(200);
const REMOVE_RETRY_MAX: Millis = Millis(30_000);

const UNPOISONED: &str = "nothing panics under this lock";

pub struct DockerOptions {
    pub socket: PathBuf,
    /// Cluster id and worker name: containers of others are left alone.
    pub cluster: String,
    pub worker: String,
    pub allowed_mounts: Vec<AllowedMount>,
    /// What a container is allowed to be.
    pub policy: Policy,
    /// Device ids of the GPUs that this worker hands out.
    pub gpus: Vec<String>,
    /// Folders for results and inputs, and the store behind them.
    pub outputs: Outputs,
    /// What attempts may know, and where they find it as files.
    pub secrets: SecretSource,
    pub secret_files: SecretFiles,
    /// Whether short tasks may get a network namespace that another task has left untouched.
    pub reuse_networks: bool,
    /// What was pulled, and how much of it is kept.
    pub images: Images,
    /// A pull without progress for this long has failed.
    pub pull_silence: Millis,
    /// Logins of this worker's operator.
    pub logins: Logins,
    pub traces: Traces,
}

/// What all attempts share.
pub(super) struct Shared {
    pub options: DockerOptions,
    pub engine: Engine,
    pub endings: Endings,
    pub pulls: Pulls,
    pub mounts: AllowedMounts,
    pub gpus: Gpus,
    pub sandboxes: Sandboxes,
    pub parents: Parents,
    pub storage: Storage,
    pub metered: Metered,
    pub users: Users,
    pub logs: LogStore,
    pub events: Events,
    pub tasks: Tasks,
    pub starts: Semaphore,
    pub removals: Semaphore,
    /// Containers that are to be removed, and still there.
    pub removing: watch::Sender<usize>,
    /// The latest signal for each attempt whose task runs.
    pub signals: Mutex<BTreeMap<AttemptId, watch::Sender<Option<Signal>>>>,
    /// Why the engine cannot be used; empty: it answered last time. Written by [`endings`] only.
    pub trouble: Mutex<String>,
    /// Whether the engine has an init program; until it says otherwise.
    pub has_init: AtomicBool,
    /// Whether the engine has the usual number of open files to give; until it says otherwise.
    pub has_open_files: AtomicBool,
}

pub struct DockerExecutor(Arc<Shared>);

/// Why there is no executor.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0}")]
    Engine(String),
    #[error("allowed mount {} cannot be resolved", path.display())]
    Mount { path: PathBuf, source: std::io::Error },
}

impl DockerExecutor {
    /// Connects, listens, and finds the containers that an earlier run of this worker left. Those that run are watched from here
    /// on; what is found must be told to the agent before any event.
    pub async fn connect(
        options: DockerOptions,
        logs: LogStore,
        events: Events,
        metrics: WorkerMetrics,
        tasks: Tasks,
    ) -> Result<(DockerExecutor, Vec<Found>), ConnectError> {
        let mounts = AllowedMounts::resolve(&options.allowed_mounts, &options.socket)
            .map_err(|(path, source)| ConnectError::Mount { path, source })?;
        let engine =
            Engine::connect(&options.socket, metrics).await.map_err(|e| ConnectError::Engine(e.to_string()))?;
        let shared = Arc::new(Shared {
            endings: Endings::default(),
            pulls: Pulls::default(),
            mounts,
            gpus: Gpus::new(options.gpus.clone()),
            sandboxes: Sandboxes::new(options.reuse_networks),
            parents: Parents::find(&engine.facts, &options.cluster, &options.worker),
            storage: Storage::find(&engine.storage),
            metered: Metered::default(),
            users: Users::default(),
            logs,
            events,
            tasks,
            starts: Semaphore::new(STARTS_AT_A_TIME),
            removals: Semaphore::new(REMOVALS_AT_A_TIME),
            removing: watch::Sender::new(0),
            signals: Mutex::new(BTreeMap::new()),
            has_init: AtomicBool::new(true),
            has_open_files: AtomicBool::new(true),
            trouble: Mutex::default(),
            engine,
            options,
        });
        endings::listen(&shared);
        let found = adopt(&shared).await.map_err(|e| ConnectError::Engine(e.to_string()))?;
        shared.parents.tidy_up(&found.iter().map(|f| f.attempt).collect());
        shared.options.outputs.tidy_up(&found.iter().map(|f| f.attempt).collect());
        let is_over = |f: &Found| matches!(f.state, FoundState::Exited { .. });
        let in_use = found.iter().filter(|f| !is_over(f)).map(|f| labels::cgroup_name(f.attempt)).collect();
        shared.options.secret_files.tidy_up(&in_use);
        // They cost some memory, and no task: not a reason for a worker not to start.
        if let Err(error) = sandbox::tidy_up(&shared).await {
            tracing::warn!(%error, "network sandboxes of an earlier run are left; the next start removes them");
        }
        volumes::tidy_up(&shared).await;
        sandbox::watch(&shared);
        images::watch(&shared);
        presence::watch(&shared);
        Ok((DockerExecutor(shared), found))
    }
}

/// Everything of ours that the engine has.
async fn adopt(shared: &Arc<Shared>) -> Result<Vec<Found>, bollard::errors::Error> {
    let mut found = vec![];
    for container in shared.engine.list(&shared.options.cluster, &shared.options.worker).await? {
        if sandbox::is_sandbox(&container) {
            continue;
        }
        let labels = container.labels.unwrap_or_default();
        let Some(ours) = labels::read(&labels) else {
            tracing::warn!(id = container.id, "a container with our labels cannot be understood; it is left alone");
            continue;
        };
        // Before its state is asked: an ending after that is not missed.
        let died = shared.endings.watch(ours.attempt);
        let Some(id) = container.id else { continue };
        let inspected = shared.engine.inspect(&id).await?;
        let watch = Watch::of(&inspected, ours.needs.resources.storage_bytes);
        let host = inspected.host_config.unwrap_or_default();
        let processes = host.pids_limit.and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX);
        let network = host.network_mode;
        let state = match inspected.state.unwrap_or_default() {
            s if s.running == Some(true) || s.paused == Some(true) => {
                let started = engine::timestamp(s.started_at.as_deref());
                shared.gpus.take(ours.attempt, &ours.gpus);
                shared.sandboxes.found(ours.attempt, network.as_deref());
                let bounds = Bounds { processes, stop_signal: ours.stop_signal, watch };
                attempt::adopt(shared.clone(), ours.attempt, &ours.namespace, Running { id, started, died, bounds });
                FoundState::Running { started }
            }
            s if engine::timestamp(s.started_at.as_deref()).0 == 0 => {
                shared.endings.forget(ours.attempt);
                shared.sandboxes.found(ours.attempt, network.as_deref());
                FoundState::Created
            }
            s => {
                shared.endings.forget(ours.attempt);
                let mut died = endings::Died::of_state(&s);
                let counted = cgroups::read(shared, ours.attempt).await;
                died.out_of_memory |= counted.is_some_and(|c| c.killed_for_memory == Some(true));
                attempt::finish_adopted_log(shared.clone(), ours.attempt, &ours.namespace, id).await;
                FoundState::Exited {
                    reason: reason::of(&died, None, counted, processes),
                    started: engine::timestamp(s.started_at.as_deref()),
                    ended: died.at,
                }
            }
        };
        found.push(Found { attempt: ours.attempt, assigned_index: ours.assigned_index, needs: ours.needs, state });
    }
    if !found.is_empty() {
        tracing::info!(containers = found.len(), "containers of an earlier run were found");
    }
    Ok(found)
}

impl Executor for DockerExecutor {
    fn start(&mut self, start: Start) {
        attempt::start(self.0.clone(), start);
    }

    fn stop(&mut self, attempt: AttemptId, signal: Signal) {
        if let Some(signals) = self.0.signals.lock().expect(UNPOISONED).get(&attempt) {
            signals.send_replace(Some(signal));
        }
    }

    fn store(&mut self, attempt: AttemptId, results: bool) {
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            // Ended means that the log is complete, and on its way. A success has both, or is none.
            let waited =
                tokio::time::timeout(limits::RESULT_STORE_RETRY.as_duration(), shared.logs.until_stored(attempt)).await;
            let stored = match (results, waited) {
                (true, Ok(())) => shared.options.outputs.store(attempt).await.map(Some),
                (true, Err(_)) => Err("its log could not be stored; the worker's own log says why".into()),
                (false, _) => Ok(None),
            };
            // The shell is gone only when the worker stops; its successor stores again.
            let _ = shared.events.send(ExecutorEvent::Stored { attempt, stored });
        });
    }

    fn remove(&mut self, attempt: AttemptId) {
        let shared = self.0.clone();
        shared.removing.send_modify(|left| *left += 1);
        self.0.tasks.spawn(async move {
            let mut backoff = cloudai_net::Backoff::new(REMOVE_RETRY_FIRST, REMOVE_RETRY_MAX);
            let name = labels::container_name(&shared.options.cluster, attempt);
            loop {
                let done = {
                    let _permit = shared.removals.acquire().await;
                    shared.engine.remove(&name).await
                };
                match done {
                    Ok(()) => {
                        cgroups::remove(&shared, attempt).await;
                        shared.options.outputs.remove(attempt).await;
                        shared.options.secret_files.remove(&labels::cgroup_name(attempt));
                        // One that was found and never started has not said so itself.
                        sandbox::leave(&shared, attempt, None);
                        shared.removing.send_modify(|left| *left -= 1);
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%attempt, %error, "a container cannot be removed yet; it is tried again");
                        tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
                    }
                }
            }
        });
    }

    fn pulls(&self) -> Vec<ImagePull> {
        self.0.pulls.told()
    }

    fn images(&self) -> Arc<[u16]> {
        self.0.options.images.here()
    }

    fn meter(&self) -> Option<Arc<dyn Meter>> {
        Some(Arc::new(DockerMeter(self.0.clone())))
    }

    fn trouble(&self) -> String {
        self.0.trouble.lock().expect(UNPOISONED).clone()
    }

    fn has_logs(&self) -> bool {
        true
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        let mut left = self.0.removing.subscribe();
        // An error means that the executor is gone, and with it whoever could remove something.
        async move { drop(left.wait_for(|left| *left == 0).await) }.boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'static, ()> {
        let shared = self.0.clone();
        async move {
            shared.options.images.write();
            let all = async {
                sandbox::tidy_up(&shared).await?;
                cgroups::close(&shared).await
            };
            shared.options.secret_files.close();
            match tokio::time::timeout(limits::WORKER_TIDY_MAX.as_duration(), all).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "network sandboxes or cgroups are left; the next start removes them")
                }
                Err(_) => tracing::warn!(
                    "the engine is slow: network sandboxes or cgroups are left; the next start removes them"
                ),
            }
        }
        .boxed()
    }
}

impl Shared {
    pub fn use_init(&self) -> bool {
        self.has_init.load(Relaxed)
    }
}

/// How long an engine may take for one call before it counts as not answering.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the engine is, for people.
pub(super) fn shown(socket: &Path) -> String {
    socket.display().to_string()
}
