//! How a metric is made and how a registry becomes text. The one file beside the two registries that knows the prometheus crate.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::names;

/// From 50 µs (an fsync of a good disk) to 10 s (a hung one).
pub(crate) const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// What containers and images take.
pub(crate) const LONG_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Commands that share one log entry.
pub(crate) const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// A registry that new metrics are entered into. Names are constants, so a failure is a defect that the tests find.
pub(crate) struct Sheet(pub Registry);

impl Sheet {
    /// With what every process tells: its version and what the system knows of it (`process_…`).
    pub(crate) fn new(version: &str) -> Self {
        let sheet = Sheet(Registry::new());
        sheet
            .int_gauge_vec(names::BUILD_INFO, "The version that runs, as a label; always 1", &["version"])
            .with_label_values(&[version])
            .set(1);
        sheet.enter(prometheus::process_collector::ProcessCollector::for_self());
        sheet
    }

    fn enter<C: Collector + 'static>(&self, collector: C) {
        self.0.register(Box::new(collector)).expect("every metric is entered once, under a name of its own");
    }

    fn entered<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let metric = made.expect("names, labels and buckets are constants that the crate accepts");
        self.enter(metric.clone());
        metric
    }

    pub(crate) fn int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.entered(IntGauge::new(name, help))
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.entered(Gauge::new(name, help))
    }

    pub(crate) fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.entered(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(crate) fn int_gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.entered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.entered(IntCounter::new(name, help))
    }

    pub(crate) fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.entered(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(crate) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.entered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(crate) fn histogram_vec(&self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> HistogramVec {
        self.entered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

/// The text format that Prometheus reads (version 0.0.4).
pub(crate) fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut out)
        .expect("a vector takes every byte, and our metrics have values");
    String::from_utf8(out).expect("names, labels and numbers are UTF-8")
}

/// Raises a counter to a total that is counted elsewhere; a smaller total changes nothing. For one caller per counter.
pub fn raise_to(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_counter_follows_a_total_and_never_falls() {
        let counter = IntCounter::new("c_total", "c").unwrap();
        for (total, shown) in [(3, 3), (2, 3), (7, 7)] {
            raise_to(&counter, total);
            assert_eq!(counter.get(), shown);
        }
    }

    /// What `promtool check metrics` would complain about, and our own rules.
    pub(crate) fn check_rules(text: &str) {
        let mut families = 0;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                families += 1;
                if name.starts_with("process_") {
                    continue;
                }
                assert!(name.starts_with("cloudai_"), "{name}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
                assert!(
                    !["_ms", "_millis", "_kb", "_mb", "_us"].iter().any(|u| name.ends_with(u)),
                    "{name}: base units"
                );
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.split_once(' ').is_some_and(|(_, help)| help.len() > 10), "{line}");
            }
        }
        assert!(families > 10, "{text}");
    }
}
