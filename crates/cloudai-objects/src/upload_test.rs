//! A folder goes into a store and comes out again: into a directory, and into memory, which answers as a bucket does.

use cloudai_types::{AttemptId, JobId, TaskId};
use object_store::ObjectStore as _;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::*;
use crate::download::FetchError;

/// Small parts, so that a few kilobytes are a large file.
const PART: usize = 1_000;

struct Rig {
    dir: tempfile::TempDir,
    stores: Vec<Store>,
}

impl Rig {
    fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let directory = dir.path().join("store");
        std::fs::create_dir(&directory).unwrap();
        let local = LocalFileSystem::new_with_prefix(&directory).unwrap();
        let stores = vec![
            Store { part_bytes: PART, directory: Some(directory), ..Store::over(Arc::new(local), "", "directory") },
            Store { part_bytes: PART, ..Store::over(Arc::new(InMemory::new()), "pre/fix", "memory") },
        ];
        Rig { dir, stores }
    }

    fn out(&self) -> std::path::PathBuf {
        self.dir.path().join("out")
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let at = self.out().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, bytes).unwrap();
    }
}

fn key(number: u32) -> ResultKey {
    ResultKey::new("default", AttemptId::new(JobId(1), 3, number)).unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

async fn read(store: &Store, key: &ResultKey, file: &StoredFile, range: std::ops::Range<u64>) -> Vec<u8> {
    let pieces: Vec<Bytes> = store.read(key, file, range).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

async fn objects(store: &Store) -> Vec<String> {
    let mut all: Vec<String> = store.objects.list(None).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
    all.sort();
    all
}

#[tokio::test]
async fn a_folder_comes_back_byte_by_byte() {
    let rig = Rig::new();
    // Around the size of a part, and some parts.
    let sizes = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 10 * PART + 7];
    for size in sizes {
        rig.write(&format!("sizes/{size}.bin"), &bytes(size));
    }
    rig.write("table.csv", b"a,b\n");
    for store in &rig.stores {
        let manifest = store.upload(&key(1), &rig.out()).await.unwrap();
        assert_eq!(store.manifest(&key(1)).await.unwrap().as_ref(), Some(&manifest));
        assert_eq!((manifest.files.len(), manifest.left_out_total), (sizes.len() + 1, 0));
        assert_eq!(manifest.file("table.csv").unwrap().media_type, "text/csv");
        for size in sizes {
            let file = manifest.file(&format!("sizes/{size}.bin")).unwrap();
            assert_eq!(file.size, size as u64);
            assert_eq!(read(store, &key(1), file, 0..file.size).await, bytes(size));
            let to = rig.dir.path().join("fetched");
            store.fetch(&key(1), file, &to).await.unwrap();
            assert_eq!(std::fs::read(&to).unwrap(), bytes(size));
            std::fs::remove_file(&to).unwrap();
        }
        let large = manifest.file(&format!("sizes/{}.bin", 10 * PART + 7)).unwrap();
        assert_eq!(read(store, &key(1), large, 990..2_010).await, bytes(10 * PART + 7)[990..2_010]);
        assert!(matches!(store.read(&key(1), large, 0..large.size + 1).await, Err(ReadError::Range { .. })));
        assert_eq!(store.parts.available_permits(), limits::RESULT_PARTS_IN_MEMORY, "every part gave its room back");
    }
}

#[tokio::test]
async fn an_attempt_is_stored_once() {
    let rig = Rig::new();
    rig.write("a", b"first");
    for store in &rig.stores {
        rig.write("a", b"first");
        let first = store.upload(&key(1), &rig.out()).await.unwrap();
        let before = objects(store).await;
        rig.write("a", b"second");
        rig.write("b", b"more");
        assert_eq!(store.upload(&key(1), &rig.out()).await.unwrap(), first, "a result does not change");
        assert_eq!(objects(store).await, before);
        std::fs::remove_file(rig.out().join("b")).unwrap();
    }
}

/// As if an earlier process had written it.
fn make_old(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
}

#[tokio::test]
async fn half_an_upload_is_never_seen_and_the_next_one_ends_it() {
    let rig = Rig::new();
    let (small, large) = (b"small".to_vec(), bytes(5 * PART));
    rig.write("small", &small);
    rig.write("large", &large);
    for store in &rig.stores {
        // As if killed: one object is there with other bytes, a large one has only begun.
        let at = store.path(&key(1).object("files/small")).unwrap();
        store.objects.put(&at, PutPayload::from_static(b"torn")).await.unwrap();
        let at = store.path(&key(1).object("files/large")).unwrap();
        let mut begun = store.objects.put_multipart(&at).await.unwrap();
        begun.put_part(PutPayload::from(bytes(PART))).await.unwrap();
        std::mem::forget(begun);
        if let Some(directory) = &store.directory {
            make_old(&directory.join(key(1).object("files")));
        }
        assert_eq!(store.manifest(&key(1)).await.unwrap(), None);
        assert_eq!(store.task("default", key(1).attempt.task).await.unwrap(), None);
        let manifest = store.upload(&key(1), &rig.out()).await.unwrap();
        if let Some(directory) = &store.directory {
            let left = std::fs::read_dir(directory.join(key(1).object("files"))).unwrap();
            let mut left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
            left.sort();
            assert_eq!(left, ["large", "small"], "what the killed one was writing is gone");
        }
        for (path, wanted) in [("small", &small), ("large", &large)] {
            let file = manifest.file(path).unwrap();
            assert_eq!(read(store, &key(1), file, 0..file.size).await, *wanted);
        }
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_at_any_moment_leaves_nothing_to_see() {
    let rig = Rig::new();
    for n in 0..6 {
        rig.write(&format!("f{n}"), &bytes(n * PART));
    }
    for store in &rig.stores {
        for polls in 0..40u32 {
            let mut left = polls;
            let out = rig.out();
            let of = key(polls + 1);
            // It is polled so many times, and then dropped.
            let ended = {
                let mut upload = std::pin::pin!(store.upload(&of, &out));
                let some_polls = std::future::poll_fn(|cx| {
                    if left == 0 {
                        return std::task::Poll::Ready(None);
                    }
                    left -= 1;
                    upload.as_mut().poll(cx).map(Some)
                });
                some_polls.await
            };
            let seen = store.manifest(&of).await.unwrap();
            if let Some(manifest) = ended {
                assert_eq!(seen, Some(manifest.unwrap()));
            }
            // Dropped while the manifest itself was on its way it may be there; then it is whole.
            if let Some(manifest) = seen {
                assert_eq!(manifest.files.len(), 6);
            }
            let manifest = store.upload(&of, &out).await.unwrap();
            let last = manifest.file("f5").unwrap();
            assert_eq!(read(store, &of, last, 0..last.size).await, bytes(5 * PART));
        }
    }
}

#[tokio::test]
async fn hostile_names_come_back_as_they_were() {
    let rig = Rig::new();
    let long = "x".repeat(255);
    let names =
        ["a#1", "ä ö", "-rf", "a%2e%2e%2fb", "x\ny", "..a", "a\\b", "con", "~", "*", "manifest.json", "files", &long];
    for name in names {
        rig.write(&format!("d/{name}"), name.as_bytes());
    }
    rig.write("manifest.json", b"mine");
    for store in &rig.stores {
        let manifest = store.upload(&key(1), &rig.out()).await.unwrap();
        assert_eq!(manifest.files.len(), names.len() + 1);
        for name in names {
            let file = manifest.file(&format!("d/{name}")).unwrap_or_else(|| panic!("{name:?} is stored"));
            assert_eq!(read(store, &key(1), file, 0..file.size).await, name.as_bytes());
        }
        let prefix = store.path(&key(1).prefix()).unwrap().to_string();
        assert!(objects(store).await.iter().all(|o| o.starts_with(&prefix)), "nothing leaves the attempt's own place");
    }
}

#[tokio::test]
async fn damage_is_found_and_leaves_no_file() {
    let rig = Rig::new();
    rig.write("a", b"right");
    for store in &rig.stores {
        let manifest = store.upload(&key(1), &rig.out()).await.unwrap();
        let file = manifest.file("a").unwrap();
        let at = store.path(&key(1).object("files/a")).unwrap();
        store.objects.put(&at, PutPayload::from_static(b"wrong")).await.unwrap();
        let to = rig.dir.path().join("to");
        assert!(matches!(store.fetch(&key(1), file, &to).await, Err(FetchError::Sum { .. })));
        assert!(!to.exists());
        std::fs::write(&to, "somebody's").unwrap();
        assert!(matches!(store.fetch(&key(1), file, &to).await, Err(FetchError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "somebody's");
        std::fs::remove_file(&to).unwrap();
        store.objects.delete(&at).await.unwrap();
        assert!(matches!(store.fetch(&key(1), file, &to).await, Err(FetchError::Read(ReadError::Gone(_)))));
    }
}

#[tokio::test]
async fn the_last_attempt_that_stored_something_counts_and_all_of_it_can_be_removed() {
    let rig = Rig::new();
    rig.write("a", b"1");
    let task = |index| TaskId { job: JobId(1), index };
    for store in &rig.stores {
        for number in [1, 2, 10] {
            store.upload(&key(number), &rig.out()).await.unwrap();
        }
        let other = ResultKey::new("default", AttemptId::new(JobId(1), 12, 1)).unwrap();
        let elsewhere = ResultKey::new("team", AttemptId::new(JobId(1), 3, 1)).unwrap();
        store.upload(&other, &rig.out()).await.unwrap();
        store.upload(&elsewhere, &rig.out()).await.unwrap();
        assert_eq!(store.indexes("default", JobId(1)).await.unwrap(), [3, 12]);
        assert_eq!(store.task("default", task(3)).await.unwrap().unwrap().0, key(10), "not in the order of the text");
        store.remove(&key(10)).await.unwrap();
        store.remove(&key(10)).await.unwrap();
        assert_eq!(store.task("default", task(3)).await.unwrap().unwrap().0, key(2));
        if let Some(directory) = &store.directory {
            // What a killed upload leaves, which no listing shows.
            std::fs::write(directory.join(key(2).object("files/torn#1")), "x").unwrap();
        }
        store.remove_job("default", JobId(1)).await.unwrap();
        assert_eq!(store.indexes("default", JobId(1)).await.unwrap(), [0; 0]);
        assert!(store.manifest(&elsewhere).await.unwrap().is_some(), "another tenant's stays");
        if let Some(directory) = &store.directory {
            assert!(!directory.join(format!("default/{}", JobId(1))).exists());
        }
        store.remove_job("..", JobId(1)).await.unwrap();
        assert!(store.manifest(&elsewhere).await.unwrap().is_some());
    }
}

/// A container that swaps its files for links to somebody else's while they are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_of_links_stores_no_file_from_outside() {
    use std::sync::atomic::AtomicBool;
    const ROUNDS: u32 = 200;
    let rig = Rig::new();
    rig.write("folder/file", b"own");
    rig.write("file", b"own");
    let outside = rig.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), "secret").unwrap();
    let out = rig.out();
    std::os::unix::fs::symlink(outside.join("file"), out.join("x")).unwrap();
    std::os::unix::fs::symlink(&outside, out.join("y")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (out, done) = (out.clone(), done.clone());
        std::thread::spawn(move || {
            let swap = |a: &str, b: &str| {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                renameat_with(CWD, out.join(a), CWD, out.join(b), RenameFlags::EXCHANGE).expect("they are exchanged");
            };
            while !done.load(Relaxed) {
                swap("file", "x");
                swap("folder", "y");
            }
        })
    };
    let store = &rig.stores[1];
    for number in 1..=ROUNDS {
        let manifest = store.upload(&key(number), &out).await;
        // A folder that changes under the listing may refuse to be listed; it never shows what is not in it.
        let Ok(manifest) = manifest else { continue };
        for file in &manifest.files {
            assert_eq!(read(store, &key(number), file, 0..file.size).await, b"own", "{}", file.path);
        }
    }
    done.store(true, Relaxed);
    swapping.join().unwrap();
}
