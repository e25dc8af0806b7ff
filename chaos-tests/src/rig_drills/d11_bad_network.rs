//! D11: a network between the masters that is bad but not broken: lost packets, late ones, a link that is too narrow. The leader stays, work goes on.

use std::time::Duration;

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::faults::partition::between;
use crate::rig::preflight::Need;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);
const LOST_PERCENT: u32 = 20;
/// Each way, so a round trip takes twice that.
const LATE_MS: (u64, u64) = (50, 150);
const NARROW_KBIT: u32 = 1_000;
/// Longer than this a packet does not wait in the narrow link's queue.
const QUEUE_MS: u32 = 300;

pub const DRILL: Drill = Drill {
    id: "D11",
    name: "bad network",
    injects: "20 % of all packets between masters lost; every byte between them 50 to 150 ms late; one follower's link at 1 Mbit/s with a long queue",
    must_hold: "≤ 1 leader change a minute, no task lost, ≥ 20 submits/s",
    needs: &[Need::Nft, Need::Tbf],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    let length = if size == Size::Full { Duration::from_secs(60) } else { Duration::from_secs(5) };
    let masters = rig.masters();
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let watch = Watch::begin(rig);
    let cuts = [between(&[&masters[0]], &[&masters[1], &masters[2]]), between(&[&masters[1]], &[&masters[2]])].concat();
    let loss = rig.lose_packets("20 % loss", &cuts, LOST_PERCENT)?;
    std::thread::sleep(length);
    watch.judge(rig, report, "loss", length)?;
    let lost = loss.lift(rig)?;
    report.measured("loss: packets lost", lost);

    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let watch = Watch::begin(rig);
    let delay = rig.delay_masters(LATE_MS.0, LATE_MS.1)?;
    std::thread::sleep(length);
    watch.judge(rig, report, "delay", length)?;
    let connections = delay.lift(rig)?;
    report.measured("delay: connections", connections);

    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let follower = rig.followers(&leader).remove(0);
    let watch = Watch::begin(rig);
    let narrow = rig.slow_link(&follower, NARROW_KBIT, QUEUE_MS)?;
    std::thread::sleep(length);
    watch.judge(rig, report, "narrow link", length)?;
    narrow.lift(rig)?;
    Ok(())
}

struct Watch {
    term: u64,
    from_ns: u64,
}

impl Watch {
    fn begin(rig: &Rig) -> Watch {
        Watch { term: term(rig), from_ns: clock::now_ns() }
    }

    fn judge(&self, rig: &mut Rig, report: &mut Report, what: &str, length: Duration) -> anyhow::Result<()> {
        let changes = term(rig).saturating_sub(self.term);
        let allowed = length.as_secs().div_ceil(60);
        let rate = rig.load()?.acknowledged_since(self.from_ns)?.len() as f64 / length.as_secs_f64();
        say(format!("     {what}: {changes} leader changes, {rate:.0} submits/s"));
        // Every term that began counts, whether or not it found a leader.
        let most = if report.size == Size::Full { allowed } else { allowed + 1 };
        report.require(&format!("{what}: leader changes"), changes <= most, changes, format!("≤ {most}"));
        report.at_least(&format!("{what}: throughput"), rate, 20.0, "submits/s");
        report.require(&format!("{what}: acknowledged meanwhile"), rate > 0.0, format!("{rate:.0}/s"), "some");
        Ok(())
    }
}

fn term(rig: &Rig) -> u64 {
    rig.views().values().map(|v| v.term).max().unwrap_or_default()
}
