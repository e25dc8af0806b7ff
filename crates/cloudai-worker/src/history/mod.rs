//! What was used on this machine, kept on its disk. Comes in: samples; questions about them. Goes out: answers in steps. Whoever asks is on the other
//! side of the network, and what an answer is for is not known here.
//!
//! Four files: seconds and minutes, of the machine and of attempts. What is measured is gathered in memory and written every few seconds, so that a
//! disk sees little of it; what was not written yet is in the answers all the same. A disk that fails ends the history with one warning, and nothing
//! else: no task and no lease waits for it.

pub mod format;
mod minutes;
mod record;
mod ring;
mod series;
mod sum;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cloudai_proto::v1 as pb;
use cloudai_types::limits;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

pub use self::series::Question;

use self::minutes::Minutes;
use self::record::{Record, Subject};
use self::ring::Ring;
use crate::clock;
use crate::tasks::Tasks;

const UNPOISONED: &str = "nothing panics under this lock";

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// GPUs of this machine.
    pub gpus: usize,
    /// Bytes on the disk for all attempts.
    pub attempts_bytes: u64,
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held by whoever reads or writes the files, on a thread that may wait.
    files: Mutex<Files>,
    /// Held for a moment only. Taken after `files` where both are.
    gathered: Mutex<Gathered>,
    reads: Semaphore,
}

enum Files {
    Opening,
    Open(Rings),
    /// Why there are none.
    Stopped(String),
}

struct Rings {
    fine: Ring,
    coarse: Ring,
    attempts_fine: Ring,
    attempts_coarse: Ring,
}

/// What is not written yet.
#[derive(Default)]
struct Gathered {
    fine: Vec<Record>,
    coarse: Vec<Record>,
    minutes: Minutes,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("it keeps nothing of that, or not of that time")]
    NotFound,
    #[error("it has just begun, and reads what it kept")]
    Opening,
    #[error("its disk failed, and it keeps no history until it is started again: {0}")]
    Stopped(String),
    #[error("what it kept cannot be read: {0}")]
    Unread(String),
}

impl History {
    /// Keeps what comes for as long as the worker runs, in files below `dir`.
    pub fn start(dir: PathBuf, room: Room, samples: watch::Receiver<Arc<pb::UsageSample>>, tasks: &Tasks) -> History {
        let shared = Arc::new(Shared {
            files: Mutex::new(Files::Opening),
            gathered: Mutex::default(),
            reads: Semaphore::new(limits::HISTORY_READS_AT_A_TIME),
        });
        tasks.spawn(keep(shared.clone(), dir, room, samples));
        History { shared }
    }

    pub async fn ask(&self, question: Question) -> Result<pb::UsageHistory, AskError> {
        let _turn = self.shared.reads.acquire().await.expect("this semaphore is never closed");
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || shared.answer(&question, clock::wall().0));
        read.await.unwrap_or_else(|error| Err(AskError::Unread(error.to_string())))
    }
}

async fn keep(shared: Arc<Shared>, dir: PathBuf, room: Room, mut samples: watch::Receiver<Arc<pb::UsageSample>>) {
    let opening = shared.clone();
    let opened = tokio::task::spawn_blocking(move || opening.open(&dir, room)).await;
    // A worker that stops ends its threads.
    if !matches!(opened, Ok(true)) {
        return;
    }
    let mut written = Instant::now();
    while samples.changed().await.is_ok() {
        let sample = samples.borrow_and_update().clone();
        shared.gathered.lock().expect(UNPOISONED).add(&record::of_sample(&sample));
        if written.elapsed() >= limits::HISTORY_WRITE_EVERY.as_duration() {
            written = Instant::now();
            // Samples that come while a disk is slow are missed: nothing piles up here.
            let writing = shared.clone();
            if !matches!(tokio::task::spawn_blocking(move || writing.write()).await, Ok(true)) {
                return;
            }
        }
    }
}

impl Gathered {
    fn add(&mut self, records: &[Record]) {
        self.coarse.extend(self.minutes.add(records));
        self.fine.extend_from_slice(records);
    }
}

impl Shared {
    /// False: there is no history.
    fn open(&self, dir: &Path, room: Room) -> bool {
        let opened = Rings::open(dir, room);
        let mut files = self.files.lock().expect(UNPOISONED);
        match opened {
            Ok(rings) => *files = Files::Open(rings),
            Err(error) => files.stop(&error),
        }
        matches!(*files, Files::Open(_))
    }

    /// False: there is no history any more.
    fn write(&self) -> bool {
        let mut files = self.files.lock().expect(UNPOISONED);
        let Files::Open(rings) = &mut *files else { return false };
        let (fine, coarse) = {
            let mut gathered = self.gathered.lock().expect(UNPOISONED);
            (std::mem::take(&mut gathered.fine), std::mem::take(&mut gathered.coarse))
        };
        match rings.append(&fine, &coarse) {
            Ok(()) => true,
            Err(error) => {
                files.stop(&error);
                false
            }
        }
    }

    fn answer(&self, question: &Question, now_ms: u64) -> Result<pb::UsageHistory, AskError> {
        let files = self.files.lock().expect(UNPOISONED);
        let rings = match &*files {
            Files::Open(rings) => rings,
            Files::Opening => return Err(AskError::Opening),
            Files::Stopped(why) => return Err(AskError::Stopped(why.clone())),
        };
        let (mut fine, mut coarse) = rings.read(question).map_err(|error| AskError::Unread(error.to_string()))?;
        // While the files' lock is held, nothing goes from there to here.
        let gathered = self.gathered.lock().expect(UNPOISONED);
        fine.extend_from_slice(&gathered.fine);
        coarse.extend_from_slice(&gathered.coarse);
        coarse.extend(gathered.minutes.so_far());
        drop(gathered);
        series::answer(&fine, &coarse, question, now_ms).ok_or(AskError::NotFound)
    }
}

impl Files {
    fn stop(&mut self, error: &io::Error) {
        tracing::warn!(%error, "what is used on this machine cannot be kept; this worker has no history until it is started again, and goes on without");
        *self = Files::Stopped(error.to_string());
    }
}

impl Rings {
    fn open(dir: &Path, room: Room) -> io::Result<Rings> {
        std::fs::create_dir_all(dir)?;
        let subjects = 1 + room.gpus.min(limits::HISTORY_GPUS_MAX) as u64;
        let ring = |name: &str, slots| {
            let path = dir.join(name);
            let (ring, problem) = Ring::open(&path, slots)?;
            if let Some(problem) = problem {
                tracing::warn!(path = %path.display(), %problem, "a file of this worker's history is started anew: what was in it is lost");
            }
            io::Result::Ok(ring)
        };
        let fine_bytes = room.attempts_bytes / 4;
        Ok(Rings {
            fine: ring("machine-seconds", limits::HISTORY_FINE.0 / limits::SAMPLE_PERIOD.0 * subjects)?,
            coarse: ring("machine-minutes", limits::HISTORY_COARSE.0 / minutes::MINUTE_MS * subjects)?,
            attempts_fine: ring("attempts-seconds", Ring::slots_in(fine_bytes))?,
            attempts_coarse: ring("attempts-minutes", Ring::slots_in(room.attempts_bytes - fine_bytes))?,
        })
    }

    fn append(&mut self, fine: &[Record], coarse: &[Record]) -> io::Result<()> {
        let (attempts, machine) = split(fine);
        self.fine.append(&machine)?;
        self.attempts_fine.append(&attempts)?;
        let (attempts, machine) = split(coarse);
        self.coarse.append(&machine)?;
        self.attempts_coarse.append(&attempts)
    }

    fn read(&self, question: &Question) -> io::Result<(Vec<Record>, Vec<Record>)> {
        let (fine, coarse) = match question.attempt {
            None => (&self.fine, &self.coarse),
            Some(_) => (&self.attempts_fine, &self.attempts_coarse),
        };
        let wanted = |record: &Record| question.concerns(record.subject);
        Ok((fine.records(wanted)?, coarse.records(wanted)?))
    }
}

/// Those of attempts, and the others.
fn split(records: &[Record]) -> (Vec<Record>, Vec<Record>) {
    records.iter().copied().partition(|record| matches!(record.subject, Subject::Attempt(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{AttemptId, JobId};

    const ROOM: Room = Room { gpus: 0, attempts_bytes: limits::HISTORY_BYTES_MIN };
    const MACHINE: Question = Question { attempt: None, back_ms: 0, points_max: 1_000 };

    fn shared() -> Shared {
        Shared { files: Mutex::new(Files::Opening), gathered: Mutex::default(), reads: Semaphore::new(1) }
    }

    /// Second `at_s` of a machine that uses as many thousandths of a core as there have been seconds, and of one attempt.
    fn sample(at_s: u64) -> pb::UsageSample {
        let cpu = Some(at_s as u32);
        pb::UsageSample {
            at_ms: at_s * 1_000,
            machine: Some(pb::MachineUsage { cpu_millicores: cpu, ..Default::default() }),
            attempts: vec![pb::AttemptUsage { job: 7, number: 1, cpu_millicores: cpu, ..Default::default() }],
            ..Default::default()
        }
    }

    fn add(shared: &Shared, seconds: std::ops::Range<u64>) {
        for at_s in seconds {
            shared.gathered.lock().unwrap().add(&record::of_sample(&sample(at_s)));
        }
    }

    /// From when on, in steps of how long, how many, and the newest.
    fn told(shared: &Shared, question: Question, now_s: u64) -> Result<(u64, u64, usize, u64), AskError> {
        let history = shared.answer(&question, now_s * 1_000)?;
        let series = &history.series[0];
        Ok((history.from_ms / 1_000, history.step_ms / 1_000, series.points.len(), series.last))
    }

    #[test]
    fn what_was_used_is_known_at_once_and_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let of_attempt = Question { attempt: Some(AttemptId::new(JobId(7), 0, 1)), ..MACHINE };
        let first = shared();
        assert_eq!(told(&first, MACHINE, 1), Err(AskError::Opening));
        assert!(first.open(dir.path(), ROOM));
        assert_eq!(told(&first, MACHINE, 1), Err(AskError::NotFound));
        add(&first, 600..690);
        assert_eq!(told(&first, MACHINE, 690), Ok((600, 1, 90, 689)), "nothing was written yet");
        assert!(first.write());
        assert_eq!(told(&first, MACHINE, 690), Ok((600, 1, 90, 689)), "neither lost nor doubled");
        assert_eq!(told(&first, of_attempt, 690), Ok((600, 1, 90, 689)));
        drop(first);
        let second = shared();
        assert!(second.open(dir.path(), ROOM));
        assert_eq!(told(&second, MACHINE, 700), Ok((600, 1, 90, 689)));
        add(&second, 3_000..4_200);
        assert!(second.write());
        assert_eq!(told(&second, MACHINE, 4_200), Ok((600, 60, 21, 4_199)), "the seconds go no further back");
        let recent = Question { back_ms: 600_000, ..MACHINE };
        assert_eq!(told(&second, recent, 4_200), Ok((3_600, 1, 600, 4_199)));
        let other = Question { attempt: Some(AttemptId::new(JobId(8), 0, 1)), ..MACHINE };
        assert_eq!(told(&second, other, 4_200), Err(AskError::NotFound));
    }

    #[test]
    fn the_files_have_a_size_and_keep_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let shared = shared();
        assert!(shared.open(dir.path(), ROOM));
        let sizes = || {
            let mut sizes: Vec<_> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
                .collect();
            sizes.sort();
            sizes
        };
        let before = sizes();
        let attempts: u64 = before.iter().filter(|(name, _)| name.starts_with("attempts")).map(|(_, size)| size).sum();
        assert!(before.len() == 4 && attempts <= ROOM.attempts_bytes, "{before:?}");
        add(&shared, 0..3_000);
        assert!(shared.write());
        assert_eq!(sizes(), before);
    }

    #[test]
    fn a_disk_that_fails_ends_the_history_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let occupied = dir.path().join("file");
        std::fs::write(&occupied, "").unwrap();
        let broken = shared();
        assert!(!broken.open(&occupied, ROOM));
        add(&broken, 600..610);
        assert!(!broken.write());
        let Err(AskError::Stopped(why)) = told(&broken, MACHINE, 610) else { panic!("it has an answer") };
        assert!(!why.is_empty());
    }

    #[tokio::test]
    async fn samples_that_come_can_be_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let tasks = Tasks::default();
        let (newest, samples) = watch::channel(Arc::default());
        let history = History::start(dir.path().join("history"), ROOM, samples, &tasks);
        let now_s = clock::wall().0 / 1_000;
        let found = loop {
            newest.send_replace(Arc::new(sample(now_s)));
            tokio::task::yield_now().await;
            match history.ask(MACHINE).await {
                Ok(found) => break found,
                Err(AskError::Opening | AskError::NotFound) => {}
                Err(error) => panic!("{error}"),
            }
        };
        tasks.end().await;
        assert_eq!(found.from_ms, now_s * 1_000);
    }
}
