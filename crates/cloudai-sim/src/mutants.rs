//! Faults of ours, put in on purpose. Comes in: the patches of `mutants/`. Goes out: for each, the first seed that notices, and which
//! invariant it broke. The patches are applied to a copy of the tree, so that the product's code has no switch for them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::sweep::{Swept, cores, sweep};

#[derive(clap::Args)]
pub struct Mutants {
    /// Seeds that each mutant gets.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    #[arg(long)]
    jobs: Option<usize>,
    /// Only those whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// What is copied: the sources, and nothing that was built.
const COPIED: [&str; 6] = ["Cargo.toml", "Cargo.lock", ".cargo", "crates", "chaos-tests", "proto"];

impl Mutants {
    pub fn carry_out(self) -> ExitCode {
        match self.try_all() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_all(&self) -> Result<bool, String> {
        // Cargo says at run time where it runs; what was compiled in may be another clone's folder.
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
        let tree = Path::new(&here).join("../..");
        let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| tree.join("target"), PathBuf::from);
        let copy = target.join("mutants/tree");
        let mut patches: Vec<PathBuf> = std::fs::read_dir(tree.join("crates/cloudai-sim/mutants"))
            .map_err(|e| format!("the patches cannot be listed: {e}"))?
            .filter_map(|item| item.ok().map(|i| i.path()))
            .filter(|p| p.extension().is_some_and(|e| e == "patch"))
            .filter(|p| self.only.as_ref().is_none_or(|only| p.to_string_lossy().contains(only)))
            .collect();
        patches.sort();
        let mut all_caught = true;
        for patch in patches {
            all_caught &= self.try_one(&tree, &copy, &patch)?;
        }
        Ok(all_caught)
    }

    fn try_one(&self, tree: &Path, copy: &Path, patch: &Path) -> Result<bool, String> {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        std::fs::create_dir_all(copy).map_err(|e| format!("{} cannot be made: {e}", copy.display()))?;
        for part in COPIED {
            mirror(&tree.join(part), &copy.join(part)).map_err(|e| format!("cannot copy {part}: {e}"))?;
        }
        let file = std::fs::File::open(patch).map_err(|e| format!("{}: {e}", patch.display()))?;
        done(Command::new("patch").args(["-p1", "-s"]).current_dir(copy).stdin(file), &format!("apply {name}"))?;
        // A target folder of its own: cargo takes the same package in another tree for the same one, and an older file for unchanged, so
        // that the mutant would be what the next build of the product links. This package alone: the workspace's features would bring RocksDB.
        let target = copy.with_file_name("target");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--package", "cloudai-sim"]);
        done(cargo.env("CARGO_TARGET_DIR", &target).current_dir(copy), &format!("build {name}"))?;
        let mutant = target.join("debug/cloudai-sim");
        let began = Instant::now();
        let Swept { done: seeds, failures, .. } = sweep(&mutant, 1, self.seeds, self.jobs.unwrap_or_else(cores), true);
        let seconds = began.elapsed().as_secs_f64();
        let Some(caught) = failures.first() else {
            println!("{name}: NOT CAUGHT in {seeds} seeds ({seconds:.0} s)");
            return Ok(false);
        };
        let verdict = caught.said.lines().find(|l| l.contains("VIOLATED")).unwrap_or("it did not end in order");
        println!("{name}: caught after {seeds} seeds ({seconds:.1} s): {verdict}");
        Ok(true)
    }
}

/// Makes `to` what `from` is. Equal files are left alone, so that only what the patch (and the one before) touched is compiled
/// again.
fn mirror(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        let content = std::fs::read(from)?;
        if std::fs::read(to).is_ok_and(|old| old == content) {
            return Ok(());
        }
        return std::fs::write(to, content);
    }
    std::fs::create_dir_all(to)?;
    for item in std::fs::read_dir(to)? {
        let path = item?.path();
        let is_extra = path.file_name().is_some_and(|name| !from.join(name).exists());
        if is_extra {
            std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path))?;
        }
    }
    for item in std::fs::read_dir(from)? {
        let item = item?;
        mirror(&item.path(), &to.join(item.file_name()))?;
    }
    Ok(())
}

fn done(command: &mut Command, what: &str) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).status().map_err(|e| format!("cannot {what}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("cannot {what}: {status}")) }
}
