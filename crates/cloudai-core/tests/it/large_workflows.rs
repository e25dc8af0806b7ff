//! Workflows as large as they may be: one command makes them, and one end decides about all of them.

use cloudai_core::Reply;
use cloudai_core::command::*;
use cloudai_core::rows::{EndedJobs, Family, WorkflowRow, workflow_key};
use cloudai_types::{
    Condition, Dependency, EndReason, JobId, JobSpec, NamespaceId, WorkflowId, WorkflowNode, WorkflowSpec, limits,
};

use crate::histories::prelude;
use crate::world::World;

fn node(name: String, count: u32, depends_on: Vec<Dependency>) -> WorkflowNode {
    WorkflowNode { name, spec: JobSpec { image: "busybox".into(), count, ..JobSpec::default() }, depends_on }
}

fn dependency(node: String, on: Condition, each: bool) -> Dependency {
    Dependency { node, on: on as i32, each }
}

/// The workflow's jobs have ids from 1 on.
fn submit(nodes: Vec<WorkflowNode>) -> World {
    let mut world = World::default();
    world.entry(1_000, prelude());
    world.one(1_000, Kind::RaiseVersion(RaiseVersion { version: VERSION }));
    let workflow = WorkflowSpec { name: "w".into(), nodes };
    let kind = Kind::SubmitWorkflow(SubmitWorkflow { namespace: "default".into(), workflow, ..Default::default() });
    let applied = world.one(1_000, kind);
    assert!(matches!(applied.replies[0], Reply::WorkflowSubmitted { .. }), "{:?}", applied.replies);
    world
}

/// Task 0 of this job runs on worker 1, and ends like this.
fn run(world: &mut World, job: u64, index: u32, exit: i32) {
    let groups = vec![PlaceGroup { job, worker: 1, indexes: vec![index] }];
    let session = world.hot.workers[&cloudai_types::WorkerId(1)].session;
    let report = AttemptReport {
        job,
        index,
        number: 1,
        state: AttemptState::Exited as i32,
        reason: Some(EndReason::exit(exit)),
        ..AttemptReport::default()
    };
    let report = Kind::ReportAttempts(ReportAttempts { worker: 1, session, reports: vec![report] });
    world.entry(2_000, vec![Kind::PlaceTasks(PlaceTasks { groups }), report]);
}

fn ended(world: &World) -> EndedJobs {
    let key = workflow_key(NamespaceId(1), WorkflowId(1));
    world.row::<WorkflowRow>(Family::Workflow, &key).expect("it is there").ended
}

#[test]
fn a_chain_of_any_length_ends_with_its_first_and_lives_again() {
    let most = limits::WORKFLOW_JOBS_MAX as u64;
    let before = |n: u64| n.checked_sub(1).map(|n| dependency(format!("n{n}"), Condition::Success, false));
    let mut world = submit((0..most).map(|n| node(format!("n{n}"), 1, before(n).into_iter().collect())).collect());
    run(&mut world, 1, 0, 1);
    assert_eq!(ended(&world), EndedJobs { failed: 1, cancelled: most as u32 - 1, ..EndedJobs::default() });
    assert!(world.hot.jobs.is_empty());
    let retry = RetryWorkflow { namespace: 1, workflow: 1, from: String::new() };
    let applied = world.one(3_000, Kind::RetryWorkflow(retry));
    assert_eq!(applied.replies, [Reply::WorkflowRetried { jobs: most as u32, tasks: most }]);
    world.check();
    let applied = world.one(4_000, Kind::CancelWorkflow(CancelWorkflow { namespace: 1, workflow: 1 }));
    assert_eq!(applied.replies, [Reply::WorkflowCancelRequested { workflow: WorkflowId(1), stopping: 0 }]);
    assert_eq!(ended(&world).cancelled, most as u32);
    world.check();
}

#[test]
fn one_job_that_waits_for_all_others_is_released_by_the_last() {
    let most = limits::WORKFLOW_JOBS_MAX as u64;
    let mut nodes: Vec<WorkflowNode> = (1..most).map(|n| node(format!("n{n}"), 1, vec![])).collect();
    let all = nodes.iter().map(|n| dependency(n.name.clone(), Condition::Completion, false)).collect();
    nodes.push(node("last".into(), 1, all));
    let mut world = submit(nodes);
    let held = |world: &World| world.rows.keys(Family::Hold).count() as u64;
    assert_eq!(held(&world), most - 1);
    run(&mut world, 7, 0, 0);
    assert_eq!(held(&world), most - 2, "one row less, and no other was written");
    let cancels = (1..most).map(|job| Kind::CancelJob(CancelJob { job })).collect();
    world.entry(3_000, cancels);
    assert_eq!(world.hot.jobs[&JobId(most)].counts.queued, 1);
    world.check();
}

#[test]
fn large_arrays_go_index_by_index() {
    let most = limits::WORKFLOW_EACH_TASKS_MAX;
    let each = |of: &str| vec![dependency(of.into(), Condition::Success, true)];
    let mut world = submit(vec![
        node("a".into(), most, vec![]),
        node("b".into(), most, each("a")),
        node("c".into(), most, each("b")),
    ]);
    run(&mut world, 1, 0, 0);
    let queued = |world: &World, job| world.hot.jobs[&JobId(job)].counts.queued;
    assert_eq!((queued(&world, 2), queued(&world, 3)), (1, 0));
    world.check();
    world.one(3_000, Kind::CancelJob(CancelJob { job: 1 }));
    assert_eq!((queued(&world, 2), world.hot.jobs[&JobId(2)].counts.cancelled), (1, most - 1));
    assert_eq!(world.hot.jobs[&JobId(3)].counts.cancelled, most - 1, "and for each of theirs");
    world.check();
}
