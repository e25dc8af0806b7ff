//! Which worker gets a task whose image not all of them have.

use cloudai_types::image::fingerprint;

use super::*;

/// Submits one task and says who ran it.
async fn ran_on(cluster: &Cluster, n: u32, image: &str) -> String {
    let mut request = submit(&format!("job-{n}"), 1);
    if let Some(spec) = &mut request.spec {
        spec.image = image.into();
    }
    let mut client = cluster.client(0);
    let job = JobId(client.submit(request).await.expect("accepted").into_inner().job_id).to_string();
    let wait = pb::WaitJobRequest { namespace: String::new(), job: job.clone() };
    let mut changes = client.wait_job(wait).await.expect("found").into_inner();
    while changes.message().await.expect("no error").is_some() {}
    let request = pb::GetTaskRequest { job, index: 0, ..Default::default() };
    let task = client.get_task(request).await.expect("found").into_inner().task.expect("a task");
    task.attempts[0].worker.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_says_it_has_the_image_is_preferred() {
    cloudai_net::install_crypto_provider();
    let mut cluster = Cluster::new();
    (0..3).for_each(|n| cluster.start(n));
    let newest = cloudai_core::command::VERSION;
    eventually(async || (cluster.status(0).await.version == newest).then_some(())).await;
    let empty = hollow_worker(&cluster, "empty", success()).await;
    // Among equals the first one is taken.
    assert_eq!(ran_on(&cluster, 0, "tool:1").await, "empty");
    let has = hollow_worker_with(&cluster, "has", success(), vec![fingerprint("tool:1")]).await;
    let mut n = 0;
    eventually(async || {
        n += 1;
        (ran_on(&cluster, n, "tool:1").await == "has").then_some(())
    })
    .await;
    assert_eq!(ran_on(&cluster, 1_000, "tool:2").await, "empty");
    assert_eq!(ran_on(&cluster, 1_001, "tool:1").await, "has");
    empty.abort();
    has.abort();
    for n in 0..3 {
        cluster.stop(n).await.expect("a planned stop");
    }
}
