//! What only the leader exports: the cluster. Comes in: numbers of the replicated state and of the leader's loops. Goes out: a part of a
//! master's page, of which the gauges are there only while it leads. Counters and histograms stay: what this process counted is still true.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use crate::metric::{MaybeGauge, Sheet};
use crate::names;

#[derive(Clone)]
pub struct LeaderMetrics {
    tasks: IntGaugeVec,
    waiting: IntGaugeVec,
    oldest_waiting: MaybeGauge,
    reserved_workers: MaybeGauge,
    workers: IntGaugeVec,
    sessions: MaybeGauge,
    /// In the order of [`Amounts`]: capacity, allocated.
    amounts: [[MaybeGauge; 4]; 2],
    quorum_ack_age: MaybeGauge,
    peer_lag: IntGaugeVec,
    slowest_voter_lag: MaybeGauge,
    pub queue_wait_seconds: Histogram,
    run_seconds: HistogramVec,
    attempts_ended: IntCounterVec,
    retries: IntCounterVec,
    pub pass_seconds: Histogram,
    /// Label `result`: `accepted`, `refused`.
    pub placements: IntCounterVec,
    pub preemptions: IntCounter,
    pub heartbeats: IntCounter,
    pub leases_expired: IntCounter,
    /// Label `outcome`: `ran`, `overlapped`, `missed`, `refused`.
    pub schedule_runs: IntCounterVec,
}

/// Of the whole cluster.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Amounts {
    pub cpu_cores: f64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub gpus: u64,
}

/// `reason` of an attempt that succeeded.
pub const SUCCESS: &str = "success";

impl LeaderMetrics {
    pub(crate) fn new(s: &Sheet) -> Self {
        let maybe = |metric| MaybeGauge::new(s, metric);
        LeaderMetrics {
            tasks: s.int_gauge_vec(names::TASKS),
            waiting: s.int_gauge_vec(names::WAITING),
            oldest_waiting: maybe(names::OLDEST_WAITING),
            reserved_workers: maybe(names::RESERVED_WORKERS),
            workers: s.int_gauge_vec(names::WORKERS),
            sessions: maybe(names::SESSIONS),
            amounts: [
                [names::CPU_CAPACITY, names::MEMORY_CAPACITY, names::DISK_CAPACITY, names::GPU_CAPACITY].map(maybe),
                [names::CPU_ALLOCATED, names::MEMORY_ALLOCATED, names::DISK_ALLOCATED, names::GPU_ALLOCATED].map(maybe),
            ],
            quorum_ack_age: maybe(names::QUORUM_ACK_AGE),
            peer_lag: s.int_gauge_vec(names::PEER_LAG),
            slowest_voter_lag: maybe(names::SLOWEST_VOTER_LAG),
            queue_wait_seconds: s.histogram(names::QUEUE_WAIT),
            run_seconds: s.histogram_vec(names::RUN_SECONDS),
            attempts_ended: s.counter_vec(names::ATTEMPTS_ENDED),
            retries: s.counter_vec(names::RETRIES),
            pass_seconds: s.histogram(names::PASS_SECONDS),
            placements: s.counters(names::PLACEMENTS, &[["accepted"], ["refused"]]),
            preemptions: s.counter(names::PREEMPTIONS),
            heartbeats: s.counter(names::HEARTBEATS),
            leases_expired: s.counter(names::LEASES_EXPIRED),
            schedule_runs: s.counters(names::SCHEDULE_RUNS, &[["ran"], ["overlapped"], ["missed"], ["refused"]]),
        }
    }

    pub fn set_tasks(&self, by_state: &[(&'static str, u64)]) {
        set_all(&self.tasks, by_state);
    }

    pub fn set_workers(&self, by_state: &[(&'static str, u64)]) {
        set_all(&self.workers, by_state);
    }

    /// Tasks by what keeps them, and the age of the oldest.
    pub fn set_waiting(&self, by_reason: &[(&'static str, u64)], oldest: Duration) {
        set_all(&self.waiting, by_reason);
        self.oldest_waiting.show(Some(oldest.as_secs_f64()));
    }

    pub fn set_reserved_workers(&self, kept: usize) {
        self.reserved_workers.show(Some(kept as f64));
    }

    pub fn set_sessions(&self, open: usize) {
        self.sessions.show(Some(open as f64));
    }

    pub fn set_amounts(&self, capacity: Amounts, allocated: Amounts) {
        for (gauges, amounts) in self.amounts.iter().zip([capacity, allocated]) {
            let Amounts { cpu_cores, memory_bytes, disk_bytes, gpus } = amounts;
            let values = [cpu_cores, memory_bytes as f64, disk_bytes as f64, gpus as f64];
            gauges.iter().zip(values).for_each(|(gauge, value)| gauge.show(Some(value)));
        }
    }

    /// `None`: no majority has acknowledged this leader yet.
    pub fn set_quorum_ack_age(&self, age: Option<Duration>) {
        self.quorum_ack_age.show(age.map(|age| age.as_secs_f64()));
    }

    /// By the other masters' names.
    pub fn set_lags(&self, peers: &[(String, u64)], slowest_voter: Option<u64>) {
        self.peer_lag.reset();
        for (peer, entries) in peers {
            self.peer_lag.with_label_values(&[peer]).set(signed(*entries));
        }
        self.slowest_voter_lag.show(slowest_voter.map(|entries| entries as f64));
    }

    /// `reason`: [`SUCCESS`], or the name of a kind of ending. `ran`: `None` for a program that never started.
    pub fn attempt_ended(&self, reason: &'static str, ran: Option<Duration>, waits_again: bool) {
        self.attempts_ended.with_label_values(&[reason]).inc();
        if waits_again {
            self.retries.with_label_values(&[reason]).inc();
        }
        if let Some(ran) = ran {
            let outcome = if reason == SUCCESS { SUCCESS } else { "failure" };
            self.run_seconds.with_label_values(&[outcome]).observe(ran.as_secs_f64());
        }
    }

    /// When the leadership is over: the cluster's numbers leave this master's page.
    pub fn clear(&self) {
        for by_label in [&self.tasks, &self.waiting, &self.workers, &self.peer_lag] {
            by_label.reset();
        }
        let single = [
            &self.oldest_waiting,
            &self.reserved_workers,
            &self.sessions,
            &self.quorum_ack_age,
            &self.slowest_voter_lag,
        ];
        single.into_iter().chain(self.amounts.iter().flatten()).for_each(|gauge| gauge.show(None));
    }
}

fn set_all(gauges: &IntGaugeVec, values: &[(&'static str, u64)]) {
    gauges.reset();
    for (label, value) in values {
        gauges.with_label_values(&[*label]).set(signed(*value));
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As a busy leader has it.
    pub(crate) fn fill(leader: &LeaderMetrics) {
        leader.set_tasks(&[("queued", 7), ("active", 1), ("delayed", 2), ("blocked", 3)]);
        leader.set_workers(&[("ready", 2), ("draining", 1), ("lost", 1), ("authorized", 0), ("revoked", 0)]);
        let reasons = ["busy", "too_small", "missing_label", "tainted", "quota", "turn", "no_worker", "reserved"];
        leader.set_waiting(&reasons.map(|reason| (reason, 1)), Duration::from_secs(90));
        leader.set_reserved_workers(1);
        leader.set_sessions(2);
        let some = Amounts { cpu_cores: 4.0, memory_bytes: 1 << 30, disk_bytes: 1 << 40, gpus: 8 };
        leader.set_amounts(some, Amounts::default());
        leader.set_quorum_ack_age(Some(Duration::from_millis(250)));
        let peers: Vec<(String, u64)> = (2..=7).map(|n| (format!("master-{n}"), 3)).collect();
        leader.set_lags(&peers, Some(3));
        leader.queue_wait_seconds.observe(2.0);
        for reason in [SUCCESS, "exit_code", "signal", "out_of_memory", "timeout", "cancelled", "worker_lost"] {
            leader.attempt_ended(reason, Some(Duration::from_secs(9)), reason != SUCCESS);
        }
        leader.placements.with_label_values(&["accepted"]).inc_by(5);
        leader.placements.with_label_values(&["refused"]).inc();
        for outcome in ["ran", "overlapped", "missed", "refused"] {
            leader.schedule_runs.with_label_values(&[outcome]).inc();
        }
    }
}
