//! What goes wrong, when its time has come. Comes in: the plan's faults, the world. Goes out: crashes, pauses, cuts, storms, and their
//! ends. `heal` takes everything back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use crate::network::{CALM, HostId};
use crate::plan::{Fault, Who};
use crate::world::World;

enum Action {
    Begin(Fault),
    BootMaster(usize),
    BootWorker(usize),
    Resume(HostId),
    Mend(Vec<(HostId, HostId)>),
    Calm,
    HandOverTo(HostId),
}

/// A trap that is being set: see [`Fault::VoteTrap`].
struct Trap {
    old: usize,
    until_ms: u64,
}

#[derive(Default)]
pub struct Nemesis {
    due: BTreeMap<(u64, u64), Action>,
    sequence: u64,
    trap: Option<Trap>,
}

/// A trap that does not close is given up.
const TRAP_MS: u64 = 6_000;

impl Nemesis {
    /// `zero_ms`: the plan's time zero.
    pub fn new(faults: &[(u64, Fault)], zero_ms: u64) -> Self {
        let mut nemesis = Nemesis::default();
        for (at, fault) in faults {
            nemesis.at(zero_ms + at, Action::Begin(*fault));
        }
        nemesis
    }

    fn at(&mut self, at_ms: u64, action: Action) {
        self.sequence += 1;
        self.due.insert((at_ms, self.sequence), action);
    }

    /// Between two steps.
    pub fn strike(&mut self, world: &mut World) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= world.now_ms
        {
            match entry.remove() {
                Action::Begin(fault) => self.begin(fault, world),
                Action::BootMaster(n) => world.boot_master(n),
                Action::BootWorker(n) => world.boot_worker(n),
                Action::Resume(host) => {
                    world.say(format_args!("host {host} goes on"));
                    world.resume(host);
                }
                Action::Mend(links) => {
                    world.say(format_args!("mended: {links:?}"));
                    links.into_iter().for_each(|(a, b)| world.net.mend(a, b));
                }
                Action::Calm => world.net.set_weather(world.plan.weather),
                Action::HandOverTo(host) => hand_over(world, Some(host)),
            }
        }
        self.spring(world);
    }

    /// Everything is taken back, and stays so.
    pub fn heal(&mut self, world: &mut World) {
        self.due.clear();
        self.trap = None;
        world.say(format_args!("all faults end"));
        world.net.mend_all();
        world.net.set_weather(CALM);
        for host in world.everybody() {
            world.resume(host);
        }
        for n in 0..world.masters.len() {
            world.masters[n].parts.log.stall(0);
            world.masters[n].parts.skew.store(0, Relaxed);
            world.boot_master(n);
        }
        for n in 0..world.workers.len() {
            *world.workers[n].parts.late_sets.lock().expect("no panic under it") = false;
            world.boot_worker(n);
        }
    }

    fn begin(&mut self, fault: Fault, world: &mut World) {
        world.say(format_args!("FAULT {fault:?}"));
        let now = world.now_ms;
        match fault {
            Fault::CrashMaster { who, down_ms, power } => {
                let n = master(who, world);
                world.crash_master(n, power);
                self.at(now + down_ms, Action::BootMaster(n));
            }
            Fault::PowerCut { down_ms, stalled_ms } if stalled_ms > 0 => {
                for master in &world.masters {
                    master.parts.log.stall(now + stalled_ms);
                }
                self.at(now + stalled_ms, Action::Begin(Fault::PowerCut { down_ms, stalled_ms: 0 }));
            }
            Fault::PowerCut { down_ms, .. } => {
                for n in 0..world.masters.len() {
                    world.crash_master(n, true);
                    self.at(now + down_ms + 50 * n as u64, Action::BootMaster(n));
                }
            }
            Fault::PauseMaster { who, ms } => {
                let host = world.masters[master(who, world)].host;
                world.pause(host, now + ms);
                self.at(now + ms, Action::Resume(host));
            }
            Fault::Isolate { who, ms, inbound, outbound, from_all } => {
                let host = world.masters[master(who, world)].host;
                let peers = if from_all { world.everybody() } else { world.others(host) };
                self.isolate(world, host, &peers, inbound, outbound, ms);
            }
            Fault::CutLink { a, b, both, ms } => {
                let (a, b) = (world.masters[usize::from(a)].host, world.masters[usize::from(b)].host);
                self.isolate(world, a, &[b], both, true, ms);
            }
            Fault::CrashWorker { worker, down_ms, power } => {
                world.crash_worker(worker.into(), power);
                self.at(now + down_ms, Action::BootWorker(worker.into()));
            }
            Fault::PauseWorker { worker, ms } => {
                let host = world.workers[usize::from(worker)].host;
                world.pause(host, now + ms);
                self.at(now + ms, Action::Resume(host));
            }
            Fault::IsolateWorker { worker, ms, inbound, outbound, from_all } => {
                let host = world.workers[usize::from(worker)].host;
                let leader = world.masters[master(Who::Leader, world)].host;
                let peers = if from_all { world.others(0) } else { vec![leader] };
                self.isolate(world, host, &peers, inbound, outbound, ms);
            }
            Fault::Storm { weather, ms } => {
                world.net.set_weather(weather);
                self.at(now + ms, Action::Calm);
            }
            Fault::ClockJump { master, by_ms } => {
                world.masters[usize::from(master)].parts.skew.store(by_ms, Relaxed);
            }
            Fault::ClocksSet { by_ms } => {
                for master in &world.masters {
                    master.parts.skew.fetch_add(by_ms, Relaxed);
                }
            }
            Fault::DiskStall { who, ms } => {
                let n = master(who, world);
                world.masters[n].parts.log.stall(now + ms);
            }
            Fault::HandOver => hand_over(world, None),
            Fault::LateSets { worker } => {
                let worker = &world.workers[usize::from(worker)];
                *worker.parts.late_sets.lock().expect("no panic under it") = true;
                // So that there is a next session.
                let host = worker.host;
                let leader = world.masters[master(Who::Leader, world)].host;
                self.isolate(world, host, &[leader], true, true, 3_500);
            }
            Fault::VoteTrap => {
                let old = master(Who::Leader, world);
                world.crash_master(old, true);
                self.trap = Some(Trap { old, until_ms: now + TRAP_MS });
            }
            Fault::LeaderReturns { away_ms } => {
                let host = world.masters[master(Who::Leader, world)].host;
                let peers = world.everybody();
                self.isolate(world, host, &peers, true, true, away_ms);
                self.at(now + away_ms + 2_500, Action::HandOverTo(host));
            }
        }
    }

    fn isolate(&mut self, world: &mut World, host: HostId, peers: &[HostId], inbound: bool, outbound: bool, ms: u64) {
        let mut links = vec![];
        for peer in peers.iter().copied().filter(|p| *p != host) {
            if inbound {
                links.push((peer, host));
            }
            if outbound {
                links.push((host, peer));
            }
        }
        links.iter().for_each(|(a, b)| world.net.cut(*a, *b));
        self.at(world.now_ms + ms, Action::Mend(links));
    }

    /// Closes the trap in the very step in which somebody is elected.
    fn spring(&mut self, world: &mut World) {
        let Some(trap) = &self.trap else { return };
        let (old, until_ms) = (trap.old, trap.until_ms);
        let hosts: Vec<HostId> = world.masters.iter().map(|m| m.host).collect();
        let elected = (0..hosts.len()).find(|n| *n != old && world.is_elected(hosts[*n]));
        if elected.is_none() && world.now_ms < until_ms {
            return;
        }
        self.trap = None;
        let now = world.now_ms;
        self.at(now + 60, Action::BootMaster(old));
        let Some(new) = elected else { return };
        world.say(format_args!("the trap closes: m{} was elected", hosts[new]));
        let peers = world.everybody();
        self.isolate(world, hosts[new], &peers, true, true, 5_000);
        for n in (0..hosts.len()).filter(|n| *n != old && *n != new) {
            world.crash_master(n, true);
            self.at(now + 40, Action::BootMaster(n));
        }
    }
}

/// Its number.
fn master(who: Who, world: &World) -> usize {
    let leader = world.leader().map_or(0, |(host, _)| world.masters.iter().position(|m| m.host == host).unwrap_or(0));
    match who {
        Who::Leader => leader,
        Who::Other(n) => {
            let others: Vec<usize> = (0..world.masters.len()).filter(|m| *m != leader).collect();
            others[usize::from(n) % others.len()]
        }
    }
}

fn hand_over(world: &World, to: Option<HostId>) {
    let Some((host, node)) = world.leader() else { return };
    if to == Some(host) {
        return;
    }
    let (events, now) = (world.events.clone(), world.now_ms);
    world.spawn_on(host, async move {
        let result = node.raft.transfer_leader(to.map(u64::from)).await;
        events.add(
            now,
            "sim",
            format_args!("hand-over: {}", result.map_or_else(|e| e.to_string(), |id| format!("to m{id}"))),
        );
    });
}
