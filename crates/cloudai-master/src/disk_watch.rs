//! Looks every few seconds how much room the disk with this master's data has. Comes in: the system's answer. Goes out: a gauge, absent while the
//! system does not say. Decides nothing: a disk that is full ends the process where it writes.

use std::path::PathBuf;

use cloudai_telemetry::{MasterMetrics, disk_of};
use cloudai_types::limits;

/// Runs until it is dropped.
pub async fn run(data_dir: PathBuf, metrics: MasterMetrics) {
    loop {
        let dir = data_dir.clone();
        // A disk that hangs holds this loop and no other.
        let Ok(disk) = tokio::task::spawn_blocking(move || disk_of(&dir)).await else { return };
        metrics.disk_free_bytes.show(disk.map(|disk| disk.free as f64));
        tokio::time::sleep(limits::DISK_READ_PERIOD.as_duration()).await;
    }
}
