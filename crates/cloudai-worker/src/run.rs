//! Puts a worker together and runs it until it is told to stop. Stopping leaves the containers running: the next start adopts them. Leaving
//! waits for them first, or stops them.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use cloudai_agent::{Agent, Found, Input, Settings};
use cloudai_api::{Component, Health};
use cloudai_net::{AcceptOptions, Acceptor, ChannelFactory, Connections, IdentityFiles, ReloadingTls, Revoked};
use cloudai_objects::Store;
use cloudai_telemetry::trace::Process;
use cloudai_telemetry::{Tracer, WorkerMetrics};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::condition::ConditionWatch;
use crate::config::{ConfigError, ExecutorKind, WorkerConfig};
use crate::error::WorkerError;
use crate::executor::Executor;
use crate::executor::docker::{ConnectError, DockerExecutor, DockerOptions, Images, Policy};
use crate::executor::noop::NoopExecutor;
use crate::executor::noop_record::Record;
use crate::guard::GuardConfig;
use crate::hands::Hands;
use crate::history::{History, Room};
use crate::journal::{Journal, Restored};
use crate::lease_file::{LeaseFile, boot_id};
use crate::link::Link;
use crate::logs::{LogStore, Mirror, ship};
use crate::nvidia::{Gpu, Nvidia};
use crate::outputs::Outputs;
use crate::sampler::{Sampler, Sources};
use crate::secret_files::SecretFiles;
use crate::secrets::SecretSource;
use crate::shell::{End, Shell};
use crate::tasks::{StopOnDrop, Tasks};
use crate::traces::Traces;
use crate::{capacity, clock, gpu_watch, guard, join, machine_watch, nvidia, renew};

/// The label of a worker whose GPUs are all of one model; one of its operator's own wins.
const GPU_MODEL: &str = "gpu.model";

/// Whether the worker has a leader, for `/readyz`.
#[derive(Clone, Default)]
pub struct Status(Arc<AtomicBool>);

impl Status {
    pub fn set_connected(&self, connected: bool) {
        self.0.store(connected, Relaxed);
    }
}

/// How a worker is asked to end.
#[derive(Clone, Default)]
pub struct Stops {
    /// Takes no new tasks, waits for those that run as its configuration says, and ends when nothing of it is left.
    pub leave: CancellationToken,
    /// Ends at once; its containers go on.
    pub stop: CancellationToken,
}

/// Runs until `stop` is cancelled. Returns an error only for what makes it impossible to begin.
pub async fn run(config: WorkerConfig, stop: CancellationToken) -> Result<(), WorkerError> {
    run_until(config, Stops { stop, ..Stops::default() }).await
}

/// Runs until it has left, or is stopped.
pub async fn run_until(config: WorkerConfig, stops: Stops) -> Result<(), WorkerError> {
    config.check()?;
    let dir = &config.data_dir;
    let at_dir = |source| WorkerError::DataDir { path: dir.clone(), source };
    fs::create_dir_all(dir).map_err(at_dir)?;
    let _lock = lock(dir)?;
    // Before it joins, which takes the token: what is wrong here can be put right and tried again.
    let (nvidia, gpus) = find_gpus(&config);
    let found = capacity::detect(dir, gpus.len(), &config.capacity_override()?);
    let reserved = config.reserve()?;
    let price = config.price()?;
    let capacity = capacity::allocatable(&found, &reserved)?;
    let files = IdentityFiles::new(config.identity_dir());
    tokio::select! {
        () = stops.stop.cancelled() => return Ok(()),
        () = stops.leave.cancelled() => return Ok(()),
        joined = join::ensure_joined(&files, config.join_token.as_deref(), &config.name, &config.masters) => joined?,
    }
    let tls = ReloadingTls::load(files, Revoked::default())?;
    let identity = tls.identity();
    if !config.name.is_empty() && config.name != identity.name {
        return Err(WorkerError::OtherName {
            dir: config.identity_dir(),
            found: identity.name.clone(),
            wanted: config.name.clone(),
        });
    }
    cloudai_telemetry::this_is("worker", &identity.name);
    let metrics = WorkerMetrics::new(env!("CARGO_PKG_VERSION"));
    metrics.cpu_capacity_cores.set(capacity.cpu_milli as f64 / 1000.0);
    metrics.memory_capacity_bytes.set(i64::try_from(capacity.memory_bytes).unwrap_or(i64::MAX));
    metrics.disk_capacity_bytes.set(i64::try_from(capacity.storage_bytes).unwrap_or(i64::MAX));
    metrics.gpu_capacity.set(capacity.gpus.into());

    let process = Process { service: "cloudai-worker", instance: identity.name.clone() };
    let tracer = Tracer::start(&config.tracing, process, metrics.spans_dropped.clone()).map_err(ConfigError::from)?;
    let traces = Traces::new(tracer);

    let store = match config.executor {
        ExecutorKind::Docker if !config.results.is_unset() => Some(Store::open(&config.results)?),
        ExecutorKind::Docker | ExecutorKind::Noop => None,
    };
    let (log_bytes, logs_bytes) = (config.log_bytes_max(), config.logs_total_bytes_max());
    let owing = store.is_some().then(|| metrics.clone());
    let logs = LogStore::open(&dir.join("logs"), log_bytes, logs_bytes, owing).map_err(at_dir)?;
    if config.log_mirror.is_on() {
        let path = &config.log_mirror.dir;
        let mirror = Mirror::open(path, config.log_mirror.file_bytes_max(), &identity.name, &metrics);
        logs.mirror_to(mirror.map_err(|source| WorkerError::LogMirror { path: path.clone(), source })?);
    }
    let (events, executor_events) = mpsc::unbounded_channel();
    let (on_durable, durable) = mpsc::unbounded_channel();
    let volatile = config.executor == ExecutorKind::Noop;
    let tasks = Tasks::default();
    let _also_on_error = StopOnDrop(tasks.clone());
    let (executor, found): (Box<dyn Executor>, Vec<Found>) = match config.executor {
        ExecutorKind::Noop => {
            let path = &config.noop_record;
            let record = match path.as_os_str().is_empty() {
                true => None,
                false => {
                    let opened = Record::open(path);
                    Some(opened.map_err(|source| WorkerError::DataDir { path: path.clone(), source })?)
                }
            };
            (Box::new(NoopExecutor::new(events, &tasks, record)), vec![])
        }
        ExecutorKind::Docker => {
            let options = DockerOptions {
                outputs: Outputs::open(&dir.join("outputs"), store.clone()).map_err(at_dir)?,
                socket: config.docker_socket().to_owned(),
                cluster: identity.cluster.to_string(),
                worker: identity.name.clone(),
                allowed_mounts: config.allowed_mounts.clone(),
                policy: Policy::new(config.allow_root, &config.networks)
                    .with_volumes(config.volumes.named, config.volumes.shares().map_err(ConfigError::Volumes)?),
                gpus: devices(&gpus, capacity.gpus),
                reuse_networks: !config.fresh_networks,
                images: Images::open(&dir.join("images.json"), &config.images),
                pull_silence: config.images.pull_silence(),
                logins: config.registries.clone(),
                traces: traces.clone(),
                secrets: SecretSource::new(ChannelFactory::new(tls.clone()), config.masters.clone()),
                secret_files: SecretFiles::new(&config.secrets_dir, &identity.cluster.to_string(), &identity.name),
            };
            let connected =
                DockerExecutor::connect(options, logs.clone(), events, metrics.clone(), tasks.clone()).await;
            let (executor, found) = connected.map_err(|e| match e {
                ConnectError::Engine(reason) => {
                    WorkerError::Engine { socket: config.docker_socket().to_owned(), reason }
                }
                ConnectError::Mount { path, source } => WorkerError::AllowedMount { path, source },
            })?;
            (Box::new(executor), found)
        }
    };
    let (journal, restored, lease, renewed) = if volatile {
        (None, Restored::default(), None, None)
    } else {
        let path = dir.join("journal");
        // The receiver lives as long as the shell; after that nobody needs to know.
        let opened = Journal::open(&path, move |attempts| drop(on_durable.send(attempts)));
        let (journal, restored) = opened.map_err(|source| WorkerError::Journal { path, source })?;
        let (lease, renewed) = LeaseFile::open(&dir.join("lease"), boot_id()).map_err(at_dir)?;
        (Some(journal), restored, Some(lease), renewed)
    };

    let tidy_up = executor.tidy_up();
    let mut agent = Agent::new(Settings { capacity, volatile, stores_logs: store.is_some() });
    let mut hands = Hands {
        executor,
        journal,
        logs,
        metrics: metrics.clone(),
        traces: traces.clone(),
        incarnation: restored.fence.incarnation,
        out: None,
        leave: None,
        unanswered: Default::default(),
    };
    let input = Input::Restored { fence: restored.fence, endings: restored.endings, renewed };
    agent.handle(clock::now(), input, &mut hands);
    for f in found {
        agent.handle(clock::now(), Input::Found(f), &mut hands);
    }

    let status = Status::default();
    let mut metrics_addr = String::new();
    if !config.metrics_addr.is_empty() {
        let page = Page { metrics: metrics.clone(), status: status.clone(), tls: tls.clone() };
        let (bound, serving) = serve_metrics(&config.metrics_addr, &tls, page).await?;
        metrics_addr = bound.to_string();
        tasks.spawn(serving);
    }
    if config.executor == ExecutorKind::Docker && !config.guard_program.as_os_str().is_empty() {
        let whose = GuardConfig {
            data_dir: config.data_dir.clone(),
            socket: config.docker_socket().to_owned(),
            cluster: identity.cluster.to_string(),
            worker: identity.name.clone(),
        };
        tasks.spawn(guard::keep(config.guard_program.clone(), whose));
    }
    if let Some(store) = store {
        // After the containers of an earlier run were found: their logs are written again.
        tasks.spawn(ship(hands.logs.clone(), store, metrics.clone()));
    }
    tasks.spawn(tls.clone().watch());
    tasks.spawn(renew::keep_renewed(tls.clone(), config.masters.clone()));
    let condition = ConditionWatch::start(config.data_dir.clone(), tls.clone(), &tasks);
    let factory = ChannelFactory::new(tls);
    let link = Link::spawn(factory.clone(), config.masters.clone(), &tasks);
    tracing::info!(
        worker = identity.name,
        cluster = %identity.cluster,
        %capacity,
        reserve = config.reserve,
        executor = ?config.executor,
        "the worker runs"
    );
    let room = Room { gpus: gpus.len(), attempts_bytes: config.history_bytes() };
    let mut labels = config.labels;
    if let Some(model) = nvidia::model_label(&gpus) {
        labels.entry(GPU_MODEL.to_owned()).or_insert(model);
    }
    let sources = Sources {
        data_dir: config.data_dir.clone(),
        gpus: nvidia.map(|nvidia| (nvidia, gpus)),
        attempts: hands.executor.meter(),
    };
    let sampler = Sampler::start(sources, &tasks);
    let history = History::start(dir.join("history"), room, sampler.subscribe(), &tasks);
    tasks.spawn(machine_watch::watch(sampler.subscribe(), metrics.clone()));
    tasks.spawn(gpu_watch::watch(sampler.subscribe(), metrics.clone()));
    let end = Shell {
        agent,
        hands,
        capacity,
        reserved,
        price,
        labels,
        condition,
        samples: sampler.subscribe(),
        metrics_addr,
        lease,
        factory,
        history,
        status,
        tasks: tasks.clone(),
        executor_events,
        durable,
        link,
        patience: config.stop.deadline(),
    }
    .run(&stops)
    .await;
    tasks.end().await;
    traces.flush().await;
    tidy_up.await;
    match end {
        End::Stopped => tracing::info!("the worker stops; its containers go on and are adopted at the next start"),
        End::Left => tracing::info!("the worker has left: nothing of it runs, and every ending was acknowledged"),
    }
    Ok(())
}

/// The library where there is one, and what it names.
fn find_gpus(config: &WorkerConfig) -> (Option<Nvidia>, Vec<Gpu>) {
    let path = Some(config.nvml_library.as_path()).filter(|p| !p.as_os_str().is_empty());
    let found = Nvidia::load(path).and_then(|nvidia| nvidia.gpus().map(|gpus| (nvidia, gpus)));
    match found {
        Ok((nvidia, gpus)) => {
            for (n, gpu) in gpus.iter().enumerate() {
                tracing::info!(n, gpu.uuid, gpu.model, gpu.memory_bytes, "found a GPU");
            }
            if !gpus.is_empty() && nvidia::model_label(&gpus).is_none() {
                tracing::warn!(
                    "the GPUs are of several models: this worker has no label {GPU_MODEL}, and a job cannot choose among them"
                );
            }
            (Some(nvidia), gpus)
        }
        Err(error) => {
            match path {
                Some(path) => {
                    tracing::warn!(path = %path.display(), %error, "NVIDIA's management library cannot be used; this worker has no GPUs")
                }
                // Nearly every machine: no library, no GPU, nothing to say about it.
                None => tracing::debug!(%error, "no NVIDIA management library"),
            }
            (None, vec![])
        }
    }
}

/// The device ids of the first `offered`. More than were found, as the operator's `capacity` may say, are called by their place.
fn devices(gpus: &[Gpu], offered: u32) -> Vec<String> {
    (0..offered as usize).map(|n| gpus.get(n).map_or_else(|| n.to_string(), |g| g.uuid.clone())).collect()
}

/// Held for as long as the value lives; the kernel drops it with the process.
fn lock(dir: &Path) -> Result<File, WorkerError> {
    let at_dir = |source| WorkerError::DataDir { path: dir.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(at_dir)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(WorkerError::DataDirInUse(dir.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(at_dir(source)),
    }
}

struct Page {
    metrics: WorkerMetrics,
    status: Status,
    tls: Arc<ReloadingTls>,
}

impl Health for Page {
    fn components(&self) -> Vec<Component> {
        let session = match self.status.0.load(Relaxed) {
            true => Component::good("session", "this worker has a session with the leader".to_owned()),
            false => Component::bad(
                "session",
                "no_leader",
                "this worker has no session with a leader; tasks that run go on, and it keeps trying".to_owned(),
            ),
        };
        let left_ms = self.tls.not_after().0.saturating_sub(clock::wall().0);
        let certificate = match left_ms {
            0 => Component::bad(
                "certificate",
                "certificate_expired",
                "this worker's certificate has expired, and no master accepts it: revoke the name, authorise it again, and start it with the \
                 new token and an empty identity directory"
                    .to_owned(),
            ),
            _ => Component::good("certificate", format!("valid for {} more hours", left_ms / 3_600_000)),
        };
        vec![session, certificate]
    }

    fn answered(&self, route: &'static str, code: u16, took: Duration) {
        self.metrics.http.answered(route, code, took);
    }

    fn metrics(&self) -> String {
        let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        self.metrics.certificate_end.set(self.tls.not_after().0 as f64 / 1000.0);
        self.metrics.runtime_tasks.set(i64::try_from(alive).unwrap_or(i64::MAX));
        self.metrics.text()
    }
}

/// Where it listens, and the serving itself.
async fn serve_metrics(
    addr: &str,
    tls: &Arc<ReloadingTls>,
    page: Page,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send + use<>), WorkerError> {
    let failed = |source| WorkerError::Metrics { addr: addr.to_owned(), source };
    let bind: SocketAddr =
        addr.parse().map_err(|e| failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, e)))?;
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let incoming = Acceptor::spawn(listener, tls.clone(), AcceptOptions::http(), Connections::default());
    Ok((bound, cloudai_api::serve(incoming, Arc::new(page))))
}
