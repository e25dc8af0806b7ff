//! openraft's own storage suite over the real log and the real state, through the adapters that a master uses.
#![allow(clippy::unwrap_used)] // a test may fail loudly

mod common;

use std::sync::Arc;

use cloudai_raft::testing::{LogAdapter, Machine, Snapshots, Types};
use cloudai_store::RocksLog;
use common::Rows;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

struct Build;

impl StoreBuilder<Types, LogAdapter<RocksLog>, Machine<Rows>, tempfile::TempDir> for Build {
    async fn build(&self) -> Result<(tempfile::TempDir, LogAdapter<RocksLog>, Machine<Rows>), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogAdapter::open(RocksLog::open(&dir.path().join("log")).unwrap()).unwrap();
        let snapshots = Arc::new(Snapshots::open(&dir.path().join("snapshots")).unwrap());
        let machine = Machine::open(Rows::open(&dir.path().join("state")), snapshots).unwrap();
        Ok((dir, log, machine))
    }
}

#[tokio::test]
async fn openraft_storage_suite() {
    Suite::test_all(Build).await.expect("openraft's storage suite");
}
