//! Stories of a worker that is drained, and of one that is about to end: input → everything that was done, and nothing else.

mod support;

use cloudai_agent::{Input, Phase, WithdrawWhy, Withdrawal};
use cloudai_types::{EndReason, JobSpec, Millis, Timestamp};
use support::*;

const NOTHING: [&str; 0] = [];

fn preempt(index: u32) -> Withdrawal {
    Withdrawal { attempt: id(index, 1), why: WithdrawWhy::Preempted }
}

#[test]
fn a_drain_that_has_no_more_patience_stops_what_runs_and_gives_back_the_rest() {
    let mut s = Script::connected(1000);
    let add = [assigned(0, 11, spec(600)), assigned(1, 11, spec(600)), assigned(2, 11, storing(100))];
    s.go(1, delta(11, add, []));
    s.go(2, started(0, 2));
    s.flush();
    let stop = [preempt(0), preempt(1), preempt(7)];
    assert_eq!(s.go(3, delta(12, [], stop)), ["fence 1.12", "stop 0.1 Term", "ack 1.12", "start 2.1 @11"]);
    assert_eq!(
        s.flush(),
        ["report 2: 0.1 Stopping, 1.1 Exited(preempted: its worker is drained), 2.1 Preparing, \
          7.1 Exited(preempted: its worker is drained)"]
    );
    assert_eq!(s.go(4, ended(0, EndReason::exit(143), 4)), ["persist 0.1 preempted 143: its worker is drained"]);
    // What stores its results has succeeded, and holds nothing: it may go on.
    assert_eq!(s.go(5, ended(2, EndReason::exit(0), 5)), ["store 2.1"]);
    assert_eq!(s.go(6, delta(13, [], [preempt(2)])), ["fence 1.13", "ack 1.13"]);
    assert_eq!(s.agent.phase(id(2, 1)), Some(Phase::Storing));
}

#[test]
fn a_worker_that_leaves_starts_nothing_and_lets_finish_what_runs() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(600)), assigned(1, 11, spec(600))], []));
    s.go(2, started(0, 2));
    s.flush();
    s.go(2, Input::ReportsAcked { sequence: 1 });
    assert_eq!(s.go(3, Input::Leave { after: None }), NOTHING);
    assert_eq!(s.flush(), ["report 2: 1.1 Exited(preempted: its worker is drained)"]);
    assert!(s.agent.is_leaving() && !s.agent.is_empty());
    // The leader had not heard of it yet.
    assert_eq!(s.go(4, delta(12, [assigned(2, 12, spec(100))], [])), ["fence 1.12", "ack 1.12"]);
    assert_eq!(s.flush(), ["report 3: 2.1 Exited(preempted: its worker is drained)"]);
    assert_eq!(s.agent.next_deadline(), None, "there is no hurry");
    s.go(900_000, ended(0, EndReason::exit(0), 900_000));
    s.go(900_000, Input::Persisted(vec![id(0, 1)]));
    for sequence in 2..=3 {
        s.go(900_001, Input::ReportsAcked { sequence });
    }
    assert_eq!(s.flush(), ["report 4: 0.1 Exited(exit_code 0)"]);
    assert!(!s.agent.is_empty(), "its ending is not acknowledged");
    assert_eq!(s.go(900_002, Input::ReportsAcked { sequence: 4 }), ["remove 0.1", "forget 0.1"]);
    assert!(s.agent.is_empty());
}

#[test]
fn what_outstays_the_deadline_of_a_worker_that_leaves_is_stopped_with_its_grace() {
    let mut s = Script::connected(1000);
    let slow = JobSpec { grace_ms: 3_000, ..spec(100) };
    s.go(1, delta(11, [assigned(0, 11, slow), assigned(1, 11, spec(100))], []));
    s.go(2, started(0, 2));
    s.go(2, started(1, 2));
    assert_eq!(s.go(10, Input::Leave { after: Some(Millis(5_000)) }), NOTHING);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(5_010)));
    s.go(4_000, ended(1, EndReason::exit(0), 4_000));
    assert_eq!(s.go(5_009, Input::Tick), NOTHING);
    // Without masters too: this is the worker's own.
    s.go(5_009, Input::SessionDown);
    assert_eq!(s.go(5_010, Input::Tick), ["stop 0.1 Term"]);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(8_010)));
    assert_eq!(s.go(8_010, Input::Tick), ["stop 0.1 Kill"]);
    assert_eq!(
        s.go(8_011, ended(0, EndReason::exit(137), 8_011)),
        ["persist 0.1 preempted 137: its worker is drained"]
    );
}

#[test]
fn leaving_again_makes_it_no_later() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(100))], []));
    s.go(2, started(0, 2));
    s.go(10, Input::Leave { after: None });
    s.go(10, Input::Leave { after: Some(Millis(500)) });
    s.go(10, Input::Leave { after: Some(Millis(9_000)) });
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(510)));
    assert_eq!(s.go(600, Input::Leave { after: Some(Millis(0)) }), ["stop 0.1 Term"]);
}
