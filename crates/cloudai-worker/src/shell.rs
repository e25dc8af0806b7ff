//! The worker's loop: select, hand it to the agent, do what the agent says. It owns the agent; everything else talks to it through
//! channels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudai_agent::{Agent, Input, Now, Phase};
use cloudai_net::ChannelFactory;
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_session::{Specs, heartbeat_period, hello};
use cloudai_telemetry::WorkerMetrics;
use cloudai_types::{AttemptId, HourlyPrice, Millis, Resources, limits};
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::condition::{ConditionWatch, Told};
use crate::executor::ExecutorEvent;
use crate::hands::Hands;
use crate::history::{History, Question};
use crate::lease_file::LeaseFile;
use crate::link::{LinkEvent, Session};
use crate::logs::{OpenError, Selection};
use crate::run::{Status, Stops};
use crate::tasks::Tasks;
use crate::telling::Telling;
use crate::upload::{self, Log};
use crate::{clock, log_filter};

/// Events of the executor that are taken up before reports go out: what begins and ends in between costs one report.
const EVENTS_AT_ONCE: usize = 8_192;
/// A leader that answers no heartbeat for this long is left for another one.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A report without an acknowledgement for this long: its outcome is not known, and only a new session asks again.
const REPORT_ANSWER_MAX: Duration = limits::WRITE_TIMEOUT.as_duration();
/// The loop looks at the clock at least this often: a suspended machine's timers sleep, its lease does not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// States of attempts that have not ended, with their words in metrics.
const STATES: [(Phase, &str); 5] = [
    (Phase::Assigned, "assigned"),
    (Phase::Preparing, "preparing"),
    (Phase::Running, "running"),
    (Phase::Stopping, "stopping"),
    (Phase::Storing, "storing"),
];

/// What a session needs while it lasts.
struct Live {
    session: Box<Session>,
    specs: Specs,
    period: Duration,
    next_heartbeat: Instant,
    sequence: u64,
    /// Since when heartbeats are unanswered, and up to which one they were answered.
    silent_since: Option<Instant>,
    answered: u64,
    /// What the leader was told of this worker's images; `None`: nothing in this session.
    images_told: Option<Arc<[u16]>>,
    condition_told: Told,
    telling: Telling,
}

pub struct Shell {
    pub agent: Agent,
    pub hands: Hands,
    /// What tasks may have.
    pub capacity: Resources,
    /// What its operator keeps from them.
    pub reserved: Resources,
    /// What its operator says that it costs.
    pub price: HourlyPrice,
    pub labels: BTreeMap<String, String>,
    pub condition: ConditionWatch,
    /// The newest of what is used here.
    pub samples: watch::Receiver<Arc<pb::UsageSample>>,
    /// Where its metrics are served; empty: nowhere.
    pub metrics_addr: String,
    pub lease: Option<LeaseFile>,
    pub factory: ChannelFactory,
    /// What was used here, for those who ask.
    pub history: History,
    pub status: Status,
    pub tasks: Tasks,
    pub executor_events: mpsc::UnboundedReceiver<ExecutorEvent>,
    pub durable: mpsc::UnboundedReceiver<Vec<AttemptId>>,
    pub link: mpsc::Receiver<LinkEvent>,
    /// How long what runs may go on once the worker leaves; `None`: until it ends.
    pub patience: Option<Millis>,
}

/// How the loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// At once, with whatever runs.
    Stopped,
    /// With nothing left.
    Left,
}

impl Shell {
    /// Runs until it is stopped: containers go on; their reports are in the journal or will be found again. Or until nothing is left after it
    /// was told to leave.
    pub async fn run(mut self, stops: &Stops) -> End {
        let mut live: Option<Live> = None;
        let mut sessions = 0u64;
        let mut leaves_since: Option<Instant> = None;
        let mut counted: Option<Instant> = None;
        loop {
            let timer = tokio::time::sleep_until(self.wake_at(live.as_ref()));
            tokio::select! {
                () = stops.stop.cancelled() => return End::Stopped,
                () = stops.leave.cancelled(), if leaves_since.is_none() => {
                    leaves_since = Some(Instant::now());
                    self.leave();
                }
                Some(event) = self.executor_events.recv() => self.on_event(event),
                Some(attempts) = self.durable.recv() => self.handle(Input::Persisted(attempts)),
                event = self.link.recv() => match event {
                    Some(event) => {
                        sessions += u64::from(matches!(event, LinkEvent::Up(_)));
                        self.on_link(event, &mut live);
                    }
                    None => return End::Stopped,
                },
                Ok(()) = self.samples.changed() => self.on_sample(live.as_mut()),
                () = timer => self.handle(Input::Tick),
            }
            self.take_what_waits();
            if let Some(l) = &mut live {
                self.look_at_clock(l);
            }
            self.handle(Input::Flush);
            if let Some(reason) = self.hands.leave.take()
                && let Some(l) = live.take()
            {
                tracing::info!(reason, leader = l.session.leader, "leaving the session");
                l.session.leave.cancel();
                self.session_down();
            }
            self.tell(live.is_some(), sessions);
            if counted.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                count(&self.agent, &self.hands.metrics);
                counted = Some(Instant::now());
            }
            let lingered = leaves_since.is_some_and(|at| at.elapsed() >= limits::WORKER_LEAVE_LINGER.as_duration());
            if lingered && self.agent.is_empty() {
                let settled = self.hands.executor.settled();
                settle(settled, stops).await;
                return End::Left;
            }
        }
    }

    fn leave(&mut self) {
        let running = self.agent.held().count();
        let patience_s = self.patience.map(|p| p.0 / 1_000);
        tracing::info!(running, patience_s, "the worker leaves: it takes no new tasks, and ends when these have ended");
        self.handle(Input::Leave { after: self.patience });
        self.say_that_it_leaves();
    }

    /// Without a session the next hello says it.
    fn say_that_it_leaves(&mut self) {
        self.hands.send(pb::worker_message::Kind::Leaving(pb::worker_message::Leaving {}));
    }

    fn handle(&mut self, input: Input) {
        self.handle_at(clock::now(), input);
    }

    fn handle_at(&mut self, now: Now, input: Input) {
        self.agent.handle(now, input, &mut self.hands);
    }

    fn on_event(&mut self, event: ExecutorEvent) {
        self.hands.traces.heard(&event);
        self.handle(event.into());
    }

    /// More of what is there already, without going to sleep in between.
    fn take_what_waits(&mut self) {
        for _ in 0..EVENTS_AT_ONCE {
            match self.executor_events.try_recv() {
                Ok(event) => self.on_event(event),
                Err(_) => break,
            }
        }
        while let Ok(attempts) = self.durable.try_recv() {
            self.handle(Input::Persisted(attempts));
        }
    }

    fn wake_at(&self, live: Option<&Live>) -> Instant {
        let now = Instant::now();
        let mut wake = now + LOOK_EVERY;
        if let Some(at) = self.agent.next_deadline() {
            wake = wake.min(now + (at - clock::mono()).as_duration());
        }
        if let Some(l) = live {
            wake = wake.min(l.next_heartbeat);
            if let Some(since) = l.silent_since {
                wake = wake.min(since + SILENCE_MAX);
            }
        }
        wake
    }

    /// Heartbeats, and whether the leader still answers.
    fn look_at_clock(&mut self, live: &mut Live) {
        let now = Instant::now();
        if now >= live.next_heartbeat {
            live.sequence += 1;
            live.silent_since.get_or_insert(now);
            live.next_heartbeat = now + jittered(live.period);
            let sequence = live.sequence;
            self.handle(Input::HeartbeatSent { sequence });
            let images = self.hands.executor.images();
            let images = (live.images_told.as_ref() != Some(&images)).then(|| {
                live.images_told = Some(images.clone());
                pb::worker_message::ImagesHeld { fingerprints: images.iter().map(|image| (*image).into()).collect() }
            });
            let condition = self.condition.news(self.hands.executor.trouble(), &mut live.condition_told);
            let pulls = self.hands.executor.pulls();
            let heartbeat = pb::worker_message::Heartbeat { sequence, pulls, images, condition };
            self.hands.send(pb::worker_message::Kind::Heartbeat(heartbeat));
        }
        if live.silent_since.is_some_and(|since| now >= since + SILENCE_MAX) {
            self.hands.leave.get_or_insert_with(|| "the leader answers no heartbeats".to_owned());
        }
        if self.hands.unanswered.front().is_some_and(|(_, at)| now >= *at + REPORT_ANSWER_MAX) {
            self.hands.leave.get_or_insert_with(|| "the leader does not acknowledge reports".to_owned());
        }
    }

    fn on_sample(&mut self, live: Option<&mut Live>) {
        let sample = self.samples.borrow_and_update().clone();
        // Before the first there is an empty one.
        if sample.at_ms > 0 && live.is_some_and(|live| live.telling.on_sample()) {
            self.hands.offer(pb::worker_message::Kind::Telemetry(pb::UsageSample::clone(&sample)));
        }
    }

    fn on_link(&mut self, event: LinkEvent, live: &mut Option<Live>) {
        match event {
            LinkEvent::Greet(answer) => {
                // A link that does not wait any more has moved on.
                let hello =
                    hello(&self.agent, self.capacity, self.reserved, self.price, &self.labels, &self.metrics_addr);
                let _ = answer.send(pb::worker_message::Hello { tells_log_filter: true, ..hello });
            }
            LinkEvent::Up(session) => *live = Some(self.session_up(session)),
            LinkEvent::Down { reason } => {
                if let Some(l) = live.take() {
                    tracing::info!(reason, leader = l.session.leader, "the session with the leader ended");
                    self.session_down();
                }
            }
            // Without a session: the rest of one that was left.
            LinkEvent::Message(kind) => {
                if let Some(l) = live {
                    self.on_message(kind, l);
                }
            }
        }
    }

    fn session_up(&mut self, session: Box<Session>) -> Live {
        let w = &session.welcome;
        tracing::info!(
            leader = session.leader,
            worker = w.worker_name,
            session = w.session,
            heartbeat_ms = w.heartbeat_period_ms,
            "the leader welcomed this worker"
        );
        let period = heartbeat_period(w.heartbeat_period_ms).unwrap_or(limits::HEARTBEAT_PERIOD_MAX.as_duration());
        self.hands.out = Some(session.out.clone());
        self.hands.leave = None;
        self.hands.unanswered.clear();
        self.hands.traces.session_began();
        self.hands.incarnation = w.incarnation;
        let input = Input::SessionUp { incarnation: w.incarnation, hello_sent: session.hello_sent };
        let live = Live {
            specs: Specs::default(),
            period,
            // The first at a random point of the period, so that workers that came together do not beat together.
            next_heartbeat: Instant::now() + period.mul_f64(rand::random()),
            sequence: 0,
            silent_since: None,
            answered: 0,
            images_told: None,
            condition_told: Told::default(),
            telling: Telling::default(),
            session,
        };
        self.handle(input);
        self.write_lease();
        // It may have been told after its hello.
        if self.agent.is_leaving() {
            self.say_that_it_leaves();
        }
        live
    }

    fn session_down(&mut self) {
        self.hands.out = None;
        self.hands.unanswered.clear();
        self.handle(Input::SessionDown);
    }

    fn on_message(&mut self, kind: Kind, live: &mut Live) {
        let input = match kind {
            Kind::HeartbeatAck(ack) => {
                live.period = heartbeat_period(ack.heartbeat_period_ms).unwrap_or(live.period);
                live.answered = live.answered.max(ack.sequence);
                if live.answered >= live.sequence
                    && let Some(since) = live.silent_since.take()
                {
                    self.hands.metrics.heartbeat_seconds.observe(since.elapsed().as_secs_f64());
                }
                self.handle(Input::HeartbeatAcked { sequence: ack.sequence });
                self.write_lease();
                return;
            }
            Kind::Specs(specs) => {
                self.hands.traces.learn(&specs.specs);
                match live.specs.take(specs.specs) {
                    Ok(()) => return,
                    Err(error) => Err(error),
                }
            }
            Kind::FullSet(set) => {
                self.hands.traces.learn(&set.specs);
                live.specs.full_set(set)
            }
            Kind::Delta(delta) => {
                self.hands.traces.learn(&delta.specs);
                live.specs.delta(delta)
            }
            Kind::ReportAck(ack) => {
                self.hands.traces.acknowledged(ack.sequence);
                self.hands.unanswered.retain(|(sequence, _)| *sequence != ack.sequence);
                Ok(Input::ReportsAcked { sequence: ack.sequence })
            }
            Kind::OpenLog(open) => {
                self.open_log(open, &live.session);
                return;
            }
            Kind::TelemetryWanted(wanted) => {
                live.telling.wanted(wanted.period_ms);
                return;
            }
            Kind::OpenHistory(open) => {
                self.open_history(open, &live.session);
                return;
            }
            Kind::SetLogLevel(question) => {
                self.hands.send(pb::worker_message::Kind::LogLevel(log_filter::answer(question)));
                return;
            }
            // The link keeps these to itself.
            Kind::Welcome(_) | Kind::NotLeader(_) | Kind::Goodbye(_) => return,
        };
        match input {
            Ok(input) => {
                self.hands.traces.assigned(&input);
                self.handle(input);
            }
            Err(error) => {
                tracing::warn!(%error, "the leader sent something that makes no sense");
                self.hands.leave = Some(error.to_string());
            }
        }
    }

    fn write_lease(&self) {
        if let (Some(file), Some(renewed)) = (&self.lease, self.agent.renewed())
            && let Err(error) = file.write(renewed)
        {
            tracing::debug!(%error, "the lease cannot be noted; a restarted worker will count it as lost");
        }
    }

    fn open_log(&self, open: pb::leader_message::OpenLog, session: &Session) {
        let Some(attempt) = open.attempt.map(AttemptId::from) else { return };
        let address = if open.address.is_empty() { session.leader.clone() } else { open.address.clone() };
        let (factory, out, stream_id) = (self.factory.clone(), session.out.clone(), open.stream_id);
        if !self.hands.executor.has_logs() {
            let log = Log::Remark("cloudai: the noop executor runs nothing, so there is no output");
            self.tasks.spawn(upload::upload(factory, address, stream_id, log));
            return;
        }
        let expected = self.agent.phase(attempt).is_some_and(|p| p < Phase::Exited);
        let logs = self.hands.logs.clone();
        let selection = Selection::of_wire(open.since_ms, open.only);
        self.tasks.spawn(async move {
            match logs.reader(attempt, expected && open.follow, selection).await {
                Ok(reader) => {
                    let log = Log::Stored { reader, follow: open.follow, tail_lines: open.tail_lines };
                    upload::upload(factory, address, stream_id, log).await;
                }
                Err(error) => {
                    let not_found = match &error {
                        OpenError::NotFound => true,
                        OpenError::Io(_) => false,
                    };
                    let failed = pb::worker_message::LogOpenFailed { stream_id, reason: error.to_string(), not_found };
                    // A session that is full or gone: the one who asked will see a time-out.
                    let _ = out.try_send(pb::worker_message::Kind::LogOpenFailed(failed).into());
                }
            }
        });
    }

    fn open_history(&self, open: pb::leader_message::OpenHistory, session: &Session) {
        let address = if open.address.is_empty() { session.leader.clone() } else { open.address.clone() };
        let (factory, history) = (self.factory.clone(), self.history.clone());
        let question =
            Question { attempt: open.attempt.map(AttemptId::from), back_ms: open.back_ms, points_max: open.points_max };
        self.tasks.spawn(async move {
            let found = history.ask(question).await;
            upload::upload_history(factory, address, open.stream_id, found).await;
        });
    }

    fn tell(&self, connected: bool, sessions: u64) {
        let m = &self.hands.metrics;
        m.connected.set(i64::from(connected));
        cloudai_telemetry::raise_to(&m.reconnects, sessions.saturating_sub(1));
        let used = self.agent.in_use();
        m.disk_allocated_bytes.set(i64::try_from(used.storage_bytes).unwrap_or(i64::MAX));
        m.gpu_allocated.set(used.gpus.into());
        m.cpu_allocated_cores.set(used.cpu_milli as f64 / 1000.0);
        m.memory_allocated_bytes.set(i64::try_from(used.memory_bytes).unwrap_or(i64::MAX));
        self.status.set_connected(connected);
    }
}

/// For metrics: a walk over all attempts, which is too much after each event.
fn count(agent: &Agent, metrics: &WorkerMetrics) {
    let mut by_state = STATES.map(|(_, word)| (word, 0));
    for (_, phase) in agent.held() {
        if let Some(at) = STATES.iter().position(|(state, _)| *state == phase) {
            by_state[at].1 += 1;
        }
    }
    metrics.set_tasks(&by_state);
    metrics.outbox.set(i64::try_from(agent.unacknowledged()).unwrap_or(i64::MAX));
}

/// The last containers go.
async fn settle(settled: BoxFuture<'static, ()>, stops: &Stops) {
    tokio::select! {
        settled = tokio::time::timeout(limits::WORKER_REMOVALS_MAX.as_duration(), settled) => {
            if settled.is_err() {
                tracing::warn!("the engine is slow: containers of ended tasks are left; the next start removes them");
            }
        }
        () = stops.stop.cancelled() => {}
    }
}

/// A tenth more or less.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}
