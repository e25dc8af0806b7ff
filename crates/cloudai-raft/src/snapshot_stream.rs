//! How a checkpoint travels: one head frame (vote, mark, every file's name, size and checksum), then the files as
//! checksummed chunks in order. Comes in: a checkpoint directory, or frames. Goes out: frames, or a verified directory.
//! Whatever is missing, extra or damaged on the way is an error and leaves nothing behind.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cloudai_types::limits::{SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_FILES_MAX};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::{self, FileMsg, SnapshotChunk, SnapshotHead, bad};
use crate::failpoint::Failpoint;
use crate::snapshot::{SnapshotDir, Snapshots, sync_dir};
use crate::snapshot_files;
use crate::types::Vote;

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    crate::runtime::blocking(f).await?
}

// ---- Sending
// ----------------------------------------------------------------------------------------------------------

/// The frames of one checkpoint. An `Err` ends them; the directory stays alive until the stream is dropped.
pub fn frames(vote: Vote, snapshot: Arc<SnapshotDir>) -> BoxStream<'static, io::Result<Bytes>> {
    let start = async move {
        let s = snapshot.clone();
        let head = blocking(move || head(&vote, &s)).await?;
        let frame = codec::encode(&head);
        let sender = Sender { dir: snapshot.data(), files: head.files, at: 0, open: None, offset: 0, _alive: snapshot };
        let chunks = stream::try_unfold(sender, |mut sender| {
            blocking(move || Ok(sender.next_chunk()?.map(|c| (codec::encode(&c), sender))))
        });
        io::Result::Ok(stream::iter([Ok(frame)]).chain(chunks))
    };
    futures::TryStreamExt::try_flatten(stream::once(start)).boxed()
}

fn head(vote: &Vote, snapshot: &SnapshotDir) -> io::Result<SnapshotHead> {
    Failpoint::SnapshotSend.hit()?;
    let files = snapshot.files(|dir| snapshot_files::list(dir, None))?.clone();
    Ok(SnapshotHead { vote: Some(codec::vote(vote)), mark: snapshot.mark().clone(), files })
}

struct Sender {
    dir: PathBuf,
    files: Vec<FileMsg>,
    at: usize,
    open: Option<(File, Xxh3)>,
    offset: u64,
    _alive: Arc<SnapshotDir>,
}

impl Sender {
    fn next_chunk(&mut self) -> io::Result<Option<SnapshotChunk>> {
        loop {
            Failpoint::SnapshotSendChunk.hit()?;
            let Some(meta) = self.files.get(self.at) else { return Ok(None) };
            if self.offset == meta.size {
                // The other side would accept it: its checksums come from here.
                let hash = self.open.take().map_or_else(|| Xxh3::new().digest(), |(_, hash)| hash.digest());
                snapshot_files::check(meta, (meta.size, hash)).inspect_err(|error| {
                    tracing::error!(%error, "this master cannot send its checkpoint; the next one takes its place");
                })?;
                (self.at, self.open, self.offset) = (self.at + 1, None, 0);
                continue;
            }
            let (file, hash) = match &mut self.open {
                Some(open) => open,
                None => self.open.insert((File::open(self.dir.join(&meta.name))?, Xxh3::new())),
            };
            let size = (meta.size - self.offset).min(SNAPSHOT_CHUNK_BYTES_MAX as u64);
            let mut data = vec![0; size as usize];
            file.read_exact(&mut data)?;
            hash.update(&data);
            let chunk =
                SnapshotChunk { file: self.at as u32, offset: self.offset, xxh3: xxh3_64(&data), data: data.into() };
            self.offset += size;
            return Ok(Some(chunk));
        }
    }
}

// ---- Receiving
// --------------------------------------------------------------------------------------------------------

/// Receive one checkpoint: verified, synced and under its final name, but not yet adopted or installed.
pub async fn receive<S, E>(snapshots: &Arc<Snapshots>, mut frames: S) -> io::Result<(Vote, Arc<SnapshotDir>)>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: std::fmt::Display,
{
    let broken = |e: E| io::Error::new(io::ErrorKind::ConnectionAborted, e.to_string());
    let first = frames.next().await.ok_or_else(|| bad("a snapshot stream without a head"))?.map_err(broken)?;
    let head: SnapshotHead = codec::decode("snapshot head", first)?;
    let vote = codec::need_vote(head.vote)?;
    codec::mark_from(head.mark.clone())?;
    let s = snapshots.clone();
    let mut receiver = blocking(move || Receiver::create(&s, head)).await?;
    while let Some(frame) = frames.next().await {
        let chunk: SnapshotChunk = codec::decode("snapshot chunk", frame.map_err(broken)?)?;
        receiver = blocking(move || receiver.write(chunk)).await?;
    }
    let s = snapshots.clone();
    let received = blocking(move || receiver.finish(&s)).await?;
    Ok((vote, received))
}

struct Receiver {
    tmp: Tmp,
    head: SnapshotHead,
    at: usize,
    open: Option<(File, Xxh3)>,
    offset: u64,
}

/// Removes an unfinished directory.
struct Tmp(Option<PathBuf>);
impl Drop for Tmp {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            drop(fs::remove_dir_all(dir)); // else the next start does
        }
    }
}

/// A name that stays inside its directory.
fn check_name(name: &str) -> io::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(bad(format!("file name {name:?} in a snapshot")));
    }
    Ok(())
}

impl Receiver {
    fn create(snapshots: &Snapshots, head: SnapshotHead) -> io::Result<Receiver> {
        if head.files.len() > SNAPSHOT_FILES_MAX {
            return Err(bad(format!("{} files in a snapshot", head.files.len())));
        }
        let mut names = std::collections::BTreeSet::new();
        for f in &head.files {
            check_name(&f.name)?;
            if !names.insert(&f.name) {
                return Err(bad(format!("file {} twice in a snapshot", f.name)));
            }
        }
        Failpoint::SnapshotReceive.hit()?;
        let tmp = Tmp(Some(snapshots.temporary("recv")?));
        let mut receiver = Receiver { tmp, head, at: 0, open: None, offset: 0 };
        fs::create_dir(receiver.data())?;
        receiver.open_from_here()?;
        Ok(receiver)
    }

    fn data(&self) -> PathBuf {
        self.tmp.0.as_ref().expect("taken by `finish` only").join("data")
    }

    /// Create the file at `at`; finish it and go on while files are complete (empty ones are at once).
    fn open_from_here(&mut self) -> io::Result<()> {
        while let Some(meta) = self.head.files.get(self.at) {
            if self.open.is_none() {
                let file = File::options().write(true).create_new(true).open(self.data().join(&meta.name))?;
                self.open = Some((file, Xxh3::new()));
            }
            if self.offset < meta.size {
                return Ok(());
            }
            let (file, hash) = self.open.take().expect("opened above");
            if hash.digest() != meta.xxh3 {
                return Err(bad(format!("checksum of {} in a snapshot", meta.name)));
            }
            file.sync_all()?;
            (self.at, self.offset) = (self.at + 1, 0);
        }
        Ok(())
    }

    fn write(mut self, chunk: SnapshotChunk) -> io::Result<Receiver> {
        Failpoint::SnapshotReceiveChunk.hit()?;
        let meta = self.head.files.get(self.at).ok_or_else(|| bad("a snapshot chunk after the last file"))?;
        let in_place = chunk.file as usize == self.at && chunk.offset == self.offset;
        let fits = !chunk.data.is_empty() && self.offset + chunk.data.len() as u64 <= meta.size;
        if !in_place || !fits {
            return Err(bad(format!("a snapshot chunk of file {} at {} is out of order", chunk.file, chunk.offset)));
        }
        if xxh3_64(&chunk.data) != chunk.xxh3 {
            return Err(bad(format!("checksum of a snapshot chunk of {} at {}", meta.name, chunk.offset)));
        }
        let (file, hash) = self.open.as_mut().expect("open until it is complete");
        file.write_all(&chunk.data)?;
        hash.update(&chunk.data);
        self.offset += chunk.data.len() as u64;
        self.open_from_here()?;
        Ok(self)
    }

    fn finish(mut self, snapshots: &Snapshots) -> io::Result<Arc<SnapshotDir>> {
        if self.at < self.head.files.len() {
            return Err(bad("a snapshot stream that ended early"));
        }
        sync_dir(&self.data())?;
        let tmp = self.tmp.0.as_ref().expect("taken below only");
        let complete = snapshots.complete(tmp, self.head.mark.clone(), self.head.files.clone())?;
        self.tmp.0 = None;
        Failpoint::SnapshotReceived.hit()?;
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::types::{LogId, StoredMembership};

    fn mark() -> Bytes {
        codec::mark(Some(&LogId::new_term_index(3, 42)), &StoredMembership::default())
    }

    fn checkpoint(root: &Path) -> Arc<SnapshotDir> {
        let s = Snapshots::open(root).unwrap();
        s.build(Box::new(|dir| {
            fs::create_dir(dir)?;
            fs::write(dir.join("a.sst"), vec![7u8; SNAPSHOT_CHUNK_BYTES_MAX * 2 + 5])?;
            fs::write(dir.join("empty"), b"")?;
            fs::write(dir.join("CURRENT"), b"MANIFEST-000001")?;
            Ok(mark())
        }))
        .unwrap()
    }

    async fn sent() -> (tempfile::TempDir, Vec<Bytes>) {
        let root = tempfile::tempdir().unwrap();
        let s = checkpoint(root.path());
        let frames: Vec<io::Result<Bytes>> = frames(Vote::new_committed(3, 1), s).collect().await;
        let frames: Vec<Bytes> = frames.into_iter().map(|f| f.unwrap()).collect();
        (root, frames)
    }

    async fn received(frames: Vec<Bytes>) -> (tempfile::TempDir, io::Result<(Vote, Arc<SnapshotDir>)>) {
        let root = tempfile::tempdir().unwrap();
        let s = Arc::new(Snapshots::open(root.path()).unwrap());
        let r = receive(&s, stream::iter(frames.into_iter().map(Ok::<_, io::Error>))).await;
        (root, r)
    }

    async fn refused(frames: Vec<Bytes>, why: &str) {
        let (root, r) = received(frames).await;
        let e = r.expect_err(why);
        assert!(e.to_string().contains(why), "{e} should say {why}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left after: {why}");
    }

    #[tokio::test]
    async fn arrives_as_it_left() {
        let (_from, frames) = sent().await;
        assert!(frames.iter().all(|f| f.len() <= 1 << 20), "no frame above 1 MiB");
        assert_eq!(frames.len(), 1 + 3 + 1, "head, three chunks of a.sst, CURRENT; the empty file needs none");
        let (_to, r) = received(frames).await;
        let (vote, s) = r.unwrap();
        assert_eq!(vote, Vote::new_committed(3, 1));
        assert_eq!(s.mark(), &mark());
        assert_eq!(fs::read(s.data().join("a.sst")).unwrap(), vec![7u8; SNAPSHOT_CHUNK_BYTES_MAX * 2 + 5]);
        assert_eq!(fs::read(s.data().join("CURRENT")).unwrap(), b"MANIFEST-000001");
        assert_eq!(fs::read(s.data().join("empty")).unwrap(), b"");
    }

    #[tokio::test]
    async fn damage_is_refused_and_leaves_nothing() {
        let (_from, frames) = sent().await;
        let mut damaged = frames.clone();
        let mut chunk: SnapshotChunk = codec::decode("chunk", damaged[2].clone()).unwrap();
        let mut data = chunk.data.to_vec();
        data[99] ^= 1;
        chunk.data = data.into();
        damaged[2] = codec::encode(&chunk);
        refused(damaged.clone(), "checksum of a snapshot chunk").await;

        // The same damage with a chunk checksum that fits: the file's own checksum finds it.
        chunk.xxh3 = xxh3_64(&chunk.data);
        damaged[2] = codec::encode(&chunk);
        refused(damaged, "checksum of a.sst").await;
    }

    #[tokio::test]
    async fn damage_on_the_senders_disk_does_not_travel() {
        let root = tempfile::tempdir().unwrap();
        let s = checkpoint(root.path());
        let path = s.data().join("a.sst");
        let mut raw = fs::read(&path).unwrap();
        raw[SNAPSHOT_CHUNK_BYTES_MAX + 7] ^= 1;
        fs::write(&path, raw).unwrap();
        let frames: Vec<io::Result<Bytes>> = frames(Vote::new_committed(3, 1), s).collect().await;
        let e = frames.into_iter().find_map(Result::err).expect("the stream ends with an error");
        assert!(e.to_string().contains("a.sst of a checkpoint is not as it was written"), "{e}");
    }

    #[tokio::test]
    async fn missing_extra_and_swapped_frames_are_refused() {
        let (_from, frames) = sent().await;
        refused(frames[..frames.len() - 1].to_vec(), "ended early").await;
        refused(vec![], "without a head").await;
        let mut twice = frames.clone();
        twice.push(frames[frames.len() - 1].clone());
        refused(twice, "after the last file").await;
        let mut swapped = frames.clone();
        swapped.swap(1, 2);
        refused(swapped, "out of order").await;
    }

    #[tokio::test]
    async fn names_that_leave_the_directory_are_refused() {
        let (_from, frames) = sent().await;
        for name in ["../x", "a/b", "", ".hidden", "a\0b", "a.sst"] {
            let mut head: SnapshotHead = codec::decode("head", frames[0].clone()).unwrap();
            let last = head.files.len() - 1;
            head.files[last].name = name.into();
            if name == "a.sst" {
                head.files[0].name = name.into();
            }
            let mut bad = frames.clone();
            bad[0] = codec::encode(&head);
            refused(bad, if name == "a.sst" { "twice" } else { "file name" }).await;
        }
    }
}
