//! Secrets as files, for containers. Comes in: a folder's name, values, who is to read them. Goes out: a folder in memory that a container can
//! mount; nothing left of it when the attempt is over.
//!
//! All of a worker's folders lie in one that only the worker's own user enters: whoever else is on the machine finds nothing, whatever the
//! files' own modes are. A folder in memory never reaches a disk, unless the machine swaps.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Where machines have a folder in memory.
pub const IN_MEMORY: &str = "/dev/shm";
/// File systems that have no disk.
const MEMORY_KINDS: [&str; 2] = ["tmpfs", "ramfs"];

pub struct SecretFiles {
    dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{} is not in memory ({kind}), and secrets are written to no disk; name a folder on a tmpfs as secrets_dir", path.display())]
    OnDisk { path: PathBuf, kind: String },
    #[error("{} belongs to somebody else, or others may enter it; remove it", .0.display())]
    Foreign(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl SecretFiles {
    /// Makes nothing yet: a worker whose tasks use none needs no such folder.
    pub fn new(base: &Path, cluster: &str, worker: &str) -> Self {
        let base = if base.as_os_str().is_empty() { Path::new(IN_MEMORY) } else { base };
        SecretFiles { dir: base.join(format!("cloudai-{cluster}-{worker}")) }
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes the folders of an earlier run that nobody uses any more. What cannot be removed is tried again at the next start.
    pub fn tidy_up(&self, kept: &BTreeSet<String>) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
            if !is_kept && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "secrets of an earlier attempt are left");
            }
        }
    }

    /// Readable for `owner` and nobody else; `None`, and where this worker may not give files away: for everybody who comes so far, which
    /// is the container alone. May be repeated, also while a container has the folder.
    pub fn place(
        &self,
        name: &str,
        files: &[(String, Zeroizing<Vec<u8>>)],
        owner: Option<u32>,
    ) -> Result<(), PlaceError> {
        self.make_dir()?;
        let folder = self.folder(name);
        let failed = |source| PlaceError::Io { path: folder.clone(), source };
        make(&folder, 0o755).map_err(failed)?;
        // Whatever this process's mask is: the container's user comes in.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        for (file, value) in files {
            write(&folder, file, value, owner).map_err(failed)?;
        }
        Ok(())
    }

    /// Nothing there is no error.
    pub fn remove(&self, name: &str) {
        let folder = self.folder(name);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %folder.display(), "secrets of an attempt are left; the next start removes them");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// A worker that stops leaves no folder, unless one is in use.
    pub fn close(&self) {
        // It is not empty, or it never was.
        let _ = fs::remove_dir(&self.dir);
    }

    fn make_dir(&self) -> Result<(), PlaceError> {
        let failed = |source| PlaceError::Io { path: self.dir.clone(), source };
        make(&self.dir, 0o700).map_err(failed)?;
        // Everybody may make folders in `/dev/shm`: this one must be ours.
        let found = fs::symlink_metadata(&self.dir).map_err(failed)?;
        let ours = fs::metadata("/proc/self").map_err(failed)?.uid();
        if !found.is_dir() || found.uid() != ours || found.mode() & 0o077 != 0 {
            return Err(PlaceError::Foreign(self.dir.clone()));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(failed)?;
        let real = self.dir.canonicalize().map_err(failed)?;
        match file_system_of(&mounts, &real) {
            Some(kind) if MEMORY_KINDS.contains(&kind) => Ok(()),
            kind => Err(PlaceError::OnDisk { path: real, kind: kind.unwrap_or("unknown").to_owned() }),
        }
    }
}

fn make(folder: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Beside its place first, so that a container that has the folder never sees half of it. No secret's file begins with a dot.
fn write(folder: &Path, file: &str, value: &[u8], owner: Option<u32>) -> io::Result<()> {
    let beside = folder.join(".new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&beside)?;
    opened.write_all(value)?;
    let is_given = owner.is_some_and(|uid| chown(&beside, Some(uid), None).is_ok());
    if !is_given {
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o444))?;
    }
    fs::rename(&beside, folder.join(file))
}

/// The kind of the file system that a path lies on, by the kernel's list of mounts: the innermost, and of those at one place the last.
fn file_system_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let lines = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        // What the kernel escapes (spaces, for example) is no prefix of a path; such a place is simply not found.
        Some((Path::new(words.next()?), words.next()?))
    });
    let around = lines.filter(|(place, _)| path.starts_with(place));
    around.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, value: &str) -> (String, Zeroizing<Vec<u8>>) {
        (name.to_owned(), Zeroizing::new(value.into()))
    }

    /// On a machine without `/dev/shm` there is nothing to test.
    fn in_memory() -> Option<tempfile::TempDir> {
        let dir = tempfile::tempdir_in(IN_MEMORY).ok();
        if dir.is_none() {
            eprintln!("NOT RUN: {IN_MEMORY} cannot be written to here");
        }
        dir
    }

    #[test]
    fn the_innermost_file_system_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\nshm /dev/shm tmpfs rw 0 0\n/dev/vdb /dev/shm/disk xfs rw 0 0\nx /a\\040b tmpfs rw 0 0\n";
        let of = |path: &str| file_system_of(mounts, Path::new(path));
        assert_eq!(
            (of("/dev/shm/x"), of("/dev/shmx"), of("/dev/shm/disk/y")),
            (Some("tmpfs"), Some("ext4"), Some("xfs"))
        );
        assert_eq!((of("/a b/c"), file_system_of("", Path::new("/"))), (Some("ext4"), None));
        assert_eq!(file_system_of("a / ext4 rw\nb / tmpfs rw\n", Path::new("/x")), Some("tmpfs"), "mounted over");
    }

    #[test]
    fn files_are_for_one_user_and_gone_in_the_end() {
        let Some(base) = in_memory() else { return };
        let files = SecretFiles::new(base.path(), "c0ffee", "w1");
        files.remove("a");
        files
            .place(
                "a",
                &[secret("token", "canary"), secret("empty", "")],
                Some(fs::metadata("/proc/self").unwrap().uid()),
            )
            .unwrap();
        let token = files.folder("a").join("token");
        assert_eq!(fs::metadata(&token).unwrap().mode() & 0o777, 0o400);
        assert_eq!(fs::metadata(base.path().join("cloudai-c0ffee-w1")).unwrap().mode() & 0o777, 0o700);
        // Again, with another value and for whoever the image's user may be.
        files.place("a", &[secret("token", "other")], None).unwrap();
        assert_eq!(
            (fs::read(&token).unwrap(), fs::metadata(&token).unwrap().mode() & 0o777),
            (b"other".to_vec(), 0o444)
        );
        assert_eq!(fs::read_dir(files.folder("a")).unwrap().count(), 2, "and nothing beside them");
        files.place("b", &[secret("token", "b")], None).unwrap();
        files.tidy_up(&BTreeSet::from(["b".to_owned()]));
        assert!(!files.folder("a").exists() && files.folder("b").join("token").exists());
        files.remove("b");
        assert_eq!(fs::read_dir(base.path().join("cloudai-c0ffee-w1")).unwrap().count(), 0);
    }

    #[test]
    fn somebody_elses_folder_and_a_disk_are_refused() {
        let Some(base) = in_memory() else { return };
        let files = SecretFiles::new(base.path(), "c", "w1");
        std::os::unix::fs::symlink(base.path(), base.path().join("cloudai-c-w1")).unwrap();
        assert!(matches!(files.place("a", &[], None), Err(PlaceError::Foreign(_))), "a link leads elsewhere");
        let open = SecretFiles::new(base.path(), "c", "w2");
        fs::create_dir(base.path().join("cloudai-c-w2")).unwrap();
        fs::set_permissions(base.path().join("cloudai-c-w2"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(open.place("a", &[], None), Err(PlaceError::Foreign(_))), "others may enter it");
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        if file_system_of(&mounts, &disk.path().canonicalize().unwrap())
            .is_some_and(|kind| MEMORY_KINDS.contains(&kind))
        {
            eprintln!("NOT RUN: the sources lie in memory here, so there is no disk to refuse");
            return;
        }
        let on_disk = SecretFiles::new(disk.path(), "c", "w1");
        assert!(matches!(on_disk.place("a", &[secret("t", "canary")], None), Err(PlaceError::OnDisk { .. })));
        assert!(!on_disk.folder("a").exists(), "nothing was written");
    }
}
