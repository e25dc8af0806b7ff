//! Templates and schedules through real masters: in at a follower, shown by all, refused as they must be. That a time has one job whoever leads,
//! core's property tests say; that a leader finds it, those of the calendar.

use cloudai_types::{RunOutcome, ScheduleSpec};

use super::*;

/// A follower of a cluster that uses the format.
async fn follower(cluster: &Cluster) -> usize {
    let since = cloudai_core::command::SCHEDULES_SINCE;
    let leader = eventually(async || {
        let status = cluster.status(0).await;
        (status.version >= since).then_some(status.leader_id)
    });
    leader.await as usize % 3
}

fn refused(status: tonic::Status) -> (pb::ErrorKind, String) {
    let info = pb::ErrorInfo::from_status(&status);
    (info.kind(), info.sentence())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_and_schedules_are_kept_by_all_masters() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let mut client = cluster.client(follower(&cluster).await);

    let create = |document: &str| pb::CreateTemplateRequest {
        name: "sweep".into(),
        document: document.into(),
        ..Default::default()
    };
    for (document, version, is_new) in [("image: a", 1, true), ("image: a", 1, false), ("image: b", 2, true)] {
        let reply = client.create_template(create(document)).await.expect("accepted").into_inner();
        assert_eq!((reply.version, reply.is_new), (version, is_new), "{document}");
    }
    for n in 0..3 {
        let get = |version| pb::GetTemplateRequest { name: "sweep".into(), version, ..Default::default() };
        let newest = cluster.client(n).get_template(get(0)).await.expect("found").into_inner();
        assert_eq!((newest.version, newest.document.as_str()), (2, "image: b"));
        let first = cluster.client(n).get_template(get(1)).await.expect("found").into_inner();
        assert_eq!(first.document, "image: a");
        let none = refused(cluster.client(n).get_template(get(3)).await.expect_err("there is none"));
        assert_eq!(none.0, pb::ErrorKind::NotFound);
    }
    let delete = pb::DeleteTemplateRequest { name: "sweep".into(), ..Default::default() };
    client.delete_template(delete).await.expect("it was there");
    let list = pb::ListTemplatesRequest::default();
    assert_eq!(client.list_templates(list).await.expect("an empty list").into_inner().templates, vec![]);

    let spec = |cron: &str| ScheduleSpec {
        cron: cron.into(),
        zone: "Europe/Paris".into(),
        job: JobSpec { image: "noop".into(), ..Default::default() },
        ..Default::default()
    };
    let create =
        |cron: &str| pb::CreateScheduleRequest { name: "nightly".into(), spec: Some(spec(cron)), ..Default::default() };
    // Once a year: no time comes meanwhile.
    let first = client.create_schedule(create("0 3 1 1 *")).await.expect("accepted").into_inner();
    let again = client.create_schedule(create("0 3 1 1 *")).await.expect("accepted").into_inner();
    assert_eq!((first.is_new, again.is_new, again.next_due_ms), (true, false, first.next_due_ms));
    for (cron, says) in [("0 0 30 2 *", "eight years"), ("0 25 * * *", "hour"), ("@hourly", "says something else")] {
        let (_, sentence) = refused(client.create_schedule(create(cron)).await.expect_err("refused"));
        assert!(sentence.contains(says), "{cron}: {sentence}");
    }
    let run = |request_id: &str| pb::RunScheduleRequest {
        name: "nightly".into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    let job = client.run_schedule(run("r1")).await.expect("a job").into_inner();
    let same = client.run_schedule(run("r1")).await.expect("the same job").into_inner();
    assert_eq!((same.job_id, job.duplicate, same.duplicate), (job.job_id, false, true));
    let (kind, sentence) = refused(client.run_schedule(run("r2")).await.expect_err("the first one lives"));
    assert!(kind == pb::ErrorKind::Conflict && sentence.contains("has not ended"), "{sentence}");
    let pause = pb::PauseScheduleRequest { name: "nightly".into(), paused: true, ..Default::default() };
    client.pause_schedule(pause).await.expect("it was there");
    for n in 0..3 {
        let get = pb::GetScheduleRequest { name: "nightly".into(), ..Default::default() };
        let shown = cluster.client(n).get_schedule(get).await.expect("found").into_inner();
        let schedule = shown.schedule.expect("it is there");
        assert_eq!((schedule.paused, schedule.ran, schedule.next_due_ms), (true, 1, first.next_due_ms));
        assert_eq!((schedule.runs[0].outcome(), schedule.runs[0].by_hand), (RunOutcome::Ran, true));
        assert_eq!((shown.jobs[0].id, shown.next_ms[0], shown.next_ms.len()), (job.job_id, first.next_due_ms, 5));
    }
    let delete = pb::DeleteScheduleRequest { name: "nightly".into(), ..Default::default() };
    client.delete_schedule(delete).await.expect("it was there");
    let get = pb::GetJobRequest { job: JobId(job.job_id).to_string(), ..Default::default() };
    assert!(client.get_job(get).await.is_ok(), "its job goes on");
}
