//! The routes. Comes in: a request. Goes out: a page of [`Health`], or a problem.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use cloudai_types::limits;
use http::{HeaderValue, Method, StatusCode, Uri, header};

use crate::guard;
use crate::health::Health;
use crate::problem::Problem;

type Shared = Arc<dyn Health>;

/// All routes with their guards. [`crate::serve()`] serves them.
pub fn router(health: Arc<dyn Health>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES_MAX))
        .layer(middleware::from_fn(guard::identity))
        .layer(middleware::from_fn(guard::body_limit))
        .with_state(health)
}

async fn metrics(State(health): State<Shared>) -> Response {
    let text_format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, text_format)], health.metrics()).into_response()
}

async fn livez(State(health): State<Shared>) -> Response {
    if health.is_alive() {
        return status("alive");
    }
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "not_alive",
        "This process must be restarted",
        "It cannot recover by itself; its log says why. Restart it.",
    )
    .into_response()
}

async fn readyz(State(health): State<Shared>) -> Response {
    let reasons = health.readiness();
    if reasons.is_empty() {
        return status("ready");
    }
    let detail = reasons.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>().join(" ");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "This process is not ready", detail)
        .with_reasons(reasons)
        .into_response()
}

fn status(word: &'static str) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(serde_json::json!({ "status": word }))).into_response()
}

async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "There is nothing at this path",
        format!("{path} does not exist. /metrics, /livez and /readyz do."),
    )
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        "This path does not take this method",
        format!("{path} does not take {method}; use GET."),
    )
}
