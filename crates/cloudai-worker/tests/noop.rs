//! A worker with the noop executor against masters in this process: joining, sessions, failover, reports.

mod support;

use std::sync::atomic::Ordering::SeqCst;

use cloudai_proto::v1::AttemptPhase;
use cloudai_proto::v1::usage_series::Quantity;
use cloudai_types::{EndReason, JobSpec, ReasonKind, Resources, limits};
use cloudai_worker::{ExecutorKind, StopConfig, StopMode, WorkerConfig, WorkerError};
use support::*;

fn noop(cluster: &Cluster, masters: &[&Master]) -> WorkerConfig {
    Worker::config(cluster, masters, ExecutorKind::Noop)
}

#[tokio::test]
async fn it_joins_finds_the_leader_and_runs_an_array_once() {
    let cluster = Cluster::new();
    let (follower, leader) = (Master::start(&cluster, "m1").await, Master::start(&cluster, "m2").await);
    follower.follow(Some(&leader));
    // It knows the follower only; the leader's address is a hint.
    let mut worker = Worker::start(noop(&cluster, &[&follower]));
    leader.until_connected().await;
    let attempts = leader.assign(1, JobSpec { count: 5_000, ..command("true") });
    cluster.until("all have ended", |t| t.ended.len() == attempts.len()).await;
    {
        let table = cluster.table.lock().unwrap();
        assert!(table.ended.values().all(|(reason, ..)| *reason == EndReason::exit(0)));
        assert_eq!(table.stale, 0, "nothing was reported twice");
        assert!(table.report_messages < 500, "reports travel together: {} messages", table.report_messages);
        assert_eq!(table.hellos.len(), 1);
        let hello = &table.hellos[0];
        assert_eq!(hello.capacity.unwrap().cpu_milli, 4_000);
    }
    worker.stop().await.unwrap();

    // The certificate is there now: the token, used up, does not matter any more.
    let mut again = Worker::start(WorkerConfig { join_token: None, ..worker.config.clone() });
    cluster.until("it is back", |t| t.hellos.len() == 2).await;
    assert_eq!(cluster.table.lock().unwrap().hellos[1].held.len(), 0, "all was acknowledged");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn exit_codes_sleeps_and_cancels() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    leader.until_connected().await;
    let failing = leader.assign(1, command("exit 3"))[0];
    let short = leader.assign(2, command("sleep 0.05"))[0];
    let long = leader.assign(3, command("sleep 1000"))[0];
    let limited = leader.assign(4, JobSpec { timeout_ms: 100, ..command("sleep 1000") })[0];
    let huge = leader.assign(5, {
        let mut spec = command("true");
        spec.resources.cpu_milli = 99_000;
        spec
    })[0];
    assert_eq!(cluster.ending(failing).await, EndReason::exit(3));
    assert_eq!(cluster.ending(short).await, EndReason::exit(0));
    {
        let table = cluster.table.lock().unwrap();
        let (_, started, ended) = table.ended[&short];
        assert!(started > 0 && ended >= started + 50, "it took its time: {started} to {ended}");
    }
    let timeout = cluster.ending(limited).await;
    assert_eq!((timeout.kind(), timeout.exit_code), (ReasonKind::Timeout, Some(143)));
    assert_eq!(cluster.ending(huge).await.kind(), ReasonKind::EngineError);
    cluster.until_phase(long, AttemptPhase::Running).await;
    leader.cancel(long);
    assert_eq!(cluster.ending(long).await.kind(), ReasonKind::Cancelled);
    let log = leader.log(1, short, true, 0).await;
    assert!(String::from_utf8_lossy(&log.markers).contains("noop"));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn more_than_fits_waits_for_its_turn() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    leader.until_connected().await;
    let mut spec = JobSpec { count: 12, ..command("sleep 0.03") };
    spec.resources.cpu_milli = 2_000;
    leader.assign(1, spec);
    cluster.until("all have ended", |t| t.ended.len() == 12).await;
    let mut spans: Vec<(u64, u64)> = cluster.table.lock().unwrap().ended.values().map(|(_, s, e)| (*s, *e)).collect();
    spans.sort_unstable();
    for (start, _) in &spans {
        let running = spans.iter().filter(|(s, e)| s <= start && start < e).count();
        assert!(running <= 2, "four CPUs hold two of these at a time: {spans:?}");
    }
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_leader_costs_nothing_but_a_moment() {
    let cluster = Cluster::new();
    let (first, second) = (Master::start(&cluster, "m1").await, Master::start(&cluster, "m2").await);
    second.follow(Some(&first));
    let mut worker = Worker::start(noop(&cluster, &[&first, &second]));
    first.until_connected().await;
    let running = first.assign(1, command("sleep 0.5"))[0];
    cluster.until_phase(running, AttemptPhase::Running).await;
    // Its ending is applied, but the acknowledgement never leaves.
    first.acks_reports.store(false, SeqCst);
    let unacknowledged = first.assign(2, command("exit 4"))[0];
    cluster.ending(unacknowledged).await;
    let stale_before = cluster.table.lock().unwrap().stale;
    first.kill();
    second.leads.store(true, SeqCst);
    second.until_connected().await;
    assert_eq!(cluster.ending(running).await, EndReason::exit(0), "it ran on, once");
    cluster.until("the ending is said again", |t| t.stale > stale_before).await;
    let after = second.assign(3, command("true"))[0];
    assert_eq!(cluster.ending(after).await, EndReason::exit(0));
    {
        let table = cluster.table.lock().unwrap();
        assert_eq!(table.ended.len(), 3);
        assert_eq!(table.ended[&unacknowledged].0, EndReason::exit(4));
        let held: Vec<_> = table.hellos[1].held.iter().map(|h| h.phase).collect();
        assert!(held.contains(&(AttemptPhase::Running as i32)) && held.contains(&(AttemptPhase::Exited as i32)));
    }
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_left() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    leader.until_connected().await;
    leader.acks_heartbeats.store(false, SeqCst);
    cluster.until("it has tried again", |t| t.hellos.len() >= 2).await;
    leader.acks_heartbeats.store(true, SeqCst);
    let attempt = leader.assign(1, command("true"))[0];
    assert_eq!(cluster.ending(attempt).await, EndReason::exit(0));
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_reserved_is_told_and_not_offered() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let amounts = |cpu_milli, gib: u64| Resources { cpu_milli, memory_bytes: gib << 30, storage_bytes: 0, gpus: 0 };
    let capacity = "cpu=4,memory=8GiB,storage=0,gpu=0".to_owned();
    let config = WorkerConfig { capacity, reserve: "cpu=0.5,memory=2GiB".into(), ..noop(&cluster, &[&leader]) };
    let mut worker = Worker::start(config);
    leader.until_connected().await;
    {
        let table = cluster.table.lock().unwrap();
        let hello = table.hellos.last().expect("it said hello");
        assert_eq!((hello.capacity, hello.reserved), (Some(amounts(3_500, 6)), Some(amounts(500, 2))));
    }
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn a_heartbeat_period_in_an_acknowledgement_replaces_the_first_one() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    leader.tells_period_ms.store(limits::HEARTBEAT_PERIOD_MIN.0 as u32, SeqCst);
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    // With the period of the welcome they would take twice the time that a test waits.
    let more_than_it_could = 2 * PATIENCE.as_millis() / FIRST_PERIOD.as_millis();
    cluster.until("it beats as it was told last", |t| t.heartbeats as u128 >= more_than_it_could).await;
    worker.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_begin_says_why() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let config = noop(&cluster, &[&leader]);
    let refused = |config: WorkerConfig| async move { Worker::start(config).result().await.unwrap_err().to_string() };

    let text = refused(WorkerConfig { join_token: None, ..config.clone() }).await;
    assert!(text.contains("worker authorize"), "{text}");
    let text = refused(WorkerConfig { name: "w2".into(), ..config.clone() }).await;
    assert!(text.contains("'w1'") && text.contains("'w2'"), "{text}");
    let old = config.join_token.clone();
    cluster.token("w1");
    let text = refused(WorkerConfig { join_token: old, ..config.clone() }).await;
    assert!(text.contains("refuse the join"), "{text}");
    let elsewhere = Some(Cluster::new().token("w1"));
    let text = refused(WorkerConfig { join_token: elsewhere, ..config.clone() }).await;
    assert!(text.contains("does not belong to the cluster"), "{text}");
    let text = refused(WorkerConfig { masters: vec![], ..config.clone() }).await;
    assert!(text.contains("masters"), "{text}");
    let (capacity, reserve) = ("cpu=4,memory=8GiB".to_owned(), "cpu=1,memory=9GiB".to_owned());
    let text = refused(WorkerConfig { capacity, reserve, ..config.clone() }).await;
    assert!(text.starts_with("reserve: it keeps more memory than this worker has"), "{text}");

    let token = Some(cluster.token("w1"));
    let mut worker = Worker::start(WorkerConfig { join_token: token, ..config.clone() });
    leader.until_connected().await;
    let second = Worker::start(worker.config.clone()).result().await.unwrap_err();
    assert!(matches!(second, WorkerError::DataDirInUse(_)), "{second}");
    worker.stop().await.unwrap();
    let other = Worker::start(WorkerConfig { name: "w9".into(), ..worker.config.clone() }).result().await.unwrap_err();
    assert!(matches!(other, WorkerError::OtherName { .. }), "{other}");
    let socket = Worker::start(WorkerConfig {
        executor: ExecutorKind::Docker,
        docker_socket: cluster.dir.path().join("no.sock"),
        ..worker.config.clone()
    });
    let engine = { socket }.result().await.unwrap_err();
    assert!(matches!(engine, WorkerError::Engine { .. }), "{engine}");
}

#[tokio::test]
async fn one_that_leaves_says_so_lets_finish_what_runs_and_ends_with_nothing_left() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    leader.until_connected().await;
    let runs = leader.assign(1, command("sleep 2"))[0];
    let waits = leader.assign(2, {
        let mut spec = command("true");
        spec.resources.cpu_milli = 4_000;
        spec
    })[0];
    cluster.until_phase(runs, AttemptPhase::Running).await;
    worker.leave();
    cluster.until("the leader hears of it", |t| t.leavings == 1).await;
    // A leader that has not heard of it yet gets it back at once.
    let late = leader.assign(3, command("true"))[0];
    assert_eq!(cluster.ending(late).await.kind(), ReasonKind::Preempted);
    // Another leader hears it in the hello.
    leader.drop_session();
    cluster.until("it is back", |t| t.hellos.len() == 2).await;
    assert!(cluster.table.lock().unwrap().hellos[1].leaving);
    worker.result().await.unwrap();
    assert_eq!(cluster.ending(runs).await, EndReason::exit(0), "it may finish");
    let waited = cluster.ending(waits).await;
    assert!(waited == EndReason::exit(0) || waited.kind() == ReasonKind::Preempted, "{waited}");
    assert!(cluster.table.lock().unwrap().live.is_empty(), "every ending was acknowledged before it ended");
}

#[tokio::test]
async fn one_that_leaves_stops_what_outstays_its_deadline_and_a_second_word_ends_it_at_once() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let stop = StopConfig { mode: StopMode::Drain, deadline_secs: 1 };
    let mut worker = Worker::start(WorkerConfig { stop, ..noop(&cluster, &[&leader]) });
    leader.until_connected().await;
    let long = leader.assign(1, command("sleep 1000"))[0];
    cluster.until_phase(long, AttemptPhase::Running).await;
    worker.leave();
    worker.result().await.unwrap();
    let reason = cluster.ending(long).await;
    assert_eq!((reason.kind(), reason.exit_code), (ReasonKind::Preempted, Some(143)), "{reason}");

    let stop = StopConfig { mode: StopMode::Drain, deadline_secs: 0 };
    let mut patient = Worker::start(WorkerConfig { stop, join_token: None, ..worker.config.clone() });
    leader.until_connected().await;
    let endless = leader.assign(2, command("sleep 1000"))[0];
    cluster.until_phase(endless, AttemptPhase::Running).await;
    patient.leave();
    cluster.until("the leader hears of it", |t| t.leavings == 2).await;
    patient.stop().await.unwrap();
    assert!(!cluster.table.lock().unwrap().ended.contains_key(&endless));
}

#[tokio::test]
async fn what_the_machine_used_can_be_asked_for() {
    let cluster = Cluster::new();
    let leader = Master::start(&cluster, "m1").await;
    let mut worker = Worker::start(noop(&cluster, &[&leader]));
    leader.until_connected().await;
    assert!(cluster.table.lock().unwrap().hellos[0].keeps_history);
    // Until the first samples are there it has nothing, and says so.
    let mut stream = 0;
    let history = loop {
        stream += 1;
        leader.open_history(stream, None);
        cluster.until("it has answered", |t| t.histories.contains_key(&stream)).await;
        let answer = cluster.table.lock().unwrap().histories[&stream].clone();
        match answer.history {
            Some(history) => break history,
            None => assert!(!answer.error.is_empty(), "an answer without a word"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    let cpu = history.series.iter().find(|s| s.quantity() == Quantity::CpuMillicores).unwrap();
    assert!(cpu.total.unwrap() >= 1_000 && cpu.points.len() <= 10, "{cpu:?}");
    // Nothing ran in a container, so nothing is known of any attempt.
    let attempt = leader.assign(1, command("true"))[0];
    cluster.ending(attempt).await;
    leader.open_history(9_000, Some(attempt));
    cluster.until("it has answered", |t| t.histories.contains_key(&9_000)).await;
    let answer = cluster.table.lock().unwrap().histories[&9_000].clone();
    assert!(answer.not_found && answer.history.is_none(), "{answer:?}");
    worker.stop().await.unwrap();
}
