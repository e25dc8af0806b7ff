//! Reads one attempt's log, whole or from its last lines on, and follows it while it is written. Nothing polls: the writer says
//! how far it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::file::{Frame, MAGIC, parse};
use super::store::Progress;

/// One read; a longer frame is read in one piece of its own.
const READ_BYTES: usize = 256 << 10;
const FRAME_BYTES: usize = (1 << 20) + 64;

/// Why there is no log to read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("this worker has no log of that attempt: it was never written here, or it was removed because of its age")]
    NotFound,
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
}

pub struct LogReader {
    path: PathBuf,
    file: Option<Arc<File>>,
    at: u64,
    /// `None`: nobody writes it any more.
    progress: Option<watch::Receiver<Progress>>,
}

impl LogReader {
    pub(super) async fn open(
        path: PathBuf,
        progress: Option<watch::Receiver<Progress>>,
    ) -> Result<LogReader, OpenError> {
        let mut reader = LogReader { path, file: None, at: MAGIC.len() as u64, progress };
        if !reader.try_open()? && reader.progress.is_none() {
            return Err(OpenError::NotFound);
        }
        Ok(reader)
    }

    fn try_open(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(Arc::new(file)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Begins at the last `lines` lines of what is there now; 0: at the beginning.
    pub async fn skip_to_tail(&mut self, lines: u32) -> io::Result<()> {
        if lines == 0 || !self.try_open()? {
            return Ok(());
        }
        // The engine gives a frame per line, so frames are what can be skipped; a frame with several lines shows them all.
        let mut frames = vec![];
        while let Some(batch) = self.read().await? {
            for frame in batch {
                let newlines = frame.data.iter().filter(|b| **b == b'\n').count();
                frames.push((frame.encoded_len(), newlines, frame.data.ends_with(b"\n")));
            }
        }
        let (mut at, mut shown) = (self.at, 0);
        for (i, (len, newlines, whole)) in frames.iter().enumerate().rev() {
            let last_is_unfinished = i + 1 == frames.len() && !whole;
            if shown >= lines as usize && *whole {
                break;
            }
            shown += newlines + usize::from(last_is_unfinished);
            at -= len;
        }
        self.at = at;
        Ok(())
    }

    /// The next frames; `None` at the end, which with `follow` comes only when the attempt has ended.
    pub async fn next(&mut self, follow: bool) -> io::Result<Option<Vec<Frame>>> {
        loop {
            // What is read after this mark was seen may be more, never less.
            let seen = self.progress.as_mut().map(|p| *p.borrow_and_update());
            if self.try_open()?
                && let Some(frames) = self.read().await?
            {
                return Ok(Some(frames));
            }
            let (Some(seen), Some(progress)) = (seen, self.progress.as_mut()) else { return Ok(None) };
            if seen.complete || !follow {
                return Ok(None);
            }
            if progress.changed().await.is_err() {
                // The writer is gone without an end: one more look at the file, and that is all.
                self.progress = None;
            }
        }
    }

    /// Whole frames from where it stands.
    async fn read(&mut self) -> io::Result<Option<Vec<Frame>>> {
        let Some(file) = self.file.clone() else { return Ok(None) };
        for size in [READ_BYTES, FRAME_BYTES] {
            let (file, at) = (file.clone(), self.at);
            let bytes = tokio::task::spawn_blocking(move || read_at(&file, at, size)).await??;
            let full = bytes.len() == size;
            let (frames, used) = parse(&bytes)?;
            self.at += used as u64;
            if !frames.is_empty() {
                return Ok(Some(frames));
            }
            if !full {
                break;
            }
        }
        Ok(None)
    }
}

fn read_at(file: &File, at: u64, size: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(filled);
    Ok(buffer.into())
}
