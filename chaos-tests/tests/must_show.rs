//! The drills in their small size, each on a cluster of real processes of its own. Run them one at a time
//! (`--test-threads=1`): they measure and kill, and two cores are few. With `--nocapture` each prints its transcript.

use chaos_tests::drills::{self, Size};

fn drill(which: &str) {
    let (number, name, drill) = drills::ALL.iter().find(|(n, ..)| *n == which).expect("the drill exists");
    assert!(drills::perform(number, name, *drill, Size::Small), "drill {number} failed: see its transcript");
}

#[test]
fn m2_submits_go_on_while_leaders_are_killed() {
    drill("2");
}

#[test]
fn m3_all_masters_killed_at_once_lose_nothing() {
    drill("3");
}

#[test]
fn m4_a_worker_killed_with_and_without_its_containers() {
    drill("4");
}

#[test]
fn m5_a_wiped_master_comes_back_as_a_new_one() {
    drill("5");
}

#[test]
fn m6_the_raft_port_accepts_masters_only() {
    drill("6");
}

#[test]
fn m7_run_gives_exit_codes_streams_and_the_samples_result() {
    drill("7");
}

#[test]
fn m8_explain_says_why_a_task_waits() {
    drill("8");
}

#[test]
fn limits_that_are_reached_end_their_task_alone() {
    drill("limits");
}

#[test]
fn endings_of_every_kind_leave_nothing_behind() {
    drill("endings");
}

#[test]
fn an_agent_killed_at_any_moment_loses_nothing() {
    drill("agent-kills");
}

#[test]
fn tasks_outlive_the_engine_or_run_again() {
    drill("engine-restarts");
}

#[test]
fn a_paused_worker_keeps_no_task_past_its_lease() {
    drill("paused-agent");
}

#[test]
fn the_doctor_names_what_is_wrong_with_a_cluster() {
    drill("doctor");
}

#[test]
fn a_prometheus_sees_the_cluster_and_its_faults() {
    drill("prometheus");
}

#[test]
fn a_canary_secret_is_found_nowhere() {
    drill("secrets");
}

#[test]
fn a_task_that_prints_a_gigabyte_hurts_nobody() {
    drill("loud-task");
}

#[test]
fn a_large_result_is_stored_once_though_its_worker_was_killed() {
    drill("large-result");
}

#[test]
fn bad_input_is_refused_clearly_and_other_work_goes_on() {
    drill("bad-input");
}

#[test]
fn namespaces_get_their_parts_by_weight() {
    drill("fair-shares");
}

#[test]
fn a_big_task_and_a_gang_start_among_a_flood_of_small_ones() {
    drill("big-task");
}

#[test]
fn urgent_tasks_take_the_room_of_others() {
    drill("preemption");
}

#[test]
fn a_workflow_runs_once_and_in_order_while_leaders_are_killed() {
    drill("workflow-failover");
}

#[test]
fn a_trace_of_a_workflow_runs_in_its_order() {
    drill("workflow-replay");
}

#[test]
fn top_status_and_job_watch_on_a_terminal() {
    drill("screens");
}

#[test]
fn one_trace_is_whole_though_the_leader_was_killed() {
    drill("trace");
}
