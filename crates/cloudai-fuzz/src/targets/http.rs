//! The HTTP routes: a request of any method, path, header and body, with and without an identity. The answer is never a
//! server error, and an unknown visitor learns nothing of `/api`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use arbitrary::{Arbitrary, Unstructured};
use axum::Router;
use axum::body::Body;
use cloudai_api::{Component, Health, Role as TargetRole, Target, router};
use cloudai_net::{ClusterId, Identity, PeerInfo, Role, Serial};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::ServiceExt;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    role: u8,
    method: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a [u8])>,
    body: &'a [u8],
}

struct Still;

impl Health for Still {
    fn components(&self) -> Vec<Component> {
        vec![]
    }
    fn targets(&self) -> Option<Vec<Target>> {
        Some(vec![Target::new(TargetRole::Master, "master-1", "127.0.0.1:7600")])
    }
    fn metrics(&self) -> String {
        "up 1\n".to_owned()
    }
}

fn world() -> &'static (Runtime, Router) {
    static WORLD: OnceLock<(Runtime, Router)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        (runtime, router(Arc::new(Still)))
    })
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let Some(request) = request(&input) else { return };
    let (runtime, router) = world();
    let path = request.uri().path();
    let roots = ["/api", "/service-discovery", "/workers", "/telemetry"];
    let is_api =
        roots.iter().any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    let known = request.extensions().get::<PeerInfo>().is_some_and(|p| p.identity.is_some());
    let answer = runtime.block_on(async {
        let answer = router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        let (head, body) = answer.into_parts();
        body.collect().await.expect("the answer has a body");
        head.status
    });
    assert!(!answer.is_server_error(), "{answer}");
    assert!(!is_api || known || answer == StatusCode::UNAUTHORIZED, "{answer} for a stranger");
}

fn request(input: &Input<'_>) -> Option<Request<Body>> {
    let method = match input.method {
        "" | "G" => Method::GET,
        other => Method::from_bytes(other.as_bytes()).ok()?,
    };
    let uri: Uri = match input.path {
        "" => "/metrics".parse().ok()?,
        path => path.parse().ok()?,
    };
    let mut request = Request::builder().method(method).uri(uri).body(Body::from(input.body.to_vec())).ok()?;
    for (name, value) in input.headers.iter().take(32) {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_bytes(value)) else { continue };
        request.headers_mut().append(name, value);
    }
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let identity = match input.role % 4 {
        0 => None,
        1 => Some(Role::Admin),
        2 => Some(Role::Worker),
        _ => Some(Role::Master),
    };
    let identity = identity.map(|role| {
        let cluster = ClusterId::from_bytes([7; 8]);
        Arc::new(Identity::new(cluster, role, "fuzz", Serial::from_text("1")).expect("a good name"))
    });
    request.extensions_mut().insert(PeerInfo { addr, identity });
    Some(request)
}
