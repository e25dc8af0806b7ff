//! The worker's gauges of what is in use on its machine, whoever uses it. Comes in: samples. Goes out: gauges; what a sample does not say is
//! absent. What tasks hold and offer is counted elsewhere.

use std::sync::Arc;

use cloudai_proto::v1 as pb;
use cloudai_telemetry::WorkerMetrics;
use tokio::sync::watch;

/// Runs until there are no more samples.
pub async fn watch(mut samples: watch::Receiver<Arc<pb::UsageSample>>, metrics: WorkerMetrics) {
    while samples.changed().await.is_ok() {
        let sample = samples.borrow_and_update().clone();
        if let Some(machine) = &sample.machine {
            publish(&metrics, machine);
        }
    }
}

fn publish(metrics: &WorkerMetrics, machine: &pb::MachineUsage) {
    let busy = match (machine.cpu_millicores, machine.cpu_total_millicores) {
        (Some(used), Some(all)) if all > 0 => Some(f64::from(used) / f64::from(all)),
        _ => None,
    };
    metrics.cpu_busy.show(busy);
    metrics.memory_used_bytes.show(machine.memory_used_bytes.map(|bytes| bytes as f64));
    metrics.disk_free_bytes.show(machine.storage_free_bytes.map(|bytes| bytes as f64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sample_says_is_on_the_page_and_what_it_does_not_say_is_not() {
        let metrics = WorkerMetrics::new("1.2.3");
        let machine = pb::MachineUsage {
            cpu_millicores: Some(500),
            cpu_total_millicores: Some(2_000),
            memory_used_bytes: Some(7),
            ..Default::default()
        };
        publish(&metrics, &machine);
        let page = metrics.text();
        assert!(page.contains("cloudai_worker_cpu_busy_ratio 0.25"), "{page}");
        assert!(page.contains("cloudai_worker_memory_used_bytes 7"), "{page}");
        assert!(!page.contains("\ncloudai_worker_disk_free_bytes"), "{page}");
        publish(&metrics, &pb::MachineUsage::default());
        assert!(!metrics.text().contains("\ncloudai_worker_cpu_busy_ratio"));
    }
}
