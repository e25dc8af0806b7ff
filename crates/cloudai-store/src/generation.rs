//! Generations of the state: each is one database directory, `sm-N`. Comes in: the directory that holds them. Goes out: the one in use, which the
//! file `CURRENT_SM` names and which is replaced atomically. Does not know what the rows are, nor when a next one comes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::DB;

use crate::db::{io_error, is_damage, is_locked, sync_dir};
use crate::open_state_error::OpenStateError;
use crate::options;

pub const CURRENT: &str = "CURRENT_SM";

/// One database directory. Readers hold it by `Arc`.
pub struct Generation {
    number: u64,
    dir: PathBuf,
    /// `None` only while it is being dropped.
    db: Option<DB>,
    /// Another generation is in use: remove the directory with the last reader.
    replaced: AtomicBool,
}

impl Generation {
    pub fn open(root: &Path, number: u64) -> Result<Generation, rocksdb::Error> {
        let dir = dir(root, number);
        let db = DB::open(&options::state(), &dir)?;
        options::uncache_replaced_files(&db)?;
        Ok(Generation { number, dir, db: Some(db), replaced: AtomicBool::new(false) })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn db(&self) -> &DB {
        self.db.as_ref().expect("taken by drop only")
    }

    /// Another one is in use from now on.
    pub fn replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        drop(self.db.take());
        if *self.replaced.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot remove an old state; the next start tries again");
        }
    }
}

/// Where a generation lies.
pub fn dir(root: &Path, number: u64) -> PathBuf {
    root.join(format!("sm-{number}"))
}

/// Open the generation in use, or create the first one, and remove what a crash left of others.
pub fn in_use(root: &Path) -> Result<Generation, OpenStateError> {
    let path = || root.display().to_string();
    let io = |source: io::Error| OpenStateError::Io { path: path(), source };
    fs::create_dir_all(root).map_err(io)?;
    let damaged =
        |why: String| OpenStateError::Damaged { path: path(), source: io::Error::new(io::ErrorKind::InvalidData, why) };
    let number = match fs::read_to_string(root.join(CURRENT)) {
        Ok(name) => {
            let number = name.trim().strip_prefix("sm-").and_then(|n| n.parse().ok());
            let number = number.ok_or_else(|| damaged(format!("{CURRENT} says {name:?}")))?;
            // Opened all the same, RocksDB would begin an empty one, and the others would be removed below.
            if !dir(root, number).join("CURRENT").exists() && any_written(root).map_err(io)? {
                return Err(damaged(format!("{CURRENT} names sm-{number}, which is not there or not complete")));
            }
            number
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            if any_written(root).map_err(io)? {
                return Err(damaged(format!("{CURRENT} is missing, and states are there")));
            }
            set_current(root, 1).map_err(io)?;
            1
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(damaged(format!("{CURRENT}: {e}"))),
        Err(e) => return Err(io(e)),
    };
    let generation = Generation::open(root, number).map_err(|e| match () {
        () if is_damage(&e) => OpenStateError::Damaged { path: path(), source: io_error(e) },
        () if is_locked(&e) => OpenStateError::InUse { path: path(), source: io_error(e) },
        () => OpenStateError::Io { path: path(), source: io_error(e) },
    })?;
    // Only now, under the database's lock.
    for item in fs::read_dir(root).map_err(io)? {
        let item = item.map_err(io)?.path();
        let name = item.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with("sm-") && name != format!("sm-{number}") {
            fs::remove_dir_all(&item).map_err(io)?;
        }
    }
    Ok(generation)
}

/// Whether a state was ever written below `root`.
fn any_written(root: &Path) -> io::Result<bool> {
    for item in fs::read_dir(root)? {
        let item = item?;
        if item.file_name().to_string_lossy().starts_with("sm-") && fs::read_dir(item.path())?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Make `sm-number` the one in use, durably.
pub fn set_current(root: &Path, number: u64) -> io::Result<()> {
    let tmp = root.join("CURRENT_SM.tmp");
    let mut f = File::create(&tmp)?;
    writeln!(f, "sm-{number}")?;
    f.sync_all()?;
    fs::rename(&tmp, root.join(CURRENT))?;
    sync_dir(root)
}
