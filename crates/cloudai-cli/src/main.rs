//! The `cloudai` binary: see the library. Two allocators live in it: Rust's code has mimalloc, RocksDB the C library's.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    give_back_large_blocks();
    cloudai_cli::main()
}

/// Blocks from this size on are mapped one by one, and given back to the kernel when they are freed. Without a fixed bound the C library
/// raises its own to the size of what was freed last: memtables then come from its heap, which keeps them in pieces (ADR 0006).
#[cfg(target_env = "gnu")]
fn give_back_large_blocks() {
    const MAPPED_FROM: libc::c_int = 128 << 10;
    // SAFETY: the call takes two numbers; no other thread runs yet.
    #[allow(unsafe_code)]
    let is_set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_FROM) };
    debug_assert_eq!(is_set, 1, "128 KiB is a bound that the C library takes");
}

#[cfg(not(target_env = "gnu"))]
fn give_back_large_blocks() {}
