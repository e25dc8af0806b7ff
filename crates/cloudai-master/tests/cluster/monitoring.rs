//! What Prometheus sees of three real masters: their pages, and where everybody is.

use cloudai_telemetry::names;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A connection to a master's port 7600, with the admin's certificate or without one.
pub async fn connect(
    cluster: &Cluster,
    n: usize,
    with_identity: bool,
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let identity = IdentityFiles::new(cluster.dir.path().join("admin"));
    let mut roots = rustls::RootCertStore::empty();
    for ca in CertificateDer::pem_file_iter(identity.ca_path()).expect("the CA's certificate") {
        roots.add(ca.expect("a certificate")).expect("a CA");
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match with_identity {
        true => {
            let chain = CertificateDer::pem_file_iter(identity.cert_path()).expect("a chain");
            let key = PrivateKeyDer::from_pem_file(identity.key_path()).expect("a key");
            builder.with_client_auth_cert(chain.map(|c| c.expect("a certificate")).collect(), key).expect("they fit")
        }
        false => builder.with_no_client_auth(),
    };
    let tcp = tokio::net::TcpStream::connect(&cluster.founders[n].http_addr).await.expect("it listens");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect("localhost".try_into().expect("a name"), tcp).await.expect("TLS")
}

/// Asks there: the status and the body.
pub async fn get(cluster: &Cluster, n: usize, path: &str, with_identity: bool) -> (u16, String) {
    let mut io = connect(cluster, n, with_identity).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    io.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = vec![];
    // A server that ends without close_notify has still said what it said.
    let _ = io.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_finds_everybody_and_counts_the_cluster_once() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let leader = cluster.status(0).await.leader_id as usize - 1;
    eventually(async || (cluster.status(leader).await.version >= cloudai_core::command::DISCOVERY_SINCE).then_some(()))
        .await;
    let worker = hollow_worker(&cluster, "hollow", success()).await;
    for batch in 0..20 {
        let submits = (0..50).map(|n| {
            let mut client = cluster.client(n % 3);
            async move { client.submit(submit(&format!("{batch}-{n}"), 1)).await }
        });
        for accepted in futures::future::join_all(submits).await {
            accepted.expect("accepted");
        }
    }

    let success = "cloudai_attempts_ended_total{reason=\"success\"}";
    let page = eventually(async || {
        let (status, page) = get(&cluster, leader, "/metrics", false).await;
        assert_eq!(status, 200);
        (value(&page, success) == Some(1_000.0)).then_some(page)
    })
    .await;
    assert_eq!(value(&page, "cloudai_raft_is_leader"), Some(1.0));
    assert_eq!(value(&page, "cloudai_workers{state=\"ready\"}"), Some(1.0));
    assert_eq!(value(&page, "cloudai_cluster_cpu_capacity_cores"), Some(4.0));
    assert_eq!(value(&page, "cloudai_tasks{state=\"queued\"}"), Some(0.0));
    assert!(
        value(&page, "cloudai_rpc_requests_total{code=\"ok\",method=\"Control/Submit\"}").is_some_and(|n| n >= 334.0)
    );
    assert!(value(&page, "cloudai_connections{role=\"worker\"}").is_some_and(|n| n >= 1.0), "{page}");
    let series: Vec<&str> = page.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(series.len() < 2_000, "{} series at 1,000 jobs", series.len());
    for line in series {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        assert!(name.starts_with("process_") || names::of_series(name).is_some(), "{line} is in no table");
    }
    let (_, follower) = get(&cluster, (leader + 1) % 3, "/metrics", false).await;
    assert_eq!(value(&follower, success), None, "only the leader counts");
    assert_eq!(value(&follower, "cloudai_cluster_cpu_capacity_cores"), None);

    for n in 0..3 {
        assert_eq!(get(&cluster, n, "/service-discovery", false).await.0, 401);
        let found = eventually(async || {
            let (status, body) = get(&cluster, n, "/service-discovery", true).await;
            assert_eq!(status, 200, "{body}");
            let found: Vec<serde_json::Value> = serde_json::from_str(&body).expect("a list");
            (found.len() == 4).then_some(found)
        })
        .await;
        let names: Vec<_> = found.iter().map(|t| t["labels"]["__meta_cloudai_name"].as_str().unwrap_or("")).collect();
        assert_eq!(names, ["master-1", "master-2", "master-3", "hollow"]);
        assert_eq!(found[0]["targets"][0], cluster.founders[0].http_addr);
        assert_eq!(found[3]["targets"][0], "127.0.0.1:7610", "where it calls from, and its port");
        let (status, ready) = get(&cluster, n, "/readyz?verbose", false).await;
        assert!(status == 200 && ready.contains("\"name\":\"raft\"") && ready.contains("\"certificate\""), "{ready}");
    }
    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
