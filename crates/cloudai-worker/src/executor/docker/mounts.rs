//! Which host paths tasks may see. Comes in: the operator's list, and what a spec asks for. Goes out: resolved paths, or a refusal.
//!
//! Links are resolved on both sides before they are compared, and the container gets the resolved path. The engine's socket is in no container,
//! whatever the list says: who can speak to the engine is root on this machine, also by a read-only mount.
//!
//! Below a path that tasks may write to nothing is mounted, only the path itself: whoever writes there could exchange a folder for a link
//! between the moment at which it is looked at and the moment at which the engine follows it.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use bollard::models::{Mount, MountType};
use cloudai_types::spec;

use crate::allowed_mount::AllowedMount;

/// Where engines listen, beside where this worker was told.
const SOCKETS: [&str; 3] = ["/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"];

pub struct AllowedMounts {
    /// Resolved.
    allowed: Vec<AllowedMount>,
    /// Neither these nor what is around them.
    sockets: Vec<PathBuf>,
}

impl AllowedMounts {
    /// Fails with the path that is not there.
    pub fn resolve(listed: &[AllowedMount], socket: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let resolve = |m: &AllowedMount| {
            let path = m.path.canonicalize().map_err(|e| (m.path.clone(), e))?;
            Ok(AllowedMount { path, write: m.write })
        };
        let mut sockets = SOCKETS.map(PathBuf::from).to_vec();
        sockets.push(socket.canonicalize().unwrap_or_else(|_| socket.to_owned()));
        Ok(AllowedMounts { allowed: listed.iter().map(resolve).collect::<Result<_, _>>()?, sockets })
    }

    /// Bind mounts, read-only unless more is asked and allowed, or why one is refused.
    pub fn check(&self, wanted: &[spec::Mount]) -> Result<Vec<Mount>, String> {
        wanted.iter().map(|m| self.check_one(m)).collect()
    }

    fn check_one(&self, wanted: &spec::Mount) -> Result<Mount, String> {
        let source = &wanted.source;
        let refused =
            || format!("mount {source}: this worker does not allow it; its operator lists paths in allowed_mounts");
        let resolved = match Path::new(source).canonicalize() {
            Ok(p) => p,
            // Whether a path exists is nobody's business where it is not allowed.
            Err(_) if !self.allowed.iter().any(|a| Path::new(source).starts_with(&a.path)) => return Err(refused()),
            Err(e) => return Err(format!("mount {source}: {e} on this worker")),
        };
        if !self.allowed.iter().any(|allowed| resolved.starts_with(&allowed.path)) {
            return Err(refused());
        }
        if let Some(above) =
            self.allowed.iter().find(|a| a.write && resolved != a.path && resolved.starts_with(&a.path))
        {
            let above = above.path.display();
            return Err(format!(
                "mount {source}: tasks may write to {above}, so nothing below it can be mounted safely; mount {above} itself"
            ));
        }
        if wanted.write && !self.allowed.iter().any(|a| a.write && resolved == a.path) {
            return Err(format!(
                "mount {source}: this worker allows it read-only; leave write out, or have its operator allow that path (allowed_mounts: path and write = true)"
            ));
        }
        let is_socket = resolved.metadata().is_ok_and(|m| m.file_type().is_socket());
        if is_socket || self.sockets.iter().any(|s| s.starts_with(&resolved)) {
            return Err(format!(
                "mount {source}: a container engine listens there or below it, and no task may speak to one; mount a folder that holds only data"
            ));
        }
        let text = resolved.to_str().ok_or_else(|| format!("mount {source}: the path is not UTF-8"))?;
        Ok(Mount {
            target: Some(wanted.target.clone()),
            source: Some(text.to_owned()),
            typ: Some(MountType::BIND),
            read_only: Some(!wanted.write),
            ..Default::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_resolves_inside_an_allowed_path_is_mounted_and_only_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
        for d in [&open, &shut] {
            std::fs::create_dir(d).unwrap();
            std::fs::write(d.join("file"), "x").unwrap();
        }
        std::os::unix::fs::symlink(&shut, open.join("link")).unwrap();
        std::os::unix::fs::symlink(&open, dir.path().join("alias")).unwrap();
        let listed = [dir.path().join("alias").into()];
        let allowed = AllowedMounts::resolve(&listed, Path::new("/run/docker.sock")).unwrap();
        let check = |source: PathBuf| {
            let source = source.to_str().unwrap().to_owned();
            allowed.check(&[spec::Mount { source, target: "/in".into(), write: false }])
        };
        let mounts = check(open.join("file")).unwrap();
        assert_eq!(mounts[0].read_only, Some(true));
        assert_eq!(mounts[0].source.as_deref(), open.canonicalize().unwrap().join("file").to_str());
        check(open.clone()).unwrap();
        for bad in [shut.join("file"), open.join("link"), open.join("link/file"), open.join("../shut"), "/etc".into()] {
            assert!(check(bad.clone()).unwrap_err().contains("does not allow"), "{}", bad.display());
        }
        assert!(check(shut.join("absent")).unwrap_err().contains("does not allow"));
        // A prefix of the name is not a parent.
        std::fs::create_dir(dir.path().join("opener")).unwrap();
        assert!(check(dir.path().join("opener")).is_err());
        let absent = [dir.path().join("absent").into()];
        assert!(AllowedMounts::resolve(&absent, Path::new("/run/docker.sock")).is_err());
    }

    #[test]
    fn what_may_be_written_to_is_the_listed_path_itself_and_nothing_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let (reads, writes) = (dir.path().join("reads"), dir.path().join("writes"));
        for d in [&reads, &writes, &writes.join("below")] {
            std::fs::create_dir(d).unwrap();
        }
        std::os::unix::fs::symlink(&writes, dir.path().join("alias")).unwrap();
        std::os::unix::fs::symlink(&reads, writes.join("out")).unwrap();
        let listed = [reads.clone().into(), AllowedMount { path: writes.clone(), write: true }];
        let allowed = AllowedMounts::resolve(&listed, Path::new("/run/docker.sock")).unwrap();
        let check = |source: &Path, write| {
            let source = source.to_str().unwrap().to_owned();
            allowed.check(&[spec::Mount { source, target: "/in".into(), write }]).map(|m| m[0].read_only)
        };
        assert_eq!(check(&writes, true), Ok(Some(false)));
        assert_eq!(check(&dir.path().join("alias"), true), Ok(Some(false)), "by its resolved path");
        assert_eq!(check(&writes, false), Ok(Some(true)));
        assert_eq!(check(&reads, false), Ok(Some(true)));
        assert!(check(&reads, true).unwrap_err().contains("allows it read-only"));
        assert!(check(&writes.join("out"), true).unwrap_err().contains("allows it read-only"), "through a link");
        for write in [true, false] {
            assert!(check(&writes.join("below"), write).unwrap_err().contains("itself"));
            assert!(check(Path::new("/etc"), write).unwrap_err().contains("does not allow"));
        }
    }

    /// Whoever reaches the engine is root, and a read-only mount of a socket can be written to.
    #[test]
    fn the_engines_socket_is_in_no_container() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        std::fs::create_dir_all(run.join("data")).unwrap();
        let _engine = std::os::unix::net::UnixListener::bind(run.join("engine.sock")).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(run.join("other.sock")).unwrap();
        std::os::unix::fs::symlink(run.join("engine.sock"), dir.path().join("link.sock")).unwrap();
        let socket = dir.path().join("link.sock");
        let allowed = AllowedMounts::resolve(&[PathBuf::from("/").into()], &socket).unwrap();
        let check = |source: &Path| {
            let source = source.to_str().unwrap().to_owned();
            allowed.check(&[spec::Mount { source, target: "/in".into(), write: false }])
        };
        let around = [run.clone(), dir.path().to_owned(), PathBuf::from("/")];
        for bad in [run.join("engine.sock"), socket.clone(), run.join("other.sock")].into_iter().chain(around) {
            assert!(check(&bad).unwrap_err().contains("engine listens there"), "{}", bad.display());
        }
        check(&run.join("data")).unwrap();
    }
}
