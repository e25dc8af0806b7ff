//! The whole cluster on one time line. Comes in: a plan. Goes out: one step after the other: messages arrive, containers go on, every
//! host runs for a tick. Knows how to stop, start and pause its hosts; when that happens is the nemesis's business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cloudai_core::command::{Authorize, Kind, MemberRole, VERSION};
use cloudai_core::{Command, Reply};
use cloudai_raft::Role;

use crate::client::{self, Users, Wishes};
use crate::clock::Skew;
use crate::dice::Dice;
use crate::disk::SimLog;
use crate::engine::Engine;
use crate::event_log::EventLog;
use crate::host::Host;
use crate::invariants::{MasterView, View, WorkerView};
use crate::journal::Journal;
use crate::master::{self, SimNode, Slot};
use crate::network::{HostId, Net};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::plan::rules::{RACK, rack_of};
use crate::rows::{Commit, SimRows};
use crate::worker;

/// Every host runs so long before the next one does. No message arrives within the tick that sent it, so their order in a tick
/// does not matter.
pub const TICK_MS: u64 = 5;
const FIRST_WORKER: HostId = 101;
const USERS: HostId = 200;

pub struct World {
    pub now_ms: u64,
    pub plan: Plan,
    pub net: Net,
    pub events: EventLog,
    pub oracle: Oracle,
    pub masters: Vec<Master>,
    pub workers: Vec<Worker>,
    hosts: BTreeMap<HostId, Host>,
    dice: Dice,
    commits: Arc<Mutex<Vec<Commit>>>,
    pub master_views: Vec<MasterView>,
    pub worker_views: Vec<WorkerView>,
    snapshots: PathBuf,
    leader_seen: Option<(HostId, u64)>,
    /// How often another master led.
    pub leaderships: u64,
}

pub struct Master {
    pub host: HostId,
    pub parts: master::Machinery,
}

pub struct Worker {
    pub host: HostId,
    pub parts: worker::Machinery,
}

/// Somewhere without a disk behind it, if there is such a place.
fn scratch(seed: u64) -> PathBuf {
    let base = Path::new("/dev/shm");
    let base = if base.is_dir() { base.to_owned() } else { std::env::temp_dir() };
    base.join(format!("cloudai-sim-{}-{seed}", std::process::id()))
}

impl Drop for World {
    fn drop(&mut self) {
        self.master_views.clear();
        for host in self.hosts.values_mut() {
            host.crash();
        }
        drop(std::fs::remove_dir_all(&self.snapshots));
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        cloudai_raft::simulate(seed);
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice.fork());
        let net = Net::new(dice.fork());
        net.set_weather(plan.weather);
        let (events, commits, snapshots) = (EventLog::default(), Arc::default(), scratch(seed));
        let ids: Vec<HostId> = (1..=plan.masters).collect();
        let mut hosts = BTreeMap::new();
        let mut masters = vec![];
        for &host in &ids {
            let parts = master::Machinery {
                host,
                masters: ids.clone(),
                log: SimLog::new(dice.fork(), plan.sync_ms),
                rows: SimRows::new(host, dice.fork(), Arc::clone(&commits)),
                skew: Skew::default(),
                snapshots: snapshots.join(format!("m{host}")),
                snapshot_every_entries: plan.snapshot_every_entries,
                net: net.clone(),
                events: events.clone(),
                slot: Slot::default(),
                ended: Arc::default(),
            };
            hosts.insert(host, Host::default());
            masters.push(Master { host, parts });
        }
        let mut workers = vec![];
        for (n, capacity) in plan.workers.iter().enumerate() {
            let (name, host) = (format!("w{}", n + 1), FIRST_WORKER + n as HostId);
            let parts = worker::Machinery {
                name: name.clone(),
                masters: ids.clone(),
                capacity: *capacity,
                engine: Engine::new(name, dice.fork(), events.clone()),
                journal: Journal::default(),
                skew: Skew::default(),
                net: net.clone(),
                events: events.clone(),
                belief: Arc::default(),
                late_sets: Arc::default(),
            };
            hosts.insert(host, Host::default());
            workers.push(Worker { host, parts });
        }
        hosts.insert(USERS, Host::default());
        let master_view = |m: &Master| MasterView {
            host: m.host,
            node: None,
            log: m.parts.log.clone(),
            rows: m.parts.rows.clone(),
            ended: None,
        };
        let worker_view = |w: &Worker| WorkerView {
            name: w.parts.name.clone(),
            capacity: w.parts.capacity,
            engine: w.parts.engine.clone(),
            belief: w.parts.belief.clone(),
            acting_since_ms: None,
        };
        World {
            now_ms: 0,
            master_views: masters.iter().map(master_view).collect(),
            worker_views: workers.iter().map(worker_view).collect(),
            plan,
            net,
            events,
            oracle: Oracle::default(),
            masters,
            workers,
            hosts,
            dice,
            commits,
            snapshots,
            leader_seen: None,
            leaderships: 0,
        }
    }

    pub fn say(&self, what: std::fmt::Arguments) {
        self.events.add(self.now_ms, "sim", what);
    }

    // ---- Time ---------------------------------------------------------------------------------------------------------

    /// One tick. Returns what was committed in it.
    pub fn step(&mut self) -> Vec<Commit> {
        let until = self.now_ms + TICK_MS;
        self.net.deliver(self.now_ms);
        for worker in &self.workers {
            worker.parts.engine.advance(self.now_ms);
        }
        for host in self.hosts.values_mut() {
            host.step(self.now_ms, until);
        }
        self.now_ms = until;
        self.look();
        std::mem::take(&mut *self.commits.lock().expect("no panic under it"))
    }

    fn look(&mut self) {
        for (view, master) in self.master_views.iter_mut().zip(&self.masters) {
            view.node = master.parts.slot.lock().expect("no panic under it").clone();
            view.ended = master.parts.ended.lock().expect("no panic under it").clone();
        }
        for (view, worker) in self.worker_views.iter_mut().zip(&self.workers) {
            let acts = self.hosts.get(&worker.host).is_some_and(|h| h.is_running(self.now_ms));
            view.acting_since_ms = if acts { view.acting_since_ms.or(Some(self.now_ms)) } else { None };
        }
        let now = self.leader().map(|(host, node)| (host, node.raft.leadership().borrow().term));
        if let Some((host, term)) = now
            && self.leader_seen != now
        {
            self.say(format_args!("m{host} leads term {term}"));
            self.leaderships += 1;
            self.leader_seen = now;
        }
    }

    pub fn view(&self) -> View<'_> {
        View {
            now_ms: self.now_ms,
            masters: &self.master_views,
            workers: &self.worker_views,
            oracle: &self.oracle,
            net: &self.net,
        }
    }

    // ---- Who is who ---------------------------------------------------------------------------------------------------

    pub fn node(&self, host: HostId) -> Option<SimNode> {
        self.master_views.iter().find(|m| m.host == host)?.node.clone()
    }

    /// The master that acts as the leader of the highest term.
    pub fn leader(&self) -> Option<(HostId, SimNode)> {
        let leading = self.master_views.iter().filter_map(|m| {
            let node = m.node.as_ref().filter(|n| n.leading().is_some())?;
            let term = node.raft.leadership().borrow().term;
            Some((term, m.host, node.clone()))
        });
        leading.max_by_key(|(term, host, _)| (*term, *host)).map(|(_, host, node)| (host, node))
    }

    /// Elected, acting or not.
    pub fn is_elected(&self, host: HostId) -> bool {
        self.node(host).is_some_and(|n| n.raft.leadership().borrow().role != Role::Following)
    }

    pub fn others(&self, than: HostId) -> Vec<HostId> {
        self.masters.iter().map(|m| m.host).filter(|h| *h != than).collect()
    }

    pub fn everybody(&self) -> Vec<HostId> {
        self.hosts.keys().copied().collect()
    }

    pub fn is_up(&self, host: HostId) -> bool {
        self.hosts.get(&host).is_some_and(Host::is_up)
    }

    // ---- Up, down, paused ---------------------------------------------------------------------------------------------

    pub fn boot_master(&mut self, n: usize) {
        let Some(m) = self.masters.get(n) else { return };
        if self.is_up(m.host) {
            return;
        }
        let (place, inbox) = self.net.up(m.host);
        let (parts, born_ms, dice) = (m.parts.clone(), self.now_ms, self.dice.fork());
        self.say(format_args!("m{} starts", m.host));
        let (host, seed) = (m.host, self.dice.next());
        if let Some(h) = self.hosts.get_mut(&host) {
            h.boot(born_ms, seed, || master::run(parts, place, inbox, born_ms, dice));
        }
    }

    /// `power`: the machine goes down, with everything that was not synced.
    pub fn crash_master(&mut self, n: usize, power: bool) {
        let Some(m) = self.masters.get(n) else { return };
        if !self.is_up(m.host) {
            return;
        }
        self.say(format_args!("m{} {}", m.host, if power { "loses power" } else { "is killed" }));
        self.net.down(m.host, power);
        *m.parts.slot.lock().expect("no panic under it") = None;
        self.master_views[n].node = None;
        let host = m.host;
        if let Some(h) = self.hosts.get_mut(&host) {
            h.crash();
        }
        let m = &self.masters[n];
        m.parts.log.crash(!power);
        m.parts.rows.crash(!power);
    }

    pub fn boot_worker(&mut self, n: usize) {
        let Some(w) = self.workers.get(n) else { return };
        if self.is_up(w.host) {
            return;
        }
        let (place, _) = self.net.up(w.host);
        let (parts, born_ms, dice) = (w.parts.clone(), self.now_ms, self.dice.fork());
        self.say(format_args!("{} starts", w.parts.name));
        let (host, seed) = (w.host, self.dice.next());
        if let Some(h) = self.hosts.get_mut(&host) {
            h.boot(born_ms, seed, || worker::run(parts, place, born_ms, dice));
        }
    }

    /// `power`: with its containers; else only the agent.
    pub fn crash_worker(&mut self, n: usize, power: bool) {
        let Some(w) = self.workers.get(n) else { return };
        if !self.is_up(w.host) {
            return;
        }
        self.say(format_args!("{} {}", w.parts.name, if power { "loses power" } else { "has its agent killed" }));
        self.net.down(w.host, power);
        w.parts.belief.lock().expect("no panic under it").settled_since_ms = None;
        let host = w.host;
        if let Some(h) = self.hosts.get_mut(&host) {
            h.crash();
        }
        let w = &self.workers[n];
        if power {
            w.parts.engine.power_cut();
            w.parts.journal.power_cut();
        } else {
            w.parts.engine.orphan();
        }
    }

    pub fn pause(&mut self, host: HostId, until_ms: u64) {
        if let Some(h) = self.hosts.get_mut(&host)
            && h.is_up()
        {
            h.paused_until_ms = until_ms;
            self.net.pause(host, true);
        }
    }

    pub fn resume(&mut self, host: HostId) {
        if let Some(h) = self.hosts.get_mut(&host) {
            h.paused_until_ms = 0;
            self.net.pause(host, false);
        }
    }

    pub fn spawn_on(&self, host: HostId, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(h) = self.hosts.get(&host) {
            h.spawn(task);
        }
    }

    // ---- The beginning ------------------------------------------------------------------------------------------------

    /// Asks the leader for the workers' names: they may join from then on. True once all are known, and the log's format is the newest: users of an
    /// older one would be refused half of what they want.
    pub fn authorize(&mut self) -> bool {
        let Some((host, node)) = self.leader() else { return false };
        let (missing, version): (Vec<(usize, String)>, u32) = {
            let state = node.shared.read();
            let unknown = |(_, w): &(usize, &Worker)| !state.hot.worker_names.contains_key(&w.parts.name);
            let workers = self.workers.iter().enumerate();
            (workers.filter(unknown).map(|(n, w)| (n, w.parts.name.clone())).collect(), state.hot.version)
        };
        for (n, name) in &missing {
            let role = MemberRole::Worker as i32;
            let labels = BTreeMap::from([(RACK.to_owned(), rack_of(*n).to_owned())]);
            let command = Authorize { role, name: name.clone(), secret_hash: vec![7; 32], labels };
            let node = node.clone();
            self.spawn_on(host, async move {
                let outcome = node.proposer.propose(Command::new("admin/simulation", Kind::Authorize(command))).await;
                debug_assert!(!matches!(outcome, Ok((_, Reply::Refused(_)))), "{outcome:?}");
            });
        }
        missing.is_empty() && version == VERSION
    }

    /// The users begin.
    pub fn open_doors(&mut self) {
        let (place, _) = self.net.up(USERS);
        let users = Users {
            masters: self.masters.iter().map(|m| m.host).collect(),
            net: self.net.clone(),
            place,
            oracle: self.oracle.clone(),
            events: self.events.clone(),
        };
        let (wishes, born_ms, dice, seed) = (Wishes::of(&self.plan), self.now_ms, self.dice.fork(), self.dice.next());
        if let Some(h) = self.hosts.get_mut(&USERS) {
            h.boot(born_ms, seed, || client::run(users, wishes, born_ms, dice));
        }
    }
}
