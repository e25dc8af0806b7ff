//! HTTP/1.1 and HTTP/2 on verified connections. Comes in: the accept loop's stream. Goes out: answered requests. A connection that breaks the
//! protocol ends alone.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use cloudai_net::{Connection, Incoming};
use cloudai_types::limits;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::routes::router;
use crate::site::Site;

/// Serves [`router`] until the accept loop ends. Dropping the future closes the listener and all connections at once; WebSockets are told first.
pub async fn serve(mut incoming: Incoming, site: impl Into<Site>) {
    let routes = router(site);
    let mut connections = JoinSet::new();
    while let Some(connection) = incoming.next().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve_one(connection, routes.clone()));
    }
    while connections.join_next().await.is_some() {}
}

async fn serve_one(connection: Connection, routes: axum::Router) {
    let peer = connection.peer().clone();
    let addr = peer.addr;
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEADER_TIMEOUT.as_duration())
        .max_buf_size(limits::HTTP_HEADER_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits::HTTP_HEADER_BYTES_MAX as u32)
        .max_concurrent_streams(limits::HTTP_STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    // What the client negotiated is what it must speak: no bytes are waited for to guess it.
    let server = if connection.is_http2() { server.http2_only() } else { server.http1_only() };
    if let Err(error) = server.serve_connection_with_upgrades(TokioIo::new(connection), service).await {
        tracing::debug!(peer = %addr, %error, "HTTP connection ended early");
    }
}
