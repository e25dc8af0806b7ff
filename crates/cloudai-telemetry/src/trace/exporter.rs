//! The queue of spans and the loop that empties it. Comes in: finished spans. Goes out: OTLP messages. Nobody waits for it: a full queue drops, and
//! a collector that is away is told of once, and once more when it is back.

use std::time::Duration;

use cloudai_types::limits;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::IntCounter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::TracingError;
use super::tracer::Process;

enum Order {
    Span(Box<SpanData>),
    Flush(oneshot::Sender<()>),
}

/// The end that spans are put into.
pub(super) struct Queue {
    orders: mpsc::Sender<Order>,
    dropped: IntCounter,
}

impl Queue {
    pub fn put(&self, span: SpanData) {
        if self.orders.try_send(Order::Span(Box::new(span))).is_err() {
            self.dropped.inc();
        }
    }

    /// Returns when what was put before has left, or is lost.
    pub async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            // The loop ends with its runtime only.
            let _ = is_done.await;
        }
    }
}

/// Speaks plain HTTP/2; connects when there is something to send.
pub(super) fn otlp(endpoint: &str) -> Result<Otlp, TracingError> {
    let within = limits::TRACING_EXPORT_WITHIN.as_duration();
    let built = Otlp::builder().with_tonic().with_endpoint(endpoint).with_timeout(within).build();
    built.map_err(|error| TracingError::Endpoint(format!("{endpoint} ({error})")))
}

pub(super) fn start<E>(mut exporter: E, endpoint: String, process: Process, dropped: IntCounter) -> Queue
where
    E: SpanExporter + 'static,
{
    let resource = Resource::builder_empty()
        .with_service_name(process.service)
        .with_attribute(KeyValue::new("service.instance.id", process.instance))
        .build();
    exporter.set_resource(&resource);
    let (orders, waiting) = mpsc::channel(limits::TRACING_SPANS_QUEUED_MAX);
    tokio::spawn(run(exporter, endpoint, waiting, dropped.clone()));
    Queue { orders, dropped }
}

async fn run<E: SpanExporter>(exporter: E, endpoint: String, mut orders: mpsc::Receiver<Order>, dropped: IntCounter) {
    let mut is_away = false;
    while let Some(first) = orders.recv().await {
        let (batch, flushed) = gather(first, &mut orders).await;
        let spans = batch.len() as u64;
        if spans > 0 {
            let error = send(&exporter, batch).await.err();
            if let Some(error) = &error {
                dropped.inc_by(spans);
                if !is_away {
                    tracing::warn!(
                        endpoint,
                        error,
                        "the collector of traces does not take spans; they are dropped until it does"
                    );
                }
            } else if is_away {
                tracing::info!(endpoint, "the collector of traces takes spans again");
            }
            is_away = error.is_some();
        }
        if let Some(flushed) = flushed {
            // Who asked may not wait any more.
            let _ = flushed.send(());
        }
    }
}

/// What comes in a while, or fills a message, or is wanted now.
async fn gather(first: Order, orders: &mut mpsc::Receiver<Order>) -> (Vec<SpanData>, Option<oneshot::Sender<()>>) {
    let mut batch = vec![];
    let until = Instant::now() + limits::TRACING_EXPORT_EVERY.as_duration();
    let mut next = Some(first);
    while let Some(order) = next {
        match order {
            Order::Span(span) => batch.push(*span),
            Order::Flush(flushed) => return (batch, Some(flushed)),
        }
        next = match batch.len() < limits::TRACING_BATCH_SPANS_MAX {
            true => timeout_at(until, orders.recv()).await.ok().flatten(),
            false => None,
        };
    }
    (batch, None)
}

async fn send<E: SpanExporter>(exporter: &E, batch: Vec<SpanData>) -> Result<(), String> {
    // The exporter has a time-out of its own; this one is for all of its tries.
    let within = limits::TRACING_EXPORT_WITHIN.as_duration() + Duration::from_millis(500);
    match timeout(within, exporter.export(batch)).await {
        Ok(sent) => sent.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} ms", within.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};

    use cloudai_types::{AttemptId, JobId};
    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

    use super::super::{Process, Span, TraceContext, Tracer, TracingConfig};
    use super::*;

    /// Keeps what it gets, or refuses it.
    #[derive(Clone, Debug, Default)]
    struct Kept {
        spans: Arc<Mutex<Vec<SpanData>>>,
        calls: Arc<AtomicUsize>,
        is_away: Arc<AtomicBool>,
    }

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.calls.fetch_add(1, Relaxed);
            if self.is_away.load(Relaxed) {
                return Err(OTelSdkError::InternalFailure("away".to_owned()));
            }
            self.spans.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    fn tracer(kept: &Kept, config: &TracingConfig) -> (Tracer, IntCounter) {
        let dropped = IntCounter::new("d_total", "d").unwrap();
        let process = Process { service: "test", instance: "t1".to_owned() };
        (Tracer::to(kept.clone(), "http://nowhere", config, process, dropped.clone()), dropped)
    }

    fn names(kept: &Kept) -> Vec<String> {
        kept.spans.lock().unwrap().iter().map(|span| span.name.to_string()).collect()
    }

    #[tokio::test]
    async fn spans_arrive_below_their_parents() {
        let kept = Kept::default();
        let (tracer, dropped) = tracer(&kept, &TracingConfig::default());
        let attempt = AttemptId::new(JobId(7), 0, 1);
        let root = tracer.begin_trace("submit").expect("the first of this second");
        let mut propose = tracer.begin(Some(&root.context()), "propose").expect("its parent is sampled");
        propose.fail("no majority");
        let above = propose.context();
        drop(propose);
        let now = std::time::SystemTime::now();
        let told = Span::new("attempt", now, now - Duration::from_secs(9)).with("cloudai.worker", "w1");
        tracer.tell(&above.of_attempt(attempt), &above.of_task(attempt.task), told);
        tracer.tell_child(&above.of_attempt(attempt), Span::new("run", now, now));
        drop(root);
        tracer.flush().await;
        assert_eq!(names(&kept), ["propose", "attempt", "run", "submit"], "in the order of their ends");
        let spans = kept.spans.lock().unwrap();
        let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(of("submit").parent_span_id, SpanId::INVALID);
        assert_eq!(of("propose").parent_span_id, of("submit").span_context.span_id());
        assert_eq!(of("run").parent_span_id, of("attempt").span_context.span_id());
        assert_eq!(of("attempt").end_time, of("attempt").start_time, "clocks differ, and no span ends before it began");
        assert_eq!(of("propose").status, opentelemetry::trace::Status::error("no majority"));
        assert_eq!(dropped.get(), 0);
    }

    #[tokio::test]
    async fn what_is_not_sampled_is_not_told() {
        let kept = Kept::default();
        let (tracer, _) = tracer(&kept, &TracingConfig { new_per_second: 0, ..TracingConfig::default() });
        assert!(tracer.begin_trace("submit").is_none());
        let unwanted = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").unwrap();
        assert!(tracer.begin(Some(&unwanted), "propose").is_none() && tracer.begin(None, "propose").is_none());
        let now = std::time::SystemTime::now();
        tracer.tell_child(&unwanted, Span::new("run", now, now));
        tracer.flush().await;
        assert_eq!(kept.calls.load(Relaxed), 0, "not even an empty message");
        let off = Tracer::off();
        assert!(!off.is_on() && off.begin_trace("submit").is_none());
        off.flush().await;
    }

    #[tokio::test]
    async fn a_collector_that_is_away_costs_its_spans_and_nothing_else() {
        let kept = Kept::default();
        let (tracer, dropped) = tracer(&kept, &TracingConfig::default());
        let parent = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let now = std::time::SystemTime::now();
        let run = || Span::new("run", now, now);
        kept.is_away.store(true, Relaxed);
        tracer.tell_child(&parent, run());
        tracer.flush().await;
        assert_eq!((dropped.get(), names(&kept).len()), (1, 0));
        kept.is_away.store(false, Relaxed);
        // Nothing takes them meanwhile: this test has one thread, and does not wait.
        let surplus = 5;
        (0..limits::TRACING_SPANS_QUEUED_MAX + surplus).for_each(|_| tracer.tell_child(&parent, run()));
        assert_eq!(dropped.get(), 1 + surplus as u64, "the queue is bounded");
        tracer.flush().await;
        assert_eq!(names(&kept).len(), limits::TRACING_SPANS_QUEUED_MAX);
    }
}
