//! Counts the calls on port 7601. Comes in: raw gRPC requests and their answers, forwarded ones included. Goes out: the same, and metrics by method
//! and code. Looks into no message: a stream's code is the one that its answer begins with.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cloudai_telemetry::master::RpcMetrics;
use http::{Request, Response};
use tonic::Code;
use tower::Service;

/// What is no method of ours, whatever its name.
const OTHER: &str = "other";

/// A tower layer over everything else on the port.
#[derive(Clone)]
pub struct RpcMeter<I> {
    methods: Arc<BTreeSet<&'static str>>,
    metrics: RpcMetrics,
    inner: I,
}

impl<I> RpcMeter<I> {
    pub fn new(metrics: RpcMetrics, inner: I) -> Self {
        RpcMeter { methods: Arc::new(cloudai_proto::methods().collect()), metrics, inner }
    }
}

/// Goes down however the call ends, also when its caller hangs up.
struct Running(RpcMetrics);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.dec();
    }
}

impl<I, Q, A> Service<Request<Q>> for RpcMeter<I>
where
    I: Service<Request<Q>, Response = Response<A>>,
    I::Future: Send + 'static,
    I::Error: 'static,
    A: 'static,
{
    type Response = Response<A>;
    type Error = I::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, I::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let asked = request.uri().path().strip_prefix("/cloudai.v1.").unwrap_or_default();
        let method = self.methods.get(asked).copied().unwrap_or(OTHER);
        let begun = Instant::now();
        self.metrics.running.inc();
        let running = Running(self.metrics.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            // Without a code the answer is a stream that has begun, or a message with its code behind it: it is good so far.
            let code = match &answer {
                Ok(answer) => answer.headers().get("grpc-status").map_or(Code::Ok, |v| Code::from_bytes(v.as_bytes())),
                Err(_) => Code::Unknown,
            };
            running.0.answered(method, name(code), begun.elapsed());
            answer
        })
    }
}

/// The word in metrics.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_telemetry::MasterMetrics;

    async fn ask(metrics: &MasterMetrics, path: &str, status: Option<&'static str>) {
        let inner = tower::service_fn(move |_: Request<()>| async move {
            let mut answer = Response::new(());
            if let Some(status) = status {
                answer.headers_mut().insert("grpc-status", http::HeaderValue::from_static(status));
            }
            Ok::<_, std::convert::Infallible>(answer)
        });
        let mut meter = RpcMeter::new(metrics.rpc.clone(), inner);
        let request = Request::builder().uri(path).body(()).expect("a path");
        assert!(meter.call(request).await.is_ok());
    }

    #[tokio::test]
    async fn calls_count_by_method_and_code_and_strangers_share_one() {
        let metrics = MasterMetrics::new("test");
        ask(&metrics, "/cloudai.v1.Control/Submit", None).await;
        ask(&metrics, "/cloudai.v1.Control/Submit", Some("7")).await;
        ask(&metrics, "/cloudai.v1.Dispatch/Session", Some("0")).await;
        for made_up in ["/cloudai.v1.Control/Submit2", "/cloudai.v1.", "/", "/grpc.health.v1.Health/Check"] {
            ask(&metrics, made_up, Some("12")).await;
        }
        let page = metrics.text();
        let calls = page.lines().filter(|l| l.starts_with("cloudai_rpc_requests_total")).collect::<Vec<_>>();
        let line = |code: &str, method: &str, n: u32| {
            format!("cloudai_rpc_requests_total{{code=\"{code}\",method=\"{method}\"}} {n}")
        };
        assert_eq!(
            calls,
            [
                line("ok", "Control/Submit", 1),
                line("ok", "Dispatch/Session", 1),
                line("permission_denied", "Control/Submit", 1),
                line("unimplemented", "other", 4)
            ]
        );
        assert!(page.contains("cloudai_rpc_requests_running 0\n"), "{page}");
    }
}
