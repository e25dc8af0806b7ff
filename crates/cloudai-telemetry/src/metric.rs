//! How a metric is made and how a registry becomes text. The one file beside the registries that knows the prometheus crate.

use std::sync::Mutex;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::names::{self, Kind, Metric};

/// A registry that new metrics are entered into. What they are is a constant, so a failure is a defect that the tests find.
pub(crate) struct Sheet {
    pub registry: Registry,
    /// Names that were entered, so that a test can compare them with the table.
    entered: Mutex<Vec<&'static str>>,
}

const CONSTANT: &str = "names, labels and buckets are constants that the crate accepts, each entered once";

impl Sheet {
    /// With what every process tells: its version and what the system knows of it (`process_…`).
    pub(crate) fn new(version: &str) -> Self {
        let sheet = Sheet { registry: Registry::new(), entered: Mutex::default() };
        sheet.int_gauge_vec(names::BUILD_INFO).with_label_values(&[version]).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        sheet.registry.register(Box::new(process)).expect(CONSTANT);
        sheet
    }

    fn entered<C: Collector + Clone + 'static>(&self, metric: Metric, made: prometheus::Result<C>) -> C {
        let made = made.expect(CONSTANT);
        self.registry.register(Box::new(made.clone())).expect(CONSTANT);
        self.entered.lock().expect("nothing panics under this lock").push(metric.name);
        made
    }

    pub(crate) fn int_gauge(&self, m: Metric) -> IntGauge {
        self.entered(m, IntGauge::new(m.name, m.help))
    }

    pub(crate) fn gauge(&self, m: Metric) -> Gauge {
        self.entered(m, Gauge::new(m.name, m.help))
    }

    pub(crate) fn gauge_vec(&self, m: Metric) -> GaugeVec {
        self.entered(m, GaugeVec::new(Opts::new(m.name, m.help), m.labels))
    }

    pub(crate) fn int_gauge_vec(&self, m: Metric) -> IntGaugeVec {
        self.entered(m, IntGaugeVec::new(Opts::new(m.name, m.help), m.labels))
    }

    pub(crate) fn counter(&self, m: Metric) -> IntCounter {
        self.entered(m, IntCounter::new(m.name, m.help))
    }

    pub(crate) fn counter_vec(&self, m: Metric) -> IntCounterVec {
        self.entered(m, IntCounterVec::new(Opts::new(m.name, m.help), m.labels))
    }

    /// With the values that its labels can have, each shown from the start: only what was 0 before can be seen to increase, and an alert
    /// about the first failure asks for that.
    pub(crate) fn counters<const LABELS: usize>(&self, m: Metric, values: &[[&str; LABELS]]) -> IntCounterVec {
        let counters = self.counter_vec(m);
        for values in values {
            counters.with_label_values(values);
        }
        counters
    }

    pub(crate) fn histogram(&self, m: Metric) -> Histogram {
        self.entered(m, Histogram::with_opts(options(m)))
    }

    pub(crate) fn histogram_vec(&self, m: Metric) -> HistogramVec {
        self.entered(m, HistogramVec::new(options(m), m.labels))
    }

    /// As [`Sheet::counters`], for the same reason: what was seen once only has no rate without the zero before it.
    pub(crate) fn histograms<const LABELS: usize>(&self, m: Metric, values: &[[&str; LABELS]]) -> HistogramVec {
        let histograms = self.histogram_vec(m);
        for values in values {
            histograms.with_label_values(values);
        }
        histograms
    }
}

fn options(m: Metric) -> HistogramOpts {
    let buckets = match m.kind {
        Kind::Histogram(bounds) => bounds.to_vec(),
        // The crate refuses it, and with it every test.
        Kind::Gauge | Kind::Counter => vec![],
    };
    HistogramOpts::new(m.name, m.help).buckets(buckets)
}

/// A gauge without labels that may be absent from the page: no number would be true.
#[derive(Clone)]
pub struct MaybeGauge(GaugeVec);

impl MaybeGauge {
    pub(crate) fn new(sheet: &Sheet, metric: Metric) -> Self {
        MaybeGauge(sheet.gauge_vec(metric))
    }

    /// `None`: it leaves the page.
    pub fn show(&self, value: Option<f64>) {
        match value {
            Some(value) => self.0.with_label_values::<&str>(&[]).set(value),
            None => self.0.reset(),
        }
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

    /// Exactly the sections' metrics were entered: one that nobody shows would be a promise of the table that no page keeps.
    pub(crate) fn check_entered(sheet: &Sheet, sections: &[&[Metric]]) {
        let mut entered = sheet.entered.lock().unwrap().clone();
        let mut expected: Vec<&str> = sections.iter().flat_map(|s| s.iter().map(|m| m.name)).collect();
        entered.sort_unstable();
        expected.sort_unstable();
        assert_eq!(entered, expected);
    }

    /// What `promtool check metrics` would complain about: each family with its help and type, as the table has it. Returns how many series there
    /// are.
    pub(crate) fn check_page(page: &str) -> usize {
        let (mut helped, mut series) = ("", 0);
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped = rest.split_once(' ').expect("a help has words").0;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(helped, name, "help comes before the type");
                let known = names::ALL.into_iter().flat_map(|(_, s)| s).find(|m| m.name == name);
                assert!(name.starts_with("process_") || known.is_some_and(|m| m.kind.name() == kind), "{line}");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(name.starts_with("process_") || names::of_series(name).is_some(), "{line}");
                series += 1;
            }
        }
        series
    }
}
