//! One worker's session with the leader. Comes in: the worker's messages, session events from the hub, the end of this
//! leadership. Goes out: a full set, then deltas; lease renewals; reports to the proposer and their acknowledgements. Decides
//! nothing about tasks: `apply` does.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use cloudai_core::command::{self, AttemptReport, Kind, LEAVING_SINCE, RegisterWorker, ReportAttempts, WorkerLeaves};
use cloudai_core::rows::{Family, JobSpecRow, WorkerState, job_key};
use cloudai_core::{Command, Reply};
use cloudai_proto::v1 as pb;
use cloudai_types::spec::WORKER_LABEL;
use cloudai_types::{AttemptId, WorkerId, limits};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tonic::Status;

use super::sets::{Groups, SentSpecs};
use crate::hub::SessionEvent;
use crate::node::Node;
use crate::proposer::{Outcome, WriteError};
use crate::state_store::StateStore;

type Out = mpsc::Sender<Result<pb::LeaderMessage, Status>>;

/// Why a session ended, for the log.
#[derive(Debug, thiserror::Error)]
pub enum SessionEnd {
    #[error("the worker hung up")]
    HungUp,
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("this master no longer leads")]
    NoLongerLeading,
    #[error("a newer session took its place, or the worker was lost")]
    Superseded,
    #[error("the worker broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the state cannot be read: {0}")]
    Storage(#[from] std::io::Error),
}

/// What a session says. It has no task of its own: it goes on whenever its messages are asked for, so that a heartbeat and its answer
/// wake one task and not two. Dropped with the connection, and with it the session.
pub struct Outbound {
    worker_name: String,
    /// `None` once it has ended.
    session: Option<Pin<Box<dyn Future<Output = SessionEnd> + Send>>>,
    messages: mpsc::Receiver<Result<pb::LeaderMessage, Status>>,
}

impl Stream for Outbound {
    type Item = Result<pb::LeaderMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(session) = &mut self.session
            && let Poll::Ready(end) = session.as_mut().poll(cx)
        {
            self.session = None;
            self.note(&end);
        }
        self.messages.poll_recv(cx)
    }
}

impl Outbound {
    fn note(&self, end: &SessionEnd) {
        tracing::info!(worker = self.worker_name, reason = %end, "worker session ended");
    }
}

impl Drop for Outbound {
    fn drop(&mut self) {
        if self.session.is_some() {
            self.note(&SessionEnd::HungUp);
        }
    }
}

/// A session that begins when its first message is asked for. `from`: where the worker calls from.
pub fn start<S: StateStore>(
    node: Arc<Node<S>>,
    worker_name: String,
    from: IpAddr,
    inbound: impl Stream<Item = Result<pb::WorkerMessage, Status>> + Send + Sync + Unpin + 'static,
) -> Outbound {
    let (out, messages) = mpsc::channel(limits::SESSION_MESSAGES_MAX);
    let name = worker_name.clone();
    let session = async move {
        match node.leading() {
            None => not_leader(&node, &out).await,
            Some(leading) => {
                let session = Session { node: node.clone(), worker_name: name, from, out: out.clone(), inbound };
                tokio::select! {
                    () = leading.cancelled() => not_leader(&node, &out).await,
                    end = session.run() => end,
                }
            }
        }
    };
    Outbound { worker_name, session: Some(Box::pin(session)), messages }
}

/// While it lives, the hub has a place for the session's events.
struct Listening<S: StateStore> {
    node: Arc<Node<S>>,
    worker: WorkerId,
    session: u64,
}

impl<S: StateStore> Drop for Listening<S> {
    fn drop(&mut self) {
        self.node.hub.close_session(self.worker, self.session);
    }
}

async fn not_leader<S: StateStore>(node: &Node<S>, out: &Out) -> SessionEnd {
    let leader = node.leader();
    let message = pb::leader_message::NotLeader {
        leader: leader.as_ref().map(|l| l.node.grpc_addr.clone()).unwrap_or_default(),
        leader_name: leader.map(|l| l.node.name).unwrap_or_default(),
    };
    let _ = send(out, pb::leader_message::Kind::NotLeader(message)).await;
    SessionEnd::NoLongerLeading
}

async fn send(out: &Out, kind: pb::leader_message::Kind) -> Result<(), SessionEnd> {
    out.send(Ok(pb::LeaderMessage { kind: Some(kind) })).await.map_err(|_| SessionEnd::HungUp)
}

struct Session<S: StateStore, I> {
    node: Arc<Node<S>>,
    worker_name: String,
    from: IpAddr,
    out: Out,
    inbound: I,
}

/// What a registered session knows.
struct Registered<S: StateStore> {
    worker: WorkerId,
    session: u64,
    sent: SentSpecs,
    /// Events up to this index are in the full set already.
    full_set_index: u64,
    /// It knows how to tell what is used on its machine now, and what was.
    tells_usage: bool,
    keeps_history: bool,
    /// Keeps its heartbeats out of step with the others'.
    jitter: u32,
    /// Its software understands what a question about its log filter is.
    tells_log_filter: bool,
    _listening: Listening<S>,
}

impl<S, I> Session<S, I>
where
    S: StateStore,
    I: Stream<Item = Result<pb::WorkerMessage, Status>> + Send + Sync + Unpin + 'static,
{
    async fn message(&mut self) -> Result<Option<pb::WorkerMessage>, Status> {
        self.inbound.next().await.transpose()
    }

    /// Until it ends for a reason of its own; the end of the leadership is the caller's.
    async fn run(mut self) -> SessionEnd {
        let hello = match self.message().await {
            Ok(Some(pb::WorkerMessage { kind: Some(pb::worker_message::Kind::Hello(hello)) })) => hello,
            Ok(Some(_)) => return SessionEnd::Protocol("the first message was no hello"),
            Ok(None) => return SessionEnd::HungUp,
            Err(status) => return SessionEnd::Broken(status.to_string()),
        };
        let (mut registered, mut events) = match self.register(hello).await {
            Ok(r) => r,
            Err(end) => {
                if let SessionEnd::Refused(reason) = &end {
                    let is_final = self.node.is_refused_for_good(&self.worker_name);
                    let goodbye = pb::leader_message::Goodbye { reason: reason.clone(), r#final: is_final };
                    let _ = send(&self.out, pb::leader_message::Kind::Goodbye(goodbye)).await;
                }
                return end;
            }
        };
        tracing::info!(worker = self.worker_name, session = registered.session, "worker session began");
        let mut wanted = self.node.telemetry.wanted_ms();
        // A worker tells nothing before it was asked: an older leader would end its session over it.
        wanted.mark_changed();
        loop {
            tokio::select! {
                biased;
                event = events.recv() => {
                    let Some(event) = event else { return SessionEnd::Superseded };
                    if let Err(end) = self.deliver(&mut registered, event, &mut events).await {
                        return end;
                    }
                }
                // Nothing else is ended or held up for it: what has no room now is said at the next change.
                Ok(()) = wanted.changed(), if registered.tells_usage => {
                    let period_ms = *wanted.borrow_and_update();
                    let kind = pb::leader_message::Kind::TelemetryWanted(pb::leader_message::TelemetryWanted { period_ms });
                    let _ = self.out.try_send(Ok(pb::LeaderMessage { kind: Some(kind) }));
                }
                message = self.message() => {
                    let message = match message {
                        Ok(Some(m)) => m,
                        Ok(None) => return SessionEnd::HungUp,
                        Err(status) => return SessionEnd::Broken(status.to_string()),
                    };
                    if let Err(end) = self.receive(&registered, message).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn register(
        &mut self,
        hello: pb::worker_message::Hello,
    ) -> Result<(Registered<S>, mpsc::UnboundedReceiver<SessionEvent>), SessionEnd> {
        let (worker, incarnation) = {
            let state = self.node.shared.read();
            let Some(worker) = state.hot.worker_names.get(&self.worker_name).copied() else {
                return Err(SessionEnd::Refused(format!(
                    "no worker named '{name}' is authorised; run `cloudai worker authorize {name}`",
                    name = self.worker_name
                )));
            };
            if state.hot.workers.get(&worker).is_some_and(|w| w.state == WorkerState::Revoked) {
                return Err(SessionEnd::Refused(format!("worker '{}' was revoked", self.worker_name)));
            }
            (worker, state.hot.incarnation)
        };
        if hello.fence.as_ref().is_some_and(|f| f.incarnation > incarnation) {
            return Err(SessionEnd::Refused(
                "this cluster was restored to a time before the worker's last assignment".into(),
            ));
        }
        let register = RegisterWorker {
            worker: worker.0,
            capacity: hello.capacity.unwrap_or_default(),
            labels: labels_of(hello.labels, &self.worker_name),
            software: hello.version,
            reserved: hello.reserved,
            leaving: hello.leaving,
            price_micros: hello.price_micros_per_hour,
            metrics_addr: reachable(&hello.metrics_addr, self.from),
        };
        let outcome = self.node.proposer.propose(Command::new("leader", Kind::RegisterWorker(register))).await;
        let session = match outcome {
            Ok((_, Reply::WorkerRegistered { session, .. })) => session,
            Ok((_, Reply::Refused(refusal))) => return Err(SessionEnd::Refused(refusal.to_string())),
            Ok((_, other)) => return Err(SessionEnd::Refused(format!("unexpected reply {other:?}"))),
            Err(WriteError::NotLeader { .. }) => return Err(SessionEnd::NoLongerLeading),
            Err(error) => return Err(SessionEnd::Refused(error.to_string())),
        };
        // First the place for events, then the set: what happens in between is in both, and is skipped by its index.
        let events = self.node.hub.open_session(worker, session);
        let listening = Listening { node: self.node.clone(), worker, session };
        let jitter = (self.node.surroundings.random)();
        let period = self.node.liveness.renew(worker, session, jitter).ok_or(SessionEnd::Superseded)?;
        let welcome = pb::leader_message::Welcome {
            worker_id: worker.0,
            session,
            heartbeat_period_ms: period.0 as u32,
            lease_ms: limits::LEASE.0 as u32,
            incarnation,
            worker_name: self.worker_name.clone(),
        };
        send(&self.out, pb::leader_message::Kind::Welcome(welcome)).await?;
        let mut registered = Registered {
            worker,
            session,
            sent: SentSpecs::default(),
            full_set_index: 0,
            tells_usage: hello.tells_usage,
            keeps_history: hello.keeps_history,
            jitter,
            tells_log_filter: hello.tells_log_filter,
            _listening: listening,
        };
        self.send_full_set(&mut registered).await?;
        Ok((registered, events))
    }

    async fn send_full_set(&self, registered: &mut Registered<S>) -> Result<(), SessionEnd> {
        let (fence, mut groups) = {
            let state = self.node.shared.read();
            let fence = pb::Fence { incarnation: state.hot.incarnation, index: state.index };
            (fence, Groups::all_of(&state.hot, registered.worker))
        };
        let begun = self.node.traces.begins();
        let unsent = begun.map_or_else(Vec::new, |_| groups.unsent());
        registered.full_set_index = fence.index;
        let specs = self.specs(&mut groups, &mut registered.sent)?;
        self.send_specs(specs).await?;
        let (assignments, stop) = groups.into_messages();
        let set = pb::leader_message::FullSet { fence: Some(fence), specs: vec![], assignments, stop };
        send(&self.out, pb::leader_message::Kind::FullSet(set)).await?;
        self.told_of(&unsent, begun);
        Ok(())
    }

    /// Attempts were sent to the worker, since `begun`: where their jobs are traced, somebody wants to see it.
    fn told_of(&self, attempts: &[AttemptId], begun: Option<SystemTime>) {
        let Some(begun) = begun.filter(|_| !attempts.is_empty()) else { return };
        let traces = &self.node.traces;
        let traced: Vec<_> = {
            let state = self.node.shared.read();
            let rows = self.node.shared.rows(&state);
            let job = |a: &AttemptId| traces.job(&rows, state.hot.jobs.get(&a.task.job)?.namespace, a.task.job);
            attempts.iter().filter_map(|a| Some((*a, job(a)?))).collect()
        };
        traces.sent(&traced, &self.worker_name, begun);
    }

    /// Specs ahead of the set that needs them, in messages of bounded size.
    async fn send_specs(&self, specs: Vec<pb::SpecOfJob>) -> Result<(), SessionEnd> {
        let mut batch = vec![];
        let mut bytes = 0;
        for spec in specs {
            let size = prost::Message::encoded_len(&spec);
            if bytes + size > limits::GRPC_MESSAGE_BYTES_MAX / 2 && !batch.is_empty() {
                let message = pb::leader_message::Specs { specs: std::mem::take(&mut batch) };
                send(&self.out, pb::leader_message::Kind::Specs(message)).await?;
                bytes = 0;
            }
            bytes += size;
            batch.push(spec);
        }
        if batch.is_empty() {
            return Ok(());
        }
        send(&self.out, pb::leader_message::Kind::Specs(pb::leader_message::Specs { specs: batch })).await
    }

    /// The specs that this set needs and the worker lacks. Jobs that have ended since are taken out of it: their attempts have ended
    /// too, and a set must not speak of a job without its spec.
    fn specs(&self, groups: &mut Groups, sent: &mut SentSpecs) -> std::io::Result<Vec<pb::SpecOfJob>> {
        let state = self.node.shared.read();
        groups.settle(&state.hot);
        let mut specs = vec![];
        for job in groups.new_specs(sent) {
            let namespace = state.hot.jobs.get(&job).map(|alive| alive.namespace);
            let key = job_key(namespace.unwrap_or_default(), job);
            let row = self.node.shared.row::<JobSpecRow>(&state, Family::JobSpec, &key)?;
            let row =
                row.ok_or_else(|| std::io::Error::other(format!("the spec of the living job {job} is missing")))?;
            let tenant = namespace.and_then(|namespace| state.hot.tenants.get(namespace));
            let namespace = tenant.map_or(String::new(), |tenant| tenant.name.clone());
            let trace_parent = row.trace_parent;
            specs.push(pb::SpecOfJob { job: job.0, spec: Some(row.spec), namespace, trace_parent });
        }
        Ok(specs)
    }

    /// Everything that waits goes out as one delta.
    async fn deliver(
        &self,
        registered: &mut Registered<S>,
        first: SessionEvent,
        events: &mut mpsc::UnboundedReceiver<SessionEvent>,
    ) -> Result<(), SessionEnd> {
        let mut groups = Groups::default();
        let begun = self.node.traces.begins();
        let mut opens = vec![];
        let mut fence_index = 0;
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                SessionEvent::Superseded => return Err(SessionEnd::Superseded),
                SessionEvent::Open(open) => opens.push(open),
                SessionEvent::Assigned { index, attempts } if index > registered.full_set_index => {
                    groups.assigned(index, &attempts);
                    fence_index = index;
                }
                SessionEvent::Withdrawn { index, attempts } if index > registered.full_set_index => {
                    groups.withdrawn(&self.node.shared.read().hot, &attempts);
                    fence_index = index;
                }
                SessionEvent::Assigned { .. } | SessionEvent::Withdrawn { .. } => {}
            }
            next = events.try_recv().ok();
        }
        if !groups.is_empty() {
            let unsent = begun.map_or_else(Vec::new, |_| groups.unsent());
            self.send_delta(registered, groups, fence_index).await?;
            self.told_of(&unsent, begun);
        }
        // After the delta: a log may be asked for as soon as its attempt is assigned.
        for open in opens {
            match open {
                pb::leader_message::Kind::OpenHistory(open) if !registered.keeps_history => self.no_history(&open),
                pb::leader_message::Kind::SetLogLevel(question) if !registered.tells_log_filter => {
                    self.no_log_filter(&question);
                }
                open => send(&self.out, open).await?,
            }
        }
        Ok(())
    }

    /// It would end its session over a message that it does not know.
    fn no_history(&self, open: &pb::leader_message::OpenHistory) {
        if let Some(asker) = self.node.usages.sender(open.stream_id, &self.worker_name) {
            let error = "its software is older than this master's, and keeps no history: update it".to_owned();
            // One that has gone needs no answer.
            let _ = asker.try_send(pb::UploadHistoryRequest { stream_id: open.stream_id, error, ..Default::default() });
            self.node.usages.close(open.stream_id);
        }
    }

    /// So would it.
    fn no_log_filter(&self, question: &pb::leader_message::SetLogLevel) {
        if let Some(asker) = self.node.log_levels.sender(question.id, &self.worker_name) {
            let refused = "its software is older: upgrade it, or set the filter where it starts (--log)".to_owned();
            // One that has gone needs no answer.
            let _ = asker.try_send(pb::worker_message::LogLevel { id: question.id, now: None, refused });
            self.node.log_levels.close(question.id);
        }
    }

    async fn send_delta(
        &self,
        registered: &mut Registered<S>,
        mut groups: Groups,
        fence_index: u64,
    ) -> Result<(), SessionEnd> {
        let incarnation = self.node.shared.read().hot.incarnation;
        let specs = self.specs(&mut groups, &mut registered.sent)?;
        self.send_specs(specs).await?;
        let (add, stop) = groups.into_messages();
        let fence = pb::Fence { incarnation, index: fence_index };
        let delta = pb::leader_message::Delta { fence: Some(fence), specs: vec![], add, stop };
        send(&self.out, pb::leader_message::Kind::Delta(delta)).await
    }

    async fn receive(&self, registered: &Registered<S>, message: pb::WorkerMessage) -> Result<(), SessionEnd> {
        use pb::worker_message::Kind as From;
        match message.kind {
            Some(From::Heartbeat(heartbeat)) => {
                self.node.metrics.leader.heartbeats.inc();
                self.node.pulls.tell(registered.worker, heartbeat.pulls);
                if let Some(held) = heartbeat.images {
                    let images = held.fingerprints.into_iter().filter_map(|image| image.try_into().ok()).collect();
                    self.node.images_held.tell(registered.worker, images);
                }
                if let Some(condition) = heartbeat.condition {
                    self.node.conditions.tell(registered.worker, self.node.now_ms(), condition);
                }
                // Only while a majority has just confirmed this leader: a deposed one must not renew a lease.
                if self.node.quorum_ack_is_fresh()
                    && let Some(period) =
                        self.node.liveness.renew(registered.worker, registered.session, registered.jitter)
                {
                    let ack = pb::leader_message::HeartbeatAck {
                        sequence: heartbeat.sequence,
                        heartbeat_period_ms: period.0 as u32,
                    };
                    send(&self.out, pb::leader_message::Kind::HeartbeatAck(ack)).await?;
                }
                Ok(())
            }
            Some(From::Reports(reports)) => {
                self.report(registered, reports).await;
                Ok(())
            }
            Some(From::AssignmentAck(_)) => Ok(()),
            Some(From::LogOpenFailed(failed)) => {
                if let Some(reader) = self.node.logs.sender(failed.stream_id, &self.worker_name) {
                    let failure = super::logs::Upload::Failed { reason: failed.reason, not_found: failed.not_found };
                    // A reader that has stopped reading is its own affair.
                    let _ = reader.try_send(failure);
                    self.node.logs.close(failed.stream_id);
                }
                Ok(())
            }
            Some(From::LogLevel(level)) => {
                if let Some(asker) = self.node.log_levels.sender(level.id, &self.worker_name) {
                    self.node.log_levels.close(level.id);
                    // One that has gone needs no answer.
                    let _ = asker.try_send(level);
                }
                Ok(())
            }
            Some(From::Leaving(_)) => {
                self.leaves(registered).await;
                Ok(())
            }
            Some(From::Telemetry(sample)) => {
                self.node.metrics.telemetry_samples.inc();
                self.node.telemetry.tell(&self.worker_name, sample);
                Ok(())
            }
            Some(From::Hello(_)) => Err(SessionEnd::Protocol("a second hello")),
            None => Err(SessionEnd::Protocol("an empty message")),
        }
    }

    /// It gets nothing new from here on. Without an outcome it says so again in its next session's hello.
    async fn leaves(&self, registered: &Registered<S>) {
        tracing::info!(worker = self.worker_name, "the worker says that it is about to end; it gets no new tasks");
        if self.node.shared.read().hot.version < LEAVING_SINCE {
            return;
        }
        let leaves = WorkerLeaves { worker: registered.worker.0, session: registered.session };
        let on_outcome = |outcome: Outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a worker's leaving has no outcome yet");
            }
        };
        self.node.proposer.enqueue(Command::new("leader", Kind::WorkerLeaves(leaves)), on_outcome).await;
    }

    /// Acknowledged once applied, accepted or refused. Without an outcome there is no acknowledgement, and the worker sends them
    /// again on its next session.
    async fn report(&self, registered: &Registered<S>, reports: pb::worker_message::Reports) {
        let sequence = reports.sequence;
        let command = ReportAttempts {
            worker: registered.worker.0,
            session: registered.session,
            reports: reports.reports.into_iter().map(report_from_wire).collect(),
        };
        let out = self.out.clone();
        let on_outcome = move |outcome: Outcome| match outcome {
            Ok((_, Reply::Reported { .. })) => {
                let ack = pb::leader_message::ReportAck { sequence };
                let message = pb::LeaderMessage { kind: Some(pb::leader_message::Kind::ReportAck(ack)) };
                tokio::spawn(async move { out.send(Ok(message)).await });
            }
            Ok((_, other)) => tracing::debug!(?other, "reports were refused"),
            Err(error) => tracing::debug!(%error, "reports have no outcome yet"),
        };
        self.node.proposer.enqueue(Command::new("leader", Kind::ReportAttempts(command)), on_outcome).await;
    }
}

fn report_from_wire(r: pb::AttemptReport) -> AttemptReport {
    AttemptReport {
        job: r.job,
        index: r.index,
        number: r.number,
        state: command::AttemptState::try_from(r.phase).unwrap_or(command::AttemptState::Assigned) as i32,
        reason: r.reason,
        started_ms: r.started_ms,
        ended_ms: r.ended_ms,
    }
}

/// What it says of itself, and who it is. With as many labels as it may have, it cannot be asked for by its name.
fn labels_of<I: IntoIterator<Item = (String, String)>>(own: I, name: &str) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = own.into_iter().filter(|(key, _)| key != WORKER_LABEL).collect();
    if labels.len() < limits::LABELS_MAX {
        labels.insert(WORKER_LABEL.to_owned(), name.to_owned());
    }
    labels
}

/// Where others find what a worker serves at `address`: all interfaces of its machine are, for them, the one that it calls from.
fn reachable(address: &str, from: IpAddr) -> String {
    match address.parse::<SocketAddr>() {
        Ok(at) if at.ip().is_unspecified() && from.is_unspecified() => String::new(),
        Ok(at) if at.ip().is_unspecified() => SocketAddr::new(from.to_canonical(), at.port()).to_string(),
        Ok(_) => address.to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_where_the_worker_is() {
        for (said, from, found) in [
            ("0.0.0.0:7610", "10.0.0.9", "10.0.0.9:7610"),
            ("[::]:7610", "::ffff:10.0.0.9", "10.0.0.9:7610"),
            ("[::]:7610", "fd00::9", "[fd00::9]:7610"),
            ("192.168.1.5:7610", "10.0.0.9", "192.168.1.5:7610"),
            ("0.0.0.0:7610", "0.0.0.0", ""),
            ("", "10.0.0.9", ""),
            ("no address\n", "10.0.0.9", ""),
        ] {
            assert_eq!(reachable(said, from.parse().expect("an address")), found, "{said} from {from}");
        }
    }

    #[test]
    fn a_worker_is_who_its_certificate_says() {
        let said = [("zone", "eu"), ("cloudai.worker", "w1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let labels = labels_of(said, "w7").into_iter().map(|(k, v)| format!("{k}={v}"));
        assert_eq!(labels.collect::<Vec<_>>(), ["cloudai.worker=w7", "zone=eu"]);
        let many = (0..limits::LABELS_MAX).map(|n| (format!("l{n}"), String::new()));
        assert_eq!(labels_of(many, "w7").len(), limits::LABELS_MAX, "and it may still join");
    }
}
