//! What workers used: the leader asks them, whichever master was asked.

use super::*;

/// The name of a worker whose software knows nothing of histories.
pub const OLDER: &str = "older";

/// Of its machine it knows one thing; of attempts nothing.
pub async fn answer(factory: &ChannelFactory, open: pb::leader_message::OpenHistory) {
    let empty = pb::UploadHistoryRequest { stream_id: open.stream_id, ..Default::default() };
    let request = match open.attempt {
        Some(_) => pb::UploadHistoryRequest { error: "it keeps nothing of that".into(), not_found: true, ..empty },
        None => {
            let last = open.back_ms + u64::from(open.points_max);
            let series = pb::UsageSeries { last, ..Default::default() };
            let history = pb::UsageHistory { series: vec![series], ..Default::default() };
            pb::UploadHistoryRequest { history: Some(history), ..empty }
        }
    };
    let channel = factory.channel(&open.address, &ChannelOptions::calls()).expect("the leader's address");
    DispatchClient::new(channel).upload_history(request).await.expect("somebody waits for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_master_tells_what_a_worker_used_and_says_why_it_cannot() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let leader = (cluster.status(0).await.leader_id - 1) as usize;
    let mut client = cluster.client((leader + 1) % 3);
    let workers = [hollow_worker(&cluster, "hollow", success()).await, hollow_worker(&cluster, OLDER, success()).await];
    let of_worker = |name: &str| pb::WorkerHistoryRequest { worker: name.into(), back_ms: 7_000, ..Default::default() };
    let told = eventually(async || cluster.client(leader).get_worker_history(of_worker("hollow")).await.ok()).await;
    let told = told.into_inner();
    // As many steps as are usual, because none were asked for.
    let last = told.history.expect("a history").series[0].last;
    assert_eq!((told.worker.as_str(), told.attempt, last), ("hollow", None, 7_000 + 120));
    let greedy = pb::WorkerHistoryRequest { points_max: u32::MAX, ..of_worker("hol") };
    let told = client.get_worker_history(greedy).await.expect("at a follower, by a beginning of its name").into_inner();
    assert_eq!((told.worker.as_str(), told.history.expect("a history").series[0].last), ("hollow", 8_000));

    let mut refused = async |request: pb::WorkerHistoryRequest| {
        let info = pb::ErrorInfo::from_status(&client.get_worker_history(request).await.expect_err("no history"));
        (info.kind(), format!("{}: {}", info.what, info.why))
    };
    assert_eq!(refused(of_worker("nobody")).await.0, pb::ErrorKind::NotFound);
    let (kind, why) = eventually(async || {
        let (kind, why) = refused(of_worker(OLDER)).await;
        (!why.contains("no session")).then_some((kind, why))
    })
    .await;
    assert_eq!(kind, pb::ErrorKind::Unreachable);
    assert!(why.contains("its software is older than this master's"), "{why}");
    let request = pb::AuthorizeWorkerRequest { name: "away".into(), ..Default::default() };
    cluster.client(leader).authorize_worker(request).await.expect("authorised");
    let (kind, why) = refused(of_worker("away")).await;
    assert_eq!(kind, pb::ErrorKind::Unreachable);
    assert!(why.contains("what worker 'away' used cannot be read: it has no session"), "{why}");

    // A task: the worker that had it is asked, once there is one.
    let job = JobId(cluster.client(leader).submit(submit("job", 1)).await.expect("accepted").into_inner().job_id);
    let task = pb::worker_history_request::TaskName { job: job.to_string(), ..Default::default() };
    let of_task = |attempt| pb::WorkerHistoryRequest {
        task: Some(pb::worker_history_request::TaskName { attempt, ..task.clone() }),
        ..Default::default()
    };
    let (kind, why) = eventually(async || {
        let (kind, why) = refused(of_task(1)).await;
        (!why.contains("it has no attempt 1")).then_some((kind, why))
    })
    .await;
    // Either of the two may have had it.
    assert!(
        kind == pb::ErrorKind::NotFound && why.contains("it keeps nothing of that")
            || kind == pb::ErrorKind::Unreachable && why.contains("its software is older"),
        "{kind:?}: {why}"
    );
    assert!(why.starts_with(&format!("what attempt {job}/0.1 used on worker")), "{why}");
    let (kind, why) = refused(of_task(9)).await;
    assert_eq!((kind, why.contains("it has no attempt 9")), (pb::ErrorKind::NotFound, true), "{why}");
    for worker in workers {
        worker.abort();
    }
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
