//! What a worker uses, as three real masters tell it: each to whoever asks, also when another one leads.

use futures::StreamExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use super::monitoring::{connect, get};
use super::*;

/// The next frames, until one has the worker; and whether one of them said that the source is another.
async fn heard(frames: &mut tonic::Streaming<pb::TelemetryFrame>) -> (pb::UsageSample, bool) {
    let mut resumed = false;
    tokio::time::timeout(FOREVER, async {
        loop {
            let frame = frames.message().await.expect("no error").expect("without an end");
            resumed |= frame.resumed;
            if let Some(told) = frame.workers.into_iter().find(|told| told.worker == "hollow") {
                return (told.sample.expect("a sample"), resumed);
            }
        }
    })
    .await
    .expect("it comes in time")
}

async fn watch(cluster: &Cluster, n: usize, worker: &str) -> tonic::Streaming<pb::TelemetryFrame> {
    let request = pb::WatchTelemetryRequest { worker: worker.to_owned() };
    eventually(async || Some(cluster.client(n).watch_telemetry(request.clone()).await.ok()?.into_inner())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_master_tells_what_workers_use_whoever_leads() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let leader = cluster.status(0).await.leader_id as usize - 1;
    let follower = (leader + 1) % 3;
    let worker = hollow_worker(&cluster, "hollow", success()).await;

    let mut watchers = vec![];
    for (n, of) in [(leader, ""), (follower, ""), (follower, "hollow")] {
        watchers.push(watch(&cluster, n, of).await);
    }
    for frames in &mut watchers {
        let (first, _) = heard(frames).await;
        let (second, resumed) = heard(frames).await;
        assert!(second.at_ms >= first.at_ms && !resumed);
    }
    let request = pb::WatchTelemetryRequest { worker: "nobody".to_owned() };
    let unknown = cluster.client(follower).watch_telemetry(request).await.expect_err("there is none");
    assert_eq!(pb::ErrorInfo::from_status(&unknown).kind(), pb::ErrorKind::NotFound);

    // The same over HTTP, for members.
    for n in [leader, follower] {
        let page = eventually(async || {
            let (status, page) = get(&cluster, n, "/telemetry/hollow", true).await;
            (status == 200 && page != "null").then(|| serde_json::from_str::<serde_json::Value>(&page).expect("JSON"))
        })
        .await;
        assert_eq!((page["worker"].as_str(), page["machine"]["cpu"].as_f64()), (Some("hollow"), Some(0.25)));
        assert_eq!(get(&cluster, n, "/telemetry/nobody", true).await.0, 404);
        assert_eq!(get(&cluster, n, "/telemetry", false).await.0, 401);
        let (_, page) = get(&cluster, n, "/workers", true).await;
        let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
        let hollow = &page["workers"][0];
        assert_eq!((hollow["name"].as_str(), hollow["state"].as_str()), (Some("hollow"), Some("Ready")));
        assert_eq!(hollow["capacity"]["cpu"], 4.0);
    }

    // States come on the same socket, each of them.
    let (mut socket, _) = {
        let request = http::Request::get("wss://localhost/telemetry/stream")
            .header("Host", "localhost")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", generate_key());
        let io = connect(&cluster, follower, true).await;
        tokio_tungstenite::client_async(request.body(()).expect("a request"), io).await.expect("open")
    };
    for _ in 0..2 {
        let name = || "hollow".to_owned();
        let drain = pb::DrainWorkerRequest { name: name(), ..Default::default() };
        cluster.client(leader).drain_worker(drain).await.expect("drained");
        cluster.client(leader).resume_worker(pb::ResumeWorkerRequest { name: name() }).await.expect("resumed");
    }
    let (mut states, mut samples) = (vec![], 0);
    while states.len() < 4 || samples == 0 {
        let next = tokio::time::timeout(FOREVER, socket.next()).await.expect("it comes in time");
        let Message::Text(text) = next.expect("it is open").expect("it is well") else { continue };
        let said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        match said["type"].as_str() {
            Some("state") => states.push(said["event"].as_str().expect("what").to_owned()),
            Some("telemetry") => samples += said["workers"].as_array().expect("a list").len(),
            _ => {}
        }
    }
    assert_eq!(states, ["worker_drained", "worker_resumed", "worker_drained", "worker_resumed"]);

    // Another one leads: who watches at a master that stays goes on, and is told.
    let moved = cluster.client(follower).transfer_leader(pb::TransferLeaderRequest::default()).await.expect("moved");
    assert_ne!(moved.into_inner().leader_id as usize - 1, leader);
    for frames in &mut watchers {
        eventually(async || heard(frames).await.1.then_some(())).await;
        let (first, _) = heard(frames).await;
        assert!(heard(frames).await.0.at_ms >= first.at_ms);
    }
    drop((watchers, socket));
    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("it ends well");
    }
}
