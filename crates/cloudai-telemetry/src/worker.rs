//! The metrics of a worker. Comes in: what its loops count. Goes out: the page for Prometheus. Nothing here is per task: that belongs to the API and
//! to logs.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use crate::http::HttpMetrics;
use crate::metric::{MaybeGauge, Sheet, text};
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
    tasks: IntGaugeVec,
    /// Label `reason`: the kind of the ending.
    pub ended: IntCounterVec,
    /// Reports that no leader has acknowledged yet.
    pub outbox: IntGauge,
    pub cpu_capacity_cores: Gauge,
    pub cpu_allocated_cores: Gauge,
    /// Absent where the system does not say. So are `memory_used_bytes` and `disk_free_bytes`.
    pub cpu_busy: MaybeGauge,
    pub memory_capacity_bytes: IntGauge,
    pub memory_allocated_bytes: IntGauge,
    pub memory_used_bytes: MaybeGauge,
    pub disk_capacity_bytes: IntGauge,
    pub disk_allocated_bytes: IntGauge,
    pub disk_free_bytes: MaybeGauge,
    pub gpu_capacity: IntGauge,
    pub gpu_allocated: IntGauge,
    /// Label `gpu`: its place in the order of NVIDIA's library, from 0.
    pub gpu_memory_bytes: IntGaugeVec,
    /// Label `gpu`; absent while it does not say. The next two as well.
    pub gpu_memory_used_bytes: IntGaugeVec,
    pub gpu_busy: GaugeVec,
    pub gpu_celsius: IntGaugeVec,
    /// Absent on a worker without an engine.
    pub engine_up: MaybeGauge,
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
    /// Lines that the mirror for log shippers has left out.
    pub log_mirror_dropped: IntCounter,
    /// Label `result`: `ok`, `error`.
    pub pulls: IntCounterVec,
    pub pulls_running: IntGauge,
    /// Compressed, as they come from registries.
    pub pull_bytes: IntCounter,
    /// To make room.
    pub images_removed: IntCounter,
    pub http: HttpMetrics,
    /// Counted by the tracer.
    pub spans_dropped: IntCounter,
    /// Tasks of the async runtime that have not ended; read when the page is asked for.
    pub runtime_tasks: IntGauge,
    /// Seconds since the Unix epoch.
    pub certificate_end: Gauge,
}

impl WorkerMetrics {
    /// `version` is the program's.
    pub fn new(version: &str) -> Self {
        WorkerMetrics::on(&Sheet::new(version))
    }

    fn on(s: &Sheet) -> Self {
        WorkerMetrics {
            connected: s.int_gauge(names::WORKER_CONNECTED),
            reconnects: s.counter(names::WORKER_RECONNECTS),
            heartbeat_seconds: s.histogram(names::WORKER_HEARTBEAT_SECONDS),
            tasks: s.int_gauge_vec(names::WORKER_TASKS),
            ended: s.counter_vec(names::WORKER_ENDED),
            outbox: s.int_gauge(names::WORKER_OUTBOX),
            cpu_capacity_cores: s.gauge(names::WORKER_CPU_CAPACITY),
            cpu_allocated_cores: s.gauge(names::WORKER_CPU_ALLOCATED),
            cpu_busy: MaybeGauge::new(s, names::WORKER_CPU_BUSY),
            memory_capacity_bytes: s.int_gauge(names::WORKER_MEMORY_CAPACITY),
            memory_allocated_bytes: s.int_gauge(names::WORKER_MEMORY_ALLOCATED),
            memory_used_bytes: MaybeGauge::new(s, names::WORKER_MEMORY_USED),
            disk_capacity_bytes: s.int_gauge(names::WORKER_DISK_CAPACITY),
            disk_allocated_bytes: s.int_gauge(names::WORKER_DISK_ALLOCATED),
            disk_free_bytes: MaybeGauge::new(s, names::WORKER_DISK_FREE),
            gpu_capacity: s.int_gauge(names::WORKER_GPU_CAPACITY),
            gpu_allocated: s.int_gauge(names::WORKER_GPU_ALLOCATED),
            gpu_memory_bytes: s.int_gauge_vec(names::WORKER_GPU_MEMORY),
            gpu_memory_used_bytes: s.int_gauge_vec(names::WORKER_GPU_MEMORY_USED),
            gpu_busy: s.gauge_vec(names::WORKER_GPU_BUSY),
            gpu_celsius: s.int_gauge_vec(names::WORKER_GPU_CELSIUS),
            engine_up: MaybeGauge::new(s, names::WORKER_ENGINE_UP),
            ops: s.counter_vec(names::WORKER_OPS),
            op_seconds: s.histogram_vec(names::WORKER_OP_SECONDS),
            logs_owed: s.int_gauge(names::WORKER_LOGS_OWED),
            logs_stored: s.counters(names::WORKER_LOGS_STORED, &[["ok"], ["error"]]),
            logs_lost: s.counter(names::WORKER_LOGS_LOST),
            log_mirror_dropped: s.counter(names::WORKER_LOG_MIRROR_DROPPED),
            pulls: s.counters(names::WORKER_PULLS, &[["ok"], ["error"]]),
            pulls_running: s.int_gauge(names::WORKER_PULLS_RUNNING),
            pull_bytes: s.counter(names::WORKER_PULL_BYTES),
            images_removed: s.counter(names::WORKER_IMAGES_REMOVED),
            http: HttpMetrics::new(s),
            spans_dropped: s.counter(names::SPANS_DROPPED),
            runtime_tasks: s.int_gauge(names::RUNTIME_TASKS),
            certificate_end: s.gauge(names::CERTIFICATE_END),
            registry: s.registry.clone(),
        }
    }

    /// Attempts by state, all states named.
    pub fn set_tasks(&self, by_state: &[(&str, usize)]) {
        for (state, attempts) in by_state {
            self.tasks.with_label_values(&[state]).set(i64::try_from(*attempts).unwrap_or(i64::MAX));
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
    use crate::metric::tests::{check_entered, check_page};

    #[test]
    fn the_page_has_the_tables_metrics_and_shows_what_was_counted() {
        let sheet = Sheet::new("1.2.3");
        let m = WorkerMetrics::on(&sheet);
        check_entered(&sheet, &[names::PROCESS, names::WORKER]);
        m.set_tasks(&[("running", 1)]);
        m.ended.with_label_values(&["exit_code"]).inc();
        m.ops.with_label_values(&["create", "ok"]).inc();
        m.op_seconds.with_label_values(&["create"]).observe(0.2);
        m.logs_stored.with_label_values(&["ok"]).inc();
        m.pulls.with_label_values(&["ok"]).inc();
        m.gpu_memory_bytes.with_label_values(&["0"]).set(1);
        m.gpu_memory_used_bytes.with_label_values(&["0"]).set(1);
        m.gpu_busy.with_label_values(&["0"]).set(0.5);
        m.gpu_celsius.with_label_values(&["0"]).set(40);
        for gauge in [&m.cpu_busy, &m.memory_used_bytes, &m.disk_free_bytes, &m.engine_up] {
            gauge.show(Some(1.0));
        }
        m.http.answered("/metrics", 200, std::time::Duration::from_millis(1));
        let page = m.text();
        check_page(&page);
        for metric in [names::PROCESS, names::WORKER].concat() {
            assert!(page.contains(&format!("# TYPE {} ", metric.name)), "{} is on the page", metric.name);
        }
        assert!(page.contains("cloudai_worker_container_ops_total{op=\"create\",result=\"ok\"} 1"), "{page}");
        m.engine_up.show(None);
        assert!(!m.text().contains("\ncloudai_worker_engine_up "), "no engine, no number");
        #[cfg(target_os = "linux")]
        assert!(page.contains("process_open_fds"), "{page}");
    }
}
