//! Sends one attempt's log to the master that asked for it, on a stream of its own.

use bytes::Bytes;
use cloudai_net::ChannelFactory;
use cloudai_net::channel::ChannelOptions;
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_proto::v1::log_frame;
use cloudai_types::limits::LOG_CHUNK_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::clock;
use crate::logs::{Frame, LogReader, Source};

/// Messages between disk and network.
const QUEUE: usize = 4;

pub enum Log {
    Stored {
        reader: LogReader,
        follow: bool,
        tail_lines: u32,
    },
    /// There is none, and this says why.
    Remark(&'static str),
}

pub async fn upload(factory: ChannelFactory, address: String, stream_id: u64, log: Log) {
    let channel = match factory.channel(&address, &ChannelOptions::calls()) {
        Ok(channel) => channel,
        Err(error) => {
            tracing::warn!(%error, "a log was asked for by a master with a bad address");
            return;
        }
    };
    let (tx, rx) = mpsc::channel(QUEUE);
    let uploading = async {
        if let Err(status) = DispatchClient::new(channel).upload_log(ReceiverStream::new(rx)).await {
            tracing::debug!(address, %status, "a log upload ended early");
        }
    };
    let reading = async {
        read(stream_id, log, tx).await;
        // Reading ends first; what it sent is still on its way.
        std::future::pending().await
    };
    // When the upload ends, whoever asked is gone or has everything.
    tokio::select! {
        () = uploading => {}
        () = reading => {}
    }
}

async fn read(stream_id: u64, log: Log, out: mpsc::Sender<pb::UploadLogRequest>) {
    let empty = pb::UploadLogRequest { stream_id, ..Default::default() };
    let last = match log {
        Log::Remark(text) => {
            let frames = vec![to_wire(Frame::marker(clock::wall().0 * 1_000_000, text))];
            pb::UploadLogRequest { frames, complete: true, ..empty.clone() }
        }
        Log::Stored { mut reader, follow, tail_lines } => {
            // The reader on the other side learns at once that the stream is there.
            if out.send(empty.clone()).await.is_err() {
                return;
            }
            match copy(&mut reader, follow, tail_lines, &empty, &out).await {
                Ok(()) => pb::UploadLogRequest { complete: true, ..empty.clone() },
                Err(error) => pb::UploadLogRequest { error: error.to_string(), ..empty.clone() },
            }
        }
    };
    // An error means that nobody listens any more.
    let _ = out.send(last).await;
}

async fn copy(
    reader: &mut LogReader,
    follow: bool,
    tail_lines: u32,
    empty: &pb::UploadLogRequest,
    out: &mpsc::Sender<pb::UploadLogRequest>,
) -> std::io::Result<()> {
    reader.skip_to_tail(tail_lines).await?;
    while let Some(frames) = reader.next(follow).await? {
        for frames in chunks(frames) {
            if out.send(pb::UploadLogRequest { frames, ..empty.clone() }).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Messages of bounded size; a frame that is larger is split.
fn chunks(frames: Vec<Frame>) -> Vec<Vec<pb::LogFrame>> {
    let mut out = vec![vec![]];
    let mut bytes = 0;
    for frame in frames {
        let mut rest: Bytes = frame.data.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(LOG_CHUNK_BYTES_MAX));
            if bytes + piece.len() > LOG_CHUNK_BYTES_MAX {
                out.push(vec![]);
                bytes = 0;
            }
            bytes += piece.len();
            let last = out.last_mut().expect("there is always one");
            last.push(to_wire(Frame { data: piece, ..frame.clone() }));
        }
    }
    out
}

fn to_wire(frame: Frame) -> pb::LogFrame {
    let source = match frame.source {
        Source::Stdout => log_frame::Source::Stdout,
        Source::Stderr => log_frame::Source::Stderr,
        Source::Marker => log_frame::Source::Marker,
    };
    pb::LogFrame { time_ms: frame.time_ns / 1_000_000, source: source as i32, data: frame.data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_larger_than_the_bound_and_nothing_is_lost() {
        let frame = |len| Frame { time_ns: 5_000_000, source: Source::Stdout, data: Bytes::from(vec![1; len]) };
        let sizes = [1, LOG_CHUNK_BYTES_MAX, 10, 3 * LOG_CHUNK_BYTES_MAX + 7];
        let out = chunks(sizes.into_iter().map(frame).collect());
        let total: usize = out.iter().flatten().map(|f| f.data.len()).sum();
        assert_eq!(total, sizes.iter().sum::<usize>());
        assert!(out.iter().all(|c| c.iter().map(|f| f.data.len()).sum::<usize>() <= LOG_CHUNK_BYTES_MAX));
    }
}
