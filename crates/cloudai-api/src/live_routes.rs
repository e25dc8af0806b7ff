//! The routes that show what goes on now. Comes in: requests of members. Goes out: JSON of [`Live`], a WebSocket, or a problem.

use axum::extract::rejection::PathRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use cloudai_types::limits;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::live::LiveError;
use crate::problem::Problem;
use crate::routes::no_such_path;
use crate::site::Site;
use crate::socket::Client;

/// One that is no text names nobody.
type Name = Result<Path<String>, PathRejection>;
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

pub(crate) async fn workers(State(site): State<Site>, uri: Uri) -> Response {
    match &site.live {
        Some(live) => json(live.workers()),
        None => no_such_path(uri).await.into_response(),
    }
}

pub(crate) async fn telemetry(State(site): State<Site>, uri: Uri) -> Response {
    page(&site, None, uri).await
}

pub(crate) async fn telemetry_of(State(site): State<Site>, name: Name, uri: Uri) -> Response {
    match name {
        Ok(Path(worker)) => page(&site, Some(worker), uri).await,
        Err(_) => no_such_path(uri).await.into_response(),
    }
}

async fn page(site: &Site, worker: Option<String>, uri: Uri) -> Response {
    let Some(live) = &site.live else { return no_such_path(uri).await.into_response() };
    match live.telemetry(worker.clone()).await {
        Ok(text) => json(text),
        Err(error) => problem(error, worker).into_response(),
    }
}

pub(crate) async fn stream(State(site): State<Site>, uri: Uri, headers: HeaderMap, upgrade: Upgrade) -> Response {
    open(site, None, uri, headers, upgrade).await
}

pub(crate) async fn stream_of(
    State(site): State<Site>,
    name: Name,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    match name {
        Ok(Path(worker)) => open(site, Some(worker), uri, headers, upgrade).await,
        Err(_) => no_such_path(uri).await.into_response(),
    }
}

async fn open(site: Site, worker: Option<String>, uri: Uri, headers: HeaderMap, upgrade: Upgrade) -> Response {
    let Some(live) = site.live.clone() else { return no_such_path(uri).await.into_response() };
    // A browser opens WebSockets for any page, with the user's certificate: only the origin says whose page it is.
    if !site.origins.allow(&headers) {
        return wrong_origin().into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return no_upgrade(&rejection).into_response(),
    };
    let Some(place) = site.place() else { return too_many().into_response() };
    let said = match live.watch(worker.clone()).await {
        Ok(said) => said,
        Err(error) => return problem(error, worker).into_response(),
    };
    let serving = site.serving.clone();
    // One message in the connection's hands, and what it has not taken of it.
    upgrade
        .write_buffer_size(0)
        .max_write_buffer_size(limits::WS_WRITE_BUFFER_BYTES_MAX)
        .max_message_size(limits::WS_CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::WS_CLIENT_MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| Client { socket, live, said, serving, place }.serve())
}

fn json(text: String) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind, (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], text).into_response()
}

fn problem(error: LiveError, worker: Option<String>) -> Problem {
    match error {
        LiveError::UnknownWorker => {
            let name: String = worker.unwrap_or_default().chars().take(200).collect();
            let detail = format!("No worker is named '{name}'. GET /workers lists them.");
            Problem::new(StatusCode::NOT_FOUND, "unknown_worker", "There is no such worker", detail)
        }
        LiveError::NoLeader => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_leader",
            "No leader is known",
            "Only the leader hears of workers, and this master knows none: an election is on, or a majority of masters is missing. Try again, \
             or ask another master.",
        ),
    }
}

fn wrong_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "origin_refused",
        "This page may not connect",
        "The page that opens this WebSocket is of another host. Add its origin to cors_origins in the master's configuration, if it is yours.",
    )
}

fn no_upgrade(rejection: &WebSocketUpgradeRejection) -> Problem {
    let detail = format!(
        "This path speaks WebSocket, over HTTP/1.1 ({rejection}). Without it, GET /telemetry has the newest sample of each worker."
    );
    Problem::new(StatusCode::UPGRADE_REQUIRED, "websocket_required", "This path wants a WebSocket", detail)
}

fn too_many() -> Problem {
    let detail = format!(
        "{} are open, the most that one master serves. Ask another master, or close one.",
        limits::WS_CLIENTS_MAX
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_websockets", "There are too many WebSockets", detail)
}
