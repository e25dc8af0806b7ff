//! D15: certificates are renewed under load, an expired one is refused, and one master's wall clock is ten minutes wrong while it leads. No call fails
//! by a renewal, and no lease depends on what a wall clock says.
//!
//! The rotation of the CA itself comes with later work.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use cloudai_net::{CertificateAuthority, IdentityFiles, Role};
use cloudai_proto::v1::{TransferLeaderRequest, WorkerState};
use cloudai_types::{JobId, Millis, OnDisconnect, Timestamp, limits};

use super::d04_rolling_upgrade::failures;
use super::{Drill, Size, standard_options, work};
use crate::rig::outcome::valid;
use crate::rig::preflight::{FAKETIME, Need};
use crate::rig::{LoadPlan, Report, Rig, clock, net};
use crate::tls_probe::{Answer, probe};
use crate::transcript::say;
use crate::wait;

const AGAIN: Duration = Duration::from_secs(30);
const RESTART: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than a lease: a leader that went by its wall clock would have lost every worker.
const SKEWED_FOR: Duration = Duration::from_secs(16);
const SKEW_S: i64 = 600;
/// New certificates are valid from so long ago, so that a clock that is ten minutes behind accepts them as well.
const ISSUED_BEFORE: Millis = Millis::from_secs(3_600);
const TASKS: u32 = 9;

pub const DRILL: Drill = Drill {
    id: "D15",
    name: "pki",
    injects: "new certificates for all masters and workers under load; expired certificates; a leader whose wall clock is 10 minutes ahead, then behind (libfaketime)",
    must_hold: "0 failed calls by a renewal; expired ones refused on every port; leases as without the skew: no worker lost, a dead one noticed ≤ 15 s",
    needs: &[Need::FakeTime],
    options: standard_options,
    // Begins once the admin's certificate is one that a clock behind accepts.
    load: |_| None,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    let issued = Timestamp(now()?.0 - ISSUED_BEFORE.0);
    IdentityFiles::new(rig.ours.dir.join("admin"))
        .enroll(&authority(rig)?, Role::Admin, "admin", &[], limits::LEAF_VALIDITY, issued)
        .context("no new certificate for the admin")?;
    rig.reload_identity()?;
    rig.begin_load(&LoadPlan::standard(seed))?;
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    renewed(rig, report)?;
    expired(rig, report)?;
    let skews: Vec<i64> = match size {
        Size::Full => vec![SKEW_S, -SKEW_S],
        Size::Short => vec![if seed.is_multiple_of(2) { SKEW_S } else { -SKEW_S }],
    };
    for skew in skews {
        skewed(rig, report, size, skew)?;
    }
    Ok(())
}

fn now() -> anyhow::Result<Timestamp> {
    Ok(Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_millis() as u64))
}

fn authority(rig: &Rig) -> anyhow::Result<CertificateAuthority> {
    CertificateAuthority::load(&rig.ours.dir.join("ca")).context("the cluster's CA cannot be loaded")
}

fn renewed(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let ca = authority(rig)?;
    let from_ns = clock::now_ns();
    let names: Vec<String> = rig.masters().into_iter().chain(rig.workers()).collect();
    let before: Vec<usize> = names.iter().map(|n| rig.machines[n].said().matches(RELOADED).count()).collect();
    for name in &names {
        let role = if rig.machines[name].is_master() { Role::Master } else { Role::Worker };
        let hosts = [net::address(name).to_string()];
        let at = Timestamp(now()?.0 - ISSUED_BEFORE.0);
        IdentityFiles::new(rig.ours.dir.join(name).join("identity"))
            .enroll(&ca, role, name, &hosts, limits::LEAF_VALIDITY, at)
            .with_context(|| format!("no new certificate for {name}"))?;
        std::thread::sleep(Duration::from_millis(300));
    }
    wait::until("new certificates in use", AGAIN, LOOK_EVERY, || {
        let all = names.iter().zip(&before).all(|(n, old)| rig.machines[n].said().matches(RELOADED).count() > *old);
        Ok(all.then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(2));
    let failed = failures(rig.load()?.so_far()?, from_ns, |_| true);
    report.measured("certificates renewed", names.len());
    report.none("calls that failed by a renewal", &failed);
    // Everybody shows the new one at the next connection: a restarted follower is accepted and accepts.
    let leader = rig.leader()?;
    let follower = rig.followers(&leader).remove(0);
    rig.restart(&follower, RESTART)?;
    rig.wait_caught_up(AGAIN)?;
    rig.wait_workers(AGAIN)
}

const RELOADED: &str = "certificate reloaded";

fn expired(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let ca = authority(rig)?;
    let leader = rig.leader()?;
    let address = net::address(&leader);
    let year = Millis::from_secs(365 * 24 * 3600);
    let (now, long_ago) = (now()?, Timestamp(now()?.0 - year.0));
    let mut accepted = vec![];
    for (role, name, port) in [(Role::Master, "m1", 7602), (Role::Worker, "w1", 7601), (Role::Admin, "admin", 7601)] {
        for (word, at, gets_in) in [("good", now, true), ("expired", long_ago, false)] {
            let dir = rig.ours.dir.join(format!("{word}-{name}-{port}"));
            IdentityFiles::new(&dir)
                .enroll(&ca, role, name, &[], limits::LEAF_VALIDITY, at)
                .with_context(|| format!("no {word} certificate"))?;
            let answer = rig.wait(probe(&format!("{address}:{port}"), Some(&dir)))?;
            say(format!("     {word} certificate of {name} on port {port}: {answer:?}"));
            let talked = answer == Answer::Talked;
            // Without this the refusals would show nothing.
            valid(talked || !gets_in, || format!("a good certificate of {name} was refused: {answer:?}"))?;
            if talked && !gets_in {
                accepted.push(format!("an expired certificate of {name} on port {port}"));
            }
        }
    }
    report.none("expired certificates accepted", &accepted);
    Ok(())
}

fn skewed(rig: &mut Rig, report: &mut Report, size: Size, skew: i64) -> anyhow::Result<()> {
    let what = format!("clock {skew:+} s");
    let client = rig.client(AGAIN)?;
    let leader = rig.leader()?;
    let master = rig.followers(&leader).remove(0);
    let machine = rig.machine(&master)?;
    let library = [("LD_PRELOAD", FAKETIME), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("DONT_FAKE_MONOTONIC", "1")];
    machine.env.extend(library.map(|(name, value)| (name.to_owned(), value.to_owned())));
    machine.env.push(("FAKETIME".to_owned(), format!("{skew:+}s")));
    let before = machine.said().len();
    rig.restart(&master, RESTART)?;
    rig.wait_caught_up(AGAIN)?;
    let job = work::submit(rig, &client, work::sleepers("leased", TASKS, 600.0, OnDisconnect::Continue))?;
    work::all_run(rig, &client, job)?;
    let band = rig.timeline.begin(format!("{master} leads with its {what}"));
    hand_to(rig, &master)?;
    let stamp = wait::until("a line with the wrong time", AGAIN, LOOK_EVERY, || {
        let said = rig.machines[&master].said();
        let prefixes = minutes(clock::wall_ms() as i64 / 1000 + skew)?;
        let new = said.get(before..).unwrap_or_default();
        Ok(new
            .lines()
            .rev()
            .find(|l| prefixes.iter().any(|p| l.starts_with(p)))
            .map(|l| l.chars().take(27).collect::<String>()))
    });
    let stamp = valid(stamp.is_ok(), || format!("{master} does not have the wrong time")).and(stamp)?;
    rig.timeline.prove(band, format!("it stamps {stamp}"));
    std::thread::sleep(SKEWED_FOR);
    let lost: Vec<String> = rig
        .workers()
        .into_iter()
        .filter_map(|w| match work::is_state(rig, &client, &w, WorkerState::Ready) {
            Ok(true) => None,
            Ok(false) => Some(format!("{w} is not ready")),
            Err(error) => Some(format!("{w}: {error:#}")),
        })
        .collect();
    report.none(&format!("{what}: workers lost"), &lost);
    report.none(&format!("{what}: tasks that moved"), &moved(rig, &client, job)?);
    report.require(&format!("{what}: still leads"), rig.leader()? == master, rig.leader()?, &master);
    if size == Size::Full {
        a_dead_worker_is_noticed(rig, report, &client, &what)?;
    }
    work::cancel(rig, &client, job)?;
    hand_to(rig, &leader)?;
    rig.timeline.end(band);
    rig.machine(&master)?.env.retain(|(name, _)| !name.contains("FAKE") && name != "LD_PRELOAD");
    rig.restart(&master, RESTART)?;
    rig.wait_caught_up(AGAIN)
}

fn hand_to(rig: &Rig, master: &str) -> anyhow::Result<()> {
    let client = rig.client(AGAIN)?;
    let handed = rig.wait(client.transfer_leader(TransferLeaderRequest { to: master.to_owned() }));
    handed.with_context(|| format!("{master} does not take the leadership over"))?;
    wait::until("its leadership", AGAIN, LOOK_EVERY, || Ok((rig.leader()? == master).then_some(())))
}

fn moved(rig: &Rig, client: &cloudai_client::Client, job: JobId) -> anyhow::Result<Vec<String>> {
    let tasks = work::tasks(rig, client, job)?;
    let moved = tasks.iter().filter(|t| t.attempts.len() != 1 || work::last(t).is_some_and(|a| a.reason.is_some()));
    Ok(moved.map(|t| format!("task {}: {:?}", t.index, t.attempts)).collect())
}

fn a_dead_worker_is_noticed(
    rig: &mut Rig,
    report: &mut Report,
    client: &cloudai_client::Client,
    what: &str,
) -> anyhow::Result<()> {
    let victim = rig.workers().pop().context("there is a worker")?;
    rig.kill(&victim)?;
    let killed_ns = clock::now_ns();
    wait::until("the worker's loss", AGAIN, LOOK_EVERY, || {
        Ok(work::is_state(rig, client, &victim, WorkerState::Lost)?.then_some(()))
    })?;
    let noticed = Duration::from_nanos(clock::now_ns() - killed_ns);
    report.within(&format!("{what}: dead worker noticed"), noticed, Duration::from_secs(15));
    rig.start(&victim)?;
    rig.wait_workers(AGAIN)
}

/// The beginnings of log lines at this second, to the minute: this one and its neighbours.
fn minutes(seconds: i64) -> anyhow::Result<Vec<String>> {
    [-60, 0]
        .iter()
        .map(|off| {
            let mut date = Command::new("date");
            date.args(["-u", "-d", &format!("@{}", seconds + off), "+%Y-%m-%dT%H:%M:"]);
            let said = crate::command::run(&mut date, AGAIN)?.ok("date")?.stdout;
            ensure!(said.len() > 10, "date said {said:?}");
            Ok(said.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn log_lines_begin_with_the_minute() {
        let all = super::minutes(1_000_000_000).expect("date is there");
        assert_eq!(all, ["2001-09-09T01:45:", "2001-09-09T01:46:"]);
    }
}
