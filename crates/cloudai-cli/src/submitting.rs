//! A submit and the trace that begins with it. Comes in: settings, and the trace that this command is a part of (`TRACEPARENT`). Goes out: a client
//! whose calls say so, and the root span, once the masters have answered. Without either of the two, masters decide whether there is a trace.

use std::fmt::Display;

use cloudai_client::Client;
use cloudai_telemetry::prometheus::IntCounter;
use cloudai_telemetry::trace::{OpenSpan, Process};
use cloudai_telemetry::{TraceContext, Tracer, TracingConfig};

use crate::exit::Failure;
use crate::settings::Settings;

/// The context of whoever started this command, as programs hand it to each other.
const VARIABLE: &str = "TRACEPARENT";

pub struct Submitting {
    client: Client,
    tracer: Tracer,
    span: Option<OpenSpan>,
}

impl Submitting {
    /// From here on it takes time.
    pub fn begin(settings: &Settings) -> Result<Submitting, Failure> {
        let client = settings.client()?;
        let parent = std::env::var(VARIABLE).ok().and_then(|text| TraceContext::parse(&text));
        let tracer = tracer(settings)?;
        let span = match &parent {
            Some(_) => tracer.begin(parent.as_ref(), "submit"),
            None => tracer.begin_trace("submit"),
        };
        let client = match span.as_ref().map(OpenSpan::context).or(parent) {
            Some(context) => client.in_trace(&context.to_string()),
            None => client,
        };
        Ok(Submitting { client, tracer, span })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The answer, after its span has left; a collector that is away is not waited for long.
    pub async fn end<T, E: Display>(mut self, answer: Result<T, E>) -> Result<T, E> {
        if let (Some(span), Err(error)) = (&mut self.span, &answer) {
            span.fail(error.to_string());
        }
        drop(self.span.take());
        self.tracer.flush().await;
        answer
    }
}

fn tracer(settings: &Settings) -> Result<Tracer, Failure> {
    let config = TracingConfig { endpoint: settings.otlp.clone(), ..TracingConfig::default() };
    let process = Process { service: "cloudai-cli", instance: String::new() };
    let dropped = IntCounter::new("spans_dropped_total", "spans").expect("a name that the crate accepts");
    Tracer::start(&config, process, dropped).map_err(|e| Failure::invalid(format!("--otlp, {e}")))
}
