//! The machine's own rate of durable writes: what one thread gets that writes half a kilobyte and waits for the disk, again and again.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

const BLOCK: usize = 512;
/// The file is written over from its start after so many blocks, as a log's preallocated file would be.
const BLOCKS: u64 = 32_768;

/// fdatasyncs per second in a file of `dir`. Blocks its thread for `time`.
pub fn fdatasyncs_per_second(dir: &Path, time: Duration) -> anyhow::Result<f64> {
    let file = tempfile::tempfile_in(dir).with_context(|| format!("no file can be made in {}", dir.display()))?;
    let block = [0x5a; BLOCK];
    let began = Instant::now();
    let mut done = 0u64;
    while began.elapsed() < time {
        file.write_all_at(&block, done % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        done += 1;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_counted_and_nothing_stays() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fdatasyncs_per_second(dir.path(), Duration::from_millis(20)).unwrap() > 0.0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
