//! What every request must pass before its route sees it. Comes in: a request with its peer. Goes out: the same, or a problem.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cloudai_net::PeerInfo;
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
const FOR_MEMBERS: [&str; 4] = ["/api", "/service-discovery", "/workers", "/telemetry"];

fn is_for_members(path: &str) -> bool {
    FOR_MEMBERS.iter().any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Under these paths, nobody without a verified identity learns anything, not even which paths exist.
pub(crate) async fn identity(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_known = request.extensions().get::<PeerInfo>().is_some_and(|p| p.identity.is_some());
    if is_for_members(path) && !is_known {
        return Problem::new(
            StatusCode::UNAUTHORIZED,
            "authentication_required",
            "Authentication is required",
            "No client certificate was presented. Call with an identity of this cluster (cert.pem and key.pem).",
        )
        .into_response();
    }
    next.run(request).await
}
