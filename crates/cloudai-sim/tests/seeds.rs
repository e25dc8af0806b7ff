//! Seeds of the simulation, each in a process of its own, and twice where the bytes are compared.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cloudai_sim::{Counts, Seen};

const SEEDS: u64 = 200;
/// So many reach everything that the invariants are about.
const SEEDS_THAT_SEE_ALL: u64 = 40;

fn simulate(seed: u64, more: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_cloudai-sim"));
    Command::new(program).args(["run", "--seed", &seed.to_string()]).args(more).output().expect("the simulation starts")
}

/// Runs `work` for each seed, on all cores.
fn on_all_cores(seeds: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(seed) = Some(next.fetch_add(1, Relaxed)).filter(|s| *s <= seeds) {
                    work(seed);
                }
            });
        }
    });
}

#[test]
fn no_seed_breaks_an_invariant() {
    let broken = Mutex::new(vec![]);
    on_all_cores(SEEDS, |seed| {
        let output = simulate(seed, &[]);
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            broken.lock().expect("nothing panics under it").push((seed, String::from_utf8_lossy(&said).into_owned()));
        }
    });
    let mut broken = broken.into_inner().expect("nothing panics under it");
    broken.sort();
    let all: Vec<u64> = broken.iter().map(|(seed, _)| *seed).collect();
    assert!(broken.is_empty(), "seeds {all:?} of {SEEDS}; the first:\n{}", broken[0].1);
}

/// An invariant that holds because nothing happened says nothing.
#[test]
fn a_few_seeds_see_everything() {
    let seen = Mutex::new(Counts::default());
    on_all_cores(SEEDS_THAT_SEE_ALL, |seed| {
        let output = simulate(seed, &[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let counts = said.lines().find_map(Counts::parse).expect("each seed says what it has seen");
        seen.lock().expect("nothing panics under it").plus(&counts);
    });
    let seen = seen.into_inner().expect("nothing panics under it");
    println!("{seen}");
    for one in Seen::ALL {
        assert!(seen.of(one) > 0, "{}: not in seeds 1 to {SEEDS_THAT_SEE_ALL}", one.name());
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    on_all_cores(12, |seed| {
        let (first, second) = (simulate(seed, &["--events"]), simulate(seed, &["--events"]));
        assert!(first.stdout.len() > 2_000, "seed {seed} says next to nothing");
        let (a, b) = (String::from_utf8_lossy(&first.stdout), String::from_utf8_lossy(&second.stdout));
        let odd = a.lines().zip(b.lines()).find(|(a, b)| a != b);
        assert!(first.stdout == second.stdout, "seed {seed} has two histories, which part at {odd:?}");
    });
}
