//! Submits: one alone, or very many on one stream. Comes in: requests, each with a request id (given or made here). Goes out: job
//! ids. The request id is what makes every repetition safe, so none leaves without one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cloudai_proto::v1::{
    ErrorInfo, RunScheduleRequest, SubmitAck, SubmitReply, SubmitRequest, SubmitWorkflowReply, SubmitWorkflowRequest,
    submit_ack::Outcome,
};
use cloudai_types::limits;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Duration, Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

use crate::call::{Next, Repeat, Tries};
use crate::client::Client;
use crate::error::{CallError, SubmitError};
use crate::judge::{Verdict, judge};

/// A new request id: 128 random bits in hex.
pub fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Client {
    /// Submits a job. Without a request id in it, one is made.
    pub async fn submit(&self, mut request: SubmitRequest) -> Result<SubmitReply, SubmitError> {
        if request.request_id.is_empty() {
            request.request_id = request_id();
        }
        let sent = self
            .call(Repeat::Safe, |mut c| {
                let r = request.clone();
                async move { c.submit(r).await }
            })
            .await;
        sent.map_err(|e| submit_error(&request.request_id, e))
    }

    /// Submits a workflow. Without a request id in it, one is made.
    pub async fn submit_workflow(
        &self,
        mut request: SubmitWorkflowRequest,
    ) -> Result<SubmitWorkflowReply, SubmitError> {
        if request.request_id.is_empty() {
            request.request_id = request_id();
        }
        let sent = self
            .call(Repeat::Safe, |mut c| {
                let r = request.clone();
                async move { c.submit_workflow(r).await }
            })
            .await;
        sent.map_err(|e| submit_error(&request.request_id, e))
    }

    /// A run of a schedule now. Without a request id in it, one is made.
    pub async fn run_schedule(&self, mut request: RunScheduleRequest) -> Result<SubmitReply, SubmitError> {
        if request.request_id.is_empty() {
            request.request_id = request_id();
        }
        let sent = self
            .call(Repeat::Safe, |mut c| {
                let r = request.clone();
                async move { c.run_schedule(r).await }
            })
            .await;
        sent.map_err(|e| submit_error(&request.request_id, e))
    }

    /// A stream for many submits at a time, each acknowledged alone. It lives until the last clone is dropped.
    pub fn submit_stream(&self) -> SubmitStream {
        let (tx, rx) = mpsc::channel(limits::STREAM_CALLS_MAX);
        tokio::spawn(drive(self.clone(), rx));
        SubmitStream { tx, permits: Arc::new(Semaphore::new(limits::STREAM_CALLS_MAX)), ids: Arc::default() }
    }
}

/// Request ids of one stream: one random beginning, then a number. Ids that follow each other lie together in the masters'
/// databases, where a random id for each request costs a walk to a place of its own.
struct RequestIds {
    random: u64,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        RequestIds { random: rand::random(), next: AtomicU64::new(0) }
    }
}

impl RequestIds {
    fn next(&self) -> String {
        format!("{:016x}{:016x}", self.random, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// `SubmitStreamRequest` with its request encoded already: the same bytes, made once however often it is sent.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint64, tag = "1")]
    tag: u64,
    #[prost(bytes = "bytes", tag = "2")]
    request: Bytes,
}

fn submit_error(request_id: &str, e: CallError) -> SubmitError {
    match e {
        CallError::OutcomeUnknown { last, .. } => {
            SubmitError::OutcomeUnknown { request_id: request_id.to_owned(), last }
        }
        other => SubmitError::Call(other),
    }
}

/// See [`Client::submit_stream`]. Cheap to clone.
#[derive(Clone)]
pub struct SubmitStream {
    tx: mpsc::Sender<Order>,
    permits: Arc<Semaphore>,
    ids: Arc<RequestIds>,
}

struct Order {
    request_id: String,
    /// The encoded `SubmitRequest`.
    request: Bytes,
    done: oneshot::Sender<Result<SubmitReply, SubmitError>>,
    _permit: OwnedSemaphorePermit,
}

/// Sent, and not yet answered for good.
struct Pending {
    order: Order,
    deadline: Instant,
    /// Sent, and not answered on that connection.
    in_flight: bool,
    /// It was on a wire that broke, or a master did not know.
    maybe_done: bool,
    /// What the last master said.
    last: Option<CallError>,
}

impl SubmitStream {
    /// Waits for a place among the unanswered, sends, and waits for the acknowledgement, also across a change of leader.
    pub async fn submit(&self, mut request: SubmitRequest) -> Result<SubmitReply, SubmitError> {
        if request.request_id.is_empty() {
            request.request_id = self.ids.next();
        }
        let encoded = Bytes::from(request.encode_to_vec());
        let id = request.request_id;
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (done, answer) = oneshot::channel();
        let gone =
            || SubmitError::OutcomeUnknown { request_id: id.clone(), last: "the client is shutting down".into() };
        let order = Order { request_id: id.clone(), request: encoded, done, _permit: permit };
        self.tx.send(order).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Owns the connection: sends orders, hands out acknowledgements, and sends what is open again after a break.
async fn drive(client: Client, mut orders: mpsc::Receiver<Order>) {
    let mut pending: BTreeMap<u64, Pending> = BTreeMap::new();
    let mut next_tag = 1u64;
    let mut tries: Option<Tries> = None;
    let retry_for = client.shared.retry_for;
    loop {
        if pending.is_empty() {
            match orders.recv().await {
                Some(order) => admit(order, &mut pending, &mut next_tag, retry_for),
                None => return,
            };
        }
        let address = client.shared.preferred();
        let verdict = match connect(&client, &address).await {
            Ok((wire, acks)) => {
                tries = None;
                session(&client, &address, wire, acks, &mut orders, &mut pending, &mut next_tag).await
            }
            Err(verdict) => Some(verdict),
        };
        let Some(verdict) = verdict else { return };
        tracing::debug!(address, ?verdict, "the submit stream broke");
        // Every order has its own deadline, so the tries here have none of their own.
        let t = tries.get_or_insert_with(|| Tries::new(Duration::MAX));
        let (pause, next) = match t.on_failure(&client, &address, Repeat::Safe, verdict.clone()) {
            Ok(Next::Address(a)) => (Duration::ZERO, a),
            Ok(Next::Pause(pause, a)) => (pause, a),
            Err(e) => {
                for (_, p) in std::mem::take(&mut pending) {
                    let _ = p.order.done.send(Err(submit_error(&p.order.request_id, e.clone())));
                }
                tries = None;
                continue;
            }
        };
        client.shared.prefer(&next);
        tokio::time::sleep(pause).await;
        expire(&client, &mut pending, &verdict);
    }
}

fn admit(order: Order, pending: &mut BTreeMap<u64, Pending>, next_tag: &mut u64, retry_for: Duration) -> u64 {
    let tag = *next_tag;
    *next_tag += 1;
    pending.insert(
        tag,
        Pending { order, deadline: Instant::now() + retry_for, in_flight: false, maybe_done: false, last: None },
    );
    tag
}

/// Answers those whose time is up.
fn expire(client: &Client, pending: &mut BTreeMap<u64, Pending>, verdict: &Verdict) {
    let now = Instant::now();
    let over: Vec<u64> = pending.iter().filter(|(_, p)| p.deadline <= now).map(|(t, _)| *t).collect();
    for tag in over {
        let p = pending.remove(&tag).expect("just found");
        let said = match verdict {
            Verdict::Final(info) => info.sentence(),
            Verdict::NotLeader { said, .. } => said.clone(),
            Verdict::Certificate(s)
            | Verdict::NotReached(s)
            | Verdict::NoLeader(s)
            | Verdict::TooBusy(s)
            | Verdict::Unknown(s) => s.clone(),
        };
        let after = client.shared.retry_for;
        let error = if p.maybe_done || p.in_flight {
            CallError::OutcomeUnknown { after, last: said }
        } else {
            p.last.unwrap_or(CallError::Unreachable { tried: client.shared.addresses.clone(), after, last: said })
        };
        let _ = p.order.done.send(Err(submit_error(&p.order.request_id, error)));
    }
}

type Wire = mpsc::Sender<Frame>;

async fn connect(client: &Client, address: &str) -> Result<(Wire, Streaming<SubmitAck>), Verdict> {
    let channel = client.shared.channel(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
    let mut control = tonic::client::Grpc::new(channel).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
    let (wire, out) = mpsc::channel(limits::STREAM_CALLS_MAX);
    let open = async {
        control.ready().await.map_err(|e| tonic::Status::unknown(format!("the connection is not ready: {e}")))?;
        let path = PathAndQuery::from_static("/cloudai.v1.Control/SubmitStream");
        let request = tonic::Request::new(ReceiverStream::new(out));
        control.streaming(request, path, ProstCodec::<Frame, SubmitAck>::default()).await
    };
    match tokio::time::timeout(limits::CLIENT_CALL_TIMEOUT.as_duration(), open).await {
        Ok(Ok(acks)) => Ok((wire, acks.into_inner())),
        Ok(Err(status)) => Err(judge(&status)),
        Err(_) => Err(Verdict::Unknown(format!("{address} did not answer"))),
    }
}

/// One connection's life. `None`: every handle is gone and all is answered.
async fn session(
    client: &Client,
    address: &str,
    wire: Wire,
    mut acks: Streaming<SubmitAck>,
    orders: &mut mpsc::Receiver<Order>,
    pending: &mut BTreeMap<u64, Pending>,
    next_tag: &mut u64,
) -> Option<Verdict> {
    let retry_for = client.shared.retry_for;
    // What the last connection left open. It fits: there are at most as many orders as places on the wire.
    for (tag, p) in pending.iter_mut() {
        if send(&wire, *tag, p).is_err() {
            return Some(Verdict::Unknown("the connection broke".into()));
        }
    }
    let (mut open, mut preferred) = (true, false);
    let mut again: Option<(Instant, Vec<u64>)> = None;
    let mut overdue = tokio::time::interval(Duration::from_secs(1));
    loop {
        if !open && pending.is_empty() {
            return None;
        }
        let pause_until = again.as_ref().map(|(at, _)| *at);
        tokio::select! {
            order = orders.recv(), if open => match order {
                None => open = false,
                Some(order) => {
                    // Whoever else waits goes with it.
                    let mut next = Some(order);
                    while let Some(order) = next {
                        let tag = admit(order, pending, next_tag, retry_for);
                        let p = pending.get_mut(&tag).expect("just admitted");
                        if send(&wire, tag, p).is_err() {
                            return Some(Verdict::Unknown("the connection broke".into()));
                        }
                        next = orders.try_recv().ok();
                    }
                }
            },
            ack = acks.message() => match ack {
                Ok(Some(ack)) => {
                    let Some(outcome) = ack.outcome else { continue };
                    let Some(p) = pending.remove(&ack.tag) else { continue };
                    match outcome {
                        Outcome::Reply(reply) => {
                            if !std::mem::replace(&mut preferred, true) {
                                client.shared.prefer(address);
                            }
                            let _ = p.order.done.send(Ok(reply));
                        }
                        Outcome::Error(info) => {
                            if let Some(verdict) = refused(client, p, ack.tag, &info, pending, &mut again) {
                                return Some(verdict);
                            }
                        }
                    }
                }
                Ok(None) => return Some(Verdict::Unknown("the master ended the stream".into())),
                Err(status) => return Some(judge(&status)),
            },
            _ = overdue.tick() => expire(client, pending, &Verdict::Unknown("the master did not answer in time".into())),
            () = tokio::time::sleep_until(pause_until.unwrap_or_else(Instant::now)), if pause_until.is_some() => {
                let (_, tags) = again.take().expect("the branch is only taken while it is set");
                for tag in tags {
                    if let Some(p) = pending.get_mut(&tag)
                        && send(&wire, tag, p).is_err()
                    {
                        return Some(Verdict::Unknown("the connection broke".into()));
                    }
                }
            }
        }
    }
}

/// One order came back with an error: answered for good, sent again after a pause on this connection, or (when another
/// master must be asked) kept for the next one.
fn refused(
    client: &Client,
    mut p: Pending,
    tag: u64,
    info: &ErrorInfo,
    pending: &mut BTreeMap<u64, Pending>,
    again: &mut Option<(Instant, Vec<u64>)>,
) -> Option<Verdict> {
    let after = client.shared.retry_for;
    let verdict = judge(&info.clone().into_status());
    let over = p.deadline <= Instant::now();
    let mut elsewhere = None;
    p.in_flight = false;
    let error = match verdict {
        Verdict::Final(info) => {
            let _ = p.order.done.send(Err(SubmitError::Call(CallError::Refused(Box::new(info)))));
            return None;
        }
        Verdict::Unknown(last) => {
            p.maybe_done = true;
            CallError::OutcomeUnknown { after, last }
        }
        Verdict::NotLeader { ref said, .. } => {
            let error = CallError::NoLeader { after, last: said.clone() };
            elsewhere = Some(verdict);
            error
        }
        Verdict::NoLeader(last) => CallError::NoLeader { after, last },
        Verdict::TooBusy(last) => CallError::TooBusy { after, last },
        Verdict::Certificate(last) | Verdict::NotReached(last) => {
            CallError::Unreachable { tried: client.shared.addresses.clone(), after, last }
        }
    };
    if over {
        let last = match &error {
            CallError::OutcomeUnknown { last, .. } => last.clone(),
            other => other.to_string(),
        };
        let error = if p.maybe_done { CallError::OutcomeUnknown { after, last } } else { error };
        let _ = p.order.done.send(Err(submit_error(&p.order.request_id, error)));
        return None;
    }
    p.last = Some(error);
    pending.insert(tag, p);
    if elsewhere.is_none() {
        let pause = limits::CLIENT_BACKOFF_FIRST.as_duration();
        again.get_or_insert_with(|| (Instant::now() + pause, vec![])).1.push(tag);
    }
    elsewhere
}

/// A second time without an answer to the first: nobody can say any more that the first did not happen.
fn send(wire: &Wire, tag: u64, p: &mut Pending) -> Result<(), ()> {
    p.maybe_done |= p.in_flight;
    wire.try_send(Frame { tag, request: p.order.request.clone() }).map_err(|_| ())?;
    p.in_flight = true;
    Ok(())
}
