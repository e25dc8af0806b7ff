//! The rows of one master, in memory. Comes in: batches with their mark. Goes out: point reads, scans, checkpoints. A crash falls
//! back to some batch since the last flush, as RocksDB without an fsync per write does: a batch is there as a whole, or not.
//! Knows no row's meaning.

use std::collections::VecDeque;
use std::io::{self, Read, Write as _};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use cloudai_core::memory::MemRows;
use cloudai_core::rows::{Family, Write};
use cloudai_master::{RowWrites, StateStore};
use cloudai_raft::CheckpointJob;

use crate::dice::Dice;

/// One batch as it was committed, for those who watch.
#[derive(Clone, Debug)]
pub struct Commit {
    pub master: u8,
    /// The log index that the rows stand at now.
    pub index: u64,
    pub writes: Arc<Vec<Write>>,
}

#[derive(Clone, Default)]
struct Image {
    rows: MemRows,
    mark: Option<Bytes>,
}

type Batch = (Arc<Vec<Write>>, Bytes);

struct Store {
    memory: Image,
    flushed: Image,
    unflushed: VecDeque<Batch>,
    dice: Dice,
    commits: Arc<Mutex<Vec<Commit>>>,
    master: u8,
}

/// Cheap to clone; survives its host.
#[derive(Clone)]
pub struct SimRows(Arc<RwLock<Store>>);

/// In how many of 1,000 commits the memtable is flushed.
const FLUSH_PER_THOUSAND: u64 = 20;
const CHECKPOINT_FILE: &str = "rows";

impl SimRows {
    /// Every commit is also pushed to `commits`.
    pub fn new(master: u8, dice: Dice, commits: Arc<Mutex<Vec<Commit>>>) -> Self {
        let store = Store {
            memory: Image::default(),
            flushed: Image::default(),
            unflushed: VecDeque::new(),
            dice,
            commits,
            master,
        };
        SimRows(Arc::new(RwLock::new(store)))
    }

    /// Again by whoever has it already: a scan reads other rows on its way.
    fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.0.read().expect("the rows do not panic")
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Store> {
        self.0.write().expect("the rows do not panic")
    }

    /// The machine went down. `keeps_all`: only its process did.
    pub fn crash(&self, keeps_all: bool) {
        let mut store = self.lock();
        let most = store.unflushed.len() as u64;
        let survive = if keeps_all { most } else { store.dice.between(0, most) };
        let batches: Vec<Batch> = store.unflushed.drain(..).take(survive as usize).collect();
        for (writes, mark) in batches {
            store.flushed.apply(&writes, mark);
        }
        store.memory = store.flushed.clone();
    }

    /// All rows, as they are in memory.
    pub fn rows(&self) -> MemRows {
        self.read().memory.rows.clone()
    }
}

impl Image {
    fn apply(&mut self, writes: &Arc<Vec<Write>>, mark: Bytes) {
        self.rows.write(writes.to_vec());
        self.mark = Some(mark);
    }
}

impl Store {
    fn flush(&mut self) {
        for (writes, mark) in std::mem::take(&mut self.unflushed) {
            self.flushed.apply(&writes, mark);
        }
    }
}

impl StateStore for SimRows {
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.read().memory.rows.rows.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        let store = self.read();
        let end = match to {
            Some(to) => Bound::Excluded((family, to.to_vec())),
            None => Bound::Unbounded,
        };
        let range = store.memory.rows.rows.range((Bound::Included((family, from.to_vec())), end));
        let mut one = |((f, key), value): (&(Family, Vec<u8>), &Vec<u8>)| *f != family || each(key, value);
        if reverse {
            let _ = range.rev().all(&mut one);
        } else {
            let _ = range.take_while(|((f, _), _)| *f == family).all(&mut one);
        }
        Ok(())
    }

    fn write(&self, writes: &RowWrites, mark: Bytes) -> io::Result<()> {
        let index = cloudai_raft::index_of_mark(&mark)?;
        let own = |(family, key, value): (Family, &[u8], Option<&[u8]>)| Write {
            family,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let writes = Arc::new(writes.iter().map(own).collect::<Vec<_>>());
        let mut store = self.lock();
        store.memory.apply(&writes, mark.clone());
        store.unflushed.push_back((writes.clone(), mark));
        if store.dice.chance(FLUSH_PER_THOUSAND) {
            store.flush();
        }
        let commit = Commit { master: store.master, index, writes };
        store.commits.lock().expect("pushing does not panic").push(commit);
        Ok(())
    }

    fn mark(&self) -> io::Result<Option<Bytes>> {
        Ok(self.read().memory.mark.clone())
    }

    /// As with RocksDB, a checkpoint flushes: the log may be purged up to it.
    fn checkpoint(&self) -> io::Result<CheckpointJob> {
        let mut store = self.lock();
        store.flush();
        let image = store.memory.clone();
        Ok(Box::new(move |dir| {
            std::fs::create_dir(dir)?;
            let mark = image.mark.clone().unwrap_or_default();
            let mut out = vec![];
            put(&mut out, &mark);
            for ((family, key), value) in &image.rows.rows {
                out.push(*family as u8);
                put(&mut out, key);
                put(&mut out, value);
            }
            std::fs::File::create(dir.join(CHECKPOINT_FILE))?.write_all(&out)?;
            Ok(mark)
        }))
    }

    fn install(&self, dir: &Path) -> io::Result<()> {
        let mut bytes = vec![];
        std::fs::File::open(dir.join(CHECKPOINT_FILE))?.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mark = take(&mut rest)?;
        let mut rows = MemRows::default();
        while let Some((number, after)) = rest.split_first() {
            rest = after;
            let family = Family::ALL.into_iter().find(|f| *f as u8 == *number).ok_or_else(torn)?;
            let (key, value) = (take(&mut rest)?, take(&mut rest)?);
            rows.rows.insert((family, key), value);
        }
        let image = Image { rows, mark: Some(Bytes::from(mark)) };
        let mut store = self.lock();
        store.unflushed.clear();
        store.memory = image.clone();
        store.flushed = image;
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn take(from: &mut &[u8]) -> io::Result<Vec<u8>> {
    let (length, rest) = from.split_first_chunk::<4>().ok_or_else(torn)?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(torn)?;
    *from = rest;
    Ok(bytes.to_vec())
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a torn checkpoint")
}
