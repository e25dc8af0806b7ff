//! The two stores on RocksDB. Comes in: a data directory. Goes out: the log as `cloudai-raft` wants it, and the rows as this crate
//! wants them. Only types are translated here.

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;

use bytes::Bytes;
use cloudai_core::rows::Family;
use cloudai_raft::CheckpointJob;
use cloudai_store::{Keys, RocksLog, RocksState, RowBatch};

use crate::config::MasterConfig;
use crate::run::{OpenStores, RunError, run};
use crate::state_store::{RowWrites, StateStore};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// [`run`] on RocksDB. Boxed on purpose: so the whole master is compiled once, here, and not again in each program that uses it.
pub fn run_on_rocksdb(config: MasterConfig, shutdown: Boxed<()>) -> Boxed<Result<(), RunError>> {
    Box::pin(run(config, RocksStores, shutdown))
}

/// Opens `RocksLog` and `RocksState`.
struct RocksStores;

impl OpenStores for RocksStores {
    type Log = RocksLog;
    type State = RocksState;

    fn open(&self, log_dir: &Path, state_dir: &Path) -> Result<(RocksLog, RocksState), String> {
        let log = RocksLog::open(log_dir).map_err(|e| e.to_string())?;
        let state = RocksState::open(state_dir).map_err(|e| e.to_string())?;
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
