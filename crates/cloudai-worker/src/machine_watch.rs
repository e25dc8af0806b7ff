//! Reads the machine every few seconds for the worker's metrics: what is in use on it, whoever uses it. Comes in: the system's answers. Goes out: gauges;
//! what the system does not say is absent. What tasks hold and offer is counted elsewhere.

use std::path::PathBuf;

use cloudai_telemetry::WorkerMetrics;
use cloudai_types::limits;

use crate::capacity;

/// Runs until it is dropped.
pub async fn watch(data_dir: PathBuf, metrics: WorkerMetrics) {
    let mut system = match sysinfo::System::new() {
        Ok(system) => system,
        // Said where the capacity was looked for.
        Err(_) => return,
    };
    // What CPUs did is told of the time between two looks.
    system.refresh_cpu_usage();
    loop {
        tokio::time::sleep(limits::MACHINE_READ_PERIOD.as_duration()).await;
        let dir = data_dir.clone();
        // A disk may be a network's.
        let read = tokio::task::spawn_blocking(move || {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let free = capacity::storage(&dir);
            (system, free)
        });
        let Ok((looked_at, free)) = read.await else { return };
        system = looked_at;
        metrics.cpu_busy.show(Some(f64::from(system.global_cpu_usage()) / 100.0));
        let used = system.used_memory();
        metrics.memory_used_bytes.show((used > 0).then_some(used as f64));
        metrics.disk_free_bytes.show((free > 0).then_some(free as f64));
    }
}
