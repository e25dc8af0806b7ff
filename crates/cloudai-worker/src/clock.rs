//! The clocks of a worker. Goes out: a [`Now`] for the agent, and stamps for records. Nothing else in this crate decides by a clock.

use std::time::{SystemTime, UNIX_EPOCH};

use cloudai_agent::Now;
use cloudai_types::Timestamp;

/// Nanoseconds of the clock that every process of this machine shares, for records that are compared with others'.
pub fn shared_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec that the call fills; the clock exists on every Linux.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    assert_eq!(rc, 0, "CLOCK_MONOTONIC exists on every Linux");
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// Milliseconds since boot, suspended time included: a lease runs on while a laptop sleeps.
pub fn mono() -> Timestamp {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec that the call fills; the clock exists on every Linux that we support.
    #[allow(unsafe_code)]
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut ts) };
    assert_eq!(rc, 0, "CLOCK_BOOTTIME exists since Linux 2.6.39");
    Timestamp(ts.tv_sec as u64 * 1000 + ts.tv_nsec as u64 / 1_000_000)
}

/// Milliseconds since the epoch, for people.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_millis() as u64)
}

pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}
