//! A process's way to tell spans. Comes in: contexts and times. Goes out: finished spans, to the queue of the exporter. Off, each question costs one
//! branch, and nothing is allocated.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use cloudai_types::limits;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanExporter, SpanLinks};
use prometheus::IntCounter;

use super::config::{TracingConfig, TracingError};
use super::context::TraceContext;
use super::exporter::{self, Queue};
use super::sampler::Sampler;

/// Who tells spans, as collectors list it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Such as `cloudai-master`.
    pub service: &'static str,
    /// Which one of them.
    pub instance: String,
}

/// Cloneable; clones share the queue.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<On>>);

struct On {
    queue: Queue,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
    sampler: Mutex<Sampler>,
}

/// A span that has ended, or one whose times are known from elsewhere.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: &'static str,
    pub began: SystemTime,
    pub ended: SystemTime,
    /// For people; few, and nothing secret.
    pub attributes: Vec<KeyValue>,
    /// What went wrong, where something did.
    pub error: Option<String>,
}

impl Span {
    pub fn new(name: &'static str, began: SystemTime, ended: SystemTime) -> Self {
        // Times may come from two clocks.
        Span { name, began, ended: ended.max(began), attributes: vec![], error: None }
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    #[must_use]
    pub fn failed(self, error: Option<String>) -> Self {
        Span { error, ..self }
    }
}

impl Tracer {
    /// Tells nothing.
    pub fn off() -> Self {
        Tracer(None)
    }

    /// Off where no endpoint is configured. Inside a tokio runtime, which does the sending; nobody is connected to yet.
    pub fn start(config: &TracingConfig, process: Process, dropped: IntCounter) -> Result<Self, TracingError> {
        config.check()?;
        if config.endpoint.is_empty() {
            return Ok(Tracer::off());
        }
        let otlp = exporter::otlp(&config.endpoint)?;
        Ok(Tracer::to(otlp, &config.endpoint, config, process, dropped))
    }

    /// To any exporter.
    pub(super) fn to<E: SpanExporter + 'static>(
        exporter: E,
        endpoint: &str,
        config: &TracingConfig,
        process: Process,
        dropped: IntCounter,
    ) -> Self {
        Tracer(Some(Arc::new(On {
            queue: exporter::start(exporter, endpoint.to_owned(), process, dropped),
            scope: InstrumentationScope::builder("cloudai").with_version(env!("CARGO_PKG_VERSION")).build(),
            ids: RandomIdGenerator::default(),
            sampler: Mutex::new(Sampler::new(config.ratio, config.new_per_second)),
        })))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A span that begins now, below `parent`. `None` where nobody wants to see it.
    pub fn begin(&self, parent: Option<&TraceContext>, name: &'static str) -> Option<OpenSpan> {
        let on = self.0.as_ref()?;
        let parent = parent.filter(|parent| parent.is_sampled())?;
        Some(OpenSpan::new(on, parent.at(on.ids.new_span_id()), Some(parent.span), name))
    }

    /// A trace that begins here, if the sampler takes it.
    pub fn begin_trace(&self, name: &'static str) -> Option<OpenSpan> {
        let on = self.0.as_ref()?;
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let trace = on.ids.new_trace_id();
        let is_taken = on.sampler.lock().expect("nothing panics under this lock").takes(trace, second);
        is_taken.then(|| OpenSpan::new(on, TraceContext::new(trace, on.ids.new_span_id(), true), None, name))
    }

    /// A span with an id of its own, below `parent`.
    pub fn tell_child(&self, parent: &TraceContext, span: Span) {
        if let Some(on) = &self.0 {
            self.tell(&parent.at(on.ids.new_span_id()), parent, span);
        }
    }

    /// A span whose id is known: of a task or an attempt.
    pub fn tell(&self, own: &TraceContext, parent: &TraceContext, span: Span) {
        if let Some(on) = self.0.as_ref().filter(|_| own.is_sampled()) {
            on.send(*own, Some(parent.span), span);
        }
    }

    /// Waits until what was told so far has left, up to [`limits::TRACING_FLUSH_WITHIN`].
    pub async fn flush(&self) {
        if let Some(on) = &self.0 {
            // Whoever is not there by then gets no more.
            let _ = tokio::time::timeout(limits::TRACING_FLUSH_WITHIN.as_duration(), on.queue.flush()).await;
        }
    }
}

impl On {
    fn send(&self, own: TraceContext, parent: Option<SpanId>, span: Span) {
        let Span { name, began, ended, attributes, error } = span;
        self.queue.put(SpanData {
            span_context: own.to_sdk(),
            parent_span_id: parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: began,
            end_time: ended,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: error.map_or(Status::Unset, Status::error),
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// A span that has begun. It is told when it is dropped: also where its work is given up half-way.
pub struct OpenSpan {
    on: Arc<On>,
    context: TraceContext,
    parent: Option<SpanId>,
    name: &'static str,
    began: SystemTime,
    attributes: Vec<KeyValue>,
    error: Option<String>,
}

impl OpenSpan {
    fn new(on: &Arc<On>, context: TraceContext, parent: Option<SpanId>, name: &'static str) -> Self {
        let began = SystemTime::now();
        OpenSpan { on: on.clone(), context, parent, name, began, attributes: vec![], error: None }
    }

    /// What its children are below.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(key, value));
    }

    /// It did not go well.
    pub fn fail(&mut self, error: impl Into<String>) {
        self.error = Some(error.into());
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        let span = Span {
            attributes: std::mem::take(&mut self.attributes),
            error: self.error.take(),
            ..Span::new(self.name, self.began, SystemTime::now())
        };
        self.on.send(self.context, self.parent, span);
    }
}
