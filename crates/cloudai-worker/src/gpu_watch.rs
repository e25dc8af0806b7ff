//! The worker's gauges of its GPUs. Comes in: samples. Goes out: gauges, one of each kind per GPU, named by its place in the library's order.

use std::sync::Arc;

use cloudai_proto::v1 as pb;
use cloudai_telemetry::WorkerMetrics;
use tokio::sync::watch;

/// Runs until there are no more samples.
pub async fn watch(mut samples: watch::Receiver<Arc<pb::UsageSample>>, metrics: WorkerMetrics) {
    while samples.changed().await.is_ok() {
        let sample = samples.borrow_and_update().clone();
        publish(&metrics, &sample.gpus);
    }
}

/// What is not known is absent from the page: no number would be true.
fn publish(metrics: &WorkerMetrics, gpus: &[pb::GpuUsage]) {
    for (n, gpu) in gpus.iter().enumerate() {
        let name = n.to_string();
        let label = [name.as_str()];
        metrics.gpu_memory_bytes.with_label_values(&label).set(gauge(gpu.memory_total_bytes.unwrap_or(0)));
        match gpu.busy_millis {
            Some(millis) => metrics.gpu_busy.with_label_values(&label).set(f64::from(millis) / 1_000.0),
            // A refusal means that it was not there.
            None => drop(metrics.gpu_busy.remove_label_values(&label)),
        }
        match gpu.memory_used_bytes {
            Some(used) => metrics.gpu_memory_used_bytes.with_label_values(&label).set(gauge(used)),
            None => drop(metrics.gpu_memory_used_bytes.remove_label_values(&label)),
        }
        match gpu.celsius {
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
        let silent = pb::GpuUsage { memory_total_bytes: Some(100), ..Default::default() };
        let busy =
            pb::GpuUsage { busy_millis: Some(400), memory_used_bytes: Some(7), celsius: Some(65), ..silent.clone() };
        publish(&metrics, &[busy.clone(), busy.clone()]);
        let page = metrics.text();
        assert!(page.contains("cloudai_worker_gpu_busy_ratio{gpu=\"1\"} 0.4"), "{page}");
        assert!(page.contains("cloudai_worker_gpu_memory_used_bytes{gpu=\"0\"} 7"), "{page}");
        assert!(page.contains("cloudai_worker_gpu_temperature_celsius{gpu=\"0\"} 65"), "{page}");
        publish(&metrics, &[busy, silent]);
        let page = metrics.text();
        assert!(page.contains("cloudai_worker_gpu_memory_bytes{gpu=\"1\"} 100"), "{page}");
        assert!(!page.contains("cloudai_worker_gpu_busy_ratio{gpu=\"1\"}"), "{page}");
        assert!(!page.contains("cloudai_worker_gpu_temperature_celsius{gpu=\"1\"}"), "{page}");
    }
}
