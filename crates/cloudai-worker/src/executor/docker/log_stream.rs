//! From the engine's log of a container to ours. Comes in: the engine's stream, each piece with its time. Goes out: frames in a
//! [`LogWriter`], and what the init program said if it could not run the command.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use cloudai_types::Millis;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::faults::Fault;
use super::{Shared, engine};
use crate::logs::{Frame, LogWriter, Source};

/// Between two tries to go on with a log that broke off.
const RESUME_FIRST: Millis = Millis(200);
const RESUME_MAX: Millis = Millis(5_000);
/// Pieces that go to the disk in one write.
const PIECES_AT_ONCE: usize = 256;
/// What docker-init (tini) prints when it cannot run the command.
const INIT_FAILURE: &[u8] = b"[FATAL tini";

pub struct Followed {
    pub writer: LogWriter,
    /// The init program's complaint, when that was the only thing ever written.
    pub init_failure: Option<String>,
    pub end: End,
}

/// How a copy ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The engine ended the stream itself: nothing is missing.
    Complete,
    /// The engine went away, or the copy was told that it is enough.
    BrokeOff,
    /// The container is not there any more, and its log neither.
    Gone,
}

/// Says how a copy goes on, and can end it.
#[derive(Clone, Default)]
pub struct Control {
    /// Pieces copied so far.
    pub copied: Arc<AtomicUsize>,
    /// Whatever is copied by then is all.
    pub enough: CancellationToken,
}

/// Copies until the container has ended, also when the engine restarts in between.
pub async fn follow(shared: &Shared, id: &str, writer: LogWriter, control: &Control) -> Followed {
    let mut backoff = cloudai_net::Backoff::new(RESUME_FIRST, RESUME_MAX);
    let mut followed = copy(shared, id, writer, true, control).await;
    while followed.end == End::BrokeOff && !control.enough.is_cancelled() {
        let pause = backoff.next(rand::random()).as_duration();
        // Nothing is lost by a cancellation: the next copy is told at once.
        let _ = tokio::time::timeout(pause, control.enough.cancelled()).await;
        let init_failure = followed.init_failure.take();
        followed = copy(shared, id, followed.writer, true, control).await;
        followed.init_failure = init_failure.or(followed.init_failure);
    }
    followed
}

/// Copies until the container has ended. With `follow: false`: what is there.
pub async fn copy(shared: &Shared, id: &str, mut writer: LogWriter, follow: bool, control: &Control) -> Followed {
    let begun = [Source::Stdout, Source::Stderr].map(|source| (source, writer.last_time_ns(source)));
    let has_it = |frame: &Frame| begun.iter().any(|(source, at)| *source == frame.source && Some(frame.time_ns) <= *at);
    // The engine counts in whole seconds here; what we have already is left out below.
    let first = begun.iter().map(|(_, at)| at.unwrap_or(0)).min().unwrap_or(0);
    let since = i32::try_from(first / 1_000_000_000).unwrap_or(0);
    let options = LogsOptions { follow, stdout: true, stderr: true, timestamps: true, since, ..Default::default() };
    let mut pieces = shared.engine.docker.logs(id, Some(options)).ready_chunks(PIECES_AT_ONCE);
    let mut init_failure = None;
    let mut count = 0usize;
    let mut end = End::Complete;
    loop {
        let batch = tokio::select! {
            batch = pieces.next() => batch,
            () = control.enough.cancelled() => {
                end = End::BrokeOff;
                None
            }
        };
        let Some(batch) = batch else { break };
        control.copied.fetch_add(batch.len(), Relaxed);
        let mut frames = Vec::with_capacity(batch.len());
        for piece in batch {
            match piece {
                Ok(piece) => {
                    let frame = frame_of(piece);
                    if has_it(&frame) {
                        continue;
                    }
                    count += 1;
                    if frame.source == Source::Stderr && frame.data.starts_with(INIT_FAILURE) {
                        init_failure = Some(String::from_utf8_lossy(&frame.data).trim().to_owned());
                    }
                    frames.push(frame);
                }
                Err(error) => {
                    tracing::debug!(id, %error, "the engine's log stream broke");
                    end = if Fault::of(&error) == Fault::NoSuchContainer { End::Gone } else { End::BrokeOff };
                }
            }
        }
        writer.append(frames);
    }
    if count != 1 {
        init_failure = None;
    }
    // Debian's engine ends a followed stream with its container, also when it has not read all that was written: what is left is
    // asked for. A log that fits one piece was never behind.
    if follow && end == End::Complete && count > PIECES_AT_ONCE {
        let rest = Box::pin(copy(shared, id, writer, false, control)).await;
        return Followed { init_failure, ..rest };
    }
    Followed { writer, init_failure, end }
}

/// The time stands before the text, with a space between.
fn frame_of(piece: LogOutput) -> Frame {
    let source = match &piece {
        LogOutput::StdErr { .. } => Source::Stderr,
        LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => Source::Stdout,
    };
    let bytes = piece.into_bytes();
    let (time_ns, data) = split_time(&bytes);
    Frame { time_ns, source, data }
}

fn split_time(bytes: &Bytes) -> (u64, Bytes) {
    let split = bytes.iter().take(40).position(|b| *b == b' ');
    let time =
        split.and_then(|at| std::str::from_utf8(&bytes[..at]).ok().and_then(engine::nanoseconds).map(|t| (at, t)));
    match time {
        Some((at, time_ns)) => (time_ns, bytes.slice(at + 1..)),
        None => (crate::clock::wall().0 * 1_000_000, bytes.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_taken_off_and_nothing_else() {
        let line = Bytes::from_static(b"2026-11-24T02:37:56.123456789Z two words\n");
        let (time, text) = split_time(&line);
        assert_eq!((time, &text[..]), (1_795_487_876_123_456_789, &b"two words\n"[..]));
        let odd = Bytes::from_static(b"no time here\n");
        assert_eq!(split_time(&odd).1, odd);
        let empty = Bytes::from_static(b"2026-11-24T02:37:56Z \n");
        assert_eq!(&split_time(&empty).1[..], b"\n");
    }
}
