//! What a drill prints: one line per step, with the seconds since the process began. On stdout, unbuffered by lines, so
//! that people can watch.

use std::sync::OnceLock;
use std::time::Instant;

fn began() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now)
}

pub fn say(line: impl AsRef<str>) {
    println!("[{:8.3} s] {}", began().elapsed().as_secs_f64(), line.as_ref());
}
