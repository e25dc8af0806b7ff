//! Where in which trace something happens. Comes in: text as it travels, not to be trusted. Goes out: the same as ids, and the ids of spans that
//! several processes must agree on. Reads and writes no format by itself: the SDK's propagator does.

use std::fmt;

use cloudai_types::{AttemptId, TaskId, limits};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use xxhash_rust::xxh3::xxh3_64;

/// The header, and in capitals the variable of an environment.
const TRACE_PARENT: &str = "traceparent";

/// A trace, a span of it, and whether somebody wants to see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    is_sampled: bool,
}

/// The one header that is read.
struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACE_PARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACE_PARENT]
    }
}

#[derive(Default)]
struct Written(String);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACE_PARENT {
            self.0 = value;
        }
    }
}

impl TraceContext {
    pub(super) fn new(trace: TraceId, span: SpanId, is_sampled: bool) -> Self {
        TraceContext { trace, span, is_sampled }
    }

    /// `None` for what is no trace parent, whoever sent it: then there is no trace.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > limits::TRACE_PARENT_BYTES_MAX {
            return None;
        }
        let read = TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(text));
        let span = read.span();
        let found = span.span_context();
        found.is_valid().then(|| TraceContext::new(found.trace_id(), found.span_id(), found.is_sampled()))
    }

    /// Whether its spans are told. Decided once, where the trace begins.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// The trace's id, as people and collectors write it: 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.trace.to_string()
    }

    /// Another span of the same trace.
    pub(super) fn at(&self, span: SpanId) -> Self {
        TraceContext { span, ..*self }
    }

    /// The span of a task's whole life. Beyond the first indexes of a job nobody wants to see it.
    pub fn of_task(&self, task: TaskId) -> Self {
        self.derived(task, 0)
    }

    /// The span of one attempt, a child of [`TraceContext::of_task`].
    pub fn of_attempt(&self, attempt: AttemptId) -> Self {
        self.derived(attempt.task, attempt.number)
    }

    /// Attempts count from 1: the task itself is 0.
    fn derived(&self, task: TaskId, number: u32) -> Self {
        let mut name = [0; 32];
        name[..16].copy_from_slice(&self.trace.to_bytes());
        name[16..24].copy_from_slice(&task.job.0.to_be_bytes());
        name[24..28].copy_from_slice(&task.index.to_be_bytes());
        name[28..].copy_from_slice(&number.to_be_bytes());
        // 0 is no id.
        let span = SpanId::from_bytes(xxh3_64(&name).max(1).to_be_bytes());
        let is_sampled = self.is_sampled && task.index < limits::TRACED_TASKS_OF_JOB;
        TraceContext { span, is_sampled, ..*self }
    }

    /// What log lines are written in while a traced call is at work: each says the trace's id, whatever the level that is heard.
    pub fn log_span(&self) -> tracing::Span {
        if self.is_sampled { tracing::error_span!("traced", trace_id = %self.trace) } else { tracing::Span::none() }
    }

    pub(super) fn to_sdk(self) -> SpanContext {
        let flags = if self.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanContext::new(self.trace, self.span, flags, false, TraceState::default())
    }
}

/// As it travels.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = Written::default();
        let context = Context::new().with_remote_span_context(self.to_sdk());
        TraceContextPropagator::new().inject_context(&context, &mut written);
        f.write_str(&written.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_parent_is_read_and_written_as_it_came() {
        let context = TraceContext::parse(PARENT).expect("a good one");
        assert_eq!(context.to_string(), PARENT);
        assert_eq!((context.trace_id().as_str(), context.is_sampled()), ("0af7651916cd43dd8448eb211c80319c", true));
        let unwanted = TraceContext::parse(&PARENT.replace("-01", "-00")).expect("a good one");
        assert!(!unwanted.is_sampled() && unwanted.log_span().is_none());
        assert_eq!(PARENT.len(), 55, "limits::TRACE_PARENT_BYTES_MAX leaves room for it");
    }

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_lines_say_the_trace_in_both_formats() {
        let lines = Lines::default();
        let writer = lines.clone();
        let made = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(move || writer.clone());
        let json = lines.clone();
        let json = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(move || json.clone());
        let say = || {
            let _inside = TraceContext::parse(PARENT).unwrap().log_span().entered();
            tracing::warn!("it hangs");
        };
        tracing::subscriber::with_default(made.with_ansi(false).finish(), say);
        tracing::subscriber::with_default(json.finish(), say);
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let said: Vec<&str> = said.lines().collect();
        assert!(said[0].contains("traced{trace_id=0af7651916cd43dd8448eb211c80319c}: "), "{said:?}");
        assert!(said[1].contains("\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\""), "{said:?}");
    }

    #[test]
    fn garbage_is_no_trace() {
        let zeroes = PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let long = format!("{PARENT}{}", "-".repeat(limits::TRACE_PARENT_BYTES_MAX));
        for text in ["", "-", "00", "00-xyz-1-01", "ff-1-1-01", &PARENT.to_uppercase(), &zeroes, &long, "\u{0}ü\u{7f}"]
        {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }

    #[test]
    fn everybody_derives_the_same_ids_and_each_task_and_attempt_has_its_own() {
        let context = TraceContext::parse(PARENT).expect("a good one");
        let task = |job, index| TaskId { job: JobId(job), index };
        let attempt = |job, index, number| AttemptId { task: task(job, index), number };
        let ids = [
            context.of_task(task(7, 0)),
            context.of_task(task(7, 1)),
            context.of_task(task(8, 0)),
            context.of_attempt(attempt(7, 0, 1)),
            context.of_attempt(attempt(7, 0, 2)),
            context.of_attempt(attempt(7, 1, 1)),
        ]
        .map(|c| c.to_string());
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
        // Other builds parent to it: these bytes are a format.
        assert_eq!(ids[3], "00-0af7651916cd43dd8448eb211c80319c-261ef945c7dc7767-01");
        // The span that the context names does not matter, the trace does.
        let elsewhere = TraceContext::parse(&PARENT.replace("b7ad", "c7ad")).expect("a good one");
        assert_eq!(elsewhere.of_attempt(attempt(7, 0, 1)).to_string(), ids[3]);
    }

    #[test]
    fn only_the_first_tasks_of_an_array_are_told() {
        let context = TraceContext::parse(PARENT).expect("a good one");
        let at = |index| context.of_task(TaskId { job: JobId(1), index });
        assert!(at(limits::TRACED_TASKS_OF_JOB - 1).is_sampled());
        assert!(!at(limits::TRACED_TASKS_OF_JOB).is_sampled());
        assert_eq!(
            at(limits::TRACED_TASKS_OF_JOB).trace_id(),
            context.trace_id(),
            "its container still hears of the trace"
        );
    }
}
