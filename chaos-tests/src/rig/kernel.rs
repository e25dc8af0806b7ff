//! The three things that only a system call can do: enter a network namespace, read the machine's monotonic clock, and cut the
//! power of a file system. Comes in: open files. Goes out: errors as the kernel gives them. All unsafe code of this crate is here.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// `EXT4_IOC_SHUTDOWN` (and XFS's GOINGDOWN): _IOR('X', 125, u32).
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Whatever is not on the disk yet, the journal included, never gets there.
const NO_LOG_FLUSH: u32 = 2;

/// Moves this thread (and those that it starts from now on) into the network namespace behind `namespace`.
pub fn enter_net(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call; the call touches no memory of ours.
    let rc = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Nanoseconds of CLOCK_MONOTONIC: the same for all processes of this machine.
pub fn monotonic_ns() -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec that the call fills.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut ts) };
    assert_eq!(rc, 0, "every Linux has CLOCK_MONOTONIC");
    ts.tv_sec as u64 * 1_000_000_000 + ts.tv_nsec as u64
}

/// The file system that `inside` is on stops at once: nothing more is written, every later write and fsync fails with EIO.
pub fn cut_power(inside: &File) -> io::Result<()> {
    // SAFETY: the kernel reads one u32 through the pointer, which is valid for the length of the call.
    let rc = unsafe { libc::ioctl(inside.as_raw_fd(), SHUTDOWN, &NO_LOG_FLUSH as *const u32) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
