//! What a task left: its list, and the bytes of a file. Comes in: requests whose caller is admitted. Goes out: streams of pieces of
//! bounded size, read from the store by whichever master is asked; nothing of it is kept.

use std::sync::Arc;

use bytes::BytesMut;
use cloudai_objects::{Manifest, ResultKey, StoredFile};
use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, Results, TaskId, limits};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tonic::Status;

use super::errors;
use super::jobs::require_index;
use crate::node::Node;
use crate::results::unread;
use crate::state_store::StateStore;

/// Pieces between the store and the network.
const QUEUE: usize = 2;

type Pieces<T> = mpsc::Receiver<Result<T, Status>>;

/// An attempt that stored results: its place, and what its record says.
async fn find<S: StateStore>(
    node: &Node<S>,
    namespace: &str,
    job: &str,
    index: u32,
    number: u32,
) -> Result<(ResultKey, Results), Status> {
    node.read_point(pb::Consistency::Linearizable).await?;
    let state = node.shared.read();
    let (ns, job) = node.find_job(&state, namespace, job)?;
    let summary = node.summary(&state, ns, job)?;
    let task = TaskId { job, index };
    require_index(task, &summary)?;
    let attempts = node.task(&state, ns, task)?.attempts;
    let stored = attempts.into_iter().rev().find_map(|a| {
        let results = a.reason.and_then(|r| r.results)?;
        (number == 0 || number == a.number).then_some((a.number, *results))
    });
    let Some((number, results)) = stored else {
        return Err(errors::not_found(
            format!("task {task} has stored no results"),
            "a job with `results: true` stores what its tasks write to /cloudai/out when they succeed",
        ));
    };
    let key = ResultKey::new(&summary.namespace, AttemptId { task, number })
        .map_err(|problem| errors::not_found(format!("the namespace {problem}"), "name another one"))?;
    Ok((key, results))
}

pub async fn list<S: StateStore>(
    node: &Node<S>,
    r: pb::ListResultsRequest,
) -> Result<Pieces<pb::ListResultsReply>, Status> {
    let (key, results) = find(node, &r.namespace, &r.job, r.index, r.attempt).await?;
    // The record may know it all; what was left out is only in the manifest.
    let pieces = match node.results.store() {
        Some(_) if !results.manifest.is_empty() => {
            let manifest = node.results.manifest(&key).await?;
            pieces_of(&key, &manifest)
        }
        Some(_) | None if results.lists_all() => vec![piece(&key, &results)],
        Some(_) | None => {
            node.results.require_store()?;
            vec![piece(&key, &results)]
        }
    };
    let (out, replies) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        for piece in pieces {
            // A reader that has gone does not need the rest.
            if out.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    Ok(replies)
}

fn piece(key: &ResultKey, results: &Results) -> pb::ListResultsReply {
    pb::ListResultsReply {
        attempt: key.attempt.number,
        files_total: results.files_total,
        bytes_total: results.bytes_total,
        left_out_total: results.left_out,
        files: results.files.clone(),
        left_out: vec![],
    }
}

/// At least one, so that an empty list is an answer too.
fn pieces_of(key: &ResultKey, manifest: &Manifest) -> Vec<pb::ListResultsReply> {
    let head = pb::ListResultsReply {
        attempt: key.attempt.number,
        files_total: manifest.files.len() as u32,
        bytes_total: manifest.bytes_total(),
        left_out_total: manifest.left_out_total,
        ..Default::default()
    };
    let left_out =
        |l: &cloudai_objects::LeftOut| pb::LeftOutFile { path: l.path.clone(), why: l.why.text().to_owned() };
    let mut pieces = vec![head.clone()];
    pieces.extend(
        manifest.files.chunks(limits::RESULT_LIST_FILES).map(|files| pb::ListResultsReply {
            files: files.iter().map(StoredFile::record).collect(),
            ..head.clone()
        }),
    );
    pieces.extend(
        manifest
            .left_out
            .chunks(limits::RESULT_LIST_FILES)
            .map(|some| pb::ListResultsReply { left_out: some.iter().map(left_out).collect(), ..head.clone() }),
    );
    pieces
}

fn file_of<'a>(manifest: &'a Manifest, key: &ResultKey, path: &str) -> Result<&'a StoredFile, Status> {
    manifest.file(path).ok_or_else(|| {
        errors::not_found(
            format!("the results of attempt {} hold no file '{path}'", key.attempt),
            "list them with `cloudai job results`",
        )
    })
}

pub async fn locate<S: StateStore>(
    node: &Node<S>,
    r: pb::LocateResultRequest,
) -> Result<pb::LocateResultReply, Status> {
    let (key, _) = find(node, &r.namespace, &r.job, r.index, r.attempt).await?;
    let store = node.results.require_store()?;
    let manifest = node.results.manifest(&key).await?;
    let file = file_of(&manifest, &key, &r.path)?;
    let valid = limits::RESULT_ADDRESS_VALID;
    let address = store.address(&key, file, valid.as_duration()).await.map_err(|e| unread(&e))?;
    let valid_ms = if address.is_some() { valid.0 } else { 0 };
    Ok(pb::LocateResultReply { address: address.unwrap_or_default(), valid_ms })
}

pub async fn read<S: StateStore>(
    node: Arc<Node<S>>,
    r: pb::ReadResultRequest,
) -> Result<Pieces<pb::ReadResultReply>, Status> {
    let (key, _) = find(&node, &r.namespace, &r.job, r.index, r.attempt).await?;
    let store = node.results.require_store()?;
    let manifest = node.results.manifest(&key).await?;
    let file = file_of(&manifest, &key, &r.path)?;
    let end = if r.length == 0 { file.size } else { file.size.min(r.offset.saturating_add(r.length)) };
    let mut stream = store.read(&key, file, r.offset..end.max(r.offset)).await.map_err(|e| unread(&e))?;
    let (out, replies) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut waiting = BytesMut::new();
        loop {
            let next = stream.next().await;
            let is_last = next.is_none();
            match next {
                Some(Ok(bytes)) => waiting.extend_from_slice(&bytes),
                Some(Err(error)) => {
                    let _ = out.send(Err(unread(&error))).await;
                    return;
                }
                None => {}
            }
            while waiting.len() >= limits::RESULT_CHUNK_BYTES || (is_last && !waiting.is_empty()) {
                let data = waiting.split_to(waiting.len().min(limits::RESULT_CHUNK_BYTES)).freeze();
                if out.send(Ok(pb::ReadResultReply { data })).await.is_err() {
                    return;
                }
            }
            if is_last {
                return;
            }
        }
    });
    Ok(replies)
}
