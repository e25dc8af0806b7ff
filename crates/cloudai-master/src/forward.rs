//! Any master answers any call: what only the leader can do is passed on to it as it came. Comes in: raw gRPC requests with a
//! verified identity. Goes out: the same requests, to the services of this process or to the leader, with the caller's identity
//! beside the master's own. Knows methods by their path and never decodes a message.
//!
//! A call that finds no leader waits for one, up to [`limits::LEADER_WAIT`]: an election or a planned hand-over is no error. Unary
//! calls that meet a leader on its way out are tried again at its successor; they were surely not written. Those that a leader keeps after
//! it was replaced are told that their outcome is unknown.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cloudai_net::{Identity, PeerInfo, Role, Serial};
use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use cloudai_raft::{Leadership, NodeId, Peer};
use cloudai_telemetry::trace::OpenSpan;
use cloudai_telemetry::{TraceContext, Tracer};
use cloudai_types::limits;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::call_traces::{self, TRACE_PARENT};
use crate::masters::GrpcMasters;
use crate::node::Node;
use crate::state_store::StateStore;

/// Request header from master to master: `role/name` of the real caller, or empty for one without a certificate.
pub const ON_BEHALF_OF: &str = "cloudai-on-behalf-of";
/// Response header: this master does not lead, and nothing was written.
pub const NOT_LEADER: &str = "cloudai-not-leader";

/// Where a method is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By whoever is asked.
    Here,
    /// By the leader; the request is one message and may be sent again when it was surely not written.
    Leader,
    /// By the leader, as a stream of requests.
    LeaderStream,
}

/// The table of methods that need the leader. Everything else is served here.
pub fn place(path: &str) -> Place {
    let Some(method) = path.strip_prefix("/cloudai.v1.") else { return Place::Here };
    match method {
        "Control/SubmitStream" => Place::LeaderStream,
        "Control/Submit"
        | "Control/CancelJob"
        | "Control/SubmitWorkflow"
        | "Control/CancelWorkflow"
        | "Control/RetryWorkflow"
        | "Control/ExplainTask"
        | "Control/PlanJob"
        | "Control/CheckWorkers"
        | "Control/GetWorkerHistory"
        | "Control/WorkerLogFilter"
        | "Control/ReplayDead"
        | "Control/SubmitReplay"
        | "Control/DropDead"
        | "Control/Logs"
        | "Control/AuthorizeWorker"
        | "Control/RevokeWorker"
        | "Control/DrainWorker"
        | "Control/ResumeWorker"
        | "Control/TaintWorker"
        | "Control/UntaintWorker"
        | "Control/AddMaster"
        | "Control/RemoveMaster"
        | "Control/TransferLeader"
        | "Control/SetConfig"
        | "Control/SetQuota"
        | "Control/CreateTemplate"
        | "Control/DeleteTemplate"
        | "Control/CreateSchedule"
        | "Control/PauseSchedule"
        | "Control/DeleteSchedule"
        | "Control/RunSchedule"
        | "Control/SetSecret"
        | "Control/RemoveSecret"
        | "Dispatch/Secrets"
        | "Dispatch/Join"
        | "Dispatch/Renew" => Place::Leader,
        _ => Place::Here,
    }
}

/// A tower layer over the services of port 7601.
pub struct Forward<S: StateStore, I> {
    node: Arc<Node<S>>,
    masters: Arc<GrpcMasters>,
    inner: I,
}

impl<S: StateStore, I> Forward<S, I> {
    pub fn new(node: Arc<Node<S>>, masters: Arc<GrpcMasters>, inner: I) -> Self {
        Forward { node, masters, inner }
    }
}

impl<S: StateStore, I: Clone> Clone for Forward<S, I> {
    fn clone(&self) -> Self {
        Forward { node: self.node.clone(), masters: self.masters.clone(), inner: self.inner.clone() }
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S, I> Service<Request<Body>> for Forward<S, I>
where
    S: StateStore,
    I: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    I::Future: Send,
{
    type Response = Response<Body>;
    type Error = I::Error;
    type Future = Answer<I::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone that was polled ready answers; a fresh one stays behind.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let (node, masters) = (self.node.clone(), self.masters.clone());
        Box::pin(async move {
            let was_forwarded = match take_caller(&mut request) {
                Ok(was_forwarded) => was_forwarded,
                Err(status) => return Ok(status.into_http()),
            };
            match place(request.uri().path()) {
                // Once forwarded, never again: two masters that disagree must not play ball.
                _ if was_forwarded => inner.call(request).await,
                Place::Here => inner.call(request).await,
                Place::LeaderStream => match leader_channel(&node, &masters).await {
                    Ok(None) => inner.call(request).await,
                    Ok(Some((_, channel))) => Ok(send(&node.traces.tracer, channel, request).await),
                    Err(status) => Ok(status.into_http()),
                },
                Place::Leader => Ok(unary(&node, &masters, &mut inner, request).await?),
            }
        })
    }
}

/// Puts the real caller's identity in place of the forwarding master's. The header counts from masters only.
fn take_caller(request: &mut Request<Body>) -> Result<bool, Status> {
    let Some(value) = request.headers_mut().remove(ON_BEHALF_OF) else { return Ok(false) };
    let refused = || Status::permission_denied("only masters may speak for others");
    let peer = request.extensions().get::<PeerInfo>().cloned().ok_or_else(refused)?;
    let master = peer.identity.filter(|i| i.role == Role::Master).ok_or_else(refused)?;
    let text = value.to_str().map_err(|_| refused())?;
    let identity = match text.split_once('/') {
        None => None,
        Some((role, name)) => {
            let role: Role = role.parse().map_err(|_| refused())?;
            let caller = Identity::new(master.cluster.clone(), role, name, Serial::from_text("0"));
            Some(Arc::new(caller.map_err(|_| refused())?))
        }
    };
    request.extensions_mut().insert(PeerInfo { addr: peer.addr, identity });
    Ok(true)
}

/// Who leads, waited for a moment: an election or a hand-over is no error. `None`: this master does.
pub async fn find_leader<S: StateStore>(node: &Node<S>) -> Result<Option<Peer>, Status> {
    let mut leadership = node.raft.leadership();
    let find = async {
        loop {
            if node.leading().is_some() {
                return None;
            }
            leadership.mark_unchanged();
            if let Some(leader) = node.leader().filter(|l| l.id != node.me.node) {
                return Some(leader);
            }
            // This master may be about to lead: its loops start a moment after Raft says so.
            tokio::select! {
                Ok(()) = leadership.changed() => {}
                () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
            }
        }
    };
    let found = tokio::time::timeout(limits::LEADER_WAIT.as_duration(), find).await;
    found.map_err(|_| crate::control::errors::no_leader())
}

/// `None`: this master leads.
async fn leader_channel<S: StateStore>(
    node: &Node<S>,
    masters: &GrpcMasters,
) -> Result<Option<(NodeId, tonic::transport::Channel)>, Status> {
    let leader = find_leader(node).await?;
    let channel = leader.map(|l| masters.channel_to(&l.node.grpc_addr).map(|channel| (l.id, channel)));
    channel.transpose().map_err(|e| Status::internal(e.to_string()))
}

/// Returns when `leader` has not led for a moment, as far as this master knows. One that hands over in order still answers what it has
/// begun; one that hangs or is cut off would keep its callers waiting until their connection breaks.
async fn left_by<S: StateStore>(node: &Node<S>, leader: NodeId) {
    let mut leadership = node.raft.leadership();
    loop {
        let leads = |l: &Leadership| l.leader.as_ref().is_some_and(|l| l.id == leader);
        // Closed: this master stops, and its calls end with it.
        if leadership.wait_for(|l| !leads(l)).await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(limits::DEPOSED_LEADER_WAIT.as_duration()).await;
        if !leads(&leadership.borrow()) {
            return;
        }
    }
}

async fn unary<S, I>(
    node: &Node<S>,
    masters: &GrpcMasters,
    inner: &mut I,
    request: Request<Body>,
) -> Result<Response<Body>, I::Error>
where
    S: StateStore,
    I: Service<Request<Body>, Response = Response<Body>> + Clone,
{
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, limits::GRPC_MESSAGE_BYTES_MAX + 5).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) => return Ok(Status::resource_exhausted(format!("the request cannot be read: {e}")).into_http()),
    };
    let deadline = tokio::time::Instant::now() + limits::LEADER_WAIT.as_duration();
    loop {
        let mut again = Request::new(Body::new(Full::new(body.clone())));
        *again.method_mut() = parts.method.clone();
        *again.uri_mut() = parts.uri.clone();
        *again.version_mut() = parts.version;
        *again.headers_mut() = parts.headers.clone();
        *again.extensions_mut() = parts.extensions.clone();
        let response = match leader_channel(node, masters).await {
            Ok(None) => {
                let mut inner = inner.clone();
                std::future::poll_fn(|cx| inner.poll_ready(cx)).await?;
                inner.call(again).await?
            }
            Ok(Some((leader, channel))) => tokio::select! {
                response = send(&node.traces.tracer, channel, again) => response,
                () = left_by(node, leader) => return Ok(deposed().into_http()),
            },
            Err(status) => return Ok(status.into_http()),
        };
        if !response.headers().contains_key(NOT_LEADER) || tokio::time::Instant::now() > deadline {
            return Ok(response);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn deposed() -> Status {
    ErrorInfo::new(ErrorKind::OutcomeUnknown, "the outcome is unknown")
        .why("the leader that this was passed on to does not lead any more, and has not answered")
        .next("retry with the same request id: it is then done once")
        .into_status()
}

/// Passes the request on as it is, with the caller's identity beside this master's own certificate.
async fn send(tracer: &Tracer, mut channel: tonic::transport::Channel, mut request: Request<Body>) -> Response<Body> {
    let span = pass_trace_on(tracer, &mut request);
    let caller = request.extensions().get::<PeerInfo>().and_then(|p| p.identity.clone());
    let caller = caller.map_or(String::new(), |i| format!("{}/{}", i.role, i.name));
    let Ok(value) = HeaderValue::from_str(&caller) else {
        return Status::permission_denied("the caller's name cannot be passed on").into_http();
    };
    request.headers_mut().insert(ON_BEHALF_OF, value);
    // Hop by hop: the other connection has its own peer.
    request.extensions_mut().clear();
    let ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
    let answer = match ready {
        Ok(()) => channel.call(request).await,
        Err(e) => Err(e),
    };
    match answer {
        Ok(response) => response,
        Err(e) => {
            if let Some(mut span) = span {
                span.fail(e.to_string());
            }
            let mut status = Status::unavailable(format!(
                "the leader did not answer ({e}); the outcome is unknown: retry with the same request id"
            ));
            status.metadata_mut().insert("cloudai-outcome", "unknown".parse().expect("ASCII"));
            status.into_http()
        }
    }
}

/// The leader's part is below this master's.
fn pass_trace_on(tracer: &Tracer, request: &mut Request<Body>) -> Option<OpenSpan> {
    let context = request.extensions().get::<TraceContext>().copied();
    let span = tracer.begin(context.as_ref(), "forward");
    request.headers_mut().remove(TRACE_PARENT);
    if let Some(value) = span.as_ref().map(OpenSpan::context).or(context).as_ref().and_then(call_traces::header) {
        request.headers_mut().insert(TRACE_PARENT, value);
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_go_to_the_leader_and_reads_stay() {
        assert_eq!(place("/cloudai.v1.Control/Submit"), Place::Leader);
        assert_eq!(place("/cloudai.v1.Control/SubmitStream"), Place::LeaderStream);
        assert_eq!(place("/cloudai.v1.Control/RetryWorkflow"), Place::Leader);
        assert_eq!(place("/cloudai.v1.Control/GetWorkflow"), Place::Here);
        assert_eq!(place("/cloudai.v1.Control/GetWorkerHistory"), Place::Leader);
        assert_eq!(place("/cloudai.v1.Control/ListJobs"), Place::Here);
        assert_eq!(place("/cloudai.v1.Control/WatchEvents"), Place::Here);
        assert_eq!(place("/cloudai.v1.Control/MasterLogFilter"), Place::Here);
        assert_eq!(place("/cloudai.v1.Control/WorkerLogFilter"), Place::Leader);
        assert_eq!(place("/cloudai.v1.Dispatch/Session"), Place::Here);
        assert_eq!(place("/other/Submit"), Place::Here);
    }

    #[test]
    fn only_a_master_may_speak_for_others() {
        let cluster: cloudai_net::ClusterId = "0123456789abcdef".parse().expect("valid");
        let request = |role: Option<Role>| {
            let identity = role.map(|r| {
                Arc::new(Identity::new(cluster.clone(), r, "m1", Serial::from_text("1")).expect("valid name"))
            });
            let mut r = Request::new(Body::empty());
            r.headers_mut().insert(ON_BEHALF_OF, HeaderValue::from_static("admin/root"));
            r.extensions_mut().insert(PeerInfo { addr: ([127, 0, 0, 1], 1).into(), identity });
            r
        };
        assert!(take_caller(&mut request(None)).is_err());
        assert!(take_caller(&mut request(Some(Role::Admin))).is_err());
        assert!(take_caller(&mut request(Some(Role::Worker))).is_err());
        let mut r = request(Some(Role::Master));
        assert!(take_caller(&mut r).expect("a master"));
        let caller = r.extensions().get::<PeerInfo>().and_then(|p| p.identity.clone()).expect("replaced");
        assert_eq!(caller.to_string(), "admin root");
        assert!(!r.headers().contains_key(ON_BEHALF_OF));
    }
}
