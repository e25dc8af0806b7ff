//! Docker Swarm's replicated jobs as a peer for containers: swarm mode of the same engine, one node. Comes in: an engine that is in no
//! swarm. Goes out: seconds for so many containers. The swarm that was made here is left at the end.
//!
//! Swarm's manager is one, and replicates to nobody. It keeps the containers of a job until the job is removed. Ours are removed one
//! by one within our time, so there are two times of its own: until the last task has completed, and until its containers are gone too.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bollard::Docker;
use bollard::query_parameters::{ListContainersOptions, ListServicesOptions, RemoveContainerOptions};
use futures::StreamExt as _;

use crate::etcd::free_ports;

const SERVICE: &str = "cloudai-bench";
const LOOK_EVERY: Duration = Duration::from_millis(20);
const JOB_WITHIN: Duration = Duration::from_secs(600);
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// Seconds since a job's creation.
pub struct Took {
    /// Until its last task had completed.
    pub completed: f64,
    /// Until none of its containers was left.
    pub gone: f64,
}

/// Left when it is dropped.
pub struct Swarm(Docker);

impl Swarm {
    /// Makes one of this node alone, on loopback.
    pub async fn init(docker: Docker) -> anyhow::Result<Swarm> {
        let state = run(&["info", "--format", "{{.Swarm.LocalNodeState}}"]).await?;
        ensure!(state == "inactive", "the engine's swarm mode is '{state}': it is somebody else's, and stays as it is");
        let port = free_ports(1)?[0];
        run(&["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", &format!("127.0.0.1:{port}")]).await?;
        Ok(Swarm(docker))
    }

    /// One job, and its removal.
    pub async fn job(&self, image: &str, count: u32, concurrency: u32, memory: u64) -> anyhow::Result<Took> {
        let began = Instant::now();
        let (count_text, at_once) = (count.to_string(), concurrency.to_string());
        let memory = memory.to_string();
        #[rustfmt::skip]
        let create = [
            "service", "create", "--quiet", "--detach", "--name", SERVICE, "--mode", "replicated-job",
            "--replicas", &count_text, "--max-concurrent", &at_once, "--restart-condition", "none",
            // The same limits as a task gets.
            "--limit-cpu", "1", "--limit-memory", &memory, "--no-resolve-image", image, "true",
        ];
        run(&create).await?;
        let ended = self.completed(count).await;
        let completed = began.elapsed().as_secs_f64();
        run(&["service", "rm", SERVICE]).await?;
        self.gone(concurrency).await?;
        ended?;
        Ok(Took { completed, gone: began.elapsed().as_secs_f64() })
    }

    async fn completed(&self, count: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let asked = ListServicesOptions { filters: None, status: Some(true) };
            let services = self.0.list_services(Some(asked)).await?;
            let named =
                |s: &&bollard::models::Service| s.spec.as_ref().and_then(|s| s.name.as_deref()) == Some(SERVICE);
            let service = services.iter().find(named).context("the job is gone")?;
            let completed = service.service_status.as_ref().and_then(|s| s.completed_tasks).unwrap_or(0);
            if completed >= u64::from(count) {
                return Ok(());
            }
            if began.elapsed() > JOB_WITHIN {
                bail!("Swarm completed {completed} of {count} tasks within {} s", JOB_WITHIN.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Until none of the job's containers is left. Swarm takes its time over that: it is done for it, as many at a time as ran.
    async fn gone(&self, concurrency: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        let label = format!("com.docker.swarm.service.name={SERVICE}");
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        loop {
            let asked = ListContainersOptions { all: true, filters: Some(filters.clone()), ..Default::default() };
            let left = self.0.list_containers(Some(asked)).await?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(began.elapsed() < GONE_WITHIN, "Swarm's containers cannot be removed");
            let removals = left.into_iter().filter_map(|c| c.id).map(|id| async move {
                let forced = RemoveContainerOptions { force: true, ..Default::default() };
                // Swarm may remove one at the same moment: the next look tells.
                let _ = self.0.remove_container(&id, Some(forced)).await;
            });
            futures::stream::iter(removals).buffer_unordered(concurrency as usize).collect::<()>().await;
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let left = Command::new("docker")
            .args(["swarm", "leave", "--force"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        if !left.is_ok_and(|s| s.success()) {
            eprintln!("the swarm could not be left; try: docker swarm leave --force");
        }
    }
}

/// What the engine's own command says.
async fn run(args: &[&str]) -> anyhow::Result<String> {
    let output = tokio::process::Command::new("docker").args(args).stdin(Stdio::null()).output().await;
    let output = output.context("there is no `docker` command")?;
    if !output.status.success() {
        bail!("`docker {}` failed: {}", args.first().unwrap_or(&""), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
