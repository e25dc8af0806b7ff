//! What a process counts of its HTTP port. Comes in: answered requests. Goes out: two metrics. Whoever counts sees to it that `route` comes from
//! a closed list.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec};

use crate::metric::Sheet;
use crate::names;

/// Cloning shares them.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl HttpMetrics {
    pub(crate) fn new(s: &Sheet) -> Self {
        HttpMetrics { requests: s.counter_vec(names::HTTP_REQUESTS), seconds: s.histogram_vec(names::HTTP_SECONDS) }
    }

    pub fn answered(&self, route: &'static str, code: u16, took: Duration) {
        self.requests.with_label_values(&[route, &code.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
