//! Spans that stay here, for tests of those who tell them. Comes in: what a collector would get. Goes out: the tree, as text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::SpanId;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::IntCounter;

use super::{Process, Tracer, TracingConfig};

const UNPOISONED: &str = "nothing panics under this lock";

/// Cloneable; clones share the spans.
#[derive(Clone, Debug, Default)]
pub struct Recorded(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Recorded {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect(UNPOISONED).extend(batch);
        Ok(())
    }
}

impl Tracer {
    /// One whose spans are kept. Inside a tokio runtime.
    pub fn recorded() -> (Tracer, Recorded) {
        let recorded = Recorded::default();
        let dropped = IntCounter::new("dropped_total", "dropped").expect("a good name");
        let process = Process { service: "recorded", instance: String::new() };
        let config = TracingConfig { new_per_second: u32::MAX, ..TracingConfig::default() };
        (Tracer::to(recorded.clone(), "recorded", &config, process, dropped), recorded)
    }
}

impl Recorded {
    /// A line for each span below its parent, by their beginnings; `?` is in front of one whose parent was not told. Call [`Tracer::flush`] before.
    pub fn tree(&self) -> String {
        let spans = self.0.lock().expect(UNPOISONED);
        let told: Vec<SpanId> = spans.iter().map(|span| span.span_context.span_id()).collect();
        let mut below: BTreeMap<[u8; 8], Vec<&SpanData>> = BTreeMap::new();
        let mut top = vec![];
        for span in spans.iter() {
            match told.contains(&span.parent_span_id) {
                true => below.entry(span.parent_span_id.to_bytes()).or_default().push(span),
                false => top.push(span),
            }
        }
        let mut out = String::new();
        print(&mut top, 0, &mut below, &mut out);
        out
    }
}

fn print(level: &mut [&SpanData], depth: usize, below: &mut BTreeMap<[u8; 8], Vec<&SpanData>>, out: &mut String) {
    level.sort_by_key(|span| (span.start_time, span.name.clone()));
    for span in level {
        let mark = if depth == 0 && span.parent_span_id != SpanId::INVALID { "?" } else { "" };
        out.push_str(&format!("{}{mark}{}\n", "  ".repeat(depth), span.name));
        if let Some(mut children) = below.remove(&span.span_context.span_id().to_bytes()) {
            print(&mut children, depth + 1, below, out);
        }
    }
}
