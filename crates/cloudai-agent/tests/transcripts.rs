//! Stories of one worker: input → everything that was done, and nothing else.

mod support;

use cloudai_agent::{Assignment, Found, FoundState, Input, Needs, Phase, WithdrawWhy, Withdrawal};
use cloudai_types::limits::{LOG_STORE_WAIT, RESULT_STORE_MAX};
use cloudai_types::{EndReason, JobSpec, Millis, ReasonKind, Resources, Results, Timestamp};
use support::*;

const NOTHING: [&str; 0] = [];

fn cancel(index: u32) -> Withdrawal {
    Withdrawal { attempt: id(index, 1), why: WithdrawWhy::Cancelled }
}

#[test]
fn one_task_from_assignment_to_removal() {
    let mut s = Script::new(1000, false);
    assert_eq!(s.go(0, up()), NOTHING);
    assert_eq!(s.go(0, full(10, [], [])), ["fence 1.10", "ack 1.10"]);
    assert_eq!(s.go(1, delta(11, [assigned(0, 11, spec(500))], [])), ["fence 1.11", "ack 1.11", "start 0.1 @11"]);
    assert_eq!(s.flush(), ["report 1: 0.1 Preparing"]);
    assert_eq!(s.go(2, started(0, 2)), NOTHING);
    assert_eq!(s.flush(), ["report 2: 0.1 Running"]);
    assert_eq!(s.go(3, Input::ReportsAcked { sequence: 1 }), NOTHING);
    assert_eq!(s.go(4, ended(0, EndReason::exit(0), 4)), ["persist 0.1 exit_code 0"]);
    assert_eq!(s.flush(), NOTHING, "an ending is durable before it is reported");
    assert_eq!(s.go(5, Input::Persisted(vec![id(0, 1)])), NOTHING);
    assert_eq!(s.flush(), ["report 3: 0.1 Exited(exit_code 0)"]);
    assert_eq!(s.go(6, Input::ReportsAcked { sequence: 2 }), NOTHING);
    assert_eq!(s.go(7, Input::ReportsAcked { sequence: 3 }), ["remove 0.1", "forget 0.1"]);
    assert_eq!(s.agent.held().count(), 0);
    assert_eq!(s.agent.in_use(), Resources::default());
    assert_eq!(s.agent.next_deadline(), None);
}

#[test]
fn repeated_and_older_messages_are_visible_no_ops() {
    let mut s = Script::connected(1000);
    s.go(1, delta(12, [assigned(0, 12, spec(500))], []));
    assert_eq!(s.go(1, delta(12, [assigned(0, 12, spec(500))], [])), ["ack 1.12"]);
    assert_eq!(s.go(1, delta(11, [assigned(1, 11, spec(500))], [])), NOTHING, "an older delta");
    assert_eq!(s.go(1, full(9, [], [])), ["leave: set 1.9 < 1.12"], "a deposed leader's set stops nothing");
    s.go(2, started(0, 2));
    assert_eq!(s.go(2, started(0, 2)), NOTHING);
    s.go(3, ended(0, EndReason::exit(0), 3));
    assert_eq!(s.go(3, ended(0, EndReason::exit(9), 3)), NOTHING, "the first ending stands");
    s.go(3, Input::Persisted(vec![id(0, 1)]));
    assert_eq!(s.flush(), ["report 1: 0.1 Exited(exit_code 0)"]);
    assert_eq!(s.go(4, Input::ReportsAcked { sequence: 1 }), ["remove 0.1", "forget 0.1"]);
    assert_eq!(s.go(4, Input::ReportsAcked { sequence: 1 }), NOTHING);
    assert_eq!(s.go(5, delta(12, [assigned(0, 12, spec(500))], [])), ["ack 1.12"], "it is over: no second start");
    assert_eq!(s.go(6, ended(7, EndReason::exit(0), 6)), NOTHING, "an attempt that nobody knows");
}

#[test]
fn what_does_not_fit_waits_in_order() {
    let mut s = Script::connected(1000);
    let add = [assigned(0, 11, spec(600)), assigned(1, 11, spec(600)), assigned(2, 11, spec(100))];
    assert_eq!(s.go(1, delta(11, add, [])), ["fence 1.11", "ack 1.11", "start 0.1 @11"]);
    assert_eq!(s.agent.phase(id(2, 1)), Some(Phase::Assigned));
    assert_eq!(s.go(2, ended(0, EndReason::exit(0), 2)), ["persist 0.1 exit_code 0", "start 1.1 @11", "start 2.1 @11"]);
}

#[test]
fn what_can_never_fit_is_given_back() {
    let mut s = Script::connected(1000);
    assert_eq!(s.go(1, delta(11, [assigned(0, 11, spec(2000))], [])), ["fence 1.11", "ack 1.11"]);
    let reports = s.flush();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].starts_with("report 1: 0.1 Exited(engine_error: asks for cpu 2"), "{reports:?}");
}

#[test]
fn cancelled_before_it_started_during_and_never_heard_of() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(1000)), assigned(1, 11, spec(1000))], []));
    s.go(2, started(0, 2));
    let calls = s.go(3, delta(12, [], [cancel(0), cancel(1), cancel(2)]));
    assert_eq!(calls, ["fence 1.12", "stop 0.1 Term", "ack 1.12"]);
    assert_eq!(
        s.flush(),
        ["report 1: 0.1 Stopping, 1.1 Exited(cancelled: it had not been started), \
          2.1 Exited(cancelled: it had not been started)"]
    );
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(10_003)));
    assert_eq!(s.go(10_002, Input::Tick), NOTHING);
    assert_eq!(s.go(10_003, Input::Tick), ["stop 0.1 Kill"]);
    assert_eq!(s.go(20_003, Input::Tick), ["stop 0.1 Kill"], "an engine that did not answer is asked again");
    assert_eq!(s.go(20_004, ended(0, EndReason::exit(137), 20_004)), ["persist 0.1 cancelled 137"]);
    assert_eq!(s.go(20_005, Input::ReportsAcked { sequence: 1 }), NOTHING, "nothing to remove for 1 and 2");
    assert_eq!(s.agent.held().collect::<Vec<_>>(), [(id(0, 1), Phase::Exited)]);
}

#[test]
fn a_cancel_that_overtakes_the_start_is_said_again() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(1000))], []));
    assert_eq!(s.go(2, delta(12, [], [cancel(0)])), ["fence 1.12", "stop 0.1 Term", "ack 1.12"]);
    assert_eq!(s.go(3, started(0, 3)), ["stop 0.1 Term"]);
    assert_eq!(s.go(3, Input::Tick), NOTHING);
}

#[test]
fn a_success_that_came_before_the_cancel_stays_a_success() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(1000))], []));
    s.go(2, started(0, 2));
    s.go(9, delta(12, [], [cancel(0)]));
    assert_eq!(s.go(10, ended(0, EndReason::exit(0), 8)), ["persist 0.1 exit_code 0"]);
}

#[test]
fn a_timeout_terminates_then_kills() {
    let mut s = Script::connected(1000);
    s.go(0, delta(11, [assigned(0, 11, timed(100, Millis(2_000)))], []));
    assert_eq!(s.agent.next_deadline(), None, "the time of the pull is not the program's");
    s.go(500, started(0, 500));
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(2_500)));
    assert_eq!(s.go(2_500, Input::Tick), ["stop 0.1 Term"]);
    assert_eq!(s.go(12_500, Input::Tick), ["stop 0.1 Kill"]);
    assert_eq!(s.go(12_600, ended(0, EndReason::exit(137), 12_600)), ["persist 0.1 timeout 137"]);
}

#[test]
fn a_container_outside_the_set_is_stopped_and_its_ending_reported() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(100)), assigned(1, 11, spec(100))], []));
    s.go(2, started(0, 2));
    s.go(2, started(1, 2));
    assert_eq!(s.go(3, Input::SessionDown), NOTHING, "masters being away stops nothing");
    assert_eq!(s.go(4, up()), NOTHING);
    assert_eq!(s.flush(), ["report 1: 0.1 Running, 1.1 Running"]);
    assert_eq!(s.go(5, full(20, [assigned(1, 11, spec(100))], [])), ["fence 1.20", "stop 0.1 Term", "ack 1.20"]);
    assert_eq!(
        s.go(6, ended(0, EndReason::exit(143), 6)),
        ["persist 0.1 cancelled 143: no longer assigned to this worker"]
    );
    s.go(6, Input::Persisted(vec![id(0, 1)]));
    assert_eq!(s.flush(), ["report 2: 0.1 Exited(cancelled 143: no longer assigned to this worker)"]);
    assert_eq!(s.go(7, Input::ReportsAcked { sequence: 2 }), ["remove 0.1", "forget 0.1"]);
}

#[test]
fn an_ending_is_sent_again_in_each_session_until_acknowledged() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(100))], []));
    s.go(2, ended(0, EndReason::exit(3), 2));
    s.go(2, Input::Persisted(vec![id(0, 1)]));
    assert_eq!(s.flush(), ["report 1: 0.1 Exited(exit_code 3)"]);
    s.go(3, Input::SessionDown);
    assert_eq!(s.flush(), NOTHING);
    s.go(4, up());
    assert_eq!(s.go(5, full(20, [assigned(0, 11, spec(100))], [])), ["fence 1.20", "ack 1.20"], "no second start");
    assert_eq!(s.flush(), ["report 1: 0.1 Exited(exit_code 3)"]);
    assert_eq!(s.go(6, Input::ReportsAcked { sequence: 1 }), ["remove 0.1", "forget 0.1"]);
}

#[test]
fn a_restarted_agent_adopts_and_never_starts_twice() {
    let needs = Needs { resources: Resources { cpu_milli: 400, ..Default::default() }, ..Default::default() };
    let found = |index, state| Input::Found(Found { attempt: id(index, 1), assigned_index: 5, needs, state });
    let mut s = Script::new(1000, false);
    assert_eq!(s.go(0, Input::Restored { fence: fence(9), endings: vec![], renewed: None }), NOTHING);
    assert_eq!(s.go(0, found(0, FoundState::Running { started: Timestamp(1) })), NOTHING);
    assert_eq!(s.go(0, found(1, FoundState::Running { started: Timestamp(1) })), NOTHING);
    let exited = FoundState::Exited { reason: EndReason::exit(0), started: Timestamp(1), ended: Timestamp(2) };
    assert_eq!(s.go(0, found(2, exited)), ["persist 2.1 exit_code 0"]);
    assert_eq!(s.go(0, found(3, FoundState::Created)), NOTHING);
    assert_eq!(s.go(0, found(4, FoundState::Created)), NOTHING);
    assert_eq!(s.agent.in_use().cpu_milli, 800);
    s.go(1, Input::Persisted(vec![id(2, 1)]));
    s.go(1, up());
    assert_eq!(s.flush(), ["report 1: 0.1 Running, 1.1 Running, 2.1 Exited(exit_code 0)"]);
    let mut gone = assigned(5, 5, spec(100));
    gone.phase = Phase::Running;
    let calls =
        s.go(2, full(10, [assigned(0, 5, spec(400)), assigned(2, 5, spec(400)), assigned(3, 5, spec(100)), gone], []));
    assert_eq!(calls, ["fence 1.10", "stop 1.1 Term", "remove 4.1", "ack 1.10", "start 3.1 @5"]);
    let reports = s.flush();
    assert_eq!(
        reports,
        ["report 2: 1.1 Stopping, 3.1 Preparing, \
          5.1 Exited(engine_error: its container is gone: the worker found none after a restart)"]
    );
}

#[test]
fn a_journaled_ending_is_reported_and_its_container_removed_after_a_restart() {
    let ending = cloudai_agent::EndingRecord {
        attempt: id(0, 1),
        assigned_index: 5,
        reason: EndReason::new(ReasonKind::Timeout, "").with_exit_code(137),
        started: Timestamp(1),
        ended: Timestamp(2),
    };
    let mut s = Script::new(1000, false);
    s.go(0, Input::Restored { fence: fence(9), endings: vec![ending], renewed: None });
    let exited = FoundState::Exited { reason: EndReason::exit(137), started: Timestamp(1), ended: Timestamp(2) };
    let found = Found { attempt: id(0, 1), assigned_index: 5, needs: Needs::default(), state: exited };
    assert_eq!(s.go(0, Input::Found(found)), NOTHING, "the journal knows why it ended");
    s.go(1, up());
    assert_eq!(s.flush(), ["report 1: 0.1 Exited(timeout 137)"]);
    assert_eq!(s.go(2, full(10, [assigned(0, 5, spec(1))], [])), ["fence 1.10", "ack 1.10"]);
    assert_eq!(s.go(3, Input::ReportsAcked { sequence: 1 }), ["remove 0.1", "forget 0.1"]);
}

#[test]
fn stop_on_disconnect_is_stopped_in_time_and_continue_is_not() {
    let mut s = Script::connected(1000);
    s.go(0, delta(11, [assigned(0, 11, bound(100)), assigned(1, 11, spec(100))], []));
    s.go(100, started(0, 100));
    s.go(100, started(1, 100));
    assert_eq!(renew(&mut s, 1_000, 1), NOTHING);
    s.go(2_000, Input::HeartbeatSent { sequence: 2 });
    s.go(2_500, Input::SessionDown);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(7_000)));
    assert_eq!(s.go(6_999, Input::Tick), NOTHING);
    assert_eq!(s.go(7_000, Input::Tick), ["stop 0.1 Term"]);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(9_000)), "whatever the grace says");
    assert_eq!(s.go(9_000, Input::Tick), ["stop 0.1 Kill"]);
    let ending = s.go(9_100, ended(0, EndReason::exit(137), 9_100));
    assert_eq!(ending, ["persist 0.1 worker_lost 137: stopped: the worker had lost contact with the masters"]);
    assert_eq!(s.agent.phase(id(1, 1)), Some(Phase::Running));
}

#[test]
fn a_spec_says_how_long_it_may_take_to_stop() {
    let mut s = Script::connected(1000);
    let patient = |index, grace_ms| assigned(index, 11, JobSpec { grace_ms, ..spec(100) });
    s.go(0, delta(11, [patient(0, 500), patient(1, 60_000), patient(2, 0)], []));
    for index in 0..3 {
        s.go(1, started(index, 1));
    }
    let calls = s.go(1_000, delta(12, [], [cancel(0), cancel(1), cancel(2)]));
    assert_eq!(calls, ["fence 1.12", "stop 0.1 Term", "stop 1.1 Term", "stop 2.1 Term", "ack 1.12"]);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(1_500)));
    assert_eq!(s.go(1_500, Input::Tick), ["stop 0.1 Kill"]);
    assert_eq!(s.go(11_000, Input::Tick), ["stop 2.1 Kill"], "the usual grace");
    assert_eq!(s.go(11_500, Input::Tick), ["stop 0.1 Kill"], "asked again after the usual time, whatever its own was");
    assert_eq!(s.go(61_000, Input::Tick), ["stop 2.1 Kill", "stop 0.1 Kill", "stop 1.1 Kill"]);
}

/// Neither a grace that is longer than the lease nor a stop that began before keeps a `stop` attempt alive beyond 8 s.
#[test]
fn no_grace_is_longer_than_the_lease() {
    let mut s = Script::connected(1000);
    let patient = |index| assigned(index, 11, JobSpec { grace_ms: 3_600_000, ..bound(100) });
    s.go(0, delta(11, [patient(0), patient(1)], []));
    s.go(1, started(0, 1));
    s.go(1, started(1, 1));
    assert_eq!(s.go(5_000, delta(12, [], [cancel(1)])), ["fence 1.12", "stop 1.1 Term", "ack 1.12"]);
    assert_eq!(s.go(6_000, Input::Tick), ["stop 0.1 Term"]);
    assert_eq!(s.agent.next_deadline(), Some(Timestamp(8_000)));
    assert_eq!(s.go(7_999, Input::Tick), NOTHING);
    assert_eq!(s.go(8_000, Input::Tick), ["stop 0.1 Kill", "stop 1.1 Kill"]);
}

/// What was written on the container holds after a restart of the agent, before any session.
#[test]
fn an_adopted_container_keeps_its_grace() {
    let needs = Needs::of(&JobSpec { grace_ms: 2_000, timeout_ms: 5_000, ..spec(100) });
    let mut s = Script::new(1000, false);
    s.go(0, Input::Restored { fence: fence(9), endings: vec![], renewed: None });
    let state = FoundState::Running { started: Timestamp(WALL_OFFSET) };
    s.go(1_000, Input::Found(Found { attempt: id(0, 1), assigned_index: 5, needs, state }));
    assert_eq!(s.go(5_000, Input::Tick), ["stop 0.1 Term"]);
    assert_eq!(s.go(6_999, Input::Tick), NOTHING);
    assert_eq!(s.go(7_000, Input::Tick), ["stop 0.1 Kill"]);
}

#[test]
fn nothing_starts_without_a_young_lease() {
    let mut s = Script::connected(1000);
    s.go(0, delta(11, [assigned(0, 11, spec(1000)), assigned(1, 11, spec(1000))], []));
    s.go(1, Input::SessionDown);
    assert_eq!(s.go(6_000, ended(0, EndReason::exit(0), 6_000)), ["persist 0.1 exit_code 0"]);
    s.go(6_000, Input::Persisted(vec![id(0, 1)]));
    assert_eq!(s.go(7_000, Input::SessionUp { incarnation: 1, hello_sent: Timestamp(6_900) }), NOTHING);
    assert_eq!(s.go(7_001, full(11, [assigned(1, 11, spec(1000))], [])), ["ack 1.11", "start 1.1 @11"]);
}

/// The welcome of a new session renews the lease before the set says what was taken away meanwhile.
#[test]
fn nothing_starts_between_a_welcome_and_its_set() {
    let mut s = Script::connected(1000);
    s.go(6_500, delta(11, [assigned(0, 11, bound(1000))], []));
    s.go(6_501, Input::SessionDown);
    assert_eq!(s.go(20_000, Input::SessionUp { incarnation: 1, hello_sent: Timestamp(19_900) }), NOTHING);
    assert_eq!(s.go(20_001, Input::Tick), NOTHING);
    // Not after this session has broken as well, nor after a heartbeat of the next one.
    s.go(20_002, Input::SessionDown);
    s.go(20_003, Input::SessionUp { incarnation: 1, hello_sent: Timestamp(20_002) });
    s.go(20_004, Input::HeartbeatSent { sequence: 1 });
    assert_eq!(s.go(20_005, Input::HeartbeatAcked { sequence: 1 }), NOTHING);
    assert_eq!(s.go(20_006, full(20, [], [])), ["fence 1.20", "ack 1.20"], "it runs elsewhere by now");
    assert_eq!(s.agent.phase(id(0, 1)), Some(Phase::Exited));
}

#[test]
fn an_older_incarnation_is_left_and_a_newer_one_wins_whatever_its_index() {
    let mut s = Script::new(1000, false);
    s.go(
        0,
        Input::Restored { fence: cloudai_agent::Fence { incarnation: 3, index: 500 }, endings: vec![], renewed: None },
    );
    assert_eq!(s.go(0, up()), ["leave: incarnation 1 < 3"]);
    assert_eq!(s.go(1, Input::SessionUp { incarnation: 4, hello_sent: Timestamp(1) }), NOTHING);
    let fence = cloudai_agent::Fence { incarnation: 4, index: 7 };
    assert_eq!(s.go(1, Input::FullSet { fence, assignments: vec![], stop: vec![] }), ["fence 4.7", "ack 4.7"]);
}

#[test]
fn a_container_of_another_history_makes_way() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(100))], []));
    s.go(2, started(0, 2));
    s.go(3, up());
    assert_eq!(s.go(4, full(40, [assigned(0, 33, spec(100))], [])), ["fence 1.40", "stop 0.1 Term", "ack 1.40"]);
    let ending = s.go(5, ended(0, EndReason::exit(143), 5));
    assert_eq!(ending, ["persist 0.1 engine_error 143: a container of another assignment was in the way"]);
}

#[test]
fn reports_gather_behind_the_window() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(1)), assigned(1, 11, spec(1)), assigned(2, 11, spec(1))], []));
    assert_eq!(s.flush(), ["report 1: 0.1 Preparing, 1.1 Preparing, 2.1 Preparing"]);
    s.go(2, started(0, 2));
    assert_eq!(s.flush(), ["report 2: 0.1 Running"]);
    s.go(3, started(1, 3));
    assert_eq!(s.flush(), NOTHING);
    s.go(3, started(2, 3));
    s.go(3, ended(1, EndReason::exit(0), 3));
    s.go(3, Input::Persisted(vec![id(1, 1)]));
    assert_eq!(s.flush(), NOTHING);
    s.go(4, Input::ReportsAcked { sequence: 1 });
    assert_eq!(s.flush(), ["report 3: 1.1 Exited(exit_code 0), 2.1 Running"]);
}

#[test]
fn a_volatile_worker_persists_nothing_and_starts_what_it_does_not_know() {
    let mut s = Script::new(1000, true);
    s.go(0, up());
    let mut running = assigned(0, 5, spec(1));
    running.phase = Phase::Running;
    assert_eq!(s.go(0, full(10, [running], [])), ["fence 1.10", "ack 1.10", "start 0.1 @5"]);
    assert_eq!(s.go(1, ended(0, EndReason::exit(0), 1)), NOTHING);
    assert_eq!(s.flush(), ["report 1: 0.1 Exited(exit_code 0)"]);
}

#[test]
fn a_success_that_leaves_results_is_one_when_they_are_stored() {
    let mut s = Script::connected(1000);
    s.go(1, delta(11, [assigned(0, 11, storing(800)), assigned(1, 11, spec(800))], []));
    s.go(2, started(0, 2));
    assert_eq!(s.go(3, ended(0, EndReason::exit(0), 3)), ["store 0.1", "start 1.1 @11"], "storing holds nothing");
    assert_eq!(s.flush(), ["report 1: 0.1 Storing, 1.1 Preparing"]);
    assert_eq!(s.go(4, ended(0, EndReason::exit(7), 4)), NOTHING, "the first ending stands");
    let results = Results { manifest: "k".into(), files_total: 2, ..Results::default() };
    let stored = |index, stored| Input::Stored { attempt: id(index, 1), stored };
    assert_eq!(s.go(5, stored(0, Ok(Some(results.clone())))), ["persist 0.1 exit_code 0"]);
    assert_eq!(s.go(5, stored(0, Err("late".into()))), NOTHING);
    assert_eq!(s.go(5, stored(9, Ok(Some(results)))), NOTHING, "an attempt that nobody knows");
    s.go(6, Input::Persisted(vec![id(0, 1)]));
    assert_eq!(s.flush(), ["report 2: 0.1 Exited(exit_code 0)"]);
}

#[test]
fn what_is_not_stored_is_no_success_and_only_a_success_is_stored() {
    let mut s = Script::connected(4000);
    let add = [0, 1, 2, 3].map(|index| assigned(index, 11, storing(500)));
    s.go(1, delta(11, add, []));
    (0..4).for_each(|index| drop(s.go(2, started(index, 2))));
    assert_eq!(s.go(3, ended(0, EndReason::exit(1), 3)), ["persist 0.1 exit_code 1"]);
    for index in 1..4 {
        assert_eq!(s.go(3, ended(index, EndReason::exit(0), 3)), [format!("store {index}.1")]);
    }
    let full = Input::Stored { attempt: id(1, 1), stored: Err("the store is full".into()) };
    assert_eq!(s.go(4, full), ["persist 1.1 result_store 0: the store is full"]);
    let cancelled = "persist 2.1 cancelled 0: it had succeeded, and what it left was not stored yet";
    assert_eq!(s.go(5, delta(12, [], [cancel(2)])), ["fence 1.12", cancelled, "ack 1.12"]);
    let late = s.agent.next_deadline().expect("storing has a time limit").0;
    assert_eq!(late, 3 + RESULT_STORE_MAX.0);
    assert_eq!(s.go(late, Input::Tick), ["persist 3.1 result_store 0: its results were not stored within 60 minutes"]);
    assert_eq!(s.agent.next_deadline(), None);
}

#[test]
fn a_success_waits_for_its_log_and_no_failure_does() {
    let mut s = Script::storing_logs(1500);
    s.go(1, delta(11, [assigned(0, 11, spec(500)), assigned(1, 11, spec(500)), assigned(2, 11, storing(500))], []));
    (0..3).for_each(|index| drop(s.go(2, started(index, 2))));
    assert_eq!(s.go(3, ended(0, EndReason::exit(0), 3)), ["store 0.1 log"]);
    assert_eq!(s.go(3, ended(1, EndReason::exit(1), 3)), ["persist 1.1 exit_code 1"]);
    assert_eq!(s.go(3, ended(2, EndReason::exit(0), 3)), ["store 2.1"], "its results, and its log with them");
    assert_eq!(s.flush(), ["report 1: 0.1 Storing, 2.1 Storing"]);
    assert_eq!(s.go(4, Input::Stored { attempt: id(0, 1), stored: Ok(None) }), ["persist 0.1 exit_code 0"]);
}

#[test]
fn a_store_that_does_not_take_a_log_makes_no_failure_of_a_success() {
    let mut s = Script::storing_logs(1000);
    s.go(1, delta(11, [assigned(0, 11, spec(500)), assigned(1, 11, spec(500))], []));
    (0..2).for_each(|index| drop(s.go(2, started(index, 2))));
    (0..2).for_each(|index| drop(s.go(3, ended(index, EndReason::exit(0), 3))));
    let cancelled = "persist 1.1 cancelled 0: it had succeeded, and what it left was not stored yet";
    assert_eq!(s.go(5, delta(12, [], [cancel(1)])), ["fence 1.12", cancelled, "ack 1.12"], "as with results");
    let late = s.agent.next_deadline().expect("waiting has a limit").0;
    assert_eq!(late, 3 + LOG_STORE_WAIT.0);
    assert_eq!(s.go(late, Input::Tick), ["persist 0.1 exit_code 0"]);
    assert_eq!(s.go(late + 1, Input::Stored { attempt: id(0, 1), stored: Ok(None) }), NOTHING);
}

#[test]
fn a_restarted_agent_stores_again_what_its_container_left() {
    let mut s = Script::new(1000, false);
    let needs = Needs { results: true, ..Needs::default() };
    let at = Timestamp(WALL_OFFSET);
    let exited = FoundState::Exited { reason: EndReason::exit(0), started: at, ended: at };
    let found = Found { attempt: id(0, 1), assigned_index: 11, needs, state: exited };
    assert_eq!(s.go(1, Input::Found(found)), ["store 0.1"]);
    s.go(2, up());
    let member = Assignment { phase: Phase::Storing, ..assigned(0, 11, storing(500)) };
    assert_eq!(s.go(2, full(12, [member], [])), ["fence 1.12", "ack 1.12"], "it is known, and goes on");
    let stored = Ok(Some(Results { manifest: "k".into(), ..Results::default() }));
    assert_eq!(s.go(3, Input::Stored { attempt: id(0, 1), stored }), ["persist 0.1 exit_code 0"]);
}

#[test]
fn endings_with_long_lists_travel_in_several_messages() {
    let mut s = Script::connected(1_000_000);
    let count = 300;
    let ids: Vec<u32> = (0..count).collect();
    let add = ids.iter().map(|index| assigned(*index, 11, storing(1))).collect();
    s.go(1, Input::Delta { fence: fence(11), add, stop: vec![] });
    for index in &ids {
        s.go(2, started(*index, 2));
        s.go(3, ended(*index, EndReason::exit(0), 3));
        let results = Results { manifest: "k".repeat(4_000), ..Results::default() };
        s.go(4, Input::Stored { attempt: id(*index, 1), stored: Ok(Some(results)) });
    }
    s.go(5, Input::Persisted(ids.iter().map(|index| id(*index, 1)).collect()));
    let first = s.flush();
    assert_eq!(first.len(), 2, "as many as the window takes");
    let told = |calls: &[String]| calls.iter().map(|c| c.matches("Exited").count()).sum::<usize>();
    assert!(first.iter().all(|c| told(std::slice::from_ref(c)) < 270), "each of about a mebibyte");
    s.go(6, Input::ReportsAcked { sequence: 1 });
    let second = s.flush();
    assert_eq!(told(&first) + told(&second), count as usize, "and nothing is left out");
}
