//! The default order of the queue against EASY with first come, first served, on two logs and with the same weights: much less
//! slowdown in the mean, and the longest waits hardly longer. Reservations are made from limits in both.

#![allow(clippy::unwrap_used)]

mod traces;

use cloudai_replay::{Metrics, Setup, Trace, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order::{self, Order};

fn metrics(trace: &Trace, capacity: u32, order: &(dyn Order + Sync)) -> Metrics {
    let setup = Setup { capacity, order, backfill: Backfill::Easy, predict: true };
    Metrics::of(&[(&trace.jobs, &replay(&trace.jobs, &setup).unwrap())])
}

fn compare(log: &str, capacity: u32, slowdown_at_most: f64, p99_wait_at_most: f64) {
    let Some(folder) = traces::folder(log) else { return };
    let trace = traces::swf(&folder, &format!("swf/{log}.swf.gz"));
    let easy = metrics(&trace, capacity, order::by_name("fcfs").unwrap());
    let ours = metrics(&trace, capacity, order::ALL[0]);
    assert_eq!(order::ALL[0].name(), "aged_area");
    let slowdown = ours.bounded_slowdown.mean / easy.bounded_slowdown.mean;
    let p99_wait = ours.wait_s.p99 / easy.wait_s.p99;
    eprintln!("{log}: slowdown {slowdown:.3} of EASY's, p99 wait {p99_wait:.3} of EASY's");
    assert!(slowdown <= slowdown_at_most, "{log}: {slowdown} of EASY's bounded slowdown");
    assert!(p99_wait <= p99_wait_at_most, "{log}: {p99_wait} of EASY's p99 wait");
}

#[test]
fn kth_sp2() {
    compare("KTH-SP2-1996", 100, 0.56, 1.25);
}

#[test]
fn sdsc_sp2() {
    compare("SDSC-SP2-filtered", 128, 0.62, 1.25);
}
