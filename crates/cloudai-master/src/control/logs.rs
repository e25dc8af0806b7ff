//! The log of one attempt. Comes in: requests whose caller is admitted. Goes out: frames as they come: from the worker, which has the log while
//! the attempt lives and for as long as it has room; otherwise from the store. Either knows the same format, and the same part of it is
//! asked for, so a reader does not notice which one it was.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudai_core::rows::JobState;
use cloudai_logs::{Decoder, Frame, MAGIC, Selection, Tail, messages};
use cloudai_objects::{ReadError, Store};
use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, NamespaceId, TaskId, WorkerId, limits};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tonic::Status;

use super::jobs::require_index;
use super::{asking, errors};
use crate::dispatch::logs::Upload;
use crate::node::Node;
use crate::state_store::StateStore;

type Replies = mpsc::Sender<Result<pb::LogsReply, Status>>;

/// How long a reader waits for the worker to dial in with the log.
const UPLOAD_WAIT: Duration = Duration::from_secs(10);
/// How often the first attempt of a queued task is looked for, besides the job's changes.
const FIRST_ATTEMPT_LOOK: Duration = Duration::from_secs(1);

pub async fn logs<S: StateStore>(
    node: Arc<Node<S>>,
    request: pb::LogsRequest,
) -> Result<mpsc::Receiver<Result<pb::LogsReply, Status>>, Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let (ns, job) = node.find_job(&node.shared.read(), &request.namespace, &request.job)?;
    let task = TaskId { job, index: request.index };
    require_index(task, &node.summary(&node.shared.read(), ns, job)?)?;
    let attempt = match wanted_attempt(&node, ns, task, request.attempt)? {
        Some(attempt) => Some(attempt),
        None if request.follow && request.attempt == 0 => None,
        None => {
            let which = if request.attempt == 0 {
                "it has not started yet".into()
            } else {
                format!("it has no attempt {}", request.attempt)
            };
            return Err(errors::not_found(
                format!("task {task} has no log: {which}"),
                "follow it with -f, or see `cloudai task explain`",
            ));
        }
    };
    let (out, replies) = mpsc::channel(8);
    tokio::spawn(async move {
        if let Err(status) = stream(&node, ns, task, attempt, &request, &out).await {
            // A reader that has gone does not need to hear it.
            let _ = out.send(Err(status)).await;
        }
    });
    Ok(replies)
}

/// The asked attempt, or the newest; `None`: there is none.
fn wanted_attempt<S: StateStore>(
    node: &Node<S>,
    ns: NamespaceId,
    task: TaskId,
    number: u32,
) -> Result<Option<pb::AttemptInfo>, Status> {
    let info = node.task(&node.shared.read(), ns, task)?;
    let mut attempts = info.attempts.into_iter();
    Ok(if number == 0 { attempts.next_back() } else { attempts.find(|a| a.number == number) })
}

async fn first_attempt<S: StateStore>(
    node: &Arc<Node<S>>,
    ns: NamespaceId,
    task: TaskId,
    out: &Replies,
) -> Result<Option<pb::AttemptInfo>, Status> {
    let watch = node.hub.watch_job(task.job);
    loop {
        if let Some(attempt) = wanted_attempt(node, ns, task, 0)? {
            return Ok(Some(attempt));
        }
        let summary = node.summary(&node.shared.read(), ns, task.job)?;
        if JobState::try_from(summary.state).is_ok_and(JobState::is_ended) {
            return Ok(None);
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(FIRST_ATTEMPT_LOOK) => {}
            () = out.closed() => return Ok(None),
        }
    }
}

async fn stream<S: StateStore>(
    node: &Arc<Node<S>>,
    ns: NamespaceId,
    task: TaskId,
    attempt: Option<pb::AttemptInfo>,
    request: &pb::LogsRequest,
    out: &Replies,
) -> Result<(), Status> {
    let attempt = match attempt {
        Some(attempt) => attempt,
        None => match first_attempt(node, ns, task, out).await? {
            Some(attempt) => attempt,
            // It was cancelled before it ever started: an empty log is complete.
            None => {
                let _ = out.send(Ok(pb::LogsReply { complete: true, ..Default::default() })).await;
                return Ok(());
            }
        },
    };
    let id = AttemptId { task, number: attempt.number };
    let missed = match from_worker(node, id, &attempt, request, out).await {
        Ok(()) => return Ok(()),
        Err(Missed::Broken(status)) => return Err(status),
        Err(Missed::Before { not_found, why }) => (not_found, why),
    };
    let header =
        pb::LogsReply { attempt: id.number, worker: attempt.worker.clone(), stored: true, ..Default::default() };
    match node.results.store() {
        None => {
            Err(nowhere(id, &attempt.worker, missed, "the masters have no store that keeps logs (results.location)"))
        }
        Some(store) => match from_store(store, id, &header, request, out).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(nowhere(id, &attempt.worker, missed, "the store has not got it, or not yet")),
            Err(unread) => {
                let why = format!("the store cannot be read: {unread}");
                Err(nowhere(id, &attempt.worker, (false, missed.1), &why))
            }
        },
    }
}

/// Why a worker gave no log.
enum Missed {
    /// Nothing has come: another source may have it.
    Before { not_found: bool, why: String },
    /// In the middle of it.
    Broken(Status),
}

impl Missed {
    fn unreachable() -> Missed {
        Missed::Before { not_found: false, why: "it cannot be reached now".to_owned() }
    }
}

async fn from_worker<S: StateStore>(
    node: &Arc<Node<S>>,
    id: AttemptId,
    attempt: &pb::AttemptInfo,
    request: &pb::LogsRequest,
    out: &Replies,
) -> Result<(), Missed> {
    // The worker must hear of the attempt before it is asked for the log: its assignment leaves after the commit.
    let seen_at = node.shared.read().index;
    let deadline = tokio::time::Instant::now() + UPLOAD_WAIT;
    if node.raft.await_applied(seen_at, deadline).await.is_err() {
        return Err(Missed::unreachable());
    }
    let (stream_id, mut uploads) = node.logs.open(&attempt.worker, limits::LOG_UPLOAD_MESSAGES_MAX);
    let open = pb::leader_message::OpenLog {
        stream_id,
        attempt: Some(pb::AttemptKey { job: id.task.job.0, index: id.task.index, number: id.number }),
        follow: request.follow,
        tail_lines: request.tail_lines,
        address: node.own.grpc_addr.clone(),
        since_ms: request.since_ms,
        only: request.only,
    };
    let question = pb::leader_message::Kind::OpenLog(open);
    let is_asked = tokio::select! {
        is_asked = asking::ask(node, WorkerId(attempt.worker_id), &question, deadline) => is_asked,
        () = out.closed() => false,
    };
    if !is_asked {
        node.logs.close(stream_id);
        return Err(Missed::unreachable());
    }
    let header = pb::LogsReply { attempt: attempt.number, worker: attempt.worker.clone(), ..Default::default() };
    if out.send(Ok(header.clone())).await.is_err() {
        return Ok(());
    }
    let mut has_begun = false;
    loop {
        // Once it has begun the stream's own end counts: a quiet program may be quiet for days.
        let wait = if has_begun { limits::TIMEOUT_MAX.as_duration() } else { UPLOAD_WAIT };
        let upload = tokio::select! {
            upload = tokio::time::timeout(wait, uploads.recv()) => upload,
            () = out.closed() => return Ok(()),
        };
        let message = match upload {
            Ok(Some(Upload::Frames(message))) => message,
            Ok(Some(Upload::Failed { reason, not_found })) => return Err(Missed::Before { not_found, why: reason }),
            Err(_) | Ok(None) => {
                node.logs.close(stream_id);
                return Err(if has_begun {
                    Missed::Broken(broken(id, &attempt.worker, "it is gone"))
                } else {
                    Missed::unreachable()
                });
            }
        };
        has_begun = true;
        if !message.error.is_empty() {
            return Err(Missed::Broken(broken(id, &attempt.worker, &message.error)));
        }
        let reply = pb::LogsReply { frames: message.frames, complete: message.complete, ..header.clone() };
        if out.send(Ok(reply)).await.is_err() || message.complete {
            return Ok(());
        }
    }
}

fn broken(id: AttemptId, worker: &str, why: &str) -> Status {
    let what = format!("the log of attempt {id} broke off on worker '{worker}'");
    pb::ErrorInfo::new(pb::ErrorKind::Unreachable, what).why(why.to_owned()).into_status()
}

/// Neither of the two has it. What is said to be gone on one side, and is not on the other, is not found.
fn nowhere(id: AttemptId, worker: &str, (not_found, why): (bool, String), stored: &str) -> Status {
    let kind = if not_found { pb::ErrorKind::NotFound } else { pb::ErrorKind::Unreachable };
    pb::ErrorInfo::new(kind, format!("the log of attempt {id} cannot be read"))
        .why(format!("worker '{worker}', which wrote it: {why}; {stored}"))
        .next(
            "try again when that worker is back: `cloudai worker show` tells; docs/logs.md says how long logs are kept",
        )
        .into_status()
}

/// False: the store has none. Memory is bounded by one piece of the store's and one frame.
async fn from_store(
    store: &Store,
    id: AttemptId,
    header: &pb::LogsReply,
    request: &pb::LogsRequest,
    out: &Replies,
) -> Result<bool, String> {
    let selection = Selection::of_wire(request.since_ms, request.only);
    let mut from = 0;
    if request.tail_lines > 0 {
        let Some(mut walk) = Walk::from(store, id, 0).await? else { return Ok(false) };
        let mut tail = Tail::new(request.tail_lines);
        let mut at = MAGIC.len() as u64;
        while let Some(frames) = walk.next().await? {
            for frame in frames {
                if selection.takes(&frame) {
                    tail.see(at, &frame);
                }
                at += frame.encoded_len();
            }
            if out.is_closed() {
                return Ok(true);
            }
        }
        match tail.begins_at() {
            Some(begin) => from = begin,
            None => {
                let _ = out.send(Ok(pb::LogsReply { complete: true, ..header.clone() })).await;
                return Ok(true);
            }
        }
    }
    let Some(mut walk) = Walk::from(store, id, from).await? else { return Ok(false) };
    while let Some(mut frames) = walk.next().await? {
        frames.retain(|frame| selection.takes(frame));
        for frames in messages(frames) {
            if out.send(Ok(pb::LogsReply { frames, ..header.clone() })).await.is_err() {
                return Ok(true);
            }
        }
    }
    // A reader that has gone needs no end.
    let _ = out.send(Ok(pb::LogsReply { complete: true, ..header.clone() })).await;
    Ok(true)
}

/// A stored log, frame by frame.
struct Walk {
    pieces: BoxStream<'static, Result<Bytes, ReadError>>,
    decoder: Decoder,
}

impl Walk {
    /// From its beginning (0), or from that of any frame. `None`: there is no such log.
    async fn from(store: &Store, id: AttemptId, at: u64) -> Result<Option<Walk>, String> {
        let decoder = if at == 0 { Decoder::at_the_beginning() } else { Decoder::at_a_frame() };
        let pieces = store.log(id, at).await.map_err(|error| error.to_string())?;
        Ok(pieces.map(|pieces| Walk { pieces, decoder }))
    }

    async fn next(&mut self) -> Result<Option<Vec<Frame>>, String> {
        let Some(piece) = self.pieces.next().await else { return Ok(None) };
        let piece = piece.map_err(|error| error.to_string())?;
        self.decoder.push(piece).map(Some).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_logs::Source;
    use cloudai_proto::v1::log_frame;
    use cloudai_types::JobId;

    /// What a reader gets of a stored log: the text, and whether it is whole.
    async fn read(store: &Store, id: AttemptId, request: pb::LogsRequest) -> Option<(String, bool)> {
        let (out, mut replies) = mpsc::channel(1);
        let header = pb::LogsReply { attempt: id.number, stored: true, ..Default::default() };
        let reading = from_store(store, id, &header, &request, &out);
        let collecting = async {
            let (mut text, mut complete) = (vec![], false);
            while let Some(reply) = replies.recv().await {
                let reply = reply.unwrap();
                assert!(reply.stored && !complete, "nothing follows the end");
                reply.frames.iter().for_each(|f| text.extend_from_slice(&f.data));
                complete = reply.complete;
                if complete {
                    break;
                }
            }
            (String::from_utf8(text).unwrap(), complete)
        };
        let (was_there, read) = tokio::join!(
            async {
                let was_there = reading.await.unwrap();
                if !was_there {
                    // Nothing was sent, so the collector waits for ever.
                    let _ = out.send(Ok(pb::LogsReply { complete: true, ..header.clone() })).await;
                }
                was_there
            },
            collecting
        );
        was_there.then_some(read)
    }

    #[tokio::test]
    async fn a_stored_log_is_read_as_the_workers_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_memory();
        let id = AttemptId::new(JobId(1), 3, 2);
        let all = pb::LogsRequest::default();
        assert_eq!(read(&store, id, all.clone()).await, None);
        let mut file = MAGIC.to_vec();
        for n in 1..=6u64 {
            let source = if n % 2 == 0 { Source::Stderr } else { Source::Stdout };
            Frame { time_ns: n * 1_000_000, source, data: Bytes::from(format!("{n}\n")) }.push_to(&mut file);
        }
        let path = dir.path().join("log");
        std::fs::write(&path, &file).unwrap();
        store.put_log(id, &path).await.unwrap();
        let text = async |request| read(&store, id, request).await.unwrap();
        assert_eq!(text(all.clone()).await, ("1\n2\n3\n4\n5\n6\n".into(), true));
        assert_eq!(text(pb::LogsRequest { tail_lines: 2, ..all.clone() }).await.0, "5\n6\n");
        assert_eq!(text(pb::LogsRequest { since_ms: 4, ..all.clone() }).await.0, "4\n5\n6\n");
        let only = log_frame::Source::Stdout as i32;
        assert_eq!(text(pb::LogsRequest { only, tail_lines: 2, ..all.clone() }).await.0, "3\n5\n");
        assert_eq!(text(pb::LogsRequest { since_ms: 9, tail_lines: 2, ..all.clone() }).await, (String::new(), true));
        // An empty log is there, and has nothing.
        std::fs::write(&path, MAGIC).unwrap();
        store.put_log(id, &path).await.unwrap();
        assert_eq!(text(all).await, (String::new(), true));
    }

    #[tokio::test]
    async fn what_is_no_log_is_an_error_and_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::in_memory();
        let id = AttemptId::new(JobId(1), 3, 2);
        let path = dir.path().join("log");
        std::fs::write(&path, "something else").unwrap();
        store.put_log(id, &path).await.unwrap();
        let (out, _replies) = mpsc::channel(1);
        let error = from_store(&store, id, &Default::default(), &Default::default(), &out).await.unwrap_err();
        assert!(error.contains("does not begin as a log"), "{error}");
    }
}
