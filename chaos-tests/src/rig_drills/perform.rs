//! Runs one drill from an empty machine to an empty machine. Comes in: a drill, a size, a seed. Goes out: its report, whatever happened.

use std::time::{Duration, Instant};

use super::{Drill, Size, always_on};
use crate::rig::outcome::Verdict;
use crate::rig::{Report, Rig, preflight, timeline};
use crate::transcript::say;

/// The plot has about so many points at most.
const POINTS: u64 = 600;
const SLICE: Duration = Duration::from_millis(100);

pub fn perform(drill: &Drill, size: Size, seed: u64) -> Report {
    let began = Instant::now();
    let mut report = Report::new(drill.id, drill.name, size, seed);
    say(format!("---- {} {} (seed {seed}): {}", drill.id, drill.name, drill.injects));
    let missing = preflight::missing(drill.needs);
    if missing.is_empty() {
        if let Err(error) = on_a_rig(drill, &mut report) {
            let verdict = Verdict::of(&error);
            report.note(format!("{error:#}"));
            // A failure that was seen before stays one, whatever ended the drill.
            if report.verdict != Verdict::Fail {
                report.verdict = verdict;
            }
        }
    } else {
        report.verdict = Verdict::NotRun;
        report.notes.extend(missing);
    }
    report.took_s = began.elapsed().as_secs_f64();
    for note in &report.notes {
        say(format!("     {note}"));
    }
    say(format!("---- {}: {} after {:.1} s", drill.id, report.verdict.word(), report.took_s));
    report
}

fn on_a_rig(drill: &Drill, report: &mut Report) -> anyhow::Result<()> {
    let mut rig = Rig::build(&(drill.options)(report.size))?;
    if let Some(plan) = (drill.load)(report.seed) {
        rig.begin_load(&plan)?;
    }
    let (size, seed) = (report.size, report.seed);
    let ran = (drill.run)(&mut rig, report, size, seed);
    // Also after a failure: what the cluster looks like then says more than the failure alone.
    let healed = always_on::check(&mut rig, report);
    report.bands = rig.timeline.bands();
    if let Ok(Some(history)) = &healed {
        let acknowledged: Vec<u64> = history.acknowledged().into_iter().map(|(at, _)| at).collect();
        let span = acknowledged.last().zip(acknowledged.first()).map_or(0, |(last, first)| last - first);
        report.points = timeline::points(&acknowledged, (SLICE.as_nanos() as u64).max(span / POINTS));
    }
    let asked = std::env::var_os("CLOUDAI_DRILL_KEEP").is_some();
    if asked || ran.is_err() || healed.is_err() || report.verdict == Verdict::Fail {
        keep(&rig, report);
    }
    ran?;
    healed?;
    Ok(())
}

/// Logs and histories of a run that did not pass (of every run where CLOUDAI_DRILL_KEEP is set), for whoever looks into it.
fn keep(rig: &Rig, report: &mut Report) {
    let kept = std::env::temp_dir().join("cloudai-drills").join(format!("{}-{}", report.id, rig.ours.prefix));
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(&kept)?;
        for entry in std::fs::read_dir(&rig.ours.dir)? {
            let path = entry?.path();
            let wanted = path.extension().is_some_and(|e| e == "log" || e == "jsonl");
            if let (true, Some(name)) = (wanted, path.file_name()) {
                std::fs::copy(&path, kept.join(name))?;
            }
        }
        Ok(())
    };
    match copy() {
        Ok(()) => report.note(format!("logs and histories: {}", kept.display())),
        Err(error) => report.note(format!("logs and histories could not be kept: {error}")),
    }
    report.note(format!("again: cargo run -p chaos-tests -- run {} --seed {}", report.id, report.seed));
}
