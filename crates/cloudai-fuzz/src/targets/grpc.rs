//! Every gRPC route of a running master, with garbage: as a caller of each role, as a message or as bytes that are no frame. The
//! master answers, and goes on. The routes are read from the `.proto` files, so that a new one is fuzzed from its first day.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::master::master;

const PROTOS: [&str; 3] = [
    include_str!("../../../../proto/cloudai/v1/control.proto"),
    include_str!("../../../../proto/cloudai/v1/dispatch.proto"),
    include_str!("../../../../proto/cloudai/v1/raft.proto"),
];

/// A call that asks for a wait is hung up after this.
const PATIENCE: Duration = Duration::from_millis(50);
/// After this many calls one is made that must be answered.
const PULSE_EVERY: u64 = 256;

/// `/cloudai.v1.Service/Method`, of all services.
pub fn routes() -> &'static [String] {
    static ROUTES: OnceLock<Vec<String>> = OnceLock::new();
    ROUTES.get_or_init(|| PROTOS.iter().flat_map(|text| routes_of(text)).collect())
}

fn routes_of(proto: &str) -> Vec<String> {
    let mut service = "";
    let mut routes = vec![];
    for line in proto.lines() {
        let word = |l: &'static str| line.trim_start().strip_prefix(l).and_then(|r| r.split([' ', '(', '{']).next());
        if let Some(name) = word("service ") {
            service = name;
        }
        if let Some(method) = word("rpc ") {
            routes.push(format!("/cloudai.v1.{service}/{method}"));
        }
    }
    routes
}

pub fn run(data: &[u8]) {
    let Some(([route, how], payload)) = data.split_first_chunk::<2>() else { return };
    let path = &routes()[usize::from(*route) % routes().len()];
    let role = usize::from(how & 3);
    let body = match how >> 2 & 3 {
        // One frame, several of the same, or no frame at all.
        0 | 1 => frame(payload),
        2 => [frame(payload), frame(payload), frame(&payload[..payload.len() / 2])].concat().into(),
        _ => Bytes::copy_from_slice(payload),
    };
    let master = master();
    master.runtime.block_on(async {
        let _ = call(role, path, body).await;
        static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        if CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(PULSE_EVERY) {
            pulse().await;
        }
    });
}

fn frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 5);
    frame.put_u8(0);
    frame.put_u32(payload.len() as u32);
    frame.put_slice(payload);
    frame.freeze()
}

/// `None`: no answer in time, or a broken connection.
async fn call(role: usize, path: &str, body: Bytes) -> Option<(http::StatusCode, Bytes)> {
    let mut channel = master().channels[role].clone();
    let uri: Uri = path.parse().expect("a route is a path");
    let request = Request::builder()
        .method(http::Method::POST)
        .uri(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .expect("a request");
    let exchange = async {
        let answer = channel.ready().await.ok()?.call(request).await.ok()?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, bytes))
    };
    tokio::time::timeout(PATIENCE, exchange).await.ok().flatten()
}

/// A good call is answered all the same.
async fn pulse() {
    for _ in 0..100 {
        let answer = call(0, "/cloudai.v1.Control/ClusterStatus", frame(&[])).await;
        if answer.is_some_and(|(status, body)| status.is_success() && !body.is_empty()) {
            return;
        }
    }
    panic!("the master no longer answers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_routes_of_all_services_are_found() {
        for known in ["/cloudai.v1.Control/Submit", "/cloudai.v1.Dispatch/Session", "/cloudai.v1.Raft/Append"] {
            assert!(routes().iter().any(|r| r == known), "{known}");
        }
        assert!(routes().len() >= 30);
    }
}
