//! The folders that tasks write results to and read inputs from, and the way to the store. Comes in: an attempt that is about to start,
//! has succeeded, or is gone. Goes out: folders for its container; stored results; nothing left.
//!
//! One folder per attempt, named after it, so that a worker that was killed finds it again: `out` is the container's to write, `in` is
//! complete before it starts. Which attempt is to be stored, and what follows from it, is the agent's to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use cloudai_net::Backoff;
use cloudai_objects::{FetchError, Manifest, ResultKey, Store, StoredFile};
use cloudai_types::{AttemptId, EndReason, InputSource, JobSpec, Millis, ReasonKind, Results, TaskId, limits};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Attempts that are stored at a time; the rest waits, and holds nothing.
const STORED_AT_A_TIME: usize = 8;
const RETRY_FIRST: Millis = Millis(500);
const RETRY_MAX: Millis = Millis(15_000);
/// Written last: the folder is as its attempt needs it.
const READY: &str = "ready";
/// Holds the name of the attempt's namespace.
const NAMESPACE: &str = "namespace";

const UNPOISONED: &str = "nothing panics under this lock";

#[derive(Clone)]
pub struct Outputs {
    dir: PathBuf,
    /// `None`: the operator named none.
    store: Option<Store>,
    turns: Arc<Semaphore>,
    /// What is being stored now, and how it is given up.
    storing: Arc<Mutex<BTreeMap<AttemptId, CancellationToken>>>,
}

/// What a container is given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Folders {
    pub out: Option<PathBuf>,
    pub inputs: Option<PathBuf>,
}

impl Outputs {
    pub fn open(dir: &Path, store: Option<Store>) -> io::Result<Outputs> {
        // Only its owner comes in: what tasks may write to lies below.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let turns = Arc::new(Semaphore::new(STORED_AT_A_TIME));
        Ok(Outputs { dir: dir.canonicalize()?, store, turns, storing: Arc::default() })
    }

    /// Removes the folders of attempts that have no container. What cannot be removed is tried again at the next start.
    pub fn tidy_up(&self, found: &BTreeSet<AttemptId>) {
        let kept: BTreeSet<String> = found.iter().map(|a| name_of(*a)).collect();
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let is_kept = entry.file_name().to_str().is_some_and(|name| kept.contains(name));
            if !is_kept && let Err(error) = fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, path = %entry.path().display(), "a folder of an earlier attempt is left");
            }
        }
    }

    /// Makes what the spec asks for, with its inputs. May be repeated: what is ready stays as it is.
    pub async fn prepare(&self, attempt: AttemptId, spec: &JobSpec) -> Result<Folders, EndReason> {
        if !spec.needs_store() {
            return Ok(Folders::default());
        }
        let Some(store) = &self.store else {
            let text = "this worker has no store for results and inputs; its operator names one as results.location";
            return Err(EndReason::new(ReasonKind::Rejected, text));
        };
        let folder = self.folder(attempt);
        let folders = Folders {
            out: spec.results.then(|| folder.join("out")),
            inputs: (!spec.inputs.is_empty()).then(|| folder.join("in")),
        };
        if folder.join(READY).exists() {
            return Ok(folders);
        }
        let failed = |e: io::Error| {
            EndReason::new(ReasonKind::EngineError, format!("the folder for its results or inputs cannot be made: {e}"))
        };
        make(&folder, &folders, &spec.namespace).map_err(failed)?;
        if let Some(inputs) = &folders.inputs {
            fetch_inputs(store, spec, inputs).await?;
            open_to_all(inputs).map_err(failed)?;
        }
        fs::write(folder.join(READY), "").map_err(failed)?;
        Ok(folders)
    }

    /// Stores what lies in the attempt's folder: at once where it is stored already, again and again while the store refuses, and not
    /// where another try would fail the same way.
    pub async fn store(&self, attempt: AttemptId) -> Result<Results, String> {
        let given_up = CancellationToken::new();
        self.storing.lock().expect(UNPOISONED).insert(attempt, given_up.clone());
        let stored = given_up.run_until_cancelled(self.store_now(attempt)).await;
        self.storing.lock().expect(UNPOISONED).remove(&attempt);
        stored.unwrap_or_else(|| Err("it was given up".into()))
    }

    async fn store_now(&self, attempt: AttemptId) -> Result<Results, String> {
        let Some(store) = &self.store else {
            return Err(
                "this worker has no store for results any more; its operator names one as results.location".into()
            );
        };
        let folder = self.folder(attempt);
        let namespace = fs::read_to_string(folder.join(NAMESPACE)).map_err(|e| format!("its folder is gone: {e}"))?;
        let key = ResultKey::new(&namespace, attempt).map_err(|problem| format!("its namespace {problem}"))?;
        let Ok(_turn) = self.turns.acquire().await else { return Err("this worker stops".into()) };
        let begun = Instant::now();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let error = match store.upload(&key, &folder.join("out")).await {
                Ok(manifest) => return Ok(manifest.results(&key)),
                Err(error) => error,
            };
            let is_over = error.is_the_tasks() || begun.elapsed() > limits::RESULT_STORE_RETRY.as_duration();
            let text = whole(&error);
            if is_over {
                return Err(text);
            }
            tracing::warn!(%attempt, error = text, "results cannot be stored yet; it is tried again");
            tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
        }
    }

    /// The attempt is over, and known to be. What is still on its way to the store is of no use to anybody.
    pub async fn remove(&self, attempt: AttemptId) {
        if let Some(given_up) = self.storing.lock().expect(UNPOISONED).get(&attempt) {
            given_up.cancel();
        }
        let folder = self.folder(attempt);
        let removed = tokio::task::spawn_blocking(move || match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err((folder, error)),
            Ok(()) | Err(_) => Ok(()),
        });
        if let Ok(Err((folder, error))) = removed.await {
            tracing::warn!(%error, path = %folder.display(), "a folder of results is left; the next start removes it");
        }
    }

    fn folder(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join(name_of(attempt))
    }
}

fn name_of(attempt: AttemptId) -> String {
    format!("{}-{}.{}", attempt.task.job, attempt.task.index, attempt.number)
}

fn make(folder: &Path, folders: &Folders, namespace: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::write(folder.join(NAMESPACE), namespace)?;
    if let Some(out) = &folders.out {
        fs::create_dir_all(out)?;
        // Whoever the program runs as may write; nobody else on this machine comes so far.
        fs::set_permissions(out, fs::Permissions::from_mode(0o777))?;
    }
    if let Some(inputs) = &folders.inputs {
        // Half of them, from a start that was killed.
        match fs::remove_dir_all(inputs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir(inputs)?;
        fs::set_permissions(inputs, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Whoever the task is, and whatever this worker's own files are like, it can read its inputs: a task is hardly ever root, and has no
/// capabilities.
fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_to_all(&entry.path())?;
        }
    }
    Ok(())
}

/// Everything that an input names is there when this returns.
async fn fetch_inputs(store: &Store, spec: &JobSpec, folder: &Path) -> Result<(), EndReason> {
    let mut left = limits::INPUT_BYTES_MAX;
    for (name, source) in &spec.inputs {
        let wrong = |why: String| EndReason::new(ReasonKind::StartFailed, format!("input {name}: {why}"));
        let source: InputSource = source.parse().map_err(wrong)?;
        let to = folder.join(name);
        match &source {
            InputSource::Job(job) => {
                let indexes = store.indexes(&spec.namespace, *job).await.map_err(|e| unread(name, &e))?;
                if indexes.is_empty() {
                    return Err(wrong(format!("job {job} has no results in the store")));
                }
                if indexes.len() > limits::INPUT_TASKS_MAX {
                    let (many, most) = (indexes.len(), limits::INPUT_TASKS_MAX);
                    return Err(wrong(format!("job {job} has results of {many} tasks; {most} are allowed")));
                }
                for index in indexes {
                    let task = TaskId { job: *job, index };
                    // A task that is not done yet, or failed, has none.
                    if let Some((key, manifest)) =
                        store.task(&spec.namespace, task).await.map_err(|e| unread(name, &e))?
                    {
                        let to = to.join(index.to_string());
                        fetch_all(store, &key, &manifest, &to, name, &mut left).await?;
                    }
                }
            }
            InputSource::Task(task) | InputSource::File(task, _) => {
                let found = store.task(&spec.namespace, *task).await.map_err(|e| unread(name, &e))?;
                let Some((key, manifest)) = found else {
                    return Err(wrong(format!("task {task} has no results in the store")));
                };
                if let InputSource::File(_, path) = &source {
                    let Some(file) = manifest.file(path) else {
                        return Err(wrong(format!("the results of task {task} hold no file '{path}'")));
                    };
                    fetch(store, &key, file, &to, name, &mut left).await?;
                } else {
                    fetch_all(store, &key, &manifest, &to, name, &mut left).await?;
                }
            }
        }
    }
    Ok(())
}

async fn fetch_all(
    store: &Store,
    key: &ResultKey,
    manifest: &Manifest,
    to: &Path,
    name: &str,
    left: &mut u64,
) -> Result<(), EndReason> {
    fs::create_dir_all(to).map_err(|e| unwritten(name, &e))?;
    for file in &manifest.files {
        // The manifest was checked: no path in it leads out of the folder.
        fetch(store, key, file, &to.join(&file.path), name, left).await?;
    }
    Ok(())
}

async fn fetch(
    store: &Store,
    key: &ResultKey,
    file: &StoredFile,
    to: &Path,
    name: &str,
    left: &mut u64,
) -> Result<(), EndReason> {
    let Some(rest) = left.checked_sub(file.size) else {
        let text = format!("input {name}: all inputs together have more than {} bytes", limits::INPUT_BYTES_MAX);
        return Err(EndReason::new(ReasonKind::StartFailed, text));
    };
    *left = rest;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|e| unwritten(name, &e))?;
    }
    store.fetch(key, file, to).await.map_err(|e| match e {
        FetchError::Io { source, .. } => unwritten(name, &source),
        FetchError::Read(_) | FetchError::Sum { .. } => unread(name, &e),
    })?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o644)).map_err(|e| unwritten(name, &e))
}

fn unread(name: &str, error: &(dyn std::error::Error + 'static)) -> EndReason {
    EndReason::new(ReasonKind::ResultStore, format!("input {name} cannot be read: {}", whole(error)))
}

fn unwritten(name: &str, error: &io::Error) -> EndReason {
    EndReason::new(ReasonKind::EngineError, format!("input {name} cannot be written on this worker: {error}"))
}

/// An error and what is behind it, in one line.
fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        let said = source.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        at = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_objects::StoreConfig;
    use cloudai_types::JobId;

    fn spec(inputs: &[(&str, String)]) -> JobSpec {
        let inputs = inputs.iter().map(|(name, from)| ((*name).to_owned(), from.clone())).collect();
        JobSpec { image: "i".into(), results: true, inputs, namespace: "default".into(), ..JobSpec::default() }
    }

    fn id(index: u32, number: u32) -> AttemptId {
        AttemptId::new(JobId(1), index, number)
    }

    struct Rig {
        dir: tempfile::TempDir,
        outputs: Outputs,
    }

    impl Rig {
        fn new() -> Rig {
            let dir = tempfile::tempdir().unwrap();
            let outputs = Rig::open(dir.path());
            Rig { dir, outputs }
        }

        fn open(dir: &Path) -> Outputs {
            let store = Store::open(&StoreConfig::directory(&dir.join("store"))).unwrap();
            Outputs::open(&dir.join("outputs"), Some(store)).unwrap()
        }

        /// As a task that writes these and ends.
        async fn run(&self, attempt: AttemptId, files: &[(&str, &str)]) -> Results {
            let folders = self.outputs.prepare(attempt, &spec(&[])).await.unwrap();
            for (path, text) in files {
                let at = folders.out.as_ref().unwrap().join(path);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(at, text).unwrap();
            }
            let results = self.outputs.store(attempt).await.unwrap();
            self.outputs.remove(attempt).await;
            results
        }
    }

    #[tokio::test]
    async fn what_one_task_leaves_another_one_reads() {
        let rig = Rig::new();
        let stored = rig.run(id(0, 1), &[("a.csv", "a"), ("deep/b", "bb")]).await;
        assert_eq!((stored.files_total, stored.bytes_total), (2, 3));
        assert!(stored.manifest.ends_with("/0/1/manifest.json"));
        rig.run(id(1, 1), &[("a.csv", "old")]).await;
        rig.run(id(1, 2), &[("a.csv", "c")]).await;
        let job = JobId(1);
        let inputs = [("all", job.to_string()), ("one", format!("{job}/0")), ("file", format!("{job}/1/a.csv"))];
        let folders = rig.outputs.prepare(id(7, 1), &spec(&inputs)).await.unwrap();
        let at = folders.inputs.unwrap();
        let read = |path: &str| fs::read_to_string(at.join(path)).unwrap();
        assert_eq!(
            (read("all/0/a.csv"), read("all/0/deep/b"), read("all/1/a.csv")),
            ("a".into(), "bb".into(), "c".into())
        );
        assert_eq!((read("one/deep/b"), read("file")), ("bb".into(), "c".into()));
        let mode = |path: &str| fs::metadata(at.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("all/0/deep"), mode("all/0/deep/b")), (0o755, 0o644), "a task is hardly ever root");
        rig.outputs.remove(id(7, 1)).await;
        assert_eq!(fs::read_dir(&rig.outputs.dir).unwrap().count(), 0, "nothing is left");
    }

    #[tokio::test]
    async fn an_input_that_is_not_there_says_so_before_anything_runs() {
        let rig = Rig::new();
        rig.run(id(0, 1), &[("a", "a")]).await;
        let job = JobId(1);
        let said = async |from: String| {
            let reason = rig.outputs.prepare(id(9, 1), &spec(&[("x", from)])).await.unwrap_err();
            assert_eq!(reason.kind(), ReasonKind::StartFailed);
            reason.detail
        };
        assert!(said(JobId(2).to_string()).await.contains("has no results in the store"));
        assert!(said(format!("{job}/3")).await.contains("has no results in the store"));
        assert!(said(format!("{job}/0/b")).await.contains("hold no file 'b'"));
        // Another tenant's results are not there.
        let other = JobSpec { namespace: "team".into(), ..spec(&[("x", format!("{job}/0"))]) };
        let reason = rig.outputs.prepare(id(10, 1), &other).await.unwrap_err();
        assert!(reason.detail.contains("has no results"), "{reason}");
    }

    #[tokio::test]
    async fn a_killed_worker_goes_on_with_what_it_finds() {
        let rig = Rig::new();
        let folders = rig.outputs.prepare(id(0, 1), &spec(&[])).await.unwrap();
        let out = folders.out.clone().unwrap();
        fs::write(out.join("a"), "a").unwrap();
        rig.outputs.prepare(id(1, 1), &spec(&[])).await.unwrap();
        let again = Rig::open(rig.dir.path());
        again.tidy_up(&BTreeSet::from([id(0, 1)]));
        assert_eq!(again.prepare(id(0, 1), &spec(&[])).await.unwrap(), folders, "what is ready stays");
        let stored = again.store(id(0, 1)).await.unwrap();
        assert_eq!(stored.files_total, 1);
        assert_eq!(again.store(id(0, 1)).await.unwrap(), stored, "once more, after another kill");
        let gone = again.store(id(1, 1)).await.unwrap_err();
        assert!(gone.contains("its folder is gone"), "{gone}");
    }

    #[tokio::test]
    async fn without_a_store_only_what_needs_none_starts() {
        let dir = tempfile::tempdir().unwrap();
        let outputs = Outputs::open(&dir.path().join("outputs"), None).unwrap();
        let plain = JobSpec { results: false, ..spec(&[]) };
        assert_eq!(outputs.prepare(id(0, 1), &plain).await, Ok(Folders::default()));
        let reason = outputs.prepare(id(0, 1), &spec(&[])).await.unwrap_err();
        assert_eq!(reason.kind(), ReasonKind::Rejected);
    }

    #[tokio::test]
    async fn what_a_task_wrote_too_much_of_is_refused_at_once() {
        let rig = Rig::new();
        let out = rig.outputs.prepare(id(0, 1), &spec(&[])).await.unwrap().out.unwrap();
        for n in 0..=limits::RESULT_FILES_MAX {
            fs::write(out.join(n.to_string()), "").unwrap();
        }
        let why = rig.outputs.store(id(0, 1)).await.unwrap_err();
        assert!(why.contains("more than 10000 files"), "{why}");
    }
}
