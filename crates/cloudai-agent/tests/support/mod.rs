//! A recorder of everything that an agent has done, as lines of a transcript.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::sync::Arc;

use cloudai_agent::{Agent, Assignment, Deps, EndingRecord, Fence, Input, Leave, Now, Phase, Report, Settings, Signal};
use cloudai_types::{AttemptId, EndReason, JobId, JobSpec, Millis, OnDisconnect, Resources, Timestamp};

#[derive(Default)]
pub struct Recorder(pub Vec<String>);

/// `index.number` is enough for people: all attempts of these tests are of job 1.
pub fn short(a: AttemptId) -> String {
    format!("{}.{}", a.task.index, a.number)
}

impl Deps for Recorder {
    fn start(&mut self, a: AttemptId, assigned_index: u64, _: &Arc<JobSpec>) {
        self.0.push(format!("start {} @{assigned_index}", short(a)));
    }
    fn stop(&mut self, a: AttemptId, signal: Signal) {
        self.0.push(format!("stop {} {signal:?}", short(a)));
    }
    fn store(&mut self, a: AttemptId, results: bool) {
        self.0.push(format!("store {}{}", short(a), if results { "" } else { " log" }));
    }
    fn remove(&mut self, a: AttemptId) {
        self.0.push(format!("remove {}", short(a)));
    }
    fn persist_ending(&mut self, e: &EndingRecord) {
        self.0.push(format!("persist {} {}", short(e.attempt), e.reason));
    }
    fn forget_ending(&mut self, a: AttemptId) {
        self.0.push(format!("forget {}", short(a)));
    }
    fn persist_fence(&mut self, fence: Fence) {
        self.0.push(format!("fence {fence}"));
    }
    fn send_reports(&mut self, sequence: u64, reports: Vec<Report>) {
        let texts: Vec<String> = reports
            .iter()
            .map(|r| {
                assert_eq!(r.reason.is_some(), r.phase == Phase::Exited);
                let reason = r.reason.as_ref().map_or(String::new(), |r| format!("({r})"));
                format!("{} {:?}{reason}", short(r.attempt), r.phase)
            })
            .collect();
        self.0.push(format!("report {sequence}: {}", texts.join(", ")));
    }
    fn acknowledge_set(&mut self, fence: Fence) {
        self.0.push(format!("ack {fence}"));
    }
    fn leave_session(&mut self, why: Leave) {
        self.0.push(match why {
            Leave::OlderSet { offered, seen } => format!("leave: set {offered} < {seen}"),
            Leave::OlderIncarnation { offered, seen } => format!("leave: incarnation {offered} < {seen}"),
        });
    }
}

pub struct Script {
    pub agent: Agent,
    pub ms: u64,
}

pub const WALL_OFFSET: u64 = 1_000_000;

impl Script {
    pub fn new(cpu_milli: u64, volatile: bool) -> Self {
        let capacity = Resources { cpu_milli, memory_bytes: 1 << 30, ..Default::default() };
        Script { agent: Agent::new(Settings { capacity, volatile, stores_logs: false }), ms: 0 }
    }

    /// Connected, and logs are stored too.
    pub fn storing_logs(cpu_milli: u64) -> Self {
        let mut s = Script::connected(cpu_milli);
        let capacity = Resources { cpu_milli, memory_bytes: 1 << 30, ..Default::default() };
        s.agent = Agent::new(Settings { capacity, volatile: false, stores_logs: true });
        s.go(0, up());
        s.go(0, full(10, [], []));
        s
    }

    /// Welcomed at time 0 by incarnation 1, with an empty set at index 10.
    pub fn connected(cpu_milli: u64) -> Self {
        let mut s = Script::new(cpu_milli, false);
        s.go(0, up());
        s.go(0, full(10, [], []));
        s
    }

    /// Everything that the agent has done upon this input.
    pub fn go(&mut self, ms: u64, input: Input) -> Vec<String> {
        self.ms = ms;
        let mut deps = Recorder::default();
        let now = Now { mono: Timestamp(ms), wall: Timestamp(WALL_OFFSET + ms) };
        self.agent.handle(now, input, &mut deps);
        deps.0
    }

    pub fn flush(&mut self) -> Vec<String> {
        self.go(self.ms, Input::Flush)
    }
}

pub fn id(index: u32, number: u32) -> AttemptId {
    AttemptId::new(JobId(1), index, number)
}

pub fn spec(cpu_milli: u64) -> JobSpec {
    let resources = Resources { cpu_milli, ..Default::default() };
    JobSpec { image: "busybox".into(), resources, ..Default::default() }
}

pub fn timed(cpu_milli: u64, timeout: Millis) -> JobSpec {
    JobSpec { timeout_ms: timeout.0, ..spec(cpu_milli) }
}

pub fn storing(cpu_milli: u64) -> JobSpec {
    JobSpec { results: true, ..spec(cpu_milli) }
}

pub fn bound(cpu_milli: u64) -> JobSpec {
    JobSpec { on_disconnect: OnDisconnect::Stop as i32, ..spec(cpu_milli) }
}

pub fn assigned(index: u32, at: u64, spec: JobSpec) -> Assignment {
    Assignment { attempt: id(index, 1), assigned_index: at, phase: Phase::Assigned, spec: Arc::new(spec) }
}

pub fn fence(index: u64) -> Fence {
    Fence { incarnation: 1, index }
}

pub fn up() -> Input {
    Input::SessionUp { incarnation: 1, hello_sent: Timestamp(0) }
}

pub fn full<const A: usize, const W: usize>(
    index: u64,
    assignments: [Assignment; A],
    stop: [cloudai_agent::Withdrawal; W],
) -> Input {
    Input::FullSet { fence: fence(index), assignments: assignments.into(), stop: stop.into() }
}

pub fn delta<const A: usize, const W: usize>(
    index: u64,
    add: [Assignment; A],
    stop: [cloudai_agent::Withdrawal; W],
) -> Input {
    Input::Delta { fence: fence(index), add: add.into(), stop: stop.into() }
}

pub fn started(index: u32, ms: u64) -> Input {
    Input::Started { attempt: id(index, 1), started: Timestamp(WALL_OFFSET + ms) }
}

pub fn ended(index: u32, reason: EndReason, ms: u64) -> Input {
    let at = Timestamp(WALL_OFFSET + ms);
    Input::Ended { attempt: id(index, 1), reason, started: at, ended: at, container: true }
}

pub fn renew(s: &mut Script, ms: u64, sequence: u64) -> Vec<String> {
    let mut calls = s.go(ms, Input::HeartbeatSent { sequence });
    calls.extend(s.go(ms, Input::HeartbeatAcked { sequence }));
    calls
}
