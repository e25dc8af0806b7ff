//! Two of three masters dead: writes say so with their own exit code, stale reads still answer, and once a master is back
//! everything goes on.

use anyhow::ensure;

use super::{other_work_goes_on, refused};
use crate::cluster::Cluster;
use crate::transcript::say;

const NO_LEADER: i32 = 6;
const OUTCOME_UNKNOWN: i32 = 7;

pub fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let before = cluster.cli.submit(&["--name", "before", "noop", "--", "true"])?;
    let masters = cluster.masters()?;
    ensure!(masters.len() == 3, "there are {} masters", masters.len());
    for name in &masters[..2] {
        cluster.kill(name)?;
    }
    say(format!("killed {} and {}", masters[0], masters[1]));
    let done = cluster.cli.run(&["job", "submit", "--retry", "6s", "--name", "lost-or-not", "noop", "--", "true"])?;
    let code = if done.code == OUTCOME_UNKNOWN { OUTCOME_UNKNOWN } else { NO_LEADER };
    refused("a submit without a quorum", &done, code, &[])?;
    let stale = cluster.cli.ok(&["job", "list", "--consistency", "stale", "-o", "json"])?;
    ensure!(stale.stdout.contains(&before), "the stale list does not know the job of before");
    say("a stale read still answers");
    cluster.start_all()?;
    cluster.leader()?;
    other_work_goes_on(cluster)
}
