//! A log line as one flat JSON object, for collectors. Comes in: an event, and the spans that it lies in. Goes out: time, level, target, role, node and
//! message, in this order, then the fields; of two with one name the inner one's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The names of a line that are always the line's own. A field of an event that is called like one of them has a `_` behind it.
pub const OWN: [&str; 6] = ["timestamp", "level", "target", "role", "node", "message"];

static PROCESS: OnceLock<(&'static str, String)> = OnceLock::new();

/// From here on lines say who speaks. `role`: `master` or `worker`; `name`: the one in its certificate. Of two calls the first counts: it is the process's.
pub fn this_is(role: &'static str, name: &str) {
    let _ = PROCESS.set((role, name.to_owned()));
}

/// With `JsonFields` for the fields of spans.
pub struct JsonLines;

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let text = extensions.get::<FormattedFields<JsonFields>>().map_or("", |fields| fields.fields.as_str());
            // Empty where it has none.
            let of_span: BTreeMap<String, Value> = serde_json::from_str(text).unwrap_or_default();
            of_span.into_iter().for_each(|(name, value)| fields.put(&name, value));
        }
        event.record(&mut fields);

        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let meta = event.metadata();
        let own = |text: &str| Value::from(text);
        write!(line, "{{\"timestamp\":{},\"level\":{}", own(&time), own(meta.level().as_str()))?;
        write!(line, ",\"target\":{}", own(fields.target.as_deref().unwrap_or(meta.target())))?;
        if let Some((role, node)) = PROCESS.get() {
            write!(line, ",\"role\":{},\"node\":{}", own(role), own(node))?;
        }
        write!(line, ",\"message\":{}", own(&fields.message))?;
        for (name, value) in &fields.others {
            write!(line, ",{}:{value}", own(name))?;
        }
        writeln!(line, "}}")
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    /// What a library that logs without spans says of itself.
    target: Option<String>,
    others: BTreeMap<String, Value>,
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        let name = if OWN.contains(&name) { format!("{name}_") } else { name.to_owned() };
        self.others.insert(name, value);
    }

    fn see(&mut self, field: &Field, value: Value) {
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match field.name() {
            "message" => self.message = text(value),
            "log.target" => self.target = Some(text(value)),
            // Where in its source: nobody asks.
            name if name.starts_with("log.") => {}
            name => self.put(name, value),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.see(field, Value::from(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.see(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.see(field, Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.see(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.see(field, Value::from(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // What JSON has no number for is a text.
        self.see(
            field,
            serde_json::Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::from),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn lines(say: impl FnOnce()) -> Vec<String> {
        let out = Arc::new(Mutex::new(Vec::<u8>::new()));
        struct Out(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Out {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let to = out.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(move || Out(to.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), say);
        let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Without its time, which is checked.
    fn untimed(line: &str) -> String {
        let rest = line.strip_prefix("{\"timestamp\":\"").expect("the time comes first");
        let (time, rest) = rest.split_once('"').unwrap();
        assert!(time.len() == 27 && &time[10..11] == "T" && time.ends_with('Z'), "{time} is RFC 3339 in UTC");
        serde_json::from_str::<Value>(line).expect("one JSON object a line");
        format!("{{{}", rest.trim_start_matches(','))
    }

    #[test]
    fn a_line_is_one_flat_object_that_says_who_speaks() {
        this_is("master", "m1");
        this_is("worker", "w7");
        let said = lines(|| {
            tracing::info!(jobs = 3, ratio = 0.5, ok = true, "two\nlines \"quoted\"");
            let _outer = tracing::info_span!("outer", job = "4affhbak", attempt = 1).entered();
            let _inner = tracing::info_span!("inner", attempt = 2).entered();
            tracing::warn!(node = 7, role = "voter", worker = "w1", error = %"gone", what = f64::NAN, "x");
        });
        assert_eq!(
            said.iter().map(|line| untimed(line)).collect::<Vec<_>>(),
            [
                r#"{"level":"INFO","target":"cloudai_telemetry::json_lines::tests","role":"master","node":"m1","message":"two\nlines \"quoted\"","jobs":3,"ok":true,"ratio":0.5}"#,
                r#"{"level":"WARN","target":"cloudai_telemetry::json_lines::tests","role":"master","node":"m1","message":"x","attempt":2,"error":"gone","job":"4affhbak","node_":7,"role_":"voter","what":"NaN","worker":"w1"}"#,
            ],
            "the first name counts; the innermost span wins; an event cannot speak for the line"
        );
    }

    /// What `expressions` of one `loki.process` of the shipped configuration name.
    fn named_by_alloy(process: &str) -> Vec<String> {
        let config = include_str!("../../../deploy/alloy/config.alloy");
        let (_, rest) = config.split_once(&format!("loki.process \"{process}\" {{")).expect("a pipeline of this name");
        let (block, _) = rest.split_once("\n}\n").expect("it ends");
        let (_, rest) = block.split_once("expressions = {").expect("it reads JSON");
        let (expressions, _) = rest.split_once('}').expect("they end");
        let pairs = expressions.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once('='));
        pairs.map(|(_, path)| path.trim().trim_matches('"').to_owned()).collect()
    }

    #[test]
    fn what_the_shipper_reads_of_a_line_is_in_it() {
        this_is("master", "m1");
        let said = lines(|| tracing::error!(attempt = "4affhbak/3.1", worker = "w1", trace_id = "4bf92f35", "x"));
        let line: BTreeMap<String, Value> = serde_json::from_str(&said[0]).expect("a JSON object");
        let named = named_by_alloy("system");
        assert!(named.len() >= 8, "{named:?}");
        for name in named {
            assert!(line.contains_key(&name), "no line has '{name}': {line:?}");
        }
    }
}
