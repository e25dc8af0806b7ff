//! What the machine says about itself and about processes, from /proc.

use std::time::Duration;

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Load average of the last minute; 0 where the kernel does not tell.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

/// CPU time that a process has used, user and system; zero when it is gone.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |t| Duration::from_millis(t * 1_000 / TICKS_PER_SECOND))
}

/// Linux on every architecture that we know.
const TICKS_PER_SECOND: u64 = 100;

fn ticks(stat: &str) -> Option<u64> {
    // The command's name may hold blanks and brackets: what follows its last bracket is fields.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 1 0 99 1 1 1";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks("nonsense"), None);
    }
}
