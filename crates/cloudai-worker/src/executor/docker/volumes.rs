//! Volumes of an attempt as mounts of its container. Comes in: a spec that the policy has let through. Goes out: mounts; named volumes that
//! were not there are made first. Shares of a server are volumes without a name: the engine makes them with the container, and they go with
//! it. What is left of them, because somebody else removed their container, is swept when a worker starts. Named ones stay.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::models::{
    Mount, MountTmpfsOptions, MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, VolumeCreateRequest,
};
use cloudai_types::volume::{NFS_OPTIONS_DEFAULT, Volume, VolumeKind};
use cloudai_types::{AttemptId, EndReason, ReasonKind};

use super::faults::Fault;
use super::{Shared, Start, labels};

/// On a named volume as on a container, so that nobody takes another one's for it.
pub use super::labels::NAMESPACE;
pub const VOLUME: &str = "cloudai.volume";
/// Everybody may write there, and remove only what is theirs: two tasks need not be the same user.
const MODE: u32 = 0o1777;

/// The engine's name of a named volume. The length tells apart where the namespace ends: names may hold every character that an engine allows.
pub fn engine_name(cluster: &str, namespace: &str, name: &str) -> String {
    format!("cloudai-{cluster}-{}-{namespace}-{name}", namespace.len())
}

/// Made where they must be, or why not.
pub async fn mounts(shared: &Arc<Shared>, start: &Start) -> Result<Vec<Mount>, EndReason> {
    let mut mounts = vec![];
    for volume in &start.spec.volumes {
        let source = match VolumeKind::try_from(volume.kind) {
            Ok(VolumeKind::Named) => Some(make(shared, &start.spec.namespace, &volume.name).await?),
            Ok(VolumeKind::Nfs | VolumeKind::Tmpfs) | Err(_) => None,
        };
        mounts.push(mount(&shared.options.cluster, &shared.options.worker, start.attempt, volume, source));
    }
    Ok(mounts)
}

/// Again: it is there. One of that name that is not this namespace's is nobody's to use.
async fn make(shared: &Shared, namespace: &str, name: &str) -> Result<String, EndReason> {
    let ours = HashMap::from([
        (labels::CLUSTER.to_owned(), shared.options.cluster.clone()),
        (NAMESPACE.to_owned(), namespace.to_owned()),
        (VOLUME.to_owned(), name.to_owned()),
    ]);
    let engine_name = engine_name(&shared.options.cluster, namespace, name);
    let request = VolumeCreateRequest {
        name: Some(engine_name.clone()),
        driver: Some("local".to_owned()),
        labels: Some(ours.clone()),
        ..Default::default()
    };
    let made = shared.engine.create_volume(request).await;
    let made = made.map_err(|e| Fault::of(&e).into_reason(&engine_name))?;
    if ours.iter().any(|(key, value)| made.labels.get(key) != Some(value)) || made.driver != "local" {
        let text = format!("a volume named {engine_name} is there that no worker of this cluster made; remove it");
        return Err(EndReason::new(ReasonKind::EngineError, text));
    }
    let folder = PathBuf::from(made.mountpoint);
    let opened = tokio::task::spawn_blocking(move || open_to_all(&folder)).await;
    if let Ok(Err(error)) = opened {
        tracing::warn!(volume = engine_name, %error, "a new volume stays its engine's own: only root, or whom the image's folder belongs to, may write to it");
    }
    Ok(engine_name)
}

/// A new one is root's alone. One that has another owner or other rights was used, and stays as it is.
fn open_to_all(folder: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(folder)?;
    let is_new = meta.is_dir() && meta.uid() == 0 && meta.permissions().mode() & 0o7777 == 0o755;
    if is_new && std::fs::read_dir(folder)?.next().is_none() {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(MODE))?;
    }
    Ok(())
}

/// `source`: the engine's name of a named one.
fn mount(cluster: &str, worker: &str, attempt: AttemptId, volume: &Volume, source: Option<String>) -> Mount {
    let target = Some(volume.target.clone());
    match VolumeKind::try_from(volume.kind) {
        Ok(VolumeKind::Tmpfs) => Mount {
            target,
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: Some(i64::try_from(volume.size_bytes).unwrap_or(i64::MAX)),
                mode: Some(i64::from(MODE)),
                ..Default::default()
            }),
            ..Default::default()
        },
        Ok(VolumeKind::Nfs) => Mount {
            target,
            typ: Some(MountType::VOLUME),
            // An engine takes no word about reading only for a volume without a name: the mount's own options say it.
            volume_options: Some(MountVolumeOptions {
                // What the image has there is not written to the server.
                no_copy: Some(true),
                labels: Some(HashMap::from([
                    (labels::CLUSTER.to_owned(), cluster.to_owned()),
                    (labels::WORKER.to_owned(), worker.to_owned()),
                    (labels::ATTEMPT.to_owned(), attempt.to_string()),
                ])),
                driver_config: Some(MountVolumeOptionsDriverConfig {
                    name: Some("local".to_owned()),
                    options: Some(nfs_options(volume)),
                }),
                ..Default::default()
            }),
            ..Default::default()
        },
        Ok(VolumeKind::Named) | Err(_) => Mount {
            target,
            source,
            typ: Some(MountType::VOLUME),
            read_only: Some(volume.read_only),
            ..Default::default()
        },
    }
}

/// As the engine's local driver mounts it. No file of the server becomes a device or gives another user's rights here.
fn nfs_options(volume: &Volume) -> HashMap<String, String> {
    let options = if volume.options.is_empty() { NFS_OPTIONS_DEFAULT } else { &volume.options };
    let access = if volume.read_only { "ro" } else { "rw" };
    let all = format!("addr={},{access},nosuid,nodev,{options}", volume.server);
    HashMap::from([
        ("type".to_owned(), "nfs".to_owned()),
        ("device".to_owned(), format!(":{}", volume.path)),
        ("o".to_owned(), all),
    ])
}

/// Shares whose container somebody else has removed.
pub async fn tidy_up(shared: &Shared) {
    let left = match shared.engine.unused_volumes(&shared.options.cluster, &shared.options.worker).await {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(%error, "volumes that an earlier run left cannot be listed; the next start looks again");
            return;
        }
    };
    for name in left {
        match shared.engine.remove_volume(&name).await {
            Ok(()) => tracing::info!(volume = name, "a volume that an earlier run left was removed"),
            Err(error) => tracing::warn!(volume = name, %error, "a volume of an earlier run cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn no_two_namespaces_share_a_name() {
        let name = |namespace, name| engine_name("c0ffee00c0ffee00", namespace, name);
        assert_eq!(name("default", "cache"), "cloudai-c0ffee00c0ffee00-7-default-cache");
        assert_ne!(name("a-b", "c"), name("a", "b-c"));
        assert_ne!(name("a-1-b", "c"), name("a", "1-b-c"));
    }

    #[test]
    fn each_kind_is_mounted_as_the_engine_wants_it() {
        let of = |volume: Volume, source: Option<&str>| {
            mount("c0ffee", "w1", AttemptId::new(JobId(1), 4, 2), &volume, source.map(str::to_owned))
        };
        let named = Volume { name: "cache".into(), target: "/c".into(), read_only: true, ..Volume::default() };
        let m = of(named, Some("cloudai-x"));
        assert_eq!((m.typ, m.source.as_deref(), m.read_only), (Some(MountType::VOLUME), Some("cloudai-x"), Some(true)));
        let kind = VolumeKind::Tmpfs as i32;
        let m = of(Volume { kind, target: "/t".into(), size_bytes: 1 << 20, ..Volume::default() }, None);
        let options = m.tmpfs_options.unwrap();
        assert_eq!((m.typ, options.size_bytes, options.mode), (Some(MountType::TMPFS), Some(1 << 20), Some(0o1777)));
        let nfs = Volume {
            kind: VolumeKind::Nfs as i32,
            target: "/n".into(),
            server: "nas.lan".into(),
            path: "/export/a".into(),
            ..Volume::default()
        };
        let m = of(Volume { read_only: true, options: "vers=3,nolock".into(), ..nfs.clone() }, None);
        assert_eq!(
            (m.typ, m.source, m.read_only),
            (Some(MountType::VOLUME), None, None),
            "no name: it goes with the container"
        );
        let options = m.volume_options.unwrap();
        assert_eq!(options.no_copy, Some(true));
        assert_eq!(options.labels.unwrap()[labels::ATTEMPT], AttemptId::new(JobId(1), 4, 2).to_string());
        let driver = options.driver_config.unwrap();
        assert_eq!(driver.name.as_deref(), Some("local"));
        let o = driver.options.unwrap();
        assert_eq!((o["type"].as_str(), o["device"].as_str()), ("nfs", ":/export/a"));
        assert_eq!(o["o"], "addr=nas.lan,ro,nosuid,nodev,vers=3,nolock");
        assert_eq!(nfs_options(&nfs)["o"], "addr=nas.lan,rw,nosuid,nodev,vers=4");
    }

    #[test]
    fn a_new_volume_is_opened_to_all_and_a_used_one_is_left_as_it_is() {
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            eprintln!("NOT RUN: only root owns what an engine makes; run the tests as root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let make = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        };
        let (new, closed, used) = (make("new", 0o755), make("closed", 0o700), make("used", 0o755));
        std::fs::write(used.join("x"), "x").unwrap();
        for path in [&new, &closed, &used] {
            open_to_all(path).unwrap();
        }
        assert_eq!((mode(&new), mode(&closed), mode(&used)), (0o1777, 0o700, 0o755));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(make("else", 0o755), &link).unwrap();
        open_to_all(&link).unwrap();
        assert_eq!(mode(&dir.path().join("else")), 0o755, "a link is not followed");
    }
}
