//! Sends what a master has asked for, in a call of its own: one attempt's log, or what was used here.

use cloudai_logs::{Frame, messages};
use cloudai_net::ChannelFactory;
use cloudai_net::channel::ChannelOptions;
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::clock;
use crate::history::AskError;
use crate::logs::LogReader;

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

pub async fn upload_history(
    factory: ChannelFactory,
    address: String,
    stream_id: u64,
    found: Result<pb::UsageHistory, AskError>,
) {
    let channel = match factory.channel(&address, &ChannelOptions::calls()) {
        Ok(channel) => channel,
        Err(error) => {
            tracing::warn!(%error, "a history was asked for by a master with a bad address");
            return;
        }
    };
    let empty = pb::UploadHistoryRequest { stream_id, ..Default::default() };
    let request = match found {
        Ok(history) => pb::UploadHistoryRequest { history: Some(history), ..empty },
        Err(error) => {
            pb::UploadHistoryRequest { error: error.to_string(), not_found: error == AskError::NotFound, ..empty }
        }
    };
    // Whoever asked hears nothing then, and says so.
    if let Err(status) = DispatchClient::new(channel).upload_history(request).await {
        tracing::debug!(address, %status, "a history could not be sent");
    }
}

async fn read(stream_id: u64, log: Log, out: mpsc::Sender<pb::UploadLogRequest>) {
    let empty = pb::UploadLogRequest { stream_id, ..Default::default() };
    let last = match log {
        Log::Remark(text) => {
            let frames = vec![Frame::marker(clock::wall().0 * 1_000_000, text).into()];
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
        for frames in messages(frames) {
            if out.send(pb::UploadLogRequest { frames, ..empty.clone() }).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}
