//! Reads one attempt's log, whole or from its last lines on, and follows it while it is written. Nothing polls: the writer says
//! how far it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use cloudai_logs::{FRAME_BYTES_MAX, Frame, MAGIC, Selection, Tail, parse};
use tokio::sync::watch;

use super::store::{Files, Progress};

/// One read; a longer frame is read in one piece of its own.
const READ_BYTES: usize = 256 << 10;

/// Why there is no log to read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("this worker has no log of that attempt: it was never written here, or it was removed because of its age")]
    NotFound,
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
}

pub struct LogReader {
    files: Files,
    file: Option<Arc<File>>,
    at: u64,
    /// `None`: nobody writes it any more.
    progress: Option<watch::Receiver<Progress>>,
    selection: Selection,
}

impl LogReader {
    pub(super) async fn open(
        files: Files,
        progress: Option<watch::Receiver<Progress>>,
        selection: Selection,
    ) -> Result<LogReader, OpenError> {
        let mut reader = LogReader { files, file: None, at: MAGIC.len() as u64, progress, selection };
        if !reader.try_open()? && reader.progress.is_none() {
            return Err(OpenError::NotFound);
        }
        Ok(reader)
    }

    fn try_open(&mut self) -> io::Result<bool> {
        if self.file.is_none() {
            self.file = self.files.open()?.map(Arc::new);
        }
        Ok(self.file.is_some())
    }

    /// Begins at the last `lines` wanted lines of what is there now; 0: at the beginning.
    pub async fn skip_to_tail(&mut self, lines: u32) -> io::Result<()> {
        if lines == 0 || !self.try_open()? {
            return Ok(());
        }
        let mut tail = Tail::new(lines);
        let mut at = self.at;
        while let Some(batch) = self.read().await? {
            for frame in batch {
                if self.selection.takes(&frame) {
                    tail.see(at, &frame);
                }
                at += frame.encoded_len();
            }
        }
        self.at = tail.begins_at().unwrap_or(at);
        Ok(())
    }

    /// The next frames; `None` at the end, which with `follow` comes only when the attempt has ended.
    pub async fn next(&mut self, follow: bool) -> io::Result<Option<Vec<Frame>>> {
        loop {
            // What is read after this mark was seen may be more, never less.
            let seen = self.progress.as_mut().map(|p| *p.borrow_and_update());
            if self.try_open()?
                && let Some(mut frames) = self.read().await?
            {
                frames.retain(|frame| self.selection.takes(frame));
                if frames.is_empty() {
                    continue;
                }
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
        for size in [READ_BYTES, FRAME_BYTES_MAX] {
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
