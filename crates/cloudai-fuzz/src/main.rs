//! One target under libFuzzer. `FUZZ_TARGET` names it; the arguments are libFuzzer's (`-help=1`).

#![no_main]
// libFuzzer's entry points, which its macro makes.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use cloudai_fuzz::{TARGETS, Target, target};

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| {
            eprintln!("FUZZ_TARGET='{name}' is no target; choose one of these:");
            for t in TARGETS {
                eprintln!("  {:8} {} (at most {} bytes)", t.name, t.about, t.bytes_max);
            }
            std::process::exit(2)
        })
    })
}

libfuzzer_sys::fuzz_target!(init: { chosen(); }, |data: &[u8]| {
    (chosen().run)(data)
});
