//! Many seeds, one process each. Comes in: a range and how many at a time. Goes out: a line per violation, and sums, also of what has happened in them. Seeds share
//! nothing, so their order does not matter.

use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use cloudai_sim::{Counts, Seen};

#[derive(clap::Args)]
pub struct Sweep {
    #[arg(long, default_value_t = 1)]
    from: u64,
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// Processes at a time; default: one per core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Stop at the first violation.
    #[arg(long)]
    first: bool,
}

/// What many seeds came to.
#[derive(Default)]
pub struct Swept {
    pub done: u64,
    /// Those that did not hold, by seed.
    pub failures: Vec<Failure>,
    pub seen: Counts,
}

/// What a seed said, when it did not hold.
pub struct Failure {
    pub seed: u64,
    pub said: String,
}

impl Sweep {
    pub fn carry_out(self) -> ExitCode {
        let began = Instant::now();
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => {
                eprintln!("error: this program cannot be found: {error}");
                return ExitCode::FAILURE;
            }
        };
        let Swept { done, failures, seen } =
            sweep(&program, self.from, self.count, self.jobs.unwrap_or_else(cores), self.first);
        for f in &failures {
            println!("{}", f.said);
        }
        for one in Seen::ALL {
            println!("{:>8} {}", seen.of(one), one.name());
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("{done} seeds from {}: {} violated, {seconds:.1} s", self.from, failures.len());
        if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn sweep(program: &std::path::Path, from: u64, count: u64, jobs: usize, first: bool) -> Swept {
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let swept = Mutex::new(Swept::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let (holds, said) = match Command::new(program).args(["run", "--seed", &seed.to_string()]).output()
                    {
                        Ok(output) => (output.status.success(), text(&output)),
                        Err(error) => (false, format!("seed {seed}: cannot be run: {error}")),
                    };
                    let mut swept = swept.lock().expect("no thread panics");
                    swept.done += 1;
                    said.lines().filter_map(Counts::parse).for_each(|seen| swept.seen.plus(&seen));
                    if !holds {
                        stop.fetch_or(first, Relaxed);
                        swept.failures.push(Failure { seed, said });
                    }
                }
            });
        }
    });
    let mut swept = swept.into_inner().expect("no thread panics");
    swept.failures.sort_by_key(|f| f.seed);
    swept
}

fn text(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if matches!(output.status.code(), Some(0 | 1)) { out.into_owned() } else { format!("{out}{err}{}", output.status) }
}
