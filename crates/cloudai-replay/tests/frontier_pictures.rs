//! The pictures of docs/scheduling-simulator.md are what its commands draw now.

#![allow(clippy::unwrap_used)]

mod traces;

use std::path::Path;

use cloudai_replay::{Plan, Policy, plot, report};
use cloudai_scheduler::backfill::Backfill;

const POLICIES: &str = "aged_area,fcfs,sjf,saf,wfp3,unicep,aged_area:ageing=1,aged_area:ageing=2,aged_area:ageing=4,\
                        aged_area:ageing=8,aged_area:width=0.2:ageing=4,aged_area:width=1:ageing=4";

fn compare(log: &str, capacity: u32, picture: &str) {
    let Some(folder) = traces::folder(picture) else { return };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = std::fs::read_to_string(docs.join("scheduling-simulator.md")).unwrap();
    assert!(page.contains(&format!("--policy {POLICIES} --plot docs/{picture}")), "the page names another command");
    let traces = [traces::swf(&folder, &format!("swf/{log}.swf.gz"))];
    let plan = Plan {
        capacity,
        backfill: Backfill::Easy,
        predict: true,
        windows: vec![],
        window_length: 0,
        price_per_node_hour: None,
    };
    let policies = POLICIES.split(',').map(|name| Policy::parse(name).unwrap());
    let reports: Vec<_> = policies.map(|policy| report(&traces, &policy, &plan, &mut || ()).unwrap()).collect();
    let drawn = plot(&format!("{log}.swf.gz: {capacity} processors, backfill easy"), &reports);
    let committed = std::fs::read_to_string(docs.join(picture)).unwrap();
    assert!(drawn == committed, "docs/{picture} is not what is drawn now: repeat the command of the page");
}

#[test]
fn kth_sp2() {
    compare("KTH-SP2-1996", 100, "frontier-kth-sp2.svg");
}

#[test]
fn sdsc_sp2() {
    compare("SDSC-SP2-filtered", 128, "frontier-sdsc-sp2.svg");
}
