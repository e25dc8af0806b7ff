//! Must show 3: all masters killed at once with SIGKILL under load, and started again: nothing acknowledged is lost.

use std::time::Duration;

use anyhow::ensure;

use super::{Size, Verdict};
use crate::cluster::{self, Cluster, Options};
use crate::load::{self, Load, Pace};
use crate::transcript::say;
use crate::views::Process;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let (rounds, pace) = match size {
        Size::Full => (3, Pace { clients: 16, submits: 3_000, over: Duration::from_secs(30) }),
        Size::Small => (1, Pace { clients: 8, submits: 400, over: Duration::from_secs(8) }),
    };
    let cluster = Cluster::start(&Options::noop(3, 2))?;
    let load = Load::start(&cluster.cli, pace.clone(), load::spec("all-killed", &["sleep", "0.2"]));
    for round in 1..=rounds {
        std::thread::sleep(pace.over / (rounds + 1));
        ensure!(!load.is_done(), "the load was over before round {round}'s kill");
        let masters: Vec<Process> = cluster.processes()?.into_iter().filter(|p| p.role == "master").collect();
        let pids: Vec<u32> = masters.iter().filter_map(Process::pid).collect();
        ensure!(pids.len() == 3, "only {} masters run before round {round}'s kill", pids.len());
        cluster::kill_pids(&pids)?;
        say(format!("round {round}: killed all {} masters at once", pids.len()));
        cluster.start_all()?;
        let leader = cluster.leader()?;
        say(format!("round {round}: started again; {} leads", leader.name));
    }
    let tally = load::tally(&load.join()?);
    say(format!(
        "{} submits acknowledged, {} unknown, {} refused; longest gap {} ms",
        tally.acknowledged.len(),
        tally.unknown,
        tally.refused.len(),
        tally.longest_gap.as_millis()
    ));
    ensure!(!tally.acknowledged.is_empty(), "no submit was acknowledged: this shows nothing");
    let lost = load::each_exactly_once(&cluster.cli, &tally, Duration::from_secs(120))?;
    say(format!(
        "all {} acknowledged jobs are there and succeeded once ({lost} attempts lost)",
        tally.acknowledged.len()
    ));
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}
