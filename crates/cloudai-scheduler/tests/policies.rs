//! Passes under the policies that look at tasks, and under policies of namespaces, as transcripts.

mod cluster;

use cloudai_types::quota::NO_CAP;
use cloudai_types::{HourlyPrice, JobSpec, QuotaChange, Resources, ScorePolicy};
use cluster::{Cluster, resources, spec};

fn array(count: u32, one: JobSpec) -> JobSpec {
    JobSpec { count, ..one }
}

fn with_gpus(gpus: u32, one: Resources) -> Resources {
    Resources { gpus, ..one }
}

#[test]
fn alignment_leaves_to_each_what_it_wants() {
    let mut c = Cluster::with_policy(ScorePolicy::Alignment);
    c.worker("cpus", resources(16_000, 16), "");
    c.worker("memory", resources(4_000, 64), "");
    c.submit(array(4, spec(2_000, 1)));
    c.submit(array(4, spec(500, 8)));
    assert_eq!(c.pass(), "1:0-3>cpus 2:0-3>memory");
    // By room alone the first four would have taken the CPUs that the others need.
    c.submit(array(2, spec(500, 12)));
    assert_eq!(c.pass(), "3:0-1>memory");
}

#[test]
fn tasks_that_ask_for_nothing_are_spread_by_alignment() {
    let mut c = Cluster::with_policy(ScorePolicy::Alignment);
    c.worker("a", resources(16_000, 16), "");
    c.worker("b", resources(4_000, 64), "");
    c.submit(array(4, spec(0, 0)));
    assert_eq!(c.pass(), "1:0-1>a 1:2-3>b");
}

/// Three machines with four GPUs each and one with none.
fn gpu_cluster(policy: ScorePolicy) -> Cluster {
    let mut c = Cluster::with_policy(policy);
    for name in ["g1", "g2", "g3"] {
        c.worker(name, with_gpus(4, resources(32_000, 128)), "");
    }
    c.worker("c", resources(32_000, 128), "");
    c
}

#[test]
fn fgd_keeps_gpus_together_for_those_that_want_many() {
    let gpus = |n: u32| JobSpec { resources: with_gpus(n, resources(u64::from(n) * 1_000, 1)), ..spec(0, 0) };
    let submit = |policy| {
        let mut c = gpu_cluster(policy);
        c.submit(array(3, gpus(1)));
        c.submit(gpus(4));
        // More than half of a machine's CPUs, and no GPU: first where no GPU is free.
        c.submit(array(3, spec(20_000, 1)));
        c.pass()
    };
    assert_eq!(submit(ScorePolicy::Fgd), "1:0-2>g1 2:0>g2 3:0>g2 3:1>c 3:2>g1");
    let balanced = submit(ScorePolicy::Balanced);
    assert!(!balanced.contains("2:0>"), "one GPU of each machine is taken, and nobody has four: {balanced}");
}

#[test]
fn fgd_learns_from_what_runs_and_does_not_only_look_at_the_queue() {
    let mut c = gpu_cluster(ScorePolicy::Fgd);
    let two = JobSpec { resources: with_gpus(2, resources(16_000, 1)), ..spec(0, 0) };
    c.submit(array(2, two));
    assert_eq!(c.pass(), "1:0-1>g1");
    // With less than 16 CPUs left, the GPUs of g2 or g3 would be of no use to such as run.
    c.worker("d", resources(32_000, 128), "");
    c.submit(array(3, spec(20_000, 1)));
    assert_eq!(c.pass(), "2:0>c 2:1>d 2:2>g2", "the third goes there all the same: nothing waits for a better place");
}

#[test]
fn cost_takes_the_cheap_ones_first_and_fills_them() {
    let mut c = Cluster::with_policy(ScorePolicy::Cost);
    let mut join = |name: &str, cpu: u64, price: &str| {
        let worker = c.authorize(name);
        c.register_at(worker, resources(cpu, cpu / 500), "", price.parse().expect("a price"));
    };
    join("dear", 8_000, "1");
    join("cheap", 8_000, "0.2");
    join("large", 32_000, "0.8");
    join("own", 2_000, "0");
    c.submit(array(8, spec(2_000, 1)));
    // A CPU of the large one costs as much as one of the cheap one, which is fuller then.
    assert_eq!(c.pass(), "1:0>own 1:1-4>cheap 1:5-7>large");
    let price = |c: &Cluster| c.hot.workers.values().map(|worker| worker.price).max();
    assert_eq!(price(&c), Some(HourlyPrice(1_000_000)));
}

#[test]
fn a_namespace_has_a_policy_of_its_own_until_it_is_taken_away() {
    let mut c = Cluster::with_policy(ScorePolicy::Balanced);
    for name in ["a", "b", "c"] {
        c.worker(name, resources(8_000, 16), "");
    }
    let policy = |policy: u64| QuotaChange { score_policy: Some(policy), ..QuotaChange::default() };
    c.quota("packs", policy(ScorePolicy::Binpack as u64));
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "1:0>a");
    c.submit_in("packs", array(3, spec(1_000, 1)));
    assert_eq!(c.pass(), "2:0-2>a");
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "3:0>b", "the others go on as before");
    c.submit(spec(1_000, 1));
    assert_eq!(c.pass(), "4:0>c");
    c.quota("packs", policy(NO_CAP));
    c.submit_in("packs", spec(1_000, 1));
    assert_eq!(c.pass(), "5:0>b");
    c.quota("packs", policy(ScorePolicy::RoundRobin as u64));
    c.submit_in("packs", array(2, spec(1_000, 1)));
    assert_eq!(c.pass(), "6:0>a 6:1>b", "its turns begin with the first");
}
