//! Waiting for something to become true, within a limit. The limit is generous and no measure of speed: it only keeps a broken
//! cluster from hanging a test.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Asks every `every` until the answer is `Some`. An error of `ask` counts as "not yet", and the last one is shown if
/// the time runs out.
pub fn until<T>(
    what: &str,
    limit: Duration,
    every: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let mut last = String::new();
    loop {
        match ask() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => last.clear(),
            Err(error) => last = format!("; the last answer was: {error:#}"),
        }
        if began.elapsed() > limit {
            bail!("{what} did not happen within {} s{last}", limit.as_secs());
        }
        thread::sleep(every);
    }
}
