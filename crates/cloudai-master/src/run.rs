//! Starts one master and stops it. Comes in: a configuration, a log and a state store, a signal to stop. Goes out: nothing until
//! it ends. The order matters: identity, node file, storage, Raft, services, and only then does the node take part.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudai_api::{Health, Origins, Site};
use cloudai_core::command::MemberRole;
use cloudai_net::{
    AcceptOptions, Acceptor, CertificateAuthority, ChannelFactory, ChannelOptions, Connections, IdentityFiles,
    JoinToken, ReloadingTls, Revoked, RevokedSet, Role, require,
};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::{control_server, dispatch_server, raft_server};
use cloudai_raft::{DAMAGED, Fatal, LogStore, MasterNode, Raft, Settings, StartError, Watchdog};
use cloudai_telemetry::trace::Process;
use cloudai_telemetry::{MasterMetrics, Tracer, TracingError};
use cloudai_types::limits;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;

use crate::call_traces::CallTraces;
use crate::config::{Join, MasterConfig};
use crate::control::ControlService;
use crate::dispatch::DispatchService;
use crate::forward::Forward;
use crate::health::MasterHealth;
use crate::hub::Hub;
use crate::machine::{Machine, Shared};
use crate::masters::GrpcMasters;
use crate::node::{Node, Parts};
use crate::node_file::{NodeFile, NodeFileError};
use crate::peers::{KnownMaster, Me};
use crate::raft_link::{Directory, RaftTransport};
use crate::raft_service::RaftService;
use crate::registration::Joined;
use crate::results::{StoredResults, said};
use crate::rpc_meter::RpcMeter;
use crate::state_store::StateStore;
use crate::surroundings::Surroundings;
use crate::telemetry::MasterLive;
use crate::traces::Traces;
use crate::{disk_watch, grpc_health, leadership, registration, renewal, secret_keys, telemetry};

/// Why a master did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(
        "this master has no identity in {dir}: {reason}. Run `cloudai init` for the first masters, or give a join token of `cloudai cluster add NAME`"
    )]
    NoIdentity { dir: PathBuf, reason: String },
    #[error(
        "the certificate in {dir} is for {found}, the configuration for master '{wanted}': use the right identity directory"
    )]
    OtherIdentity { dir: PathBuf, found: String, wanted: String },
    #[error("joining failed: {0}")]
    Join(String),
    #[error(transparent)]
    NodeFile(#[from] NodeFileError),
    #[error(
        "master '{name}' is in no list of founders and has no data in {dir}: it must join with a token of `cloudai cluster add {name}`"
    )]
    NotAFounder { name: String, dir: PathBuf },
    #[error("cannot listen on {addr} for {what}: {source}; is the port taken? choose another with --{what}-listen")]
    Listen {
        what: &'static str,
        addr: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the storage in {dir} cannot be opened: {reason}")]
    Storage { dir: PathBuf, reason: String },
    /// Found at the start or while it ran: this master takes no part any more, because nobody knows what else is wrong.
    #[error(
        "this master's data in {dir} cannot be trusted: {reason}. It neither votes nor serves. Keep the directory for a look, empty it, and join again under a new id: `cloudai cluster add NAME`, then `cloudai cluster remove OLD-NAME`; docs/operations.md says when something else is right"
    )]
    Damaged { dir: PathBuf, reason: String },
    #[error(transparent)]
    Raft(#[from] cloudai_raft::StartError),
    #[error(transparent)]
    Origins(#[from] cloudai_api::OriginError),
    #[error(transparent)]
    Registries(#[from] cloudai_registry::LoginError),
    #[error("tracing: {0}")]
    Tracing(#[from] TracingError),
    #[error("{}", said(.0))]
    Results(#[from] cloudai_objects::OpenError),
    #[error("this master stopped: {0}")]
    Stopped(String),
    /// Wiped, copied or removed: its node id is never used again.
    #[error(
        "this master is refused by its cluster: {0}. Empty its data directory, run `cloudai cluster add NAME` and join with the new token"
    )]
    Refused(String),
}

/// Why the databases of a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Damaged(String),
    /// Full, not there, not allowed, in use.
    #[error("{0}")]
    Unusable(String),
}

impl OpenError {
    /// By the kind of an error of reading: data that makes no sense is damage.
    pub fn of_reading(e: &std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::InvalidData => OpenError::Damaged(e.to_string()),
            _ => OpenError::Unusable(e.to_string()),
        }
    }

    fn at(self, dir: &Path) -> RunError {
        let dir = dir.to_owned();
        match self {
            OpenError::Damaged(reason) => RunError::Damaged { dir, reason },
            OpenError::Unusable(reason) => RunError::Storage { dir, reason },
        }
    }
}

/// Opens the two databases of a data directory.
pub trait OpenStores {
    type Log: LogStore;
    type State: StateStore;
    fn open(&self, log_dir: &Path, state_dir: &Path) -> Result<(Self::Log, Self::State), OpenError>;
}

/// Runs until `shutdown` resolves or the node can no longer take part.
pub async fn run<O: OpenStores>(
    config: MasterConfig,
    stores: O,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    cloudai_telemetry::this_is("master", &config.name);
    let identity_dir = config.identity_dir();
    config.registries.check()?;
    config.tracing.check()?;
    let origins = Origins::parse(&config.cors_origins)?;
    let results = StoredResults::open(&config.results)?;
    join_if_needed(&config, &identity_dir).await?;
    let revoked = Revoked::default();
    let tls = ReloadingTls::load(IdentityFiles::new(&identity_dir), revoked.clone())
        .map_err(|e| RunError::NoIdentity { dir: identity_dir.clone(), reason: e.to_string() })?;
    let identity = tls.identity();
    if identity.role != Role::Master || identity.name != config.name {
        let (found, wanted) = (identity.to_string(), config.name.clone());
        return Err(RunError::OtherIdentity { dir: identity_dir, found, wanted });
    }
    let cluster = identity.cluster.to_string();
    let node_file = node_file(&config, &cluster)?;
    let me = Arc::new(Me { cluster: cluster.clone(), node: node_file.node, disk: node_file.disk.clone() });

    let listeners = Listeners::bind(&config).await?;
    let own = listeners.addresses(&config);

    let dir = &config.data_dir;
    let began = Instant::now();
    let (log, state) = stores.open(&dir.join("raft"), &dir.join("state")).map_err(|e| e.at(dir))?;
    let opened = began.elapsed();
    let shared = Shared::open(state).map_err(|e| OpenError::of_reading(&e).at(dir))?;
    let loaded = began.elapsed();
    let hub = Arc::new(Hub::default());
    let directory: Directory = {
        let shared = shared.clone();
        Arc::new(move |node| {
            let state = shared.read();
            state.hot.masters.get(&node).map(|m| KnownMaster { disk: m.disk.clone(), removed: m.removed })
        })
    };
    let channels = ChannelFactory::new(tls.clone());
    let metrics = MasterMetrics::new(env!("CARGO_PKG_VERSION"));
    let process = Process { service: "cloudai-master", instance: config.name.clone() };
    let tracer = Tracer::start(&config.tracing, process, metrics.spans_dropped.clone())?;
    let traces = Arc::new(Traces::new(tracer.clone(), config.tracing.link.clone()));
    let transport = RaftTransport {
        channels: channels.clone(),
        me: me.clone(),
        directory: directory.clone(),
        metrics: metrics.clone(),
    };
    let mut settings = Settings::new(node_file.node, cluster, dir.join("snapshots"));
    settings.heartbeat = Duration::from_millis(config.raft.heartbeat_ms);
    settings.election_min = Duration::from_millis(config.raft.election_min_ms);
    settings.election_max = Duration::from_millis(config.raft.election_max_ms);
    settings.snapshot_every_entries = config.raft.snapshot_every_entries;
    settings.keep_entries = settings.keep_entries.min(config.raft.snapshot_every_entries);
    let watchdog = Watchdog::new(|hung| {
        eprintln!("the disk hangs ({hung:?}): this master gives up, so that another one leads");
        std::process::exit(HUNG_DISK_EXIT);
    });
    let machine = Machine::new(shared.clone(), hub.clone(), metrics.clone()).traced(traces.clone());
    let (fsyncs, fsync_seconds) = (metrics.fsyncs.clone(), metrics.fsync_seconds.clone());
    log.observe_fsyncs(Box::new(move |took| {
        fsyncs.inc();
        fsync_seconds.observe(took.as_secs_f64());
    }));
    let raft = Raft::start(settings, log, machine, transport, Some(watchdog)).await.map_err(|e| not_started(e, dir))?;
    tracing::info!(
        jobs = shared.read().hot.jobs.len(),
        databases_ms = opened.as_millis() as u64,
        rows_ms = (loaded - opened).as_millis() as u64,
        log_ms = (began.elapsed() - loaded).as_millis() as u64,
        "the databases are open, the state is loaded, and the log's newer entries are applied to it"
    );
    let connections = Connections::new();
    let masters = Arc::new(GrpcMasters::new(channels));
    let of_tls = tls.clone();
    let certificate_end = move || of_tls.not_after();
    let node = Arc::new(Node::new(Parts {
        config,
        own,
        me,
        node_file,
        shared,
        hub,
        raft: raft.clone(),
        metrics,
        masters: masters.clone(),
        directory,
        revoked: revoked.clone(),
        identity_dir,
        results,
        traces,
        surroundings: Surroundings { certificate_end: Arc::new(certificate_end), ..Surroundings::default() },
    }));
    let mut stopped = node.stop.subscribe();
    follow_revocations(&node, connections.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(tls.clone().watch());
    tasks.spawn(renewal::run(tls.clone(), node.identity_dir.clone()));
    tasks.spawn(disk_watch::run(node.config.data_dir.clone(), node.metrics.clone()));
    serve(&node, &masters, listeners, &tls, &connections, origins, &mut tasks);

    // Only now: the node can neither campaign nor vote before its services listen.
    raft.run();
    found_cluster(&node).await?;
    tasks.spawn(leadership::run(node.clone()));
    tasks.spawn(registration::run(node.clone()));
    tasks.spawn(telemetry::follow(node.clone()));
    tracing::info!(
        node = node.me.node,
        name = node.config.name,
        http = node.own.http_addr,
        grpc = node.own.grpc_addr,
        raft = node.own.raft_addr,
        "master started"
    );

    let end = tokio::select! {
        () = shutdown => Ok(()),
        fatal = raft.failed() => Err(died(&fatal, &node.config.data_dir)),
        reason = stopped.wait_for(Option::is_some) => {
            let reason = reason.map(|r| r.clone().unwrap_or_default()).unwrap_or_default();
            if let Err(error) = node.node_file.quarantine(&node.config.data_dir, &reason) {
                tracing::error!(%error, "the quarantine cannot be written down");
            }
            Err(RunError::Refused(reason))
        }
    };
    if end.is_ok() && node.leading().is_some() {
        // A planned end hands the leadership over, so that nobody waits for an election.
        match tokio::time::timeout(limits::HAND_OVER_WITHIN.as_duration(), raft.transfer_leader(None)).await {
            Ok(Ok(to)) => tracing::info!(to, "handed the leadership over"),
            Ok(Err(error)) => tracing::warn!(%error, "the leadership could not be handed over"),
            Err(_) => tracing::warn!("nobody took the leadership over in time; the others elect a leader"),
        }
    }
    let wind_down = async {
        raft.shutdown().await;
        tracer.flush().await;
        tasks.shutdown().await;
    };
    // Everything that counts is on disk: what does not end in time ends with the process. After a failed write nothing is worth waiting
    // for: whoever speaks to this master should find another one soon.
    let within = if end.is_ok() { limits::SHUTDOWN_WITHIN } else { limits::FAILED_SHUTDOWN_WITHIN };
    if tokio::time::timeout(within.as_duration(), wind_down).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    if matches!(end, Err(RunError::Stopped(_) | RunError::Damaged { .. })) {
        // The databases stay open until the process ends. Closing them would try the failed write again and wait a second before that,
        // and there is nothing left to save: the log's other copies have what was acknowledged.
        std::mem::forget(node);
    }
    end
}

fn not_started(e: StartError, dir: &Path) -> RunError {
    match e {
        StartError::Storage(_) | StartError::Hole { .. } if e.to_string().contains(DAMAGED) => {
            RunError::Damaged { dir: dir.to_owned(), reason: e.to_string() }
        }
        StartError::Settings(_) | StartError::Snapshots { .. } | StartError::Storage(_) | StartError::Hole { .. } => {
            e.into()
        }
    }
}

fn died(fatal: &Fatal, dir: &Path) -> RunError {
    match fatal.is_damage() {
        true => RunError::Damaged { dir: dir.to_owned(), reason: fatal.reason.clone() },
        false => RunError::Stopped(fatal.to_string()),
    }
}

/// The process's exit code when the disk hangs; the watchdog's thread cannot return an error.
pub const HUNG_DISK_EXIT: i32 = 74;

/// Redeems the token when there is no certificate yet.
async fn join_if_needed(config: &MasterConfig, identity_dir: &Path) -> Result<(), RunError> {
    let files = IdentityFiles::new(identity_dir);
    let Some(Join { masters, token }) = &config.join else { return Ok(()) };
    if files.is_joined() {
        return Ok(());
    }
    let failed = |e: &dyn std::fmt::Display| RunError::Join(e.to_string());
    let token: JoinToken = token.parse().map_err(|e| failed(&e))?;
    if token.name != config.name {
        return Err(RunError::Join(format!("the token is for '{}', this master is '{}'", token.name, config.name)));
    }
    let request = pb::JoinRequest {
        name: config.name.clone(),
        secret: token.secret.as_bytes().to_vec().into(),
        csr_pem: files.request().map_err(|e| failed(&e))?,
        role: pb::join_request::Role::Master as i32,
        hosts: vec![],
    };
    let factory = ChannelFactory::joining(token.ca);
    let mut last = String::from("no master is named in the configuration");
    for address in masters {
        let channel = factory.channel(address, &ChannelOptions::calls()).map_err(|e| failed(&e))?;
        match dispatch_client(channel).join(request.clone()).await {
            Ok(reply) => {
                let reply = reply.into_inner();
                CertificateAuthority::from_pem(&reply.ca_pem, &reply.ca_key_pem)
                    .map_err(|e| failed(&e))?
                    .save(identity_dir)
                    .map_err(|e| failed(&e))?;
                if !reply.secrets_keys.is_empty() {
                    secret_keys::save(&config.secrets_key(), &reply.secrets_keys).map_err(|e| failed(&e))?;
                }
                let masters = reply.masters.into_iter().map(|m| m.raft).collect();
                Joined { node: reply.node_id, masters }.save(&config.data_dir).map_err(|e| failed(&e))?;
                // Last: with a certificate in place the token is not redeemed again, so everything else must be there.
                files.install(&reply.cert_pem, &reply.ca_pem, Some(&token.ca)).map_err(|e| failed(&e))?;
                return Ok(());
            }
            Err(status) => last = format!("{address}: {}", status.message()),
        }
    }
    Err(RunError::Join(last))
}

fn dispatch_client(
    channel: tonic::transport::Channel,
) -> pb::dispatch_client::DispatchClient<tonic::transport::Channel> {
    pb::dispatch_client::DispatchClient::new(channel)
}

fn node_file(config: &MasterConfig, cluster: &str) -> Result<NodeFile, RunError> {
    if let Some(file) = NodeFile::load(&config.data_dir, cluster)? {
        return Ok(file);
    }
    let joined = Joined::load(&config.data_dir).map(|j| j.node);
    let founder = || config.founders.iter().find(|f| f.name == config.name).map(|f| f.id);
    let node = joined
        .or_else(founder)
        .ok_or_else(|| RunError::NotAFounder { name: config.name.clone(), dir: config.data_dir.clone() })?;
    Ok(NodeFile::create(&config.data_dir, cluster, node, rand::random())?)
}

/// The three sockets, bound before anything else so that a taken port is found at once.
struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    raft: TcpListener,
}

impl Listeners {
    async fn bind(config: &MasterConfig) -> Result<Self, RunError> {
        let bind = async |what: &'static str, addr: &str| {
            TcpListener::bind(addr).await.map_err(|source| RunError::Listen { what, addr: addr.to_owned(), source })
        };
        Ok(Listeners {
            http: bind("http", &config.http_listen).await?,
            grpc: bind("grpc", &config.grpc_listen).await?,
            raft: bind("raft", &config.raft_listen).await?,
        })
    }

    /// How others reach this master.
    fn addresses(&self, config: &MasterConfig) -> MasterNode {
        let founder = config.founders.iter().find(|f| f.name == config.name);
        if let Some(f) = founder {
            return MasterNode {
                name: f.name.clone(),
                raft_addr: f.raft_addr.clone(),
                grpc_addr: f.grpc_addr.clone(),
                http_addr: f.http_addr.clone(),
            };
        }
        let address = |listener: &TcpListener| {
            let local = listener.local_addr().ok();
            let host = match (&config.advertise_host, local) {
                (Some(host), _) => host.clone(),
                (None, Some(a)) if !a.ip().is_unspecified() => a.ip().to_string(),
                (None, _) => host_name(),
            };
            format!("{host}:{}", local.map_or(0, |a| a.port()))
        };
        MasterNode {
            name: config.name.clone(),
            raft_addr: address(&self.raft),
            grpc_addr: address(&self.grpc),
            http_addr: address(&self.http),
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Revocations come from the replicated state: the set for new connections, and a cut for live ones.
fn follow_revocations<S: StateStore>(node: &Arc<Node<S>>, connections: Connections) {
    let revoked = node.revoked.clone();
    let shared = node.shared.clone();
    let refresh = move || {
        let state = shared.read();
        let role = |byte: u8| if byte == MemberRole::Master as u8 { Role::Master } else { Role::Worker };
        let names = state.hot.revoked.iter().map(|(byte, name)| (role(*byte), name.clone())).collect();
        revoked.replace(RevokedSet { names, serials: Default::default() });
    };
    refresh();
    node.hub.on_revoked(move |role, name| {
        refresh();
        let role = match role {
            MemberRole::Worker => Role::Worker,
            MemberRole::Master => Role::Master,
        };
        let cut = connections.cut(|peer| peer.identity.as_ref().is_some_and(|i| i.role == role && i.name == name));
        tracing::warn!(%role, name, connections = cut, "revoked: its connections are cut");
    });
}

fn serve<S: StateStore>(
    node: &Arc<Node<S>>,
    masters: &Arc<GrpcMasters>,
    listeners: Listeners,
    tls: &Arc<ReloadingTls>,
    connections: &Connections,
    origins: Origins,
    tasks: &mut tokio::task::JoinSet<()>,
) {
    let accept = |listener, options| Acceptor::spawn(listener, tls.clone(), options, connections.clone());
    let server = tonic::transport::Server::builder;

    let incoming = accept(listeners.raft, AcceptOptions::raft());
    let service = raft_server::RaftServer::new(RaftService { node: node.clone() })
        .max_decoding_message_size(limits::RAFT_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::RAFT_MESSAGE_BYTES_MAX);
    let router =
        server().initial_stream_window_size(4 << 20).initial_connection_window_size(16 << 20).add_service(service);
    tasks.spawn(async move { ended("raft", router.serve_with_incoming(incoming).await) });

    let health: Arc<dyn Health> =
        Arc::new(MasterHealth { node: node.clone(), tls: tls.clone(), connections: connections.clone() });
    let (reporter, grpc_health) = tonic_health::server::health_reporter();
    tasks.spawn(grpc_health::keep(reporter, health.clone()));
    let revoked = node.revoked.clone();
    let grpc_health = InterceptedService::new(grpc_health, move |request| {
        require(&request, &revoked, Role::ALL)?;
        Ok(request)
    });

    let incoming = accept(listeners.grpc, AcceptOptions::control());
    let control = control_server::ControlServer::new(ControlService { node: node.clone() })
        .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
    let dispatch = dispatch_server::DispatchServer::new(DispatchService { node: node.clone() })
        .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
    let (forward, masters, rpc) = (node.clone(), masters.clone(), node.metrics.rpc.clone());
    let tracer = node.traces.tracer.clone();
    let router = server()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .layer(tower::layer::layer_fn(move |inner| RpcMeter::new(rpc.clone(), inner)))
        .layer(tower::layer::layer_fn(move |inner| CallTraces::new(tracer.clone(), inner)))
        .layer(tower::layer::layer_fn(move |inner| Forward::new(forward.clone(), masters.clone(), inner)))
        .add_service(control)
        .add_service(dispatch)
        .add_service(grpc_health);
    tasks.spawn(async move { ended("grpc", router.serve_with_incoming(incoming).await) });

    let incoming = accept(listeners.http, AcceptOptions::http());
    let site = Site::new(health).with_live(Arc::new(MasterLive(node.clone())), origins);
    tasks.spawn(cloudai_api::serve(incoming, site));
}

fn ended(what: &str, result: Result<(), tonic::transport::Error>) {
    if let Err(error) = result {
        tracing::error!(%error, "the {what} service ended");
    }
}

/// The founder with the lowest id forms the group, once. It asks nobody: the others are empty, or they refuse its disk.
pub async fn found_cluster<S: StateStore>(node: &Node<S>) -> Result<(), RunError> {
    let first = node.config.founders.iter().map(|f| f.id).min();
    if first != Some(node.me.node) || node.raft.is_initialized().await.map_err(|e| RunError::Stopped(e.to_string()))? {
        return Ok(());
    }
    let founders: BTreeMap<u64, MasterNode> = node
        .config
        .founders
        .iter()
        .map(|f| {
            let master = MasterNode {
                name: f.name.clone(),
                raft_addr: f.raft_addr.clone(),
                grpc_addr: f.grpc_addr.clone(),
                http_addr: f.http_addr.clone(),
            };
            (f.id, master)
        })
        .collect();
    match node.raft.initialize(founders).await {
        Ok(()) | Err(cloudai_raft::InitializeError::AlreadyInitialized) => Ok(()),
        Err(e) => Err(RunError::Stopped(e.to_string())),
    }
}
