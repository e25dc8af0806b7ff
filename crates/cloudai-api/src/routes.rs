//! The routes. Comes in: a request. Goes out: a page of [`Health`], what `live_routes.rs` shows, or a problem.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use cloudai_types::limits;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::health::{Component, Health, NotReady};
use crate::problem::Problem;
use crate::site::Site;
use crate::{guard, live_routes};

type Shared = Arc<dyn Health>;

/// All routes with their guards. [`crate::serve()`] serves them.
pub fn router(site: impl Into<Site>) -> Router {
    let site = site.into();
    let health = site.health.clone();
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/service-discovery", get(service_discovery))
        .route("/workers", get(live_routes::workers))
        .route("/telemetry", get(live_routes::telemetry))
        .route("/telemetry/stream", get(live_routes::stream))
        .route("/telemetry/{worker}", get(live_routes::telemetry_of))
        .route("/telemetry/{worker}/stream", get(live_routes::stream_of))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES_MAX))
        .layer(middleware::from_fn(guard::identity))
        .layer(middleware::from_fn(guard::body_limit));
    let routes = match site.origins.allowed() {
        [] => routes,
        // Around the guards: a browser asks whether it may ask, and shows no certificate then.
        allowed => routes.layer(cors(allowed.to_vec())),
    };
    routes.layer(middleware::from_fn_with_state(health, count)).with_state(site)
}

/// With certificates, which browsers send for pages that are named only.
fn cors(allowed: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new().allow_origin(AllowOrigin::list(allowed)).allow_methods([Method::GET]).allow_credentials(true)
}

async fn metrics(State(Site { health, .. }): State<Site>) -> Response {
    let text_format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, text_format)], health.metrics()).into_response()
}

async fn livez(State(Site { health, .. }): State<Site>) -> Response {
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

/// With `?verbose` it also says how each part is.
async fn readyz(State(Site { health, .. }): State<Site>, uri: Uri) -> Response {
    let is_verbose = uri.query().is_some_and(|q| q.split('&').any(|p| p.split('=').next() == Some("verbose")));
    let components = health.components();
    let reason = |c: &Component| Some(NotReady { code: c.code?, detail: c.detail.clone() });
    let reasons: Vec<NotReady> = components.iter().filter_map(reason).collect();
    let shown = if is_verbose { components } else { vec![] };
    if reasons.is_empty() && is_verbose {
        return json(serde_json::json!({ "status": "ready", "components": shown }));
    }
    if reasons.is_empty() {
        return status("ready");
    }
    let detail = reasons.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>().join(" ");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "This process is not ready", detail)
        .with_reasons(reasons)
        .with_components(shown)
        .into_response()
}

fn status(word: &'static str) -> Response {
    json(serde_json::json!({ "status": word }))
}

fn json(body: impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// On a worker there is nothing at this path.
async fn service_discovery(State(Site { health, .. }): State<Site>, uri: Uri) -> Response {
    match health.targets() {
        Some(targets) => json(targets),
        None => no_such_path(uri).await.into_response(),
    }
}

/// Outermost, so that what a guard refuses counts as well.
async fn count(State(health): State<Shared>, request: Request, next: Next) -> Response {
    let route = route_of(request.uri().path());
    let begun = Instant::now();
    let response = next.run(request).await;
    health.answered(route, response.status().as_u16(), begun.elapsed());
    response
}

/// A closed list: a path that a stranger makes up must be no label of its own.
fn route_of(path: &str) -> &'static str {
    match path {
        "/metrics" => "/metrics",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        "/service-discovery" => "/service-discovery",
        "/workers" => "/workers",
        "/telemetry" => "/telemetry",
        "/telemetry/stream" => "/telemetry/stream",
        _ => match path.strip_prefix("/telemetry/").map(|rest| rest.split_once('/')) {
            Some(None) => "/telemetry/{worker}",
            Some(Some((_, "stream"))) => "/telemetry/{worker}/stream",
            Some(Some(_)) | None => "other",
        },
    }
}

pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "There is nothing at this path",
        format!(
            "{path} does not exist. /metrics, /livez, /readyz and, on a master, /service-discovery, /workers and /telemetry do."
        ),
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
