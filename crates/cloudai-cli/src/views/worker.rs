//! Workers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_proto::v1::{GetWorkerReply, ListWorkersReply, WorkerInfo, WorkerState};
use cloudai_types::placement::taint_text;
use cloudai_types::resources::{Bytes, Cpu};
use cloudai_types::{AttemptId, HourlyPrice, Resources};
use serde::Serialize;

use crate::output::{Columns, View, facts};
use crate::times::{duration, now_ms, rfc3339, seconds, span};
use crate::views::resources::{ResourcesView, labels};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerView {
    pub id: u32,
    pub name: String,
    /// `Authorized`, `Ready`, `Lost`, `Revoked`.
    pub state: &'static str,
    pub draining: bool,
    /// While it drains: from then on what still runs is stopped; null: it may finish.
    pub drain_deadline: Option<String>,
    /// That time has passed, and its tasks were told to stop.
    pub evicting: bool,
    /// It said itself that it is about to end.
    pub leaving: bool,
    /// What tasks may have.
    pub capacity: ResourcesView,
    /// What its operator keeps for the machine itself, beside the capacity; null: nothing.
    pub reserved: Option<ResourcesView>,
    pub allocated: ResourcesView,
    /// Live attempts, those that wait on the worker included.
    pub attempts: u32,
    pub attempts_running: u32,
    pub labels: BTreeMap<String, String>,
    /// Name and value, which may be empty: only tasks that tolerate all of them start there.
    pub taints: BTreeMap<String, String>,
    /// What it costs, in the currency of its operator; null: nothing was said.
    pub price_per_hour: Option<f64>,
    pub software: String,
    pub registered_at: Option<String>,
    /// A session is open; null: the master that answered does not lead, so it cannot know.
    pub connected: Option<bool>,
    /// Seconds since its last heartbeat; null when it has no session.
    pub heard_ago: Option<f64>,
    #[serde(skip)]
    amounts: (Resources, Resources, u64),
    #[serde(skip)]
    keeps: String,
    #[serde(skip)]
    price: HourlyPrice,
}

impl WorkerView {
    /// `by_leader`: the answer came from the leader, which alone knows sessions.
    pub fn new(w: WorkerInfo, by_leader: bool) -> Self {
        let price = HourlyPrice(w.price_micros_per_hour);
        let (capacity, allocated) = (w.capacity.unwrap_or_default(), w.allocated.unwrap_or_default());
        WorkerView {
            id: w.id,
            state: w.state().name(),
            name: w.name,
            draining: w.draining,
            drain_deadline: rfc3339(w.drain_deadline_ms),
            evicting: w.evicting,
            leaving: w.leaving,
            capacity: capacity.into(),
            reserved: w.reserved.map(Into::into),
            allocated: allocated.into(),
            attempts: w.attempts,
            attempts_running: w.attempts_running,
            labels: w.labels,
            taints: w.taints,
            price_per_hour: (price.0 > 0).then(|| price.0 as f64 / 1e6),
            software: w.software,
            registered_at: rfc3339(w.registered_ms),
            connected: by_leader.then_some(w.connected),
            heard_ago: (by_leader && w.connected).then(|| seconds(w.heard_ms_ago)),
            amounts: (capacity, allocated, w.heard_ms_ago),
            keeps: w.reserved.map(|r| r.to_string()).unwrap_or_default(),
            price,
        }
    }

    fn state_text(&self) -> String {
        state_words(self.state, self.draining, self.evicting, self.leaving).to_owned()
    }

    /// `0.5/4`, `32.0 MiB/2.0 GiB`, `0/1`.
    fn used(&self) -> [String; 3] {
        let (capacity, allocated, _) = &self.amounts;
        [
            format!("{}/{}", Cpu(allocated.cpu_milli), Cpu(capacity.cpu_milli)),
            format!("{}/{}", Bytes(allocated.memory_bytes), Bytes(capacity.memory_bytes)),
            format!("{}/{}", allocated.gpus, capacity.gpus),
        ]
    }

    /// `gpu=a100,night`
    fn taints_text(&self) -> String {
        self.taints.iter().map(|(key, value)| taint_text(key, value)).collect::<Vec<_>>().join(",")
    }

    fn price_text(&self) -> String {
        if self.price.0 == 0 { "-".to_owned() } else { self.price.to_string() }
    }

    fn heard(&self) -> String {
        if self.heard_ago.is_some() { format!("{} ago", duration(self.amounts.2)) } else { "-".to_owned() }
    }
}

/// Its state, and what else keeps tasks away.
pub fn state_words(state: &'static str, draining: bool, evicting: bool, leaving: bool) -> &'static str {
    if state != WorkerState::Ready.name() {
        return state;
    }
    match (draining, evicting, leaving) {
        (true, true, _) => "Ready, stopping tasks",
        (true, false, _) => "Ready, draining",
        (false, _, true) => "Ready, leaving",
        (false, _, false) => state,
    }
}

/// `worker list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct WorkerList(pub Vec<WorkerView>);

impl From<ListWorkersReply> for WorkerList {
    fn from(r: ListWorkersReply) -> Self {
        let by_leader = r.read.is_some_and(|r| r.leader);
        WorkerList(r.workers.into_iter().map(|w| WorkerView::new(w, by_leader)).collect())
    }
}

impl View for WorkerList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut names = vec!["NAME", "STATE", "CPU", "MEMORY", "GPU", "RUNNING", "HEARD", "LABELS", "TAINTS"];
        // Where nobody says what anything costs, nobody looks for it.
        let has_prices = self.0.iter().any(|w| w.price.0 > 0);
        if has_prices {
            names.push("PER HOUR");
        }
        let mut columns = Columns::new(&names);
        for w in &self.0 {
            let [cpu, memory, gpu] = w.used();
            let l = if w.labels.is_empty() { "-".to_owned() } else { labels(&w.labels) };
            let cells = [
                w.name.clone(),
                w.state_text(),
                cpu,
                memory,
                gpu,
                w.attempts_running.to_string(),
                w.heard(),
                l,
                if w.taints.is_empty() { "-".to_owned() } else { w.taints_text() },
            ];
            columns.row(cells.into_iter().chain(has_prices.then(|| w.price_text())));
        }
        columns.write(out)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerAttemptView {
    /// `JOB/INDEX.N`
    pub id: String,
    pub state: &'static str,
    pub assigned_at: Option<String>,
    #[serde(skip)]
    assigned_ms: u64,
}

/// `worker show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerDetail {
    #[serde(flatten)]
    pub worker: WorkerView,
    pub live_attempts: Vec<WorkerAttemptView>,
}

impl From<GetWorkerReply> for WorkerDetail {
    fn from(r: GetWorkerReply) -> Self {
        let live_attempts = r
            .attempts
            .into_iter()
            .map(|a| WorkerAttemptView {
                id: AttemptId::from(a.attempt.unwrap_or_default()).to_string(),
                state: a.phase().name(),
                assigned_at: rfc3339(a.assigned_ms),
                assigned_ms: a.assigned_ms,
            })
            .collect();
        let by_leader = r.read.is_some_and(|r| r.leader);
        WorkerDetail { worker: WorkerView::new(r.worker.unwrap_or_default(), by_leader), live_attempts }
    }
}

impl View for WorkerDetail {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let w = &self.worker;
        let [cpu, memory, gpu] = w.used();
        facts(
            out,
            &[
                ("worker", w.name.clone()),
                ("state", w.state_text()),
                ("drains until", w.drain_deadline.clone().unwrap_or_default()),
                ("cpu", cpu),
                ("memory", memory),
                ("gpu", gpu),
                ("reserved", w.keeps.clone()),
                ("labels", labels(&w.labels)),
                ("taints", w.taints_text()),
                ("price", if w.price.0 > 0 { format!("{} per hour", w.price) } else { String::new() }),
                ("attempts", format!("{} running, {} in all", w.attempts_running, w.attempts)),
                ("heard", w.heard()),
                ("registered", w.registered_at.clone().unwrap_or_default()),
                ("software", w.software.clone()),
            ],
        )?;
        if self.live_attempts.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut columns = Columns::new(&["ATTEMPT", "PHASE", "SINCE ASSIGNMENT"]);
        for a in &self.live_attempts {
            columns.row([a.id.clone(), a.state.to_owned(), span(a.assigned_ms, 0, now_ms())]);
        }
        columns.write(out)
    }
}

/// `worker authorize`, `cluster add`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenView {
    pub name: String,
    pub token: String,
}

impl View for TokenView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample;

    #[test]
    fn one_worker_says_what_is_kept_from_its_tasks() {
        let detail = |worker| WorkerDetail::from(GetWorkerReply { worker: Some(worker), ..Default::default() });
        let shown = |worker| {
            let mut out = vec![];
            detail(worker).table(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let text = shown(sample::worker());
        assert!(text.contains("\nreserved:    cpu 1, memory 1.0 GiB\n"), "{text}");
        assert!(text.contains("\ntaints:      gpu=a100,night\n"), "{text}");
        assert!(
            !shown(WorkerInfo { reserved: None, ..sample::worker() }).contains("reserved"),
            "nothing, nothing said"
        );
    }

    #[test]
    fn what_a_worker_costs_is_shown_where_somebody_says_so() {
        let dear = || WorkerInfo { name: "w2".into(), price_micros_per_hour: 4_100_000, ..sample::worker() };
        fn shown(view: &impl View) -> String {
            let mut out = vec![];
            view.table(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        }
        let list = |workers: Vec<WorkerInfo>| {
            WorkerList(workers.into_iter().map(|worker| WorkerView::new(worker, true)).collect())
        };
        let text = shown(&list(vec![sample::worker(), dear()]));
        let last: Vec<&str> = text.lines().map(|line| line.rsplit("  ").next().unwrap().trim()).collect();
        assert_eq!(last, ["PER HOUR", "-", "4.1"], "{text}");
        assert!(!shown(&list(vec![sample::worker()])).contains("HOUR"), "nobody says what anything costs");
        let detail = WorkerDetail::from(GetWorkerReply { worker: Some(dear()), ..Default::default() });
        assert!(shown(&detail).contains("\nprice:       4.1 per hour\n"), "{}", shown(&detail));
        assert_eq!(serde_json::to_value(&detail).unwrap()["price_per_hour"], 4.1);
    }

    #[test]
    fn a_worker_says_how_it_is_drained() {
        let state = |change: fn(&mut WorkerInfo)| {
            let mut worker = sample::worker();
            change(&mut worker);
            let mut out = vec![];
            let reply = GetWorkerReply { worker: Some(worker), ..Default::default() };
            WorkerDetail::from(reply).table(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let until = state(|w| w.drain_deadline_ms = sample::T0);
        assert!(until.contains("Ready, draining") && until.contains("2026-09-21T14:13:20Z"), "{until}");
        assert!(state(|w| (w.drain_deadline_ms, w.evicting) = (sample::T0, true)).contains("Ready, stopping tasks"));
        assert!(state(|w| (w.draining, w.leaving) = (false, true)).contains("Ready, leaving"));
    }

    #[test]
    fn workers_as_a_table_and_as_json() {
        let list = WorkerList(vec![WorkerView::new(sample::worker(), true)]);
        let unknown = serde_json::to_value(WorkerView::new(sample::worker(), false)).unwrap();
        assert_eq!(
            (&unknown["connected"], &unknown["heard_ago"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        let mut out = vec![];
        list.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME  STATE            CPU    MEMORY              GPU  RUNNING  HEARD      LABELS   TAINTS\n\
             w1    Ready, draining  0.5/4  32.0 MiB/2.0 GiB    0/1  1        250ms ago  zone=eu  gpu=a100,night\n"
                .replace("2.0 GiB    0/1", "2.0 GiB  0/1")
                .replace("MEMORY              GPU", "MEMORY            GPU")
        );
        assert_eq!(
            serde_json::to_value(&list).unwrap(),
            serde_json::json!([{
                "id": 1, "name": "w1", "state": "Ready", "draining": true,
                "drain_deadline": null, "evicting": false, "leaving": false,
                "capacity": {"cpu": 4.0, "memory_bytes": 2147483648u64, "storage_bytes": 0, "gpu": 1},
                "reserved": {"cpu": 1.0, "memory_bytes": 1073741824, "storage_bytes": 0, "gpu": 0},
                "allocated": {"cpu": 0.5, "memory_bytes": 33554432, "storage_bytes": 0, "gpu": 0},
                "attempts": 3, "attempts_running": 1, "labels": {"zone": "eu"},
                "taints": {"gpu": "a100", "night": ""}, "price_per_hour": null, "software": "0.1.0",
                "registered_at": "2026-09-21T14:13:20Z", "connected": true, "heard_ago": 0.25,
            }])
        );
    }
}
