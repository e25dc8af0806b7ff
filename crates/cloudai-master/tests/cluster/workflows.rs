//! Workflows through real masters: in at one, shown by all, across a change of leader, cancelled and tried again.

use cloudai_types::{Condition, Dependency, WorkflowId, WorkflowNode, WorkflowSpec};

use super::*;

fn node(name: &str, count: u32, depends_on: &[(&str, Condition, bool)]) -> WorkflowNode {
    let resources = Resources { cpu_milli: 500, ..Default::default() };
    WorkflowNode {
        name: name.into(),
        spec: JobSpec { image: "noop".into(), count, resources, ..Default::default() },
        depends_on: depends_on
            .iter()
            .map(|(node, on, each)| Dependency { node: (*node).into(), on: *on as i32, each: *each })
            .collect(),
    }
}

fn request(request_id: &str, nodes: Vec<WorkflowNode>) -> pb::SubmitWorkflowRequest {
    let workflow = Some(WorkflowSpec { name: "nightly".into(), nodes });
    pb::SubmitWorkflowRequest { request_id: request_id.into(), namespace: String::new(), workflow }
}

async fn shown(cluster: &Cluster, n: usize, id: u64) -> pb::GetWorkflowReply {
    let workflow = WorkflowId(id).to_string();
    let request = pb::GetWorkflowRequest { workflow, with_jobs: true, ..Default::default() };
    cluster.client(n).get_workflow(request).await.expect("found").into_inner()
}

/// Once all of it has ended, as this master tells.
async fn ended(cluster: &Cluster, n: usize, id: u64) -> pb::GetWorkflowReply {
    eventually(async || {
        let reply = shown(cluster, n, id).await;
        (reply.workflow.as_ref()?.ended_ms > 0).then_some(reply)
    })
    .await
}

fn states(reply: &pb::GetWorkflowReply) -> Vec<(&str, pb::JobState)> {
    reply.jobs.iter().map(|job| (job.node.as_str(), job.state())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_goes_on_under_another_leader_and_is_tried_again() {
    use Condition::{Completion, Failure, Success};
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let since = cloudai_core::command::WORKFLOWS_SINCE;
    let leader = eventually(async || {
        let status = cluster.status(0).await;
        (status.version >= since).then_some(status.leader_id)
    })
    .await;
    let leader = (leader - 1) as usize;
    let follower = (leader + 1) % 3;

    // In at a follower. Nobody is there to run it: the first job waits for a worker, the others for that one.
    let nodes = vec![
        node("report", 1, &[("train", Success, false)]),
        node("load", 3, &[]),
        node("train", 3, &[("load", Success, true)]),
        node("clean", 1, &[("train", Failure, false)]),
    ];
    let mut client = cluster.client(follower);
    let first = client.submit_workflow(request("once", nodes.clone())).await.expect("accepted").into_inner();
    let again = cluster.client(leader).submit_workflow(request("once", nodes)).await.expect("accepted").into_inner();
    assert_eq!((again.workflow_id, again.duplicate, again.jobs), (first.workflow_id, true, 4));
    let id = first.workflow_id;
    for n in 0..3 {
        let reply = shown(&cluster, n, id).await;
        use pb::JobState::{Blocked, Queued};
        assert_eq!(states(&reply), [("load", Queued), ("train", Blocked), ("report", Blocked), ("clean", Blocked)]);
        let waits_for = &reply.jobs[1].waits_for[0];
        assert_eq!((waits_for.node.as_str(), waits_for.on(), waits_for.each), ("load", Success, true));
    }
    let train = JobId(id + 1).to_string();
    let explain = pb::ExplainTaskRequest { job: train.clone(), index: 2, ..Default::default() };
    let why = client.explain_task(explain).await.expect("found").into_inner();
    assert_eq!(why.state(), pb::TaskState::Blocked);
    assert!(why.summary.contains(&format!("it waits for {}/2 (success)", JobId(id))), "{}", why.summary);
    let job = pb::GetJobRequest { job: train, ..Default::default() };
    let job = client.get_job(job).await.expect("found").into_inner();
    assert_eq!((job.job.expect("a job").node.as_str(), job.waits_for.len()), ("train", 1));

    // Another leader knows who waits for whom.
    client.transfer_leader(pb::TransferLeaderRequest::default()).await.expect("moved");
    let worker = hollow_worker(&cluster, "hollow", success()).await;
    for n in 0..3 {
        let reply = ended(&cluster, n, id).await;
        use pb::JobState::{Cancelled, Succeeded};
        let wanted = [("load", Succeeded), ("train", Succeeded), ("report", Succeeded), ("clean", Cancelled)];
        assert_eq!(states(&reply), wanted);
        assert!(reply.jobs[3].skipped && reply.jobs[3].why.contains("skipped"), "{:?}", reply.jobs[3]);
        let workflow = reply.workflow.expect("its head");
        assert_eq!((workflow.state(), workflow.succeeded, workflow.skipped), (Succeeded, 3, 1));
    }
    let task = pb::GetTaskRequest { job: JobId(id + 3).to_string(), ..Default::default() };
    let task = client.get_task(task).await.expect("found").into_inner().task.expect("a task");
    assert_eq!(task.reason.map(|reason| reason.kind()), Some(ReasonKind::Cancelled));

    // What is wrong is refused with its place, and leaves nothing.
    let cycle = vec![node("a", 1, &[("b", Success, false)]), node("b", 1, &[("a", Success, false)])];
    let refused = client.submit_workflow(request("", cycle)).await.expect_err("a cycle");
    assert!(pb::ErrorInfo::from_status(&refused).why.contains("job 'a' waits for itself"), "{refused}");

    // A task that no worker can take: cancelled, and tried again.
    let mut huge = node("huge", 1, &[]);
    huge.spec.resources.cpu_milli = 1_000_000;
    let nodes = vec![huge, node("after", 1, &[("huge", Completion, false)])];
    let second = client.submit_workflow(request("", nodes)).await.expect("accepted").into_inner().workflow_id;
    let workflow = WorkflowId(second).to_string();
    let cancel = pb::CancelWorkflowRequest { workflow: workflow.clone(), ..Default::default() };
    assert_eq!(client.cancel_workflow(cancel).await.expect("cancelled").into_inner().stopping, 0);
    let reply = ended(&cluster, follower, second).await;
    use pb::JobState::Cancelled;
    assert_eq!(states(&reply), [("huge", Cancelled), ("after", Cancelled)], "nobody is released by it");
    let retry = pb::RetryWorkflowRequest { workflow: workflow.clone(), from: "x".into(), ..Default::default() };
    let refused = client.retry_workflow(retry.clone()).await.expect_err("no such job");
    assert_eq!(pb::ErrorInfo::from_status(&refused).kind(), pb::ErrorKind::NotFound);
    let retry = pb::RetryWorkflowRequest { from: String::new(), ..retry };
    let retried = client.retry_workflow(retry).await.expect("accepted").into_inner();
    assert_eq!((retried.jobs, retried.tasks), (2, 2));
    // A cancel of the one releases the other, which waits for its end only.
    let cancel = pb::CancelJobRequest { job: JobId(second).to_string(), ..Default::default() };
    client.cancel_job(cancel).await.expect("cancelled");
    let reply = ended(&cluster, follower, second).await;
    assert_eq!(states(&reply), [("huge", Cancelled), ("after", pb::JobState::Succeeded)]);

    let list = pb::ListWorkflowsRequest { limit: 1, ..Default::default() };
    let page = client.list_workflows(list.clone()).await.expect("listed").into_inner();
    assert_eq!((page.workflows[0].id, page.next_before), (second, second));
    let next = pb::ListWorkflowsRequest { before: page.next_before, ..list };
    let page = client.list_workflows(next).await.expect("listed").into_inner();
    assert_eq!((page.workflows[0].id, page.next_before), (id, 0));
    let prefix = pb::GetWorkflowRequest { workflow: "wf-".into(), ..Default::default() };
    let refused = client.get_workflow(prefix).await.expect_err("it names none");
    assert_eq!(pb::ErrorInfo::from_status(&refused).kind(), pb::ErrorKind::NotFound);

    worker.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
