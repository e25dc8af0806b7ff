//! What a task left in the store, read through masters: its results, and its log when its worker is gone.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_results_are_read_through_any_master() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    cluster.status(0).await;
    // Its number is known before it is there: a new cluster's first job.
    let attempt = AttemptId::new(JobId(1), 0, 1);
    let ending = success();
    {
        let results = cluster.store(attempt).await;
        let mut ending = ending.lock().expect("no panic");
        ending.results = Some(Box::new(results));
    }
    let job = submit_storing(&cluster, 1, "stores").await;
    assert_eq!(job, attempt.task.job);
    let worker = hollow_worker(&cluster, "hollow", ending).await;
    let wait = pb::WaitJobRequest { namespace: String::new(), job: job.to_string() };
    let mut changes = cluster.client(0).wait_job(wait).await.expect("found").into_inner();
    while changes.message().await.expect("no error").is_some() {}
    let whole = format!("task {attempt}\n").repeat(50_000);
    for n in 0..3 {
        let mut client = cluster.client(n);
        let list = pb::ListResultsRequest { job: job.to_string(), ..Default::default() };
        let mut pieces = client.list_results(list.clone()).await.expect("found").into_inner();
        let (mut files, mut left_out) = (vec![], vec![]);
        while let Some(piece) = pieces.message().await.expect("no error") {
            assert_eq!((piece.attempt, piece.files_total, piece.bytes_total), (1, 2, whole.len() as u64));
            files.extend(piece.files);
            left_out.extend(piece.left_out);
        }
        let names: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!((names, left_out.len()), (vec!["deep/table.csv", "empty"], 1));
        let read = pb::ReadResultRequest { job: job.to_string(), path: "deep/table.csv".into(), ..Default::default() };
        for (path, offset, length, wanted) in [
            ("deep/table.csv", 0, 0, &whole[..]),
            ("deep/table.csv", 100_001, 0, &whole[100_001..]),
            ("deep/table.csv", 7, 20, &whole[7..27]),
            ("deep/table.csv", whole.len() as u64, 0, ""),
            ("empty", 0, 0, ""),
        ] {
            let read = pb::ReadResultRequest { path: path.into(), offset, length, ..read.clone() };
            let mut stream = client.read_result(read).await.expect("found").into_inner();
            let mut bytes = vec![];
            while let Some(piece) = stream.message().await.expect("no error") {
                assert!(!piece.data.is_empty() && piece.data.len() <= limits::RESULT_CHUNK_BYTES);
                bytes.extend_from_slice(&piece.data);
            }
            assert!(bytes == wanted.as_bytes(), "{path} from {offset}");
        }
        let kind = |status: tonic::Status| pb::ErrorInfo::from_status(&status).kind();
        let gone = pb::ReadResultRequest { path: "../table.csv".into(), ..read.clone() };
        assert_eq!(kind(client.read_result(gone).await.expect_err("no such file")), pb::ErrorKind::NotFound);
        let beyond = pb::ReadResultRequest { offset: u64::MAX, ..read };
        assert_eq!(kind(client.read_result(beyond).await.expect_err("beyond")), pb::ErrorKind::Invalid);
        let other = pb::ListResultsRequest { attempt: 7, ..list };
        assert_eq!(kind(client.list_results(other).await.expect_err("no such attempt")), pb::ErrorKind::NotFound);
        // A directory gives out nothing itself.
        let locate = pb::LocateResultRequest { job: job.to_string(), path: "empty".into(), ..Default::default() };
        assert_eq!(client.locate_result(locate).await.expect("found").into_inner(), Default::default());
    }
    worker.abort();
    // Its worker is gone. Without a stored log that is said; with one it is read, by whichever master is asked.
    let asked = pb::LogsRequest { job: job.to_string(), tail_lines: 2, ..Default::default() };
    let mut replies = cluster.client(0).logs(asked.clone()).await.expect("the task is there").into_inner();
    let refused = loop {
        match replies.message().await {
            Ok(Some(reply)) => assert!(reply.frames.is_empty() && !reply.complete),
            Ok(None) => panic!("there is no log"),
            Err(status) => break pb::ErrorInfo::from_status(&status),
        }
    };
    assert_eq!(refused.kind(), pb::ErrorKind::Unreachable);
    assert!(refused.why.contains("hollow") && refused.why.contains("store"), "{}", refused.why);
    let mut file = cloudai_logs::MAGIC.to_vec();
    for line in ["one\n", "two\n", "three\n"] {
        let source = cloudai_logs::Source::Stdout;
        cloudai_logs::Frame { time_ns: 1_000_000, source, data: line.into() }.push_to(&mut file);
    }
    let path = cluster.dir.path().join("log");
    std::fs::write(&path, file).expect("a file");
    Store::open(&cluster.results()).expect("a directory").put_log(attempt, &path).await.expect("stored");
    let mut replies = cluster.client(1).logs(asked).await.expect("the task is there").into_inner();
    let (mut text, mut is_complete) = (vec![], false);
    while let Some(reply) = replies.message().await.expect("no error") {
        reply.frames.iter().for_each(|f| text.extend_from_slice(&f.data));
        is_complete = reply.complete;
        assert!(reply.stored || reply.frames.is_empty());
    }
    assert_eq!((text.as_slice(), is_complete), (&b"two\nthree\n"[..], true));
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
