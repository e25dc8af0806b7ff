//! What watchers get, and what is held for them.

use std::time::Duration;

use super::*;

/// A second of the cluster: each worker says something.
fn second(telemetry: &Telemetry, workers: usize, at_ms: u64) {
    for n in 0..workers {
        telemetry.tell(&format!("w{n:04}"), pb::UsageSample { at_ms, ..Default::default() });
    }
    telemetry.publish();
}

fn telemetry() -> Arc<Telemetry> {
    let telemetry = Telemetry::default();
    let source = telemetry.begin();
    telemetry.is_ready(source, true);
    telemetry.publish();
    Arc::new(telemetry)
}

/// Who is in it, and of when.
fn shown(taken: &Taken) -> Vec<(&str, u64)> {
    taken.frame.said().map(|said| (said.worker.as_str(), said.sample.at_ms)).collect()
}

#[tokio::test]
async fn a_watcher_gets_what_is_known_and_then_what_is_new_in_one_frame_for_all() {
    let telemetry = telemetry();
    second(&telemetry, 2, 1);
    let (mut ann, mut bob) = (telemetry.watch(None), telemetry.watch(Some("w0001".to_owned())));
    assert_eq!(shown(&ann.next().await), [("w0000", 1), ("w0001", 1)]);
    assert_eq!(shown(&bob.next().await), [("w0001", 1)]);
    second(&telemetry, 2, 2);
    let mut cid = telemetry.watch(None);
    let (of_ann, of_bob, of_cid) = (ann.next().await, bob.next().await, cid.next().await);
    assert_eq!(shown(&of_ann), [("w0000", 2), ("w0001", 2)]);
    assert_eq!(shown(&of_bob), [("w0001", 2)]);
    assert_eq!(shown(&of_cid), shown(&of_ann), "a first look");
    assert!(ann.take().is_none() && bob.take().is_none() && cid.take().is_none(), "and nothing else");
    second(&telemetry, 1, 3);
    let (of_ann, of_cid) = (ann.next().await, cid.next().await);
    assert!(Arc::ptr_eq(&of_ann.frame, &of_cid.frame), "made once");
    assert_eq!((shown(&of_ann), of_ann.dropped, of_ann.resumed), (vec![("w0000", 3)], 0, false));
    assert!(bob.take().is_none(), "nothing of its worker");
}

#[tokio::test]
async fn who_is_slow_gets_the_newest_of_each_and_is_told_what_it_has_missed() {
    let telemetry = telemetry();
    second(&telemetry, 3, 1);
    let (mut ann, mut bob) = (telemetry.watch(None), telemetry.watch(Some("w0000".to_owned())));
    ann.next().await;
    bob.next().await;
    for at_ms in 2..=5 {
        second(&telemetry, 2, at_ms);
    }
    second(&telemetry, 1, 6);
    let taken = ann.next().await;
    assert_eq!(shown(&taken), [("w0000", 6), ("w0001", 5)]);
    assert_eq!(taken.dropped, 4 + 3, "of 9 samples it has got 2");
    let taken = bob.next().await;
    assert_eq!((shown(&taken), taken.dropped), (vec![("w0000", 6)], 4));
    second(&telemetry, 3, 7);
    assert_eq!((shown(&ann.next().await).len(), ann.dropped), (3, 7), "in step again");
}

#[tokio::test]
async fn what_the_leader_dropped_is_missed_here_too_and_another_leader_is_told() {
    let telemetry = telemetry();
    let mut ann = telemetry.watch(None);
    ann.next().await;
    let of = |worker: &str| pb::WorkerTelemetry {
        worker: worker.to_owned(),
        sample: Some(pb::UsageSample { at_ms: 9, ..Default::default() }),
        age_ms: 5,
    };
    telemetry.take(vec![of("a"), of("b")], 3);
    telemetry.publish();
    let taken = ann.next().await;
    assert_eq!((shown(&taken), taken.dropped), (vec![("a", 9), ("b", 9)], 3));
    telemetry.begin();
    telemetry.publish();
    let taken = ann.next().await;
    assert_eq!((shown(&taken), taken.dropped, taken.resumed), (vec![], 3, true));
    telemetry.take(vec![of("a")], 0);
    telemetry.publish();
    assert!(!ann.next().await.resumed, "once");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_before_there_is_a_source() {
    let telemetry = Arc::new(Telemetry::default());
    let source = telemetry.begin();
    let watcher = telemetry.watch(None);
    let wait = Duration::from_secs(1);
    assert!(tokio::time::timeout(wait, watcher.ready()).await.is_err());
    telemetry.is_ready(source - 1, true);
    assert!(tokio::time::timeout(wait, watcher.ready()).await.is_err(), "one that is over says nothing");
    telemetry.is_ready(source, true);
    assert!(tokio::time::timeout(wait, watcher.ready()).await.is_ok());
}

#[tokio::test]
async fn watchers_are_counted_while_they_are_there() {
    let telemetry = telemetry();
    let (ann, bob) = (telemetry.watch(None), telemetry.watch(None));
    drop(ann);
    assert_eq!(*telemetry.watchers.borrow(), 1);
    drop(bob);
    assert_eq!(*telemetry.watchers.borrow(), 0);
}

/// The small form of `cloudai-bench telemetry`: what is held does not depend on how long somebody takes nothing.
#[tokio::test]
async fn stalled_watchers_hold_one_frame_each_and_healthy_ones_get_every_second() {
    const WORKERS: usize = 300;
    const SECONDS: u64 = 40;
    let telemetry = telemetry();
    second(&telemetry, WORKERS, 1);
    let mut healthy: Vec<Watcher> = (0..15).map(|_| telemetry.watch(None)).collect();
    let mut stalled: Vec<Watcher> = (0..5).map(|_| telemetry.watch(None)).collect();
    for watcher in &mut healthy {
        watcher.next().await;
    }
    let mut in_hand = vec![];
    for watcher in &mut stalled {
        in_hand.push(watcher.next().await);
    }
    second(&telemetry, WORKERS, 2);
    let a_second = telemetry.board().since(0).len() * size_of::<Said>();
    let mut most = 0;
    for at_ms in 3..3 + SECONDS {
        for watcher in &mut healthy {
            let taken = watcher.next().await;
            let newest = taken.frame.said().filter(|said| said.sample.at_ms == at_ms - 1).count();
            assert_eq!((newest, taken.dropped), (WORKERS, 0));
        }
        second(&telemetry, WORKERS, at_ms);
        most = most.max(telemetry.held_bytes());
    }
    // What stalled watchers hold is of one moment, and so it is shared: that moment, the one that healthy watchers took, and the newest.
    assert!(most < 4 * a_second, "{most} bytes; one second is {a_second}");
    for watcher in &mut stalled {
        let taken = watcher.next().await;
        assert_eq!((shown(&taken).len(), taken.dropped), (WORKERS, SECONDS * WORKERS as u64));
    }
}
