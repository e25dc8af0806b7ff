//! The trace that a call on port 7601 belongs to. Comes in: raw gRPC requests with a verified identity. Goes out: the same, with the context beside
//! them: the one that they brought, or a new trace's for a submit that brought none. What is done within a trace is not known here.

use std::pin::Pin;
use std::task::{Context, Poll};

use cloudai_net::PeerInfo;
use cloudai_telemetry::trace::OpenSpan;
use cloudai_telemetry::{TraceContext, Tracer};
use http::{HeaderValue, Request};
use tower::Service;
use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::forward::ON_BEHALF_OF;

/// The W3C's name of the header.
pub const TRACE_PARENT: &str = "traceparent";

/// Calls that make jobs: where a trace may begin.
const SUBMITS: [&str; 4] = [
    "/cloudai.v1.Control/Submit",
    "/cloudai.v1.Control/SubmitWorkflow",
    "/cloudai.v1.Control/SubmitReplay",
    "/cloudai.v1.Control/RunSchedule",
];

/// A tower layer.
#[derive(Clone)]
pub struct CallTraces<I> {
    tracer: Tracer,
    inner: I,
}

impl<I> CallTraces<I> {
    pub fn new(tracer: Tracer, inner: I) -> Self {
        CallTraces { tracer, inner }
    }
}

/// An answer on its way. The span of a trace that began here ends with it.
pub struct InTrace<F> {
    answer: F,
    _root: Option<OpenSpan>,
}

impl<F: Future + Unpin> Future for InTrace<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(&mut self.answer).poll(cx)
    }
}

impl<I, Q> Service<Request<Q>> for CallTraces<I>
where
    I: Service<Request<Q>>,
    I::Future: Unpin,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = Instrumented<InTrace<I::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let (context, root) = within(&self.tracer, &request);
        let lines = match context {
            None => tracing::Span::none(),
            Some(context) => {
                request.extensions_mut().insert(context);
                context.log_span()
            }
        };
        InTrace { answer: self.inner.call(request), _root: root }.instrument(lines)
    }
}

/// Strangers begin nothing, and their word is not passed on.
fn within<Q>(tracer: &Tracer, request: &Request<Q>) -> (Option<TraceContext>, Option<OpenSpan>) {
    let is_known = || request.extensions().get::<PeerInfo>().is_some_and(|peer| peer.identity.is_some());
    if let Some(header) = request.headers().get(TRACE_PARENT) {
        let brought = header.to_str().ok().and_then(TraceContext::parse).filter(|_| is_known());
        if brought.is_some() {
            return (brought, None);
        }
    }
    // What another master passes on without a trace was decided there.
    let may_begin = || SUBMITS.contains(&request.uri().path()) && !request.headers().contains_key(ON_BEHALF_OF);
    if !tracer.is_on() || !may_begin() || !is_known() {
        return (None, None);
    }
    let root = tracer.begin_trace("submit");
    (root.as_ref().map(OpenSpan::context), root)
}

/// As a header of the next hop.
pub fn header(context: &TraceContext) -> Option<HeaderValue> {
    HeaderValue::from_str(&context.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloudai_net::{Identity, Role, Serial};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// What the service behind the layer hears.
    async fn heard(tracer: &Tracer, path: &str, parent: Option<&[u8]>, role: Option<Role>) -> Option<TraceContext> {
        let inner = tower::service_fn(|request: Request<()>| {
            std::future::ready(Ok::<_, std::convert::Infallible>(request.extensions().get::<TraceContext>().copied()))
        });
        let mut request = Request::builder().uri(path).body(()).expect("a path");
        if let Some(parent) = parent {
            let value = HeaderValue::from_bytes(parent).expect("bytes that a header may have");
            request.headers_mut().insert(TRACE_PARENT, value);
        }
        let cluster: cloudai_net::ClusterId = "0123456789abcdef".parse().expect("valid");
        let identity = role
            .map(|role| Arc::new(Identity::new(cluster, role, "ann", Serial::from_text("1")).expect("a valid name")));
        request.extensions_mut().insert(PeerInfo { addr: ([127, 0, 0, 1], 1).into(), identity });
        CallTraces::new(tracer.clone(), inner).call(request).await.expect("it cannot fail")
    }

    #[tokio::test]
    async fn a_submit_belongs_to_the_trace_that_it_brings_or_begins_one() {
        let (tracer, recorded) = Tracer::recorded();
        let (submit, list) = (SUBMITS[0], "/cloudai.v1.Control/ListJobs");
        let brought = heard(&tracer, list, Some(PARENT.as_bytes()), Some(Role::Admin)).await;
        assert_eq!(brought, TraceContext::parse(PARENT));
        assert!(heard(&tracer, submit, None, Some(Role::Admin)).await.is_some_and(|begun| begun.is_sampled()));
        assert_eq!(heard(&tracer, list, None, Some(Role::Admin)).await, None, "reads are too many");
        assert_eq!(heard(&tracer, submit, Some(PARENT.as_bytes()), None).await, None, "a stranger");
        assert_eq!(heard(&Tracer::off(), submit, None, Some(Role::Admin)).await, None);
        tracer.flush().await;
        assert_eq!(recorded.tree(), "submit\n");
    }

    /// A call must not fail for what it says about traces.
    #[tokio::test]
    async fn garbage_is_no_trace() {
        for garbage in [&b"\xff\xfe"[..], b"", b"00-1-1", b"traceparent", &[b'0'; 4_000]] {
            assert_eq!(heard(&Tracer::off(), SUBMITS[0], Some(garbage), Some(Role::Admin)).await, None);
        }
    }
}
