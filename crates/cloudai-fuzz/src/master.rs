//! A whole master in this process, with RocksDB, mTLS and sockets on the loopback, for targets that need one. Comes in: nothing. Goes
//! out: addresses, and a channel per role. It is started once and lives as long as the process; a panic in any of its tasks is a
//! crash of the fuzzer. That it ends is one, too.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cloudai_master::{Founder, MasterConfig, run_on_rocksdb};
use cloudai_net::{
    CertificateAuthority, ChannelFactory, ChannelOptions, ClusterId, IdentityFiles, ReloadingTls, Revoked, Role,
};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::control_client::ControlClient;
use cloudai_types::{Timestamp, limits};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// The worker that the fuzzer is; it is authorised at the start.
pub const WORKER: &str = "fuzz-worker";

pub struct Master {
    pub runtime: Runtime,
    /// The addresses of HTTP, gRPC and Raft.
    pub ports: [String; 3],
    /// On the gRPC port: admin, worker, master. Then on the Raft port: master.
    pub channels: [Channel; 4],
    _dir: tempfile::TempDir,
}

pub fn master() -> &'static Master {
    static MASTER: OnceLock<Master> = OnceLock::new();
    MASTER.get_or_init(start)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp(since.as_millis() as u64)
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("it is bound").to_string()
}

fn start() -> Master {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    let _inside = handle.enter();
    cloudai_net::install_crypto_provider();
    let dir = tempfile::tempdir().expect("a directory");
    let ca = CertificateAuthority::create(ClusterId::from_bytes([7; 8]), now()).expect("a CA");
    let enroll = |at: &Path, role: Role, name: &str| {
        IdentityFiles::new(at).enroll(&ca, role, name, &[], limits::LEAF_VALIDITY, now()).expect("enrolled");
    };
    let data_dir = dir.path().join("master-1");
    let identity = data_dir.join("identity");
    ca.save(&identity).expect("the CA's key");
    enroll(&identity, Role::Master, "master-1");
    let ports = [free_port(), free_port(), free_port()];
    let [http_addr, grpc_addr, raft_addr] = ports.clone();
    let config = MasterConfig {
        http_listen: http_addr.clone(),
        grpc_listen: grpc_addr.clone(),
        raft_listen: raft_addr.clone(),
        founders: vec![Founder { id: 1, name: "master-1".into(), raft_addr, grpc_addr, http_addr }],
        ..MasterConfig::new("master-1".into(), data_dir)
    };
    runtime.spawn(async move {
        let end = run_on_rocksdb(config, Box::pin(std::future::pending())).await;
        eprintln!("the master ended: {end:?}");
        std::process::abort()
    });
    let channel = |role: Role, name: &str, address: &str| {
        let at = dir.path().join(format!("{role}-{name}"));
        enroll(&at, role, name);
        let tls = ReloadingTls::load(IdentityFiles::new(at), Revoked::default()).expect("an identity");
        ChannelFactory::new(tls).channel(address, &ChannelOptions::calls()).expect("an address")
    };
    let channels = [
        channel(Role::Admin, "root", &ports[1]),
        channel(Role::Worker, WORKER, &ports[1]),
        channel(Role::Master, "master-1", &ports[1]),
        channel(Role::Master, "master-1", &ports[2]),
    ];
    runtime.block_on(ready(channels[0].clone()));
    Master { runtime, ports, channels, _dir: dir }
}

/// It leads, and knows the worker.
async fn ready(channel: Channel) {
    let mut control = ControlClient::new(channel);
    for _ in 0..200 {
        let request = pb::AuthorizeWorkerRequest { name: WORKER.into(), ..Default::default() };
        if control.authorize_worker(request).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the master does not lead after 10 s");
}
