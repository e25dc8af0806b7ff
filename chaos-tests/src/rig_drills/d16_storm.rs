//! D16: everything at once, by chance, and the same for the same seed: one fault after the other, sometimes two, and in the middle many clients
//! that all connect in the same moment. Whatever it did, the cluster heals and nothing that it promised is broken.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use cloudai_client::Client;
use cloudai_proto::v1::{ClusterStatusRequest, Consistency, TransferLeaderRequest};
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::faults::fill_disk::FullDisk;
use crate::rig::faults::freeze_disk::FrozenDisk;
use crate::rig::faults::link::Unplugged;
use crate::rig::faults::loss::Loss;
use crate::rig::faults::partition::{Partition, between, one_way};
use crate::rig::faults::pause::Pause;
use crate::rig::outcome::{Invalid, valid};
use crate::rig::preflight::Need;
use crate::rig::{Report, Rig};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(60);
const STORM_FULL: Duration = Duration::from_secs(180);
const STORM_SHORT: Duration = Duration::from_secs(15);
const CLIENTS_FULL: usize = 1_000;
const CLIENTS_SHORT: usize = 100;
/// All of them connected and answered.
const RECONNECTED: Duration = Duration::from_secs(30);
/// At a time; the others wait in the kernel's queue, as they do.
const AT_ONCE: usize = 1_000;

pub const DRILL: Drill = Drill {
    id: "D16",
    name: "storm",
    injects: "a random mix of kills, pauses, partitions, loss, pulled cables, full and hanging disks, power cuts and hand-overs; 1,000 clients that connect at once",
    must_hold: "everything that always holds; healed ≤ 30 s; every client answered ≤ 30 s",
    needs: &[Need::Nft, Need::Freeze],
    options: standard_options,
    load: standard_load,
    run,
};

/// What can be in force for a while.
enum Fault {
    Down(String),
    NoPower(String),
    Paused(Pause),
    Cut(Partition),
    Lossy(Loss),
    Unplugged(Unplugged),
    Frozen(FrozenDisk),
    Full(FullDisk),
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    let (length, clients) = if size == Size::Full { (STORM_FULL, CLIENTS_FULL) } else { (STORM_SHORT, CLIENTS_SHORT) };
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let mut random = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let (mut faults, mut unproven, mut connected) = (0, vec![], None);
    while began.elapsed() < length {
        // Two at a time now and then: one on a master, one on a worker, so that a majority is left most of the time.
        let mut now = vec![inject(rig, &mut random, true)?];
        if random.random_bool(0.4) {
            now.push(inject(rig, &mut random, false)?);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(700..4_000)));
        for fault in now.into_iter().flatten() {
            match lift(rig, fault) {
                Ok(()) => faults += 1,
                // Too short to hit anything: it does not count, and it is no reason to stop.
                Err(error) if error.downcast_ref::<Invalid>().is_some() => unproven.push(format!("{error:#}")),
                Err(error) => return Err(error.context("a fault could not be taken back")),
            }
        }
        revive(rig)?;
        if connected.is_none() && began.elapsed() > length / 2 {
            connected = Some(reconnect(rig, clients)?);
        }
        std::thread::sleep(Duration::from_millis(random.random_range(200..2_000)));
    }
    let (answered, took) = connected.context("the storm was over before the clients came")?;
    valid(faults > 0, || format!("no fault of the storm could be proven: {unproven:?}"))?;
    report.measured("faults that proved themselves", faults);
    report.measured("faults too short to hit anything", unproven.len());
    report.require("clients that were answered", answered == clients, answered, clients);
    report.within("all of them answered", took, RECONNECTED);
    Ok(())
}

fn inject(rig: &mut Rig, random: &mut StdRng, on_master: bool) -> anyhow::Result<Option<Fault>> {
    if !on_master {
        let workers = rig.workers();
        let worker = workers[random.random_range(0..workers.len())].clone();
        return Ok(Some(if random.random_bool(0.5) {
            rig.kill(&worker)?;
            Fault::Down(worker)
        } else {
            Fault::Unplugged(rig.unplug(&worker)?)
        }));
    }
    let leader = rig.leader()?;
    let followers = rig.followers(&leader);
    let other = followers[random.random_range(0..followers.len())].clone();
    // The leader half of the time: it has most to lose.
    let (victim, rest): (String, Vec<String>) = if random.random_bool(0.5) {
        (leader.clone(), followers)
    } else {
        let rest = rig.masters().into_iter().filter(|m| *m != other).collect();
        (other, rest)
    };
    let others: Vec<&str> = rest.iter().map(String::as_str).collect();
    say(format!("     {victim} is hit ({leader} leads)"));
    Ok(match random.random_range(0..10) {
        0 => {
            rig.kill(&victim)?;
            Some(Fault::Down(victim))
        }
        1 => {
            rig.cut_power(&[&victim])?;
            Some(Fault::NoPower(victim))
        }
        2 => Some(Fault::Paused(rig.pause(&victim)?)),
        3 => Some(Fault::Cut(rig.partition(&format!("{victim} cut off"), &between(&[&victim], &others))?)),
        4 => {
            let cuts: Vec<_> = others.iter().map(|o| one_way(&victim, o)).collect();
            Some(Fault::Cut(rig.partition(&format!("{victim} is not heard"), &cuts)?))
        }
        5 => Some(Fault::Lossy(rig.lose_packets("20 % of all packets lost", &between(&[&victim], &others), 20)?)),
        6 => Some(Fault::Unplugged(rig.unplug(&victim)?)),
        7 => Some(Fault::Frozen(rig.freeze_disk(&victim)?)),
        8 => Some(Fault::Full(rig.fill_disk(&victim)?)),
        _ => {
            let client = rig.client(Duration::from_secs(5))?;
            let band = rig.timeline.begin("planned hand-over");
            // It may be refused in the middle of an election: that is an answer as well.
            let handed = rig.wait(client.transfer_leader(TransferLeaderRequest::default()));
            rig.timeline
                .prove(band, handed.map_or_else(|e| format!("refused: {e}"), |r| format!("{} leads", r.leader)));
            rig.timeline.end(band);
            None
        }
    })
}

fn lift(rig: &mut Rig, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::Down(name) => rig.start(&name),
        Fault::NoPower(name) => rig.power_on(&name),
        Fault::Paused(pause) => pause.lift(rig),
        Fault::Cut(partition) => partition.lift(rig).map(drop),
        Fault::Lossy(loss) => loss.lift(rig).map(drop),
        Fault::Unplugged(unplugged) => unplugged.lift(rig),
        Fault::Frozen(frozen) => frozen.lift(rig),
        Fault::Full(full) => full.lift(rig),
    }
}

/// Whoever looks after the processes: what ended by itself, on a full disk for example, is started again.
fn revive(rig: &mut Rig) -> anyhow::Result<()> {
    for name in rig.masters().into_iter().chain(rig.workers()) {
        if let Some(code) = rig.machine(&name)?.ended()? {
            say(format!("     {name} had ended with {code}; it is started again"));
        }
        if rig.machine(&name)?.pid().is_none() {
            rig.start(&name)?;
        }
    }
    Ok(())
}

/// So many clients that connect in the same moment, each with a connection of its own and one question.
fn reconnect(rig: &Rig, count: usize) -> anyhow::Result<(usize, Duration)> {
    let band = rig.timeline.begin(format!("{count} clients connect"));
    let clients: Vec<Client> = (0..count).map(|_| rig.client(RECONNECTED)).collect::<anyhow::Result<_>>()?;
    let began = Instant::now();
    let request = ClusterStatusRequest { consistency: Consistency::Linearizable as i32 };
    let answered = rig.wait(async {
        let each = clients.iter().map(|c| async move { c.cluster_status(request).await.is_ok() });
        futures::stream::iter(each).buffer_unordered(AT_ONCE).filter(|ok| std::future::ready(*ok)).count().await
    });
    let took = began.elapsed();
    rig.timeline.prove(band, format!("{answered} were answered"));
    rig.timeline.end(band);
    say(format!("     {answered} of {count} clients were answered after {} ms", took.as_millis()));
    Ok((answered, took))
}
