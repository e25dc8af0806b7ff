//! What processes write to their logs, asked of three real masters. (A test's own process has no log that a master could change.)

use super::*;

/// A worker that does what it is told.
pub fn answer(question: pb::leader_message::SetLogLevel) -> pb::worker_message::LogLevel {
    let change = question.change.unwrap_or_default();
    let now = pb::LogFilter {
        node: "what a worker says of its name is not believed".into(),
        filter: change.filter,
        usual: "info".into(),
        left_ms: change.for_ms,
        changed_by: question.by,
    };
    pb::worker_message::LogLevel { id: question.id, now: Some(now), refused: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workers_filter_is_asked_for_at_any_master_and_a_masters_at_itself() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let worker = hollow_worker(&cluster, "hollow", success()).await;
    let change = |filter: &str| Some(pb::LogFilterChange { filter: filter.into(), for_ms: 60_000 });
    let ask = |worker: &str, change| pb::WorkerLogFilterRequest { worker: worker.into(), change };
    for n in 0..3 {
        let mut client = cluster.client(n);
        let told = eventually(async || client.worker_log_filter(ask("hollow", change("debug"))).await.ok()).await;
        let told = told.into_inner();
        assert_eq!((told.node.as_str(), told.filter.as_str(), told.left_ms), ("hollow", "debug", 60_000));
        assert!(told.changed_by.starts_with("admin/"), "who asked, and not who passed it on: {}", told.changed_by);

        let slip = client.worker_log_filter(ask("hollow", change("debgu"))).await.expect_err("no level");
        assert!(slip.message().contains("'debgu' is no level"), "{}", slip.message());
        let slip = pb::MasterLogFilterRequest { change: change("debgu") };
        let slip = client.master_log_filter(slip).await.expect_err("no level");
        assert!(slip.message().contains("'debgu' is no level"), "{}", slip.message());

        let nobody = client.worker_log_filter(ask("nobody", None)).await.expect_err("no such worker");
        assert_eq!(nobody.code(), tonic::Code::NotFound, "{}", nobody.message());
        let other = client.master_log_filter(pb::MasterLogFilterRequest::default()).await.expect_err("not its own log");
        assert!(other.message().contains("the log of this master cannot be changed"), "{}", other.message());
    }
    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
