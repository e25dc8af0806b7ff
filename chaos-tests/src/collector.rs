//! A collector of traces, as others have made it: OTLP over gRPC, from the protocol's own definitions. Comes in: what masters, workers and commands
//! send. Goes out: spans, with who told them. It refuses nothing and stores nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::{Request, Response, Status};

use crate::trace_tree::Told;

const UNPOISONED: &str = "no holder of this lock can panic";

#[derive(Clone, Default)]
struct Service {
    spans: Arc<Mutex<Vec<Told>>>,
}

/// Listens until it is dropped.
pub struct Collector {
    service: Service,
    url: String,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).context("no port is free")?;
        let url = format!("http://{}", listener.local_addr()?);
        let service = Service::default();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(service.clone()));
        runtime.spawn(server.serve_with_incoming(incoming));
        Ok(Collector { service, url, _runtime: runtime })
    }

    /// For `--otlp`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has come so far, by trace.
    pub fn traces(&self) -> BTreeMap<String, Vec<Told>> {
        let mut traces: BTreeMap<String, Vec<Told>> = BTreeMap::new();
        for span in self.service.spans.lock().expect(UNPOISONED).iter() {
            traces.entry(span.trace.clone()).or_default().push(span.clone());
        }
        traces
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().expect(UNPOISONED);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let by = [text(&attributes, "service.name"), text(&attributes, "service.instance.id")].join(" ");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(Told {
                    trace: hex(&span.trace_id),
                    span: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    by: by.trim().to_owned(),
                    began_ns: span.start_time_unix_nano,
                    ended_ns: span.end_time_unix_nano,
                    failed: span.status.is_some_and(|status| status.code == StatusCode::Error as i32),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key).and_then(|a| a.value.as_ref()?.value.as_ref());
    match found {
        Some(Value::StringValue(text)) => text.clone(),
        Some(_) | None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
