//! Network namespaces that short tasks use one after the other. Comes in: attempts that begin and end. Goes out: the container whose
//! network an attempt joins, or nothing, and then the engine makes a network for it as for any container.
//!
//! To set up a network costs an engine about as much as everything else that it does for a container: it starts itself anew twice
//! for each. So a sandbox (a container that only sleeps) keeps one, and the next task gets it if the last one left it untouched: sent no
//! packet, changed none of its files (`traces`). Which tasks get one, and when one is made or removed, is decided in `pool`; here are the
//! hands. A sandbox that cannot be had costs time, never a task.

mod image;
mod pool;
mod traces;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::CreateImageOptions;
use cloudai_types::{AttemptId, JobSpec, Millis, limits};
use futures::StreamExt as _;

use self::pool::{Kind, Orders, Pool};
use self::traces::{Place, Traces};
use super::{Shared, UNPOISONED, labels};
use crate::clock;

/// How an engine is told to put a container into another one's network.
const NETWORK_OF: &str = "container:";

struct Sandbox {
    container: String,
    /// Where to look for traces, and what was there before its first task. `None`: made by an earlier run.
    clean: Option<(Place, Traces)>,
}

impl Sandbox {
    fn is_untouched(&self) -> bool {
        // What cannot be seen may be anything.
        self.clean.as_ref().is_some_and(|(place, clean)| place.look().is_ok_and(|now| now == *clean))
    }
}

pub struct Sandboxes {
    /// Whether attempts get one. What an earlier run used is looked after all the same.
    enabled: bool,
    pool: Mutex<Pool<Sandbox>>,
}

impl Sandboxes {
    pub fn new(enabled: bool) -> Self {
        Sandboxes { enabled, pool: Mutex::new(Pool::new()) }
    }

    fn pool(&self) -> MutexGuard<'_, Pool<Sandbox>> {
        self.pool.lock().expect(UNPOISONED)
    }

    /// An attempt begins. The network mode of its container, where it is not the engine's own.
    pub fn arrive(&self, attempt: AttemptId, spec: &JobSpec) -> Option<String> {
        if !self.enabled {
            return None;
        }
        self.pool().arrive(attempt, Kind::of(spec)).map(|s| format!("{NETWORK_OF}{}", s.container))
    }

    /// A container of an earlier run may live in a sandbox of that time.
    pub fn found(&self, attempt: AttemptId, network_mode: Option<&str>) {
        if let Some(container) = network_mode.and_then(|m| m.strip_prefix(NETWORK_OF)) {
            self.pool().found(attempt, Sandbox { container: container.to_owned(), clean: None });
        }
    }
}

/// No process of the attempt is left; `ran`: for how long its program ran, if it began. May be said again.
pub fn leave(shared: &Arc<Shared>, attempt: AttemptId, ran: Option<Millis>) {
    let Some(tenant) = shared.sandboxes.pool().leave(attempt) else { return };
    let untouched = tenant.sandbox.as_ref().is_none_or(Sandbox::is_untouched);
    let Orders { make, remove } = shared.sandboxes.pool().judge(tenant, ran, untouched, clock::mono());
    if let Some(sandbox) = remove {
        let shared = shared.clone();
        shared.tasks.clone().spawn(async move { remove_one(&shared, &sandbox.container).await });
    }
    if make {
        let shared = shared.clone();
        shared.tasks.clone().spawn(async move { make_one(&shared).await });
    }
}

/// The attempt could not be put into its sandbox, which must be broken: it is removed, and the attempt has none.
pub async fn give_up(shared: &Arc<Shared>, attempt: AttemptId) {
    let tenant = shared.sandboxes.pool().leave(attempt);
    if let Some(sandbox) = tenant.and_then(|t| t.sandbox) {
        remove_one(shared, &sandbox.container).await;
    }
}

/// Looks after what is idle, for as long as the executor lives.
pub fn watch(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.tasks.spawn(async move {
        loop {
            tokio::time::sleep(limits::NETWORK_SANDBOX_IDLE_MAX.as_duration() / 4).await;
            let Some(shared) = weak.upgrade() else { return };
            let old = shared.sandboxes.pool().expire(clock::mono());
            for sandbox in old {
                remove_one(&shared, &sandbox.container).await;
            }
        }
    });
}

/// Removes every sandbox of this worker that no attempt is in: at its start, what an earlier run left; at its end, everything.
pub async fn tidy_up(shared: &Arc<Shared>) -> Result<(), Error> {
    let containers = shared.engine.list(&shared.options.cluster, &shared.options.worker).await?;
    for id in containers.into_iter().filter(is_sandbox).filter_map(|c| c.id) {
        let is_rented = shared.sandboxes.pool().rented().any(|s| s.container == id);
        if !is_rented {
            shared.engine.remove(&id).await?;
        }
    }
    Ok(())
}

pub fn is_sandbox(container: &bollard::models::ContainerSummary) -> bool {
    container.labels.as_ref().is_some_and(|l| l.contains_key(labels::SANDBOX))
}

async fn remove_one(shared: &Shared, container: &str) {
    if let Err(error) = shared.engine.remove(container).await {
        tracing::warn!(container, %error, "a network sandbox cannot be removed now; the next start of this worker does it");
    }
}

async fn make_one(shared: &Shared) {
    // Without a turn among the attempts that wait to be started: it would come after those that need it.
    let made = bring_up(shared).await;
    let now = clock::mono();
    match made {
        Ok(sandbox) => shared.sandboxes.pool().made(sandbox, now),
        Err(error) => {
            tracing::warn!(%error, "no network sandbox could be made; tasks get networks of their own, which takes longer");
            shared.sandboxes.pool().not_made(now);
        }
    }
}

async fn bring_up(shared: &Shared) -> Result<Sandbox, MakeError> {
    let image = format!("{}:{}", image::NAME, image::TAG);
    if shared.engine.docker.inspect_image(&image).await.is_err() {
        import(shared).await?;
    }
    let cluster = &shared.options.cluster;
    let name = format!("cloudai-sandbox-{:08x}-{}", rand::random::<u32>(), cluster.get(..8).unwrap_or(cluster));
    let id = shared.engine.create(&name, body(&image, cluster, &shared.options.worker)).await?;
    let up = async {
        shared.engine.start(&id).await?;
        let seen = shared.engine.inspect(&id).await?;
        let pid = seen.state.and_then(|s| s.pid).unwrap_or_default();
        let files = [seen.hosts_path, seen.resolv_conf_path, seen.hostname_path];
        let place = Place::new(pid, &id, files.into_iter().flatten());
        let clean = place.look()?;
        Ok(Sandbox { container: id.clone(), clean: Some((place, clean)) })
    };
    let made = up.await;
    if made.is_err() {
        remove_one(shared, &id).await;
    }
    made
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("there is no program for this kind of machine")]
    Machine,
    #[error(transparent)]
    Engine(#[from] Error),
    #[error("its traces cannot be seen: {0}")]
    Traces(#[from] std::io::Error),
}

async fn import(shared: &Shared) -> Result<(), MakeError> {
    let archive = image::archive().ok_or(MakeError::Machine)?;
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(image::NAME.to_owned()),
        tag: Some(image::TAG.to_owned()),
        ..Default::default()
    };
    let mut progress = shared.engine.docker.create_image(Some(options), Some(bollard::body_full(archive.into())), None);
    while let Some(step) = progress.next().await {
        step?;
    }
    Ok(())
}

/// The engine's network as any container gets it, and as little as possible of everything else.
fn body(image: &str, cluster: &str, worker: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec![image::PROGRAM.to_owned()]),
        labels: Some(HashMap::from([
            (labels::CLUSTER.to_owned(), cluster.to_owned()),
            (labels::WORKER.to_owned(), worker.to_owned()),
            (labels::SANDBOX.to_owned(), "1".to_owned()),
        ])),
        // The first process of a container does not hear SIGTERM: an engine that stops would wait for it.
        stop_signal: Some("SIGKILL".to_owned()),
        host_config: Some(HostConfig {
            memory: Some(limits::NETWORK_SANDBOX_MEMORY),
            memory_swap: Some(limits::NETWORK_SANDBOX_MEMORY),
            pids_limit: Some(limits::NETWORK_SANDBOX_PIDS),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What keeps a namespace open has no rights of its own, and shares nothing with the host.
    #[test]
    fn a_sandbox_may_nothing() {
        let body = body("i", "c", "w");
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!((host.readonly_rootfs, host.privileged, host.binds), (Some(true), None, None));
        assert_eq!((host.network_mode, host.pid_mode, host.ipc_mode), (None, None, None));
        let labels = body.labels.unwrap();
        assert!(labels.contains_key(labels::SANDBOX) && labels::read(&labels).is_none(), "it is no attempt");
    }

    #[test]
    fn where_it_is_switched_off_nobody_gets_one() {
        let none = Sandboxes::new(false);
        assert_eq!(none.arrive(AttemptId::default(), &JobSpec::default()), None);
    }
}
