//! The project's own chores: `cargo xtask tidy` checks the rules that no compiler knows, and `cargo xtask generate` writes the files that are made from
//! tables. Comes in: the working tree and `cargo metadata`. Goes out: one line per broken rule on stderr, and exit code 1 when there is one; or files. Only
//! `generate` changes anything.

mod generate;
mod tidy;

use std::process::ExitCode;

use anyhow::Context as _;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("tidy"), None) => {}
        (Some("generate"), None) => return generate_here(),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy|generate\n\n  tidy       floors, lints, docs, leftovers, module comments, long files\n  generate   grafana/dashboards and docs/metrics.md, from their tables"
            );
            return ExitCode::from(2);
        }
    }
    match tidy_here() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn generate_here() -> ExitCode {
    let written = root().and_then(|root| generate::write(&root).context("a file cannot be written"));
    match written {
        Ok(written) => {
            written.iter().for_each(|path| eprintln!("wrote {}", path.display()));
            eprintln!("generate: {} files, {} of them changed", generate::files().len(), written.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn tidy_here() -> anyhow::Result<bool> {
    let tree = tidy::Tree::read(&root()?)?;
    let report = tidy::check(&tree);
    for line in &report.remarks {
        eprintln!("note: {line}");
    }
    for line in &report.broken {
        eprintln!("tidy: {line}");
    }
    eprintln!("tidy: {} crates, {} files, {} broken rules", tree.packages.len(), tree.files.len(), report.broken.len());
    Ok(report.broken.is_empty())
}

/// The workspace's folder: two above this crate's.
fn root() -> anyhow::Result<std::path::PathBuf> {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(std::path::PathBuf::from);
    let own = own.context("CARGO_MANIFEST_DIR is not set: call this as 'cargo xtask tidy'")?;
    own.ancestors().nth(2).map(Into::into).context("xtask does not lie in crates/xtask of a workspace")
}
