//! Must show 2: short no-op tasks submitted one by one from 8 clients at a steady pace, while the leader is killed with SIGKILL
//! again and again, each restarted after 5 s. All acknowledged jobs end, each exactly once.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::load::{self, Load, Pace};
use crate::transcript::say;

struct Plan {
    pace: Pace,
    kill_every: Duration,
    restart_after: Duration,
}

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let plan = match size {
        Size::Full => Plan {
            pace: Pace { clients: 8, submits: 2_000, over: Duration::from_secs(60) },
            kill_every: Duration::from_secs(10),
            restart_after: Duration::from_secs(5),
        },
        Size::Small => Plan {
            pace: Pace { clients: 8, submits: 600, over: Duration::from_secs(20) },
            kill_every: Duration::from_secs(8),
            restart_after: Duration::from_secs(3),
        },
    };
    let cluster = Cluster::start(&Options::noop(3, 2))?;
    let began = Instant::now();
    let load = Load::start(&cluster.cli, plan.pace.clone(), load::spec("paced", &["sleep", "0.05"]));
    let mut kills = 0;
    let mut next = plan.kill_every;
    while next < plan.pace.over + plan.kill_every / 2 && !load.is_done() {
        sleep_until(began, next);
        if load.is_done() {
            break;
        }
        let leader = cluster.leader()?.name;
        cluster.kill(&leader)?;
        kills += 1;
        say(format!("killed the leader, {leader}"));
        sleep_until(began, next + plan.restart_after);
        cluster.start_one(&leader)?;
        next += plan.kill_every;
    }
    let told = load.join()?;
    let tally = load::tally(&told);
    say(format!(
        "{} submits: {} acknowledged, {} unknown, {} refused; {kills} leaders killed",
        told.len(),
        tally.acknowledged.len(),
        tally.unknown,
        tally.refused.len()
    ));
    say(format!(
        "longest gap between two acknowledged submits: {} ms; longest wait of one client: {} ms",
        tally.longest_gap.as_millis(),
        tally.longest_wait.as_millis()
    ));
    ensure!(kills >= 2, "only {kills} leaders could be killed while the load ran");
    ensure!(tally.refused.is_empty(), "submits were refused: {:?}", tally.refused);
    ensure!(tally.unknown == 0, "{} submits had no clear outcome although clients retry for 30 s", tally.unknown);
    let lost = load::each_exactly_once(&cluster.cli, &tally, Duration::from_secs(120))?;
    say(format!(
        "all {} acknowledged jobs succeeded, each exactly once ({lost} attempts lost)",
        tally.acknowledged.len()
    ));
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn sleep_until(began: Instant, at: Duration) {
    std::thread::sleep(at.saturating_sub(began.elapsed()));
}
