//! What a drill prints: one line per step, with the seconds since the process began. On stdout, unbuffered by lines, so
//! that people can watch; on stderr where stdout is for data.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static TO_STDERR: AtomicBool = AtomicBool::new(false);

fn began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

/// From now on.
pub fn to_stderr() {
    TO_STDERR.store(true, Ordering::Relaxed);
}

pub fn say(line: impl AsRef<str>) {
    let line = format!("[{:8.3} s] {}", began().elapsed().as_secs_f64(), line.as_ref());
    if TO_STDERR.load(Ordering::Relaxed) { eprintln!("{line}") } else { println!("{line}") }
}
