//! The way to a bucket: keys, prefix, signature, parts, pages of a list, retries. The other side is a small server in this process that
//! answers as S3 does, as far as a store of results asks; it is no S3 and proves nothing about one.

// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use bytes::Bytes;
use cloudai_objects::{ResultKey, Store, StoreConfig};
use cloudai_types::{AttemptId, JobId, TaskId, limits};
use futures::TryStreamExt as _;

/// Keys per page, so that a list has pages.
const PAGE: usize = 2;
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, BTreeMap<u32, Bytes>>,
    requests: u32,
    /// Requests that were answered with "slow down".
    turned_away: u32,
    largest_body: usize,
}

type Shared = Arc<Mutex<Bucket>>;

fn unescape(text: &str) -> String {
    let mut out = vec![];
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => out.push(b' '),
            b => out.push(b),
        }
    }
    String::from_utf8(out).unwrap()
}

fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    response.header(header::ETAG, "\"e\"").header(header::LAST_MODIFIED, MODIFIED).body(body.into()).unwrap()
}

async fn serve(
    State(bucket): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let signed = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 Credential=id/") {
        return answer(403, "<Error><Code>AccessDenied</Code></Error>");
    }
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) = p.split_once('=').unwrap_or((p, ""));
            (unescape(k), unescape(v))
        })
        .collect();
    let path = unescape(uri.path());
    let key = path.strip_prefix("/bucket").unwrap().trim_start_matches('/').to_owned();
    let mut b = bucket.lock().unwrap();
    b.requests += 1;
    b.largest_body = b.largest_body.max(body.len());
    if b.requests.is_multiple_of(7) && matches!(method, Method::PUT | Method::GET) {
        b.turned_away += 1;
        return answer(503, "<Error><Code>SlowDown</Code></Error>");
    }
    match (method, query.get("uploadId").cloned(), key.as_str()) {
        (Method::GET, _, "") => list(&b, &query),
        (Method::GET, _, key) => get(&b, key, &headers),
        (Method::PUT, Some(id), _) => {
            let number = query["partNumber"].parse().unwrap();
            b.uploads.get_mut(&id).unwrap().insert(number, body);
            answer(200, "")
        }
        (Method::PUT, None, key) => {
            b.objects.insert(key.to_owned(), body);
            answer(200, "")
        }
        (Method::POST, _, _) if query.contains_key("delete") => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let mut deleted = String::new();
            for part in text.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap();
                b.objects.remove(key);
                deleted.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
            }
            answer(200, format!("<DeleteResult>{deleted}</DeleteResult>"))
        }
        (Method::POST, None, key) => {
            let id = format!("u{}", b.uploads.len());
            b.uploads.insert(id.clone(), BTreeMap::new());
            let text = format!("<Bucket>bucket</Bucket><Key>{key}</Key><UploadId>{id}</UploadId>");
            answer(200, format!("<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>"))
        }
        (Method::POST, Some(id), key) => {
            let whole: Vec<u8> = b.uploads[&id].values().flat_map(|part| part.to_vec()).collect();
            b.objects.insert(key.to_owned(), whole.into());
            let text = format!("<Location>l</Location><Bucket>bucket</Bucket><Key>{key}</Key><ETag>\"e\"</ETag>");
            answer(200, format!("<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>"))
        }
        (Method::DELETE, _, key) => {
            b.objects.remove(key);
            answer(204, "")
        }
        other => panic!("nobody asks for {other:?}"),
    }
}

fn get(b: &Bucket, key: &str, headers: &HeaderMap) -> Response<Body> {
    let Some(object) = b.objects.get(key) else { return answer(404, "<Error><Code>NoSuchKey</Code></Error>") };
    let Some(range) = headers.get(header::RANGE) else { return answer(200, object.clone()) };
    let (first, last) = range.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let mut response = answer(206, object.slice(first..=last.min(object.len() - 1)));
    let text = format!("bytes {first}-{}/{}", last.min(object.len() - 1), object.len());
    response.headers_mut().insert(header::CONTENT_RANGE, text.parse().unwrap());
    response
}

/// In the order of the keys, a page at a time; what has another `/` after the prefix counts as one.
fn list(b: &Bucket, query: &BTreeMap<String, String>) -> Response<Body> {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let after = query.get("continuation-token").cloned().unwrap_or_default();
    let mut entries: Vec<(String, Option<usize>)> = vec![];
    for (key, object) in &b.objects {
        let Some(rest) = key.strip_prefix(&prefix) else { continue };
        let entry = match rest.split_once('/') {
            Some((folder, _)) if query.contains_key("delimiter") => (format!("{prefix}{folder}/"), None),
            Some(_) | None => (key.clone(), Some(object.len())),
        };
        if entry.0 > after && entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    let is_truncated = entries.len() > PAGE;
    entries.truncate(PAGE);
    let mut text = format!("<Name>bucket</Name><Prefix>{prefix}</Prefix><IsTruncated>{is_truncated}</IsTruncated>");
    if let Some((last, _)) = entries.last().filter(|_| is_truncated) {
        text.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    for (key, size) in entries {
        text.push_str(&match size {
            None => format!("<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"),
            Some(size) => format!(
                "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag><Size>{size}</Size></Contents>"
            ),
        });
    }
    answer(200, format!("<ListBucketResult>{text}</ListBucketResult>"))
}

async fn bucket(dir: &std::path::Path, key_id: &str) -> (Shared, Store) {
    let shared = Shared::default();
    let app = axum::Router::new().fallback(serve).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let key = dir.join("key");
    std::fs::write(&key, "secret\n").unwrap();
    let config = StoreConfig {
        location: "s3://bucket/team.results".into(),
        endpoint,
        region: "eu-central-1".into(),
        access_key_id: key_id.into(),
        secret_access_key_file: key,
    };
    (shared, Store::open(&config).unwrap())
}

fn key(index: u32, number: u32) -> ResultKey {
    ResultKey::new("default", AttemptId::new(JobId(1), index, number)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_go_to_a_bucket_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    std::fs::create_dir_all(out.join("deep")).unwrap();
    let large: Vec<u8> = (0..2 * limits::RESULT_PART_BYTES + 5).map(|n| (n * 31 % 251) as u8).collect();
    std::fs::write(out.join("large.bin"), &large).unwrap();
    std::fs::write(out.join("deep/o d d"), "odd").unwrap();
    std::fs::write(out.join("empty"), "").unwrap();
    let (shared, store) = bucket(dir.path(), "id").await;
    assert_eq!(store.manifest(&key(0, 1)).await.unwrap(), None);

    let manifest = store.upload(&key(0, 1), &out).await.unwrap();
    assert_eq!(store.upload(&key(0, 1), &out).await.unwrap(), manifest, "stored once");
    {
        let b = shared.lock().unwrap();
        let keys: Vec<&str> = b.objects.keys().map(String::as_str).collect();
        let at = format!("team.results/default/{}/0/1", JobId(1));
        let wanted = ["files/empty", "files/large.bin", "manifest.json", "odd/0"].map(|o| format!("{at}/{o}"));
        assert_eq!(keys, wanted);
        assert_eq!(b.uploads.values().map(BTreeMap::len).collect::<Vec<_>>(), [3], "the large one went up in parts");
        assert_eq!(b.largest_body, limits::RESULT_PART_BYTES);
    }
    let file = manifest.file("large.bin").unwrap();
    let pieces: Vec<Bytes> =
        store.read(&key(0, 1), file, 8_000_000..9_000_000).await.unwrap().try_collect().await.unwrap();
    assert!(pieces.concat() == large[8_000_000..9_000_000]);
    for (path, bytes) in [("large.bin", &large[..]), ("deep/o d d", b"odd"), ("empty", b"")] {
        let to = dir.path().join("fetched");
        store.fetch(&key(0, 1), manifest.file(path).unwrap(), &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes, "{path}");
        std::fs::remove_file(&to).unwrap();
    }

    std::fs::remove_file(out.join("large.bin")).unwrap();
    for (index, number) in [(0, 2), (0, 10), (1, 1), (2, 1), (12, 1)] {
        store.upload(&key(index, number), &out).await.unwrap();
    }
    assert_eq!(store.indexes("default", JobId(1)).await.unwrap(), [0, 1, 2, 12], "over several pages");
    let task = TaskId { job: JobId(1), index: 0 };
    assert_eq!(store.task("default", task).await.unwrap().unwrap().0, key(0, 10));
    store.remove(&key(0, 10)).await.unwrap();
    assert_eq!(store.task("default", task).await.unwrap().unwrap().0, key(0, 2));
    store.remove_job("default", JobId(1)).await.unwrap();
    let b = shared.lock().unwrap();
    assert_eq!(b.objects.len(), 0, "nothing is left");
    assert!(b.turned_away > 3, "it was turned away now and then, and tried again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_, store) = bucket(dir.path(), "somebody").await;
    let error = store.manifest(&key(0, 1)).await.unwrap_err().to_string();
    assert!(error.contains("403") || error.contains("AccessDenied") || error.contains("permission"), "{error}");
}
