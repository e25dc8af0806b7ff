//! The metrics of a worker. Comes in: what its loops count. Goes out: the page for Prometheus. Nothing here is per task: that belongs to the API and
//! to logs.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use crate::metric::{LONG_SECONDS, SECONDS, Sheet, text};
use crate::names;

/// Fields are set and counted by the loop that owns what they describe; cloning shares them.
#[derive(Clone)]
pub struct WorkerMetrics {
    registry: Registry,
    /// 1 while the session with a leader is open.
    pub connected: IntGauge,
    pub reconnects: IntCounter,
    pub heartbeat_seconds: Histogram,
    /// Label `state`: `assigned`, `preparing`, `running`, `stopping`, `storing`.
    pub tasks: IntGaugeVec,
    /// Label `reason`: the kind of the ending.
    pub ended: IntCounterVec,
    /// Reports that no leader has acknowledged yet.
    pub outbox: IntGauge,
    pub cpu_capacity_cores: Gauge,
    pub cpu_allocated_cores: Gauge,
    pub memory_capacity_bytes: IntGauge,
    pub memory_allocated_bytes: IntGauge,
    /// Label `gpu`: its place in the order of NVIDIA's library, from 0.
    pub gpu_memory_bytes: IntGaugeVec,
    /// Label `gpu`; absent while it does not say. The next two as well.
    pub gpu_memory_used_bytes: IntGaugeVec,
    pub gpu_busy: GaugeVec,
    pub gpu_celsius: IntGaugeVec,
    /// Labels `op` (`create`, `start`, `stop`, `remove`, …) and `result` (`ok`, `error`).
    pub ops: IntCounterVec,
    /// Label `op`.
    pub op_seconds: HistogramVec,
    /// Logs of ended attempts that the store has not got yet.
    pub logs_owed: IntGauge,
    /// Label `result`: `ok`, `error` (and tried again).
    pub logs_stored: IntCounterVec,
    /// Logs that were removed here before the store had them.
    pub logs_lost: IntCounter,
    /// Label `result`: `ok`, `error`.
    pub pulls: IntCounterVec,
    pub pulls_running: IntGauge,
    /// Compressed, as they come from registries.
    pub pull_bytes: IntCounter,
    /// To make room.
    pub images_removed: IntCounter,
    /// Tasks of the async runtime that have not ended; read when the page is asked for.
    pub runtime_tasks: IntGauge,
    /// Seconds since the Unix epoch.
    pub certificate_end: Gauge,
}

impl WorkerMetrics {
    /// `version` is the program's.
    pub fn new(version: &str) -> Self {
        let s = Sheet::new(version);
        WorkerMetrics {
            connected: s.int_gauge(names::WORKER_CONNECTED, "1 while this worker has a session with the leader"),
            reconnects: s.counter(names::WORKER_RECONNECTS, "Sessions that were opened after the first one"),
            heartbeat_seconds: s.histogram(
                names::WORKER_HEARTBEAT_SECONDS,
                "Seconds from a heartbeat to its acknowledgement",
                SECONDS,
            ),
            tasks: s.int_gauge_vec(names::WORKER_TASKS, "Attempts on this worker, by state", &["state"]),
            ended: s.counter_vec(names::WORKER_ENDED, "Attempts that ended here, by reason", &["reason"]),
            outbox: s.int_gauge(names::WORKER_OUTBOX, "Reports that no leader has acknowledged yet"),
            cpu_capacity_cores: s.gauge(names::WORKER_CPU_CAPACITY, "CPU that this worker offers"),
            cpu_allocated_cores: s.gauge(names::WORKER_CPU_ALLOCATED, "CPU that attempts hold"),
            memory_capacity_bytes: s.int_gauge(names::WORKER_MEMORY_CAPACITY, "Memory that this worker offers"),
            memory_allocated_bytes: s.int_gauge(names::WORKER_MEMORY_ALLOCATED, "Memory that attempts hold"),
            gpu_memory_bytes: s.int_gauge_vec(names::WORKER_GPU_MEMORY, "Memory that a GPU has", &["gpu"]),
            gpu_memory_used_bytes: s.int_gauge_vec(
                names::WORKER_GPU_MEMORY_USED,
                "Memory of a GPU that is in use, whoever uses it",
                &["gpu"],
            ),
            gpu_busy: s.gauge_vec(
                names::WORKER_GPU_BUSY,
                "Share of the GPU's last sample period in which something ran on it",
                &["gpu"],
            ),
            gpu_celsius: s.int_gauge_vec(names::WORKER_GPU_CELSIUS, "Temperature of a GPU's chip", &["gpu"]),
            ops: s.counter_vec(
                names::WORKER_OPS,
                "Calls to the container engine, by how they ended",
                &["op", "result"],
            ),
            op_seconds: s.histogram_vec(
                names::WORKER_OP_SECONDS,
                "Seconds that a call to the container engine takes",
                LONG_SECONDS,
                &["op"],
            ),
            logs_owed: s.int_gauge(names::WORKER_LOGS_OWED, "Logs of ended attempts that the store has not got yet"),
            logs_stored: s.counter_vec(
                names::WORKER_LOGS_STORED,
                "Logs sent to the store, by how that ended",
                &["result"],
            ),
            logs_lost: s.counter(names::WORKER_LOGS_LOST, "Logs that went before the store had them"),
            pulls: s.counter_vec(names::WORKER_PULLS, "Image pulls, by how they ended", &["result"]),
            pulls_running: s.int_gauge(names::WORKER_PULLS_RUNNING, "Image pulls that have not ended"),
            pull_bytes: s.counter(names::WORKER_PULL_BYTES, "Bytes of layers that came from registries"),
            images_removed: s.counter(names::WORKER_IMAGES_REMOVED, "Images that were removed to make room"),
            runtime_tasks: s.int_gauge(names::RUNTIME_TASKS, "Tasks of the async runtime that have not ended"),
            certificate_end: s.gauge(names::CERTIFICATE_END, "When this process's certificate ends, in Unix time"),
            registry: s.0,
        }
    }

    /// The page for Prometheus.
    pub fn text(&self) -> String {
        text(&self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_prometheus_rules() {
        let m = WorkerMetrics::new("1.2.3");
        m.tasks.with_label_values(&["running"]).set(1);
        m.ended.with_label_values(&["exit_code"]).inc();
        m.ops.with_label_values(&["create", "ok"]).inc();
        m.op_seconds.with_label_values(&["create"]).observe(0.2);
        m.logs_stored.with_label_values(&["ok"]).inc();
        m.pulls.with_label_values(&["ok"]).inc();
        let page = m.text();
        crate::metric::tests::check_rules(&page);
        assert!(page.contains("cloudai_worker_container_ops_total{op=\"create\",result=\"ok\"} 1"), "{page}");
        #[cfg(target_os = "linux")]
        assert!(page.contains("process_open_fds"), "{page}");
    }
}
