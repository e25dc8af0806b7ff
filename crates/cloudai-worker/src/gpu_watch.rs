//! Reads the GPUs every few seconds for the worker's metrics. Comes in: the library and the GPUs that tasks may get. Goes out: gauges, one
//! of each kind per GPU, named by its place in the library's order.

use std::sync::Arc;

use cloudai_telemetry::WorkerMetrics;
use cloudai_types::limits;

use crate::nvidia::{Gpu, Nvidia, Reading};

/// Runs until it is dropped.
pub async fn watch(nvidia: Arc<Nvidia>, gpus: Vec<Gpu>, metrics: WorkerMetrics) {
    let gpus = Arc::new(gpus);
    loop {
        let (nvidia, asked) = (nvidia.clone(), gpus.clone());
        // The library may wait for the driver.
        let read = tokio::task::spawn_blocking(move || asked.iter().map(|g| nvidia.read(g)).collect::<Vec<_>>());
        if let Ok(readings) = read.await {
            publish(&metrics, &gpus, &readings);
        }
        tokio::time::sleep(limits::GPU_READ_PERIOD.as_duration()).await;
    }
}

/// What is not known is absent from the page: no number would be true.
fn publish(metrics: &WorkerMetrics, gpus: &[Gpu], readings: &[Reading]) {
    for (n, (gpu, reading)) in gpus.iter().zip(readings).enumerate() {
        let name = n.to_string();
        let label = [name.as_str()];
        metrics.gpu_memory_bytes.with_label_values(&label).set(gauge(gpu.memory_bytes));
        match reading.busy {
            Some(busy) => metrics.gpu_busy.with_label_values(&label).set(busy),
            // A refusal means that it was not there.
            None => drop(metrics.gpu_busy.remove_label_values(&label)),
        }
        match reading.memory_used_bytes {
            Some(used) => metrics.gpu_memory_used_bytes.with_label_values(&label).set(gauge(used)),
            None => drop(metrics.gpu_memory_used_bytes.remove_label_values(&label)),
        }
        match reading.temperature_celsius {
            Some(celsius) => metrics.gpu_celsius.with_label_values(&label).set(i64::from(celsius)),
            None => drop(metrics.gpu_celsius.remove_label_values(&label)),
        }
    }
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gpu_has_its_gauges_and_one_that_is_gone_has_none_that_lie() {
        let metrics = WorkerMetrics::new("1.2.3");
        let gpu = |n| Gpu { uuid: format!("GPU-{n}"), model: "m".into(), memory_bytes: 100 };
        let gpus = [gpu(0), gpu(1)];
        let busy = Reading { busy: Some(0.4), memory_used_bytes: Some(7), temperature_celsius: Some(65) };
        publish(&metrics, &gpus, &[busy, busy]);
        let page = metrics.text();
        assert!(page.contains("cloudai_worker_gpu_busy_ratio{gpu=\"1\"} 0.4"), "{page}");
        assert!(page.contains("cloudai_worker_gpu_memory_used_bytes{gpu=\"0\"} 7"), "{page}");
        assert!(page.contains("cloudai_worker_gpu_temperature_celsius{gpu=\"0\"} 65"), "{page}");
        publish(&metrics, &gpus, &[busy, Reading::default()]);
        let page = metrics.text();
        assert!(page.contains("cloudai_worker_gpu_memory_bytes{gpu=\"1\"} 100"), "{page}");
        assert!(!page.contains("cloudai_worker_gpu_busy_ratio{gpu=\"1\"}"), "{page}");
        assert!(!page.contains("cloudai_worker_gpu_temperature_celsius{gpu=\"1\"}"), "{page}");
    }
}
