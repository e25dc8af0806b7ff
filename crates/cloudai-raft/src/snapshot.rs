//! Checkpoints on this master's disk. Comes in: jobs that write one, directories that were received. Goes out: the
//! newest one, alive for as long as somebody reads it. Layout of the snapshots directory:
//!
//! ```text
//! 00000000000000051234-7-3/mark       the encoded mark (applied index, membership)
//! 00000000000000051234-7-3/files      names, sizes and checksums (`snapshot_files.rs`)
//! 00000000000000051234-7-3/data/…     flat files, the application's
//! tmp-…                               unfinished; removed at the next start
//! ```
//!
//! Knows nothing of what the files contain, nor of how they travel (`snapshot_stream.rs`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::application::CheckpointJob;
use crate::codec::{self, FileMsg};
use crate::failpoint::Failpoint;
use crate::runtime::blocking_some_time;
use crate::snapshot_files;
use crate::types::SnapshotMeta;

/// One complete checkpoint. The directory is removed when the last holder drops it, unless it is the newest.
#[derive(Debug)]
pub struct SnapshotDir {
    dir: PathBuf,
    mark: Bytes,
    /// Set while it is the newest one. Written by `Snapshots::adopt` only.
    kept: AtomicBool,
    /// Names, sizes and checksums: as noted when it was made, or else computed for the first transfer.
    files: OnceLock<Vec<FileMsg>>,
}

impl SnapshotDir {
    /// The application's files.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The list of files, by `list` if it is not known yet.
    pub(crate) fn files(&self, list: impl FnOnce(&Path) -> io::Result<Vec<FileMsg>>) -> io::Result<&Vec<FileMsg>> {
        if let Some(known) = self.files.get() {
            return Ok(known);
        }
        let listed = list(&self.data())?;
        Ok(self.files.get_or_init(|| listed))
    }

    fn new(dir: PathBuf, mark: Bytes, kept: bool, files: Option<Vec<FileMsg>>) -> SnapshotDir {
        let files = files.map_or_else(OnceLock::new, OnceLock::from);
        SnapshotDir { dir, mark, kept: AtomicBool::new(kept), files }
    }

    /// Whether all files are as they were written, as far as that was noted. Reads all of them.
    pub(crate) fn verify(&self) -> io::Result<()> {
        self.files.get().map_or(Ok(()), |files| snapshot_files::verify(&self.data(), files))
    }

    /// The mark that was read from inside the checkpoint.
    pub fn mark(&self) -> &Bytes {
        &self.mark
    }

    pub(crate) fn meta(&self) -> io::Result<SnapshotMeta> {
        let (last_log_id, last_membership) = codec::mark_from(self.mark.clone())?;
        Ok(SnapshotMeta { last_log_id, last_membership })
    }
}

impl Drop for SnapshotDir {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        let dir = std::mem::take(&mut self.dir);
        // Unlinking large files takes a while; keep it off the runtime's threads where there is one.
        let remove = move || {
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(dir = %dir.display(), %error, "cannot remove an old checkpoint; the next start tries again");
            }
        };
        blocking_some_time(remove);
    }
}

/// The directory of checkpoints, and the newest one.
#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    newest: Mutex<Option<Arc<SnapshotDir>>>,
    /// Makes directory names unique; only grows.
    sequence: AtomicU64,
}

impl Snapshots {
    /// Clean up what a crash left, and find the newest complete checkpoint.
    pub fn open(dir: &Path) -> io::Result<Snapshots> {
        fs::create_dir_all(dir)?;
        let mut complete: Vec<((u64, u64), PathBuf)> = vec![];
        for item in fs::read_dir(dir)? {
            let path = item?.path();
            match parse_name(&path) {
                Some((index, sequence)) if path.join("mark").is_file() => complete.push(((index, sequence), path)),
                Some(_) | None => fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path))?,
            }
        }
        complete.sort();
        let next = complete.iter().map(|((_, sequence), _)| sequence + 1).max().unwrap_or(1);
        let newest = match complete.pop() {
            None => None,
            Some((_, path)) => {
                let mark = Bytes::from(fs::read(path.join("mark"))?);
                match snapshot_files::load(&path, &mark).and_then(|f| codec::mark_from(mark.clone()).map(|_| f)) {
                    Ok(files) => Some(Arc::new(SnapshotDir::new(path, mark, true, files))),
                    Err(error) => {
                        // It is a copy of what the state has; where it is not, the start finds the hole.
                        tracing::error!(%error, "a damaged checkpoint is removed; the next one takes its place");
                        fs::remove_dir_all(&path)?;
                        None
                    }
                }
            }
        };
        for (_, path) in complete {
            fs::remove_dir_all(&path)?;
        }
        Ok(Snapshots { dir: dir.to_owned(), newest: Mutex::new(newest), sequence: AtomicU64::new(next) })
    }

    /// The newest complete checkpoint.
    pub fn newest(&self) -> Option<Arc<SnapshotDir>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on `s` is the newest, unless there is a newer one; the one before goes when its last reader is done.
    pub fn adopt(&self, s: &Arc<SnapshotDir>) -> io::Result<()> {
        Failpoint::SnapshotAdopt.hit()?;
        let index_of = |s: &SnapshotDir| io::Result::Ok(s.meta()?.last_log_id.map(|id| id.index));
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = newest.as_ref() {
            if Arc::ptr_eq(old, s) || index_of(old)? > index_of(s)? {
                return Ok(());
            }
            old.kept.store(false, Ordering::Release);
        }
        s.kept.store(true, Ordering::Release);
        *newest = Some(s.clone());
        Ok(())
    }

    /// Run a checkpoint job and adopt what it wrote. Blocks.
    pub fn build(&self, job: CheckpointJob) -> io::Result<Arc<SnapshotDir>> {
        let tmp = self.temporary("build")?;
        let mark = job(&tmp.join("data")).inspect_err(|_| drop(fs::remove_dir_all(&tmp)))?;
        let before = self.newest();
        let known = before.as_ref().and_then(|b| Some((b.data(), b.files.get()?)));
        let known = known.as_ref().map(|(dir, files)| (dir.as_path(), files.as_slice()));
        let files = snapshot_files::list(&tmp.join("data"), known)?;
        let built = self.complete(&tmp, mark, files)?;
        self.adopt(&built)?;
        Ok(built)
    }

    /// A new, empty directory for a checkpoint in the making.
    pub fn temporary(&self, what: &str) -> io::Result<PathBuf> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let tmp = self.dir.join(format!("tmp-{what}-{sequence}"));
        fs::create_dir(&tmp)?;
        Ok(tmp)
    }

    /// Give a directory made by `temporary`, whose `data` is complete and synced, its mark and its final name. The
    /// result is removed when dropped, until it is adopted. Blocks.
    pub fn complete(&self, tmp: &Path, mark: Bytes, files: Vec<FileMsg>) -> io::Result<Arc<SnapshotDir>> {
        let (last, _) = codec::mark_from(mark.clone())?;
        let (index, term) = last.as_ref().map_or((0, 0), |id| (id.index, crate::types::term_of(id)));
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{index:020}-{term}-{sequence}"));
        write_synced(&tmp.join(snapshot_files::NAME), &snapshot_files::encode(&mark, &files))?;
        write_synced(&tmp.join("mark"), &mark)?;
        sync_dir(&tmp.join("data"))?;
        sync_dir(tmp)?;
        Failpoint::SnapshotComplete.hit()?;
        fs::rename(tmp, &path)?;
        Failpoint::SnapshotNamed.hit()?;
        sync_dir(&self.dir)?;
        Ok(Arc::new(SnapshotDir::new(path, mark, false, Some(files))))
    }
}

/// `INDEX-TERM-SEQUENCE` → index and sequence.
fn parse_name(path: &Path) -> Option<(u64, u64)> {
    let name = path.file_name()?.to_str()?;
    let mut parts = name.split('-').map(|p| p.parse::<u64>().ok());
    let (index, _term, sequence) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((index, sequence))
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut f = File::create(path)?;
    io::Write::write_all(&mut f, content)?;
    f.sync_all()
}

/// Make the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogId, StoredMembership};

    fn job(index: u64) -> CheckpointJob {
        Box::new(move |dir| {
            fs::create_dir(dir)?;
            fs::write(dir.join("f"), b"x")?;
            Ok(codec::mark(Some(&LogId::new_term_index(1, index)), &StoredMembership::default()))
        })
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut v: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        v.sort();
        v
    }

    #[test]
    fn keeps_the_newest_and_those_being_read() {
        let root = tempfile::tempdir().unwrap();
        let s = Snapshots::open(root.path()).unwrap();
        let reading = s.build(job(5)).unwrap();
        let newer = s.build(job(9)).unwrap();
        assert!(reading.data().join("f").exists(), "still being read");
        drop(reading);
        assert_eq!(names(root.path()).len(), 1);
        assert_eq!(s.newest().unwrap().mark(), newer.mark());
    }

    #[test]
    fn a_start_removes_what_a_crash_left_and_finds_the_newest() {
        let root = tempfile::tempdir().unwrap();
        let s = Snapshots::open(root.path()).unwrap();
        let kept = s.build(job(7)).unwrap();
        let _unfinished = s.temporary("recv").unwrap();
        fs::create_dir(root.path().join("00000000000000000099-1-1")).unwrap(); // no mark: not complete
        fs::write(root.path().join("rubbish"), b"").unwrap();
        let again = Snapshots::open(root.path()).unwrap();
        assert_eq!(names(root.path()).len(), 1);
        assert_eq!(again.newest().unwrap().mark(), kept.mark());
        let next = again.build(job(7)).unwrap();
        assert!(next.data().exists(), "the same index again gets another name");
    }

    #[test]
    fn a_damaged_mark_or_list_is_removed_and_a_damaged_file_is_found_when_it_is_read() {
        let damage = |path: &Path| {
            let mut raw = fs::read(path).unwrap();
            let at = raw.len() / 2;
            raw[at] ^= 1;
            fs::write(path, raw).unwrap();
        };
        for name in ["mark", "files"] {
            let root = tempfile::tempdir().unwrap();
            let made = Snapshots::open(root.path()).unwrap().build(job(7)).unwrap();
            damage(&made.dir.join(name));
            assert!(Snapshots::open(root.path()).unwrap().newest().is_none(), "{name}");
            assert!(names(root.path()).is_empty(), "{name}");
        }
        let root = tempfile::tempdir().unwrap();
        let made = Snapshots::open(root.path()).unwrap().build(job(7)).unwrap();
        made.verify().unwrap();
        damage(&made.data().join("f"));
        let again = Snapshots::open(root.path()).unwrap().newest().unwrap();
        let e = again.verify().unwrap_err().to_string();
        assert!(e.contains("f of a checkpoint") && e.contains(crate::error::DAMAGED), "{e}");
        // Made before there were notes: nothing to compare with.
        fs::remove_file(again.dir.join("files")).unwrap();
        Snapshots::open(root.path()).unwrap().newest().unwrap().verify().unwrap();
    }

    #[test]
    fn a_failed_job_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let s = Snapshots::open(root.path()).unwrap();
        s.build(Box::new(|dir| {
            fs::create_dir(dir)?;
            Err(io::Error::other("disk full"))
        }))
        .unwrap_err();
        assert!(names(root.path()).is_empty());
        assert!(s.newest().is_none());
    }
}
