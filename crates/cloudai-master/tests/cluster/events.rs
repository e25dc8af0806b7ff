//! The stream of events on real masters: the same at all of them, taken up where it was left, and an error where a master does not go back so far.

use super::*;

/// Everything after a position that the master keeps, up to now.
async fn told(cluster: &Cluster, n: usize, after: Option<pb::EventPosition>) -> Result<Vec<pb::Event>, tonic::Status> {
    let request = pb::WatchEventsRequest { after, tail: 1_000, ..Default::default() };
    let mut stream = cluster.client(n).watch_events(request).await?.into_inner();
    let mut events = vec![];
    while let Some(reply) = stream.message().await? {
        events.extend(reply.events);
        if reply.complete {
            return Ok(events);
        }
    }
    panic!("the stream ended before it was complete");
}

async fn submit(cluster: &Cluster, n: usize) -> u64 {
    let spec = JobSpec { image: "noop".into(), count: 3, ..Default::default() };
    let request = pb::SubmitRequest { spec: Some(spec), ..Default::default() };
    cluster.client(n).submit(request).await.expect("accepted").into_inner().job_id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_the_same_at_every_master_and_go_on_anywhere() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    // Who cancelled a job is kept since this format.
    let since = cloudai_core::command::NOTES_SINCE;
    eventually(async || (cluster.status(0).await.version >= since).then_some(())).await;

    let follow = pb::WatchEventsRequest { follow: true, kinds: vec![1], ..Default::default() };
    let mut stream = cluster.client(1).watch_events(follow).await.expect("any master answers").into_inner();
    let begin = stream.message().await.expect("a stream").expect("a first message");
    assert!(begin.events.is_empty() && begin.reached.is_some(), "where it begins: {begin:?}");

    let first = submit(&cluster, 0).await;
    let reply = stream.message().await.expect("a stream").expect("the submit");
    let seen: Vec<(u64, u32, &str)> = reply.events.iter().map(|e| (e.job_id, e.tasks, e.namespace.as_str())).collect();
    assert_eq!(seen, [(first, 3, "default")]);

    let second = submit(&cluster, 2).await;
    let cancel = pb::CancelJobRequest { job: JobId(second).to_string(), ..Default::default() };
    cluster.client(0).cancel_job(cancel).await.expect("cancelled");
    let mut lists = vec![];
    for n in 0..3 {
        let list = told(&cluster, n, reply.reached).await.expect("they are kept");
        lists.push(list.into_iter().filter(|e| e.job_id == second).collect::<Vec<_>>());
    }
    let kinds: Vec<i32> = lists[0].iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [1, 15, 16], "submitted, cancelled, finished, and nothing else: {:?}", lists[0]);
    assert_eq!((lists[0][1].actor.as_str(), lists[0][1].tasks), ("admin/root", 3));
    assert!(lists.iter().all(|list| *list == lists[0]), "{lists:#?}");

    let history = pb::GetHistoryRequest { job: JobId(second).to_string(), index: Some(2), ..Default::default() };
    let history = cluster.client(1).get_history(history).await.expect("it is kept").into_inner();
    let kinds: Vec<(i32, &str)> = history.events.iter().map(|e| (e.kind, e.actor.as_str())).collect();
    assert_eq!(kinds, [(1, "admin/root"), (15, "admin/root")]);

    let before = pb::EventPosition { index: 0, number: 0 };
    let old = told(&cluster, 1, Some(before)).await.expect_err("nobody knows what was before the first entry");
    let info = pb::ErrorInfo::from_status(&old);
    assert_eq!(info.kind(), pb::ErrorKind::TooOld, "{info:?}");
    assert!(info.next.contains("cloudai events --since"), "{info:?}");
    let beyond = pb::EventPosition { index: 1 << 40, number: 0 };
    let wrong = told(&cluster, 0, Some(beyond)).await.expect_err("nothing has happened there");
    assert_eq!(pb::ErrorInfo::from_status(&wrong).kind(), pb::ErrorKind::Invalid);
}
