//! The drills in their short size: real processes in network namespaces, on disks of their own. Run them one at a time
//! (`--test-threads=1`). With `--nocapture` each prints its transcript. Judged on correctness alone; a fault that this machine cannot
//! inject fails the test, unless CLOUDAI_ALLOW_NOT_RUN names the drill (`D03,D11`).

use chaos_tests::rig::outcome::Verdict;
use chaos_tests::rig_drills::perform::perform;
use chaos_tests::rig_drills::{ALL, Size, suite};

fn short(id: &str) {
    let drill = ALL.iter().find(|d| d.id == id).expect("the drill exists");
    let seed = std::env::var("CLOUDAI_DRILL_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let report = perform(drill, Size::Short, seed);
    print!("{}", suite::table(std::slice::from_ref(&report)));
    let allowed = std::env::var("CLOUDAI_ALLOW_NOT_RUN").unwrap_or_default();
    if report.verdict == Verdict::NotRun && allowed.split(',').any(|a| a == id) {
        return;
    }
    assert_eq!(report.verdict, Verdict::Pass, "{id}: {:?}", report.notes);
}

#[test]
fn d01_leader_kill() {
    short("D01");
}

#[test]
fn d02_leader_pause() {
    short("D02");
}

#[test]
fn d03_partition() {
    short("D03");
}

#[test]
fn d06_power_cut() {
    short("D06");
}

#[test]
fn d12_worker_death() {
    short("D12");
}

#[test]
fn d13_zombie_worker() {
    short("D13");
}
