//! Whether each mutant is a patch of today's code. What they do is seen by `cloudai-sim mutants`, which builds each.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn each_mutant_applies() {
    if Command::new("patch").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("NOT RUN: `patch` is missing (apt-get install patch)");
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut mutants = 0;
    for entry in std::fs::read_dir(here.join("mutants")).expect("the mutants are listed") {
        let patch = entry.expect("the mutants are listed").path();
        let args = ["-p1", "--dry-run", "--force", "--directory"];
        let tried = Command::new("patch").args(args).arg(here.join("../..")).arg("--input").arg(&patch).output();
        let tried = tried.expect("patch starts");
        assert!(tried.status.success(), "{}: {}", patch.display(), String::from_utf8_lossy(&tried.stdout));
        mutants += 1;
    }
    assert!(mutants >= 12, "{mutants} mutants");
}
