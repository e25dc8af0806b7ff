//! One worker: the real agent, with hands that are simulated. Comes in: what survives of its machine. Goes out: containers on the
//! engine, reports to the leader; what the agent believes, for those who watch. The loop is the one of the worker crate's shell.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_agent::{Agent, Deps, EndingRecord, Fence, Input, Leave, Now, Report, Settings, Signal};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::leader_message::Kind;
use cloudai_proto::v1::worker_message::Kind as FromWorker;
use cloudai_session::{Specs, heartbeat_period, hello, reports_message, to_fence};
use cloudai_types::{AttemptId, HourlyPrice, JobSpec, Resources, Timestamp, limits};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Skew};
use crate::dice::Dice;
use crate::engine::Engine;
use crate::event_log::EventLog;
use crate::journal::Journal;
use crate::link::{Link, LinkEvent, Session};
use crate::network::{HostId, Net, Place};

/// What of a worker survives its agent.
#[derive(Clone)]
pub struct Machinery {
    pub name: String,
    pub masters: Vec<HostId>,
    pub capacity: Resources,
    pub engine: Engine,
    pub journal: Journal,
    pub skew: Skew,
    pub net: Net,
    pub events: EventLog,
    pub belief: Arc<Mutex<Belief>>,
    /// Sets of an ended session that arrive once more in the next one: `no fence, no order` is what they test.
    pub late_sets: Arc<Mutex<bool>>,
}

/// What the agent believes, as of its last step.
#[derive(Clone, Debug, Default)]
pub struct Belief {
    /// When the last acknowledged renewal was sent. Survives restarts here: it is what masters have promised.
    pub renewed: Option<Timestamp>,
    /// In a session with a full set since this time.
    pub settled_since_ms: Option<u64>,
    pub fence: Fence,
    pub held: Vec<AttemptId>,
    pub reports_in_flight: usize,
    pub reports_in_message: usize,
    pub sessions: u64,
}

const SILENCE_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REPORT_ANSWER_MAX: Duration = limits::WRITE_TIMEOUT.as_duration();

struct Hands {
    engine: Engine,
    journal: Journal,
    out: Option<mpsc::UnboundedSender<FromWorker>>,
    leave: bool,
    unanswered: VecDeque<(u64, Instant)>,
    reports_in_message: usize,
    /// Where the event log hears of it.
    say: Box<dyn Fn(std::fmt::Arguments) + Send>,
}

impl Hands {
    fn send(&self, kind: FromWorker) {
        if let Some(out) = &self.out {
            let _ = out.send(kind);
        }
    }
}

impl Deps for Hands {
    fn start(&mut self, attempt: AttemptId, assigned_index: u64, spec: &Arc<JobSpec>) {
        self.engine.start(attempt, assigned_index, spec);
    }
    fn stop(&mut self, attempt: AttemptId, signal: Signal) {
        self.engine.stop(attempt, signal);
    }
    fn store(&mut self, attempt: AttemptId, results: bool) {
        self.engine.store(attempt, results);
    }
    fn remove(&mut self, attempt: AttemptId) {
        self.engine.remove(attempt);
    }
    fn persist_ending(&mut self, ending: &EndingRecord) {
        self.journal.ending(ending);
    }
    fn forget_ending(&mut self, attempt: AttemptId) {
        self.journal.forget(attempt);
    }
    fn persist_fence(&mut self, fence: Fence) {
        self.journal.fence(fence);
    }
    fn send_reports(&mut self, sequence: u64, reports: Vec<Report>) {
        self.reports_in_message = self.reports_in_message.max(reports.len());
        self.unanswered.push_back((sequence, Instant::now()));
        for r in &reports {
            (self.say)(format_args!("reports #{sequence} {} {:?}", r.attempt, r.phase));
        }
        self.send(reports_message(sequence, reports));
    }
    fn acknowledge_set(&mut self, fence: Fence) {
        self.send(FromWorker::AssignmentAck(pb::worker_message::AssignmentAck { fence: Some(to_fence(fence)) }));
    }
    fn leave_session(&mut self, _: Leave) {
        self.leave = true;
    }
}

struct Live {
    leader: HostId,
    leave: CancellationToken,
    specs: Specs,
    period: Duration,
    next_heartbeat: Instant,
    sequence: u64,
    silent_since: Option<Instant>,
    answered: u64,
    settled_since_ms: Option<u64>,
}

struct Shell {
    m: Machinery,
    clock: Clock,
    agent: Agent,
    hands: Hands,
    live: Option<Live>,
    dice: Dice,
    /// The sets of the last session that has ended.
    last_sets: Vec<Input>,
    sets: Vec<Input>,
    labels: BTreeMap<String, String>,
}

/// Runs until the process dies.
pub async fn run(m: Machinery, place: Place, born_ms: u64, mut dice: Dice) {
    let clock = Clock::start(born_ms, m.skew.clone());
    let (inputs_out, mut inputs) = mpsc::unbounded_channel();
    drop(tokio::spawn(m.journal.clone().sync(inputs_out.clone(), dice.fork())));
    let (events, mut link) = mpsc::unbounded_channel();
    let way = Link {
        net: m.net.clone(),
        place,
        worker: m.name.clone(),
        masters: m.masters.clone(),
        events,
        clock: clock.clone(),
        dice: dice.fork(),
    };
    let hands = Hands {
        engine: m.engine.clone(),
        journal: m.journal.clone(),
        out: None,
        leave: false,
        unanswered: VecDeque::new(),
        reports_in_message: 0,
        say: {
            let (events, clock, name) = (m.events.clone(), clock.clone(), m.name.clone());
            Box::new(move |what: std::fmt::Arguments| events.add(clock.mono_ms(), &name, what))
        },
    };
    // Every second worker's logs go to a store, and its successes wait for that.
    let stores_logs = m.name.ends_with(['0', '2', '4', '6', '8']);
    let agent = Agent::new(Settings { capacity: m.capacity, volatile: false, stores_logs });
    let (last_sets, sets) = (vec![], vec![]);
    let mut shell =
        Shell { m: m.clone(), clock, agent, hands, live: None, dice, last_sets, sets, labels: BTreeMap::new() };
    shell.handle(m.journal.restore());
    for found in m.engine.adopt(inputs_out) {
        shell.handle(Input::Found(found));
    }
    drop(tokio::spawn(way.run()));
    loop {
        let timer = tokio::time::sleep_until(shell.wake_at());
        tokio::select! {
            biased;
            Some(input) = inputs.recv() => shell.handle(input),
            event = link.recv() => match event {
                Some(event) => shell.on_link(event),
                None => return,
            },
            () = timer => shell.handle(Input::Tick),
        }
        shell.look_at_clock();
        shell.handle(Input::Flush);
        if std::mem::take(&mut shell.hands.leave)
            && let Some(live) = shell.live.take()
        {
            live.leave.cancel();
            shell.session_down(live.leader);
        }
        shell.tell();
    }
}

impl Shell {
    fn handle(&mut self, input: Input) {
        let now = Now { mono: self.clock.mono(), wall: Timestamp(self.clock.wall_ms()) };
        self.agent.handle(now, input, &mut self.hands);
    }

    fn say(&self, what: std::fmt::Arguments) {
        self.m.events.add(self.clock.mono_ms(), &self.m.name, what);
    }

    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + LOOK_EVERY;
        if let Some(at) = self.agent.next_deadline() {
            wake = wake.min(now + (at - self.clock.mono()).as_duration());
        }
        if let Some(l) = &self.live {
            wake = wake.min(l.next_heartbeat);
            if let Some(since) = l.silent_since {
                wake = wake.min(since + SILENCE_MAX);
            }
        }
        wake
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        let Some(live) = &mut self.live else { return };
        let mut beat = None;
        if now >= live.next_heartbeat {
            live.sequence += 1;
            live.silent_since.get_or_insert(now);
            // A tenth more or less.
            live.next_heartbeat = now + live.period.mul_f64(0.9 + self.dice.below(200) as f64 / 1_000.0);
            beat = Some(live.sequence);
        }
        if live.silent_since.is_some_and(|since| now >= since + SILENCE_MAX)
            || self.hands.unanswered.front().is_some_and(|(_, at)| now >= *at + REPORT_ANSWER_MAX)
        {
            self.hands.leave = true;
        }
        if let Some(sequence) = beat {
            self.handle(Input::HeartbeatSent { sequence });
            self.hands.send(FromWorker::Heartbeat(pb::worker_message::Heartbeat { sequence, ..Default::default() }));
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Greet(answer) => {
                let _ = answer.send(hello(
                    &self.agent,
                    self.m.capacity,
                    Resources::default(),
                    HourlyPrice::default(),
                    &self.labels,
                    "",
                ));
            }
            LinkEvent::Up(session) => self.session_up(session),
            LinkEvent::Down => {
                if let Some(live) = self.live.take() {
                    self.session_down(live.leader);
                }
            }
            LinkEvent::Message(kind) => self.on_message(kind),
        }
    }

    fn session_up(&mut self, session: Session) {
        let w = &session.welcome;
        self.say(format_args!("session {} with m{}", w.session, session.leader));
        let period = heartbeat_period(w.heartbeat_period_ms).unwrap_or(limits::HEARTBEAT_PERIOD_MAX.as_duration());
        self.hands.out = Some(session.out);
        self.hands.leave = false;
        self.hands.unanswered.clear();
        let input = Input::SessionUp { incarnation: w.incarnation, hello_sent: session.hello_sent };
        self.live = Some(Live {
            leader: session.leader,
            leave: session.leave,
            specs: Specs::default(),
            period,
            next_heartbeat: Instant::now() + period.mul_f64(self.dice.below(1_000) as f64 / 1_000.0),
            sequence: 0,
            silent_since: None,
            answered: 0,
            settled_since_ms: None,
        });
        self.last_sets = std::mem::take(&mut self.sets);
        self.m.belief.lock().expect("no panic under it").sessions += 1;
        self.handle(input);
        self.write_lease();
    }

    fn session_down(&mut self, leader: HostId) {
        self.say(format_args!("session with m{leader} ended"));
        self.hands.out = None;
        self.hands.unanswered.clear();
        self.handle(Input::SessionDown);
    }

    fn on_message(&mut self, kind: Kind) {
        let now_ms = self.clock.mono_ms();
        let Some(live) = &mut self.live else { return };
        let input = match kind {
            Kind::HeartbeatAck(ack) => {
                live.period = heartbeat_period(ack.heartbeat_period_ms).unwrap_or(live.period);
                live.answered = live.answered.max(ack.sequence);
                if live.answered >= live.sequence {
                    live.silent_since = None;
                }
                self.handle(Input::HeartbeatAcked { sequence: ack.sequence });
                self.write_lease();
                return;
            }
            Kind::Specs(specs) => match live.specs.take(specs.specs) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Kind::FullSet(set) => {
                live.settled_since_ms.get_or_insert(now_ms);
                live.specs.full_set(set)
            }
            Kind::Delta(delta) => live.specs.delta(delta),
            Kind::ReportAck(ack) => {
                self.say(format_args!("reports #{} are acknowledged", ack.sequence));
                self.hands.unanswered.retain(|(sequence, _)| *sequence != ack.sequence);
                Ok(Input::ReportsAcked { sequence: ack.sequence })
            }
            Kind::OpenLog(_)
            | Kind::OpenHistory(_)
            | Kind::SetLogLevel(_)
            | Kind::Welcome(_)
            | Kind::NotLeader(_)
            | Kind::Goodbye(_)
            | Kind::TelemetryWanted(_) => {
                return;
            }
        };
        let input = match input {
            Ok(input) => input,
            Err(error) => {
                self.say(format_args!("the leader's message makes no sense: {error}"));
                self.hands.leave = true;
                return;
            }
        };
        let is_full = matches!(input, Input::FullSet { .. });
        if is_full || matches!(input, Input::Delta { .. }) {
            self.sets.push(input.clone());
        }
        self.handle(input);
        if is_full && std::mem::take(&mut *self.m.late_sets.lock().expect("no panic under it")) {
            for late in std::mem::take(&mut self.last_sets) {
                self.say(format_args!("a set of the last session arrives once more"));
                self.handle(late);
            }
        }
    }

    fn write_lease(&mut self) {
        self.m.journal.renewed(self.agent.renewed());
        let mut belief = self.m.belief.lock().expect("no panic under it");
        belief.renewed = belief.renewed.max(self.agent.renewed());
    }

    fn tell(&self) {
        let mut belief = self.m.belief.lock().expect("no panic under it");
        belief.settled_since_ms = self.live.as_ref().and_then(|l| l.settled_since_ms);
        belief.fence = self.agent.fence();
        belief.held = self.agent.held().map(|(id, _)| id).collect();
        belief.reports_in_flight = self.hands.unanswered.len();
        belief.reports_in_message = self.hands.reports_in_message;
    }
}
