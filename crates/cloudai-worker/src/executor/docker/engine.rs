//! The engine's calls that we use, counted and timed. Decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::path::Path;
use std::time::Instant;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ImageSummary, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, KillContainerOptions, ListContainersOptions, ListImagesOptions,
    ListVolumesOptions, RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions, StartContainerOptions,
};
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{Timestamp, limits};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::cgroups::EngineFacts;
use super::faults::Fault;
use super::policy::Image;
use super::storage::quota::EngineStorage;
use super::{CALL_TIMEOUT, labels};

pub struct Engine {
    pub docker: Docker,
    pub metrics: WorkerMetrics,
    /// CPUs of its machine, in thousandths.
    pub cpu_milli: u64,
    pub facts: EngineFacts,
    /// Whether containers outlived it when it was connected to.
    pub live_restore: bool,
    pub storage: EngineStorage,
    /// A user of a container is another one on the machine.
    pub maps_users: bool,
}

impl Engine {
    pub async fn connect(socket: &Path, metrics: WorkerMetrics) -> Result<Engine, Error> {
        let path = super::shown(socket);
        let docker = Docker::connect_with_unix(&path, CALL_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION)?;
        let docker = docker.negotiate_version().await?;
        let info = docker.info().await?;
        let cpus = info.ncpu.and_then(|n| u64::try_from(n).ok()).unwrap_or(1).max(1);
        let options = info.security_options.unwrap_or_default();
        let has_option = |name: &str| options.iter().any(|o| o.contains(name));
        let facts = EngineFacts {
            cgroup_driver: info.cgroup_driver.map(|d| d.to_string()).unwrap_or_default(),
            cgroup_version: info.cgroup_version.map(|v| v.to_string()).unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            host_name: info.name.unwrap_or_default(),
            rootless: has_option("rootless"),
        };
        let live_restore = info.live_restore_enabled == Some(true);
        let maps_users = has_option("rootless") || has_option("userns");
        let status = info.driver_status.unwrap_or_default();
        let backing = status.into_iter().find(|s| s.first().is_some_and(|name| name == "Backing Filesystem"));
        let storage = EngineStorage {
            driver: info.driver.unwrap_or_default(),
            backing: backing.and_then(|s| s.into_iter().nth(1)).unwrap_or_default(),
            root: info.docker_root_dir.unwrap_or_default(),
        };
        Ok(Engine { docker, metrics, cpu_milli: cpus * 1000, facts, live_restore, storage, maps_users })
    }

    /// Whether containers outlive it now.
    pub async fn has_live_restore(&self) -> Result<bool, Error> {
        Ok(self.timed("info", self.docker.info()).await?.live_restore_enabled == Some(true))
    }

    /// Whether it is there at all.
    pub async fn answers(&self) -> bool {
        let ping = tokio::time::timeout(limits::ENGINE_PING_MAX.as_duration(), self.docker.ping());
        ping.await.is_ok_and(|pong| pong.is_ok())
    }

    pub async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        self.timed("create", self.docker.create_container(Some(options), body)).await.map(|r| r.id)
    }

    pub async fn start(&self, id: &str) -> Result<(), Error> {
        self.timed("start", self.docker.start_container(id, None::<StartContainerOptions>)).await
    }

    /// By number. A container that does not run any more is no error.
    pub async fn signal(&self, id: &str, signal: u32) -> Result<(), Error> {
        let options = KillContainerOptions { signal: signal.to_string() };
        self.gone_is_fine(self.timed("stop", self.docker.kill_container(id, Some(options))).await)
    }

    /// With its volumes, also when it runs. A container that is not there is no error.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        self.gone_is_fine(self.timed("remove", self.docker.remove_container(id, Some(options))).await)
    }

    fn gone_is_fine(&self, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(e) if matches!(Fault::of(&e), Fault::NoSuchContainer | Fault::NotRunning) => Ok(()),
            other => other,
        }
    }

    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, Error> {
        self.timed("inspect", self.docker.inspect_container(id, None::<InspectContainerOptions>)).await
    }

    /// Bytes that a container has changed of its image's files, volumes aside. The engine counts them for this call.
    pub async fn layer_bytes(&self, id: &str) -> Result<u64, Error> {
        let options = InspectContainerOptions { size: true };
        let seen = self.timed("size", self.docker.inspect_container(id, Some(options))).await?;
        Ok(seen.size_rw.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    }

    /// What an image says of itself. `None`: it is not here, or this is no image's name.
    pub async fn image(&self, name: &str) -> Result<Option<Image>, Error> {
        if !is_plain(name) {
            return Ok(None);
        }
        let seen = match self.timed("image", self.docker.inspect_image(name)).await {
            Ok(seen) => seen,
            Err(Error::DockerResponseServerError { status_code: 300..=499, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let config = seen.config.unwrap_or_default();
        Ok(Some(Image {
            id: seen.id.unwrap_or_else(|| name.to_owned()),
            user: config.user.unwrap_or_default(),
            volumes: config.volumes.unwrap_or_default(),
        }))
    }

    /// All containers of one worker, whatever their state.
    pub async fn list(&self, cluster: &str, worker: &str) -> Result<Vec<ContainerSummary>, Error> {
        let options =
            ListContainersOptions { all: true, filters: Some(label_filter(cluster, worker)), ..Default::default() };
        self.timed("list", self.docker.list_containers(Some(options))).await
    }

    /// Every image that has a name or is no part of another.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, Error> {
        self.timed("images", self.docker.list_images(None::<ListImagesOptions>)).await
    }

    /// The images of all containers there are, whoever made them and whatever their state.
    pub async fn images_in_use(&self) -> Result<BTreeSet<String>, Error> {
        let options = ListContainersOptions { all: true, ..Default::default() };
        let all = self.timed("list", self.docker.list_containers(Some(options))).await?;
        Ok(all.into_iter().filter_map(|c| c.image_id).collect())
    }

    /// One name of an image; the image itself with its last name. The engine refuses while a container has it. A name that is not there is no
    /// error.
    pub async fn remove_image(&self, name: &str) -> Result<(), Error> {
        if !is_plain(name) {
            return Ok(());
        }
        let removing = self.docker.remove_image(name, None::<RemoveImageOptions>, None);
        match self.timed("remove_image", removing).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One of the same name is that one.
    pub async fn create_volume(&self, request: VolumeCreateRequest) -> Result<Volume, Error> {
        self.timed("volume", self.docker.create_volume(request)).await
    }

    /// Names of volumes that attempts of one worker had, and that no container has.
    pub async fn unused_volumes(&self, cluster: &str, worker: &str) -> Result<Vec<String>, Error> {
        let mut filters = label_filter(cluster, worker);
        filters.insert("dangling".to_owned(), vec!["true".to_owned()]);
        let options = ListVolumesOptions { filters: Some(filters) };
        let listed = self.timed("volumes", self.docker.list_volumes(Some(options))).await?;
        let ours = listed.volumes.unwrap_or_default().into_iter().filter(|v| v.labels.contains_key(labels::ATTEMPT));
        Ok(ours.map(|v| v.name).collect())
    }

    pub async fn remove_volume(&self, name: &str) -> Result<(), Error> {
        self.timed("volume_remove", self.docker.remove_volume(name, None::<RemoveVolumeOptions>)).await
    }

    async fn timed<T>(&self, op: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let begun = Instant::now();
        let result = call.await;
        self.metrics.op_seconds.with_label_values(&[op]).observe(begun.elapsed().as_secs_f64());
        let outcome = if result.is_ok() { "ok" } else { "error" };
        self.metrics.ops.with_label_values(&[op, outcome]).inc();
        result
    }
}

/// Whether a name is one part of a path and nothing else: it becomes part of an address.
fn is_plain(image: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b);
    image.bytes().all(known) && !image.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}

pub fn label_filter(cluster: &str, worker: &str) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{}={cluster}", labels::CLUSTER), format!("{}={worker}", labels::WORKER)];
    HashMap::from([("label".to_owned(), labels)])
}

/// The engine's RFC 3339 times in nanoseconds since the epoch; `None`: unreadable, or its "never" (year 1).
pub fn nanoseconds(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    u64::try_from(at).ok()
}

/// Milliseconds; 0 for "never".
pub fn timestamp(text: Option<&str>) -> Timestamp {
    Timestamp(text.and_then(nanoseconds).unwrap_or(0) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_an_image_asks_for_something_else() {
        for good in ["busybox", "reg:5000/team/x:1", "x@sha256:abc", "cloudai/busybox", "sha256:0a1b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "../containers/abc", "a/./b", "a//b", "/a", "a/", "a?b", "a#b", "a%2e", "a b", "UPPER//x"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn the_engines_times_are_read() {
        assert_eq!(timestamp(Some("2026-11-24T02:37:56.123456789Z")), Timestamp(1_795_487_876_123));
        assert_eq!(timestamp(Some("0001-01-01T00:00:00Z")), Timestamp(0));
        assert_eq!(timestamp(Some("x")), Timestamp(0));
        assert_eq!(timestamp(None), Timestamp(0));
    }
}
