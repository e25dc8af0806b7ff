//! What every request must pass before its route sees it. Comes in: a request with its peer. Goes out: the same, or a problem.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cloudai_net::{PeerInfo, Role};
use cloudai_types::limits;
use http::{StatusCode, header};

use crate::problem::Problem;

/// Refuses a body that announces itself as too long. One that does not announce its length is limited where it is read.
pub(crate) async fn body_limit(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(bytes) if bytes > limits::HTTP_BODY_BYTES_MAX as u64 => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is too large",
            format!("The body has {bytes} bytes; {} are allowed.", limits::HTTP_BODY_BYTES_MAX),
        )
        .into_response(),
        Some(_) | None => next.run(request).await,
    }
}

/// Who is in the cluster, and what goes on there, is not for strangers.
const FOR_MEMBERS: [&str; 3] = ["/service-discovery", "/workers", "/telemetry"];

/// The rest of the API, for those who may change things.
const API: &str = "/api";

fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Under these paths, nobody without a verified identity learns anything, not even which paths exist. An observer reads what members are and do, and
/// no more.
pub(crate) async fn identity(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let role = request.extensions().get::<PeerInfo>().and_then(|p| Some(p.identity.as_ref()?.role));
    if role.is_none() && (is_under(path, API) || FOR_MEMBERS.iter().any(|root| is_under(path, root))) {
        return Problem::new(
            StatusCode::UNAUTHORIZED,
            "authentication_required",
            "Authentication is required",
            "No client certificate was presented. Call with an identity of this cluster (cert.pem and key.pem).",
        )
        .into_response();
    }
    if is_under(path, API) && role == Some(Role::Observer) {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "role_refused",
            "This role may not do this",
            "An observer may read /service-discovery, /workers, /telemetry and what needs no certificate. Call with an admin's identity.",
        )
        .into_response();
    }
    next.run(request).await
}
