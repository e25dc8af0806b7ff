//! Every kept input and every seed, through its target: no fuzzer is needed to see that what was found once stays fixed.

use std::path::PathBuf;

use cloudai_fuzz::{TARGETS, Target};

/// Each corpus stays small: a clone carries all of them.
const FILES_MAX: usize = 50;
const BYTES_MAX: u64 = 200 << 10;

fn corpus(name: &str) -> Vec<PathBuf> {
    let dir = PathBuf::from("corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .collect();
    files.sort();
    files
}

/// Bytes that are nobody's, the same each time: a small generator of its own.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn run(target: Target) {
    let files = corpus(target.name);
    assert!(!files.is_empty(), "{}: a target without any input", target.name);
    for file in &files {
        let bytes = std::fs::read(file).expect("a kept input");
        eprintln!("{}", file.display());
        (target.run)(&bytes);
    }
    for seed in 0..64 {
        (target.run)(&noise(seed, (seed as usize * 37) % target.bytes_max));
    }
    (target.run)(&[]);
}

#[test]
fn kept_inputs_pass() {
    for target in TARGETS {
        run(target);
    }
}

#[test]
fn corpora_are_small() {
    let mut bytes = 0;
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(files.len() <= FILES_MAX, "{} has {} files", target.name, files.len());
        bytes += files.iter().map(|f| f.metadata().expect("a file").len()).sum::<u64>();
    }
    assert!(bytes <= BYTES_MAX, "{bytes} bytes in all corpora");
}
