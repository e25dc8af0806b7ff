//! The two stores on RocksDB. Comes in: a data directory. Goes out: the log as `cloudai-raft` wants it, and the rows as this crate
//! wants them. Only types are translated here.

use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use cloudai_core::rows::Family;
use cloudai_raft::{CheckpointJob, StoreMemory};
use cloudai_store::{Keys, RocksLog, RocksState, RowBatch};

use crate::config::MasterConfig;
use crate::run::{OpenError, OpenStores, RunError, run};
use crate::state_store::{RowWrites, StateStore};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`run`] on RocksDB. Boxed on purpose: so the whole master is compiled once, here, and not again in each program that uses it.
pub fn run_on_rocksdb(config: MasterConfig, shutdown: Boxed<()>) -> Boxed<Result<(), RunError>> {
    Box::pin(run(config, RocksStores, shutdown))
}

/// An empty file beside the two databases: they were made once. A database that is gone later would be made again empty, and
/// this node would have forgotten its vote.
const FILLED: &str = "filled";

fn as_open_error(is_damage: bool, e: &impl std::fmt::Display) -> OpenError {
    let reason = e.to_string();
    if is_damage { OpenError::Damaged(reason) } else { OpenError::Unusable(reason) }
}

/// Opens `RocksLog` and `RocksState`.
struct RocksStores;

impl OpenStores for RocksStores {
    type Log = RocksLog;
    type State = RocksState;

    fn open(&self, log_dir: &Path, state_dir: &Path) -> Result<(RocksLog, RocksState), OpenError> {
        let filled = log_dir.with_file_name(FILLED);
        if filled.exists() {
            for (what, head) in [("log", log_dir.join("CURRENT")), ("state", state_dir.join("CURRENT_SM"))] {
                if !head.exists() {
                    return Err(OpenError::Damaged(format!("the {what} that was in {} is gone", head.display())));
                }
            }
        }
        let log = RocksLog::open(log_dir).map_err(|e| as_open_error(e.is_damage(), &e))?;
        let state = RocksState::open(state_dir).map_err(|e| as_open_error(e.is_damage(), &e))?;
        let note = || File::create(&filled)?.sync_all();
        note().map_err(|e| OpenError::Unusable(format!("{}: {e}", filled.display())))?;
        Ok((log, state))
    }
}

impl StateStore for RocksState {
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        RocksState::get(self, family as u8, key)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> io::Result<()> {
        let keys = Keys::Range { from: Some(from), to };
        self.view(|view| {
            view.for_each(family as u8, keys, reverse, |key, value| {
                if each(key, value) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
        })
    }

    fn write(&self, writes: &RowWrites, mark: Bytes) -> io::Result<()> {
        let mut batch = RowBatch::with_capacity(writes.bytes() * 9 / 8);
        for (family, key, value) in writes.iter() {
            match value {
                Some(value) => batch.put(family as u8, key, value),
                None => batch.delete(family as u8, key),
            }
        }
        RocksState::write(self, batch, &mark)
    }

    fn memory(&self) -> StoreMemory {
        RocksState::memory(self)
    }

    fn mark(&self) -> io::Result<Option<Bytes>> {
        RocksState::mark(self)
    }

    fn checkpoint(&self) -> io::Result<CheckpointJob> {
        Ok(Box::new(RocksState::checkpoint(self)))
    }

    fn install(&self, dir: &Path) -> io::Result<()> {
        RocksState::install(self, dir)
    }
}
