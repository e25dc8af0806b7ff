//! D08: fsync fails, hangs, and is slow. A failed one is never tried again: the process ends, and what it had not acknowledged is not
//! acknowledged. A disk that hangs costs the leadership before it costs the clients much. A slow follower costs nearly nothing.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{Drill, Size, standard_load, standard_options};
use crate::rig::outcome::valid;
use crate::rig::preflight::Need;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);
const ENDS: Duration = Duration::from_secs(15);
const RESTART: Duration = Duration::from_secs(10);
const HUNG_FULL: Duration = Duration::from_secs(10);
const HUNG_SHORT: Duration = Duration::from_secs(4);
const MEASURED_FULL: Duration = Duration::from_secs(10);
const MEASURED_SHORT: Duration = Duration::from_secs(3);
/// Where Debian's libfiu keeps its parts.
const FIU: [&str; 2] = ["/usr/lib/fiu/fiu_run_preload.so", "/usr/lib/fiu/fiu_posix_preload.so"];
const FDATASYNC: &str = "posix/io/sync/fdatasync";
const FSYNC: &str = "posix/io/sync/fsync";

pub const DRILL: Drill = Drill {
    id: "D08",
    name: "fsync fault",
    injects: "EIO from every fdatasync and fsync of the leader (libfiu); its disk frozen for 10 s; 200 ms per fdatasync at a follower (strace)",
    must_hold: "EIO: the process ends ≤ 1 s and nothing is acknowledged after it; hung: write gap ≤ 6 s; slow follower: ≤ 10 % fewer writes",
    needs: &[Need::Freeze, Need::Strace, Need::Fiu],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    fails(rig, report, size)?;
    hangs(rig, report, size)?;
    is_slow(rig, report, size)
}

fn fails(rig: &mut Rig, report: &mut Report, size: Size) -> anyhow::Result<()> {
    // Every master gets the library, so that whoever leads can have the fault.
    let pipes = rig.ours.dir.join("fiu").display().to_string();
    for master in rig.masters() {
        let machine = rig.machine(&master)?;
        machine.env.push(("LD_PRELOAD".into(), FIU.join(":")));
        machine.env.push(("FIU_CTRL_FIFO".into(), pipes.clone()));
        rig.wait_caught_up(AGAIN)?;
        rig.restart(&master, RESTART)?;
    }
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let pid = rig.machine(&leader)?.pid().context("the leader runs")?;
    let band = rig.timeline.begin(format!("{leader}'s fsync fails"));
    let from_ns = clock::now_ns();
    for name in [FDATASYNC, FSYNC] {
        let order = format!("enable name={name},failinfo=5");
        let mut command = Command::new("bash");
        command.args([
            "-c",
            "exec bash \"$(command -v fiu-ctrl)\" -f \"$1\" -c \"$2\" \"$3\"",
            "fiu",
            &pipes,
            &order,
            &pid.to_string(),
        ]);
        crate::command::run(&mut command, AGAIN)?.ok("fiu-ctrl")?;
    }
    let began = Instant::now();
    let before = rig.machine(&leader)?.said().len();
    let code = rig.machine(&leader)?.wait_for_end(ENDS);
    let code = valid(code.is_ok(), || format!("{leader} did not end: its fsync may never have failed")).and(code)?;
    let ended = began.elapsed();
    let said = rig.machine(&leader)?.said();
    let line = said.get(before.saturating_sub(4_000)..).unwrap_or_default();
    let line = line.lines().find(|l| l.contains("Input/output error") || l.contains("os error 5")).map(str::to_owned);
    valid(line.is_some(), || format!("{leader} ended with {code} and its log speaks of no I/O error"))?;
    rig.timeline.prove(band, format!("EIO; it ended with {code}"));
    rig.timeline.end(band);
    rig.load()?.acknowledged_after(clock::now_ns(), 20, AGAIN)?;
    let gap = rig.load()?.so_far()?.write_gap(from_ns, clock::now_ns());
    say(format!("     EIO: {leader} ended with {code} after {} ms, gap {} ms", ended.as_millis(), gap / 1_000_000));
    report.within("EIO → the process has ended", ended, Duration::from_secs(1));
    report.require("EIO: it ended with an error", code != 0, code, "not 0");
    report.within("EIO: write gap", Duration::from_nanos(gap), Duration::from_secs(4));
    for master in rig.masters() {
        rig.machine(&master)?.env.retain(|(name, _)| name != "LD_PRELOAD" && name != "FIU_CTRL_FIFO");
    }
    rig.start(&leader)?;
    rig.wait_caught_up(AGAIN)
}

fn hangs(rig: &mut Rig, report: &mut Report, size: Size) -> anyhow::Result<()> {
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let from_ns = clock::now_ns();
    let frozen = rig.freeze_disk(&leader)?;
    std::thread::sleep(if size == Size::Full { HUNG_FULL } else { HUNG_SHORT });
    frozen.lift(rig)?;
    let thawed_ns = clock::now_ns();
    rig.load()?.acknowledged_after(thawed_ns, 20, AGAIN)?;
    let gap = rig.load()?.so_far()?.write_gap(from_ns, clock::now_ns());
    say(format!("     {leader}'s disk hung, gap {} ms", gap / 1_000_000));
    report.within("hung: write gap", Duration::from_nanos(gap), Duration::from_secs(6));
    // It may have given up, as it should after 10 s.
    rig.machine(&leader)?.ended()?;
    if rig.machine(&leader)?.pid().is_none() {
        rig.start(&leader)?;
    }
    rig.wait_caught_up(AGAIN)
}

fn is_slow(rig: &mut Rig, report: &mut Report, size: Size) -> anyhow::Result<()> {
    let span = if size == Size::Full { MEASURED_FULL } else { MEASURED_SHORT };
    rig.load()?.gate(size)?;
    let rate = |rig: &mut Rig| -> anyhow::Result<f64> {
        let from_ns = clock::now_ns();
        std::thread::sleep(span);
        let seconds = Duration::from_nanos(clock::now_ns() - from_ns).as_secs_f64();
        Ok(rig.load()?.acknowledged_since(from_ns)?.len() as f64 / seconds)
    };
    let before = rate(rig)?;
    let leader = rig.leader()?;
    let follower = rig.followers(&leader).remove(0);
    let trace = rig.ours.dir.join("slow-fsync.log");
    let words = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_enter=200000",
        "-o",
    ];
    let mut wrapped: Vec<String> = words.map(str::to_owned).to_vec();
    wrapped.push(trace.display().to_string());
    rig.machine(&follower)?.wrapped = wrapped;
    rig.restart(&follower, RESTART)?;
    let band = rig.timeline.begin(format!("{follower}'s fsync takes 200 ms"));
    rig.wait_serving(AGAIN)?;
    let during = rate(rig)?;
    let traced = std::fs::read_to_string(&trace).context("strace has written nothing")?;
    let delayed = traced.matches("(DELAYED)").count();
    valid(delayed > 0, || "no fdatasync was delayed".to_owned())?;
    rig.timeline.prove(band, format!("{delayed} fdatasync calls delayed"));
    rig.timeline.end(band);
    say(format!("     {follower} slow: {during:.0}/s instead of {before:.0}/s, {delayed} calls delayed"));
    report.measured("slow follower: writes before", format!("{before:.0}/s"));
    report.at_least("slow follower: share of the writes", 100.0 * during / before, 90.0, "%");
    rig.machine(&follower)?.wrapped.clear();
    // strace passes the signal on; the master inside ends in order.
    ensure!(rig.machine(&follower)?.pid().is_some(), "{follower} ended by itself");
    rig.kill(&follower)?;
    rig.start(&follower)?;
    rig.wait_caught_up(AGAIN)
}
