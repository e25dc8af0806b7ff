//! What a store of results must do, whatever it is: the same test over a directory, over memory, and over two S3 servers that others have
//! written: `s3s-fs` in this process, and `moto` (from PyPI), where `deploy/moto.sh` has installed it.

// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use bytes::Bytes;
use cloudai_objects::{FetchError, Manifest, ReadError, ResultKey, Store, StoreConfig};
use cloudai_types::{AttemptId, JobId, TaskId, limits};
use futures::TryStreamExt as _;

const LARGE: usize = 2 * limits::RESULT_PART_BYTES + 12_345;

fn key(namespace: &str, index: u32, number: u32) -> ResultKey {
    ResultKey::new(namespace, AttemptId::new(JobId(1), index, number)).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

/// A folder as a task may leave it.
fn folder(at: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let files = vec![
        ("large.bin", pattern(LARGE)),
        ("one-part.bin", pattern(limits::RESULT_PART_BYTES)),
        ("empty", vec![]),
        ("deep/er/table.csv", b"a,b\n".to_vec()),
        ("deep/o d d", b"odd".to_vec()),
        ("deep/\u{e4}#%2e", b"odder".to_vec()),
    ];
    for (path, bytes) in &files {
        let path = at.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    files
}

async fn bytes(
    store: &Store,
    key: &ResultKey,
    manifest: &Manifest,
    path: &str,
    range: std::ops::Range<u64>,
) -> Vec<u8> {
    let file = manifest.file(path).unwrap();
    let pieces: Vec<Bytes> = store.read(key, file, range).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

async fn log(store: &Store, attempt: AttemptId, from: u64) -> Option<Vec<u8>> {
    let pieces: Vec<Bytes> = store.log(attempt, from).await.unwrap()?.try_collect().await.unwrap();
    Some(pieces.concat())
}

async fn conforms(store: Store) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let files = folder(&out);
    let first = key("team-a", 0, 1);

    // Nothing is there, and that is no error.
    assert_eq!(store.manifest(&first).await.unwrap(), None);
    assert_eq!(store.indexes("team-a", JobId(1)).await.unwrap(), [0; 0]);
    store.remove(&first).await.unwrap();

    // An upload that is given up at many moments is never seen, and the next one of the attempt ends it.
    for polls in [1, 3, 6, 10, 16, 30] {
        let mut left = polls;
        let mut upload = std::pin::pin!(store.upload(&first, &out));
        let ended = std::future::poll_fn(|cx| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            upload.as_mut().poll(cx).map(|stored| stored.is_ok())
        })
        .await;
        if !ended && let Some(seen) = store.manifest(&first).await.unwrap() {
            assert_eq!(seen.files.len(), files.len(), "a manifest is the last thing that is written");
        }
    }
    let manifest = store.upload(&first, &out).await.unwrap();
    assert_eq!(store.manifest(&first).await.unwrap().as_ref(), Some(&manifest));
    assert_eq!(store.upload(&first, &out).await.unwrap(), manifest, "stored once");

    // Everything comes back: whole, in ranges, and into files whose sums are checked.
    for (path, wanted) in &files {
        let all = 0..wanted.len() as u64;
        assert!(bytes(&store, &first, &manifest, path, all).await == *wanted, "{path}");
        let to = dir.path().join("fetched");
        store.fetch(&first, manifest.file(path).unwrap(), &to).await.unwrap();
        assert!(std::fs::read(&to).unwrap() == *wanted, "{path}");
        std::fs::remove_file(&to).unwrap();
    }
    let large = manifest.file("large.bin").unwrap();
    for (from, to) in [(0, 1), (8_388_600, 8_388_616), (LARGE - 1, LARGE), (100, LARGE)] {
        let read = bytes(&store, &first, &manifest, "large.bin", from as u64..to as u64).await;
        assert!(read == files[0].1[from..to], "{from} to {to}");
    }
    let beyond = 0..large.size + 1;
    assert!(matches!(store.read(&first, large, beyond).await, Err(ReadError::Range { .. })));

    // Several attempts, tasks and namespaces; the last attempt counts, by its number.
    std::fs::remove_file(out.join("large.bin")).unwrap();
    for (index, number) in [(0, 2), (0, 10), (1, 1), (2, 1), (12, 1)] {
        store.upload(&key("team-a", index, number), &out).await.unwrap();
    }
    store.upload(&key("team-b", 5, 1), &out).await.unwrap();
    assert_eq!(store.indexes("team-a", JobId(1)).await.unwrap(), [0, 1, 2, 12]);
    let task = TaskId { job: JobId(1), index: 0 };
    assert_eq!(store.task("team-a", task).await.unwrap().unwrap().0, key("team-a", 0, 10));
    store.remove(&key("team-a", 0, 10)).await.unwrap();
    assert_eq!(store.task("team-a", task).await.unwrap().unwrap().0, key("team-a", 0, 2));

    // Logs, small and in parts; what is stored again replaces what was there.
    let (quiet, loud) = (AttemptId::new(JobId(1), 0, 1), AttemptId::new(JobId(1), 1, 1));
    let file = dir.path().join("log");
    assert_eq!(log(&store, quiet, 0).await, None);
    for text in ["half", "half and the rest"] {
        std::fs::write(&file, text).unwrap();
        store.put_log(quiet, &file).await.unwrap();
        assert_eq!(log(&store, quiet, 0).await.unwrap(), text.as_bytes());
    }
    assert_eq!(log(&store, quiet, 9).await.unwrap(), b"the rest");
    std::fs::write(&file, pattern(LARGE)).unwrap();
    store.put_log(loud, &file).await.unwrap();
    assert!(log(&store, loud, 8_388_600).await.unwrap() == pattern(LARGE)[8_388_600..]);

    // What is removed is gone, and nothing else is.
    store.remove_job("team-a", JobId(1)).await.unwrap();
    assert_eq!(store.indexes("team-a", JobId(1)).await.unwrap(), [0; 0]);
    assert_eq!(store.manifest(&first).await.unwrap(), None);
    let to = dir.path().join("gone");
    let gone = store.fetch(&first, manifest.file("deep/er/table.csv").unwrap(), &to).await;
    assert!(matches!(gone, Err(FetchError::Read(ReadError::Gone(_)))), "{gone:?}");
    assert!(store.manifest(&key("team-b", 5, 1)).await.unwrap().is_some());
    assert!(log(&store, quiet, 0).await.is_some());
    store.remove_logs(JobId(1)).await.unwrap();
    store.remove_logs(JobId(1)).await.unwrap();
    assert_eq!(log(&store, quiet, 0).await, None);
    store.remove_job("team-b", JobId(1)).await.unwrap();
    assert_eq!(store.indexes("team-b", JobId(1)).await.unwrap(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::directory(&dir.path().join("store"))).unwrap();
    conforms(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    conforms(Store::in_memory()).await;
}

/// The store as an operator configures it.
fn bucket(dir: &Path, endpoint: String) -> StoreConfig {
    let key = dir.join("key");
    std::fs::write(&key, "the-secret-key\n").unwrap();
    StoreConfig {
        location: "s3://bucket/some/prefix".into(),
        endpoint,
        region: "us-east-1".into(),
        access_key_id: "an-id".into(),
        secret_access_key_file: key,
    }
}

/// `s3s-fs` on loopback. It checks every request's signature.
async fn s3s(dir: &Path) -> String {
    let root = dir.join("s3s");
    std::fs::create_dir_all(root.join("bucket")).unwrap();
    let mut builder = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
    builder.set_auth(s3s::auth::SimpleAuth::from_single("an-id", "the-secret-key"));
    let service = builder.build();
    let serve = move |request: Request| {
        let mut service = service.clone();
        async move {
            let answer = tower::Service::call(&mut service, request).await.expect("it answers, also with a refusal");
            answer.map(axum::body::Body::new)
        }
    };
    let app = axum::Router::new().fallback(serve).layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    endpoint
}

/// Whoever has the address has that file, whole or in part, and nothing else.
async fn gives_addresses(store: &Store) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a b.txt"), "0123456789").unwrap();
    let key = key("signed", 0, 1);
    let manifest = store.upload(&key, dir.path()).await.unwrap();
    let file = manifest.file("a b.txt").unwrap();
    let address = store.address(&key, file, Duration::from_secs(60)).await.unwrap().expect("a bucket signs");
    let http = reqwest::Client::new();
    let whole = http.get(&address).send().await.unwrap();
    assert!(whole.status().is_success(), "{}", whole.status());
    assert_eq!(&whole.bytes().await.unwrap()[..], b"0123456789");
    let part = http.get(&address).header("Range", "bytes=7-").send().await.unwrap();
    assert_eq!(part.status().as_u16(), 206);
    assert_eq!(&part.bytes().await.unwrap()[..], b"789");
    store.remove_job("signed", JobId(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3s_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let config = bucket(dir.path(), s3s(dir.path()).await);
    let wrong = dir.path().join("wrong");
    std::fs::write(&wrong, "another-key").unwrap();
    let refused = Store::open(&StoreConfig { secret_access_key_file: wrong, ..config.clone() }).unwrap();
    assert!(matches!(refused.manifest(&key("team-a", 0, 1)).await, Err(ReadError::Store(_))), "a signature counts");
    let store = Store::open(&config).unwrap();
    gives_addresses(&store).await;
    conforms(store).await;
}

/// Where `deploy/moto.sh` puts it.
fn moto_server() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CLOUDAI_MOTO") {
        return Some(path.into());
    }
    let cache = std::env::var_os("CLOUDAI_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        base.map(|base| base.join("cloudai"))
    })?;
    Some(cache.join("moto/bin/moto_server")).filter(|path| path.exists())
}

struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks as plainly as it goes: the answer's status line.
async fn status_line(address: &str, request: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(10_000).read_to_string(&mut answer).await?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_conforms() {
    let Some(program) = moto_server() else {
        eprintln!(
            "NOT RUN: there is no moto_server; deploy/moto.sh installs it from PyPI, or name one in CLOUDAI_MOTO"
        );
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    // Free a moment ago; moto cannot choose one itself and say which.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut moto = Moto(quiet.spawn().unwrap());
    let request = format!("PUT /bucket HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let made = async {
        loop {
            match status_line(&address.to_string(), &request).await {
                Ok(line) if line.contains(" 200 ") => return,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            assert!(moto.0.try_wait().unwrap().is_none(), "moto_server ended at once");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made).await.expect("moto answers");
    let store = Store::open(&bucket(dir.path(), format!("http://{address}"))).unwrap();
    gives_addresses(&store).await;
    conforms(store).await;
}
