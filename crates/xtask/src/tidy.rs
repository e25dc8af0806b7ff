//! All checks over one picture of the tree. Comes in: [`Tree`]. Goes out: [`Report`]. Only [`Tree::read`] touches files and
//! cargo; each check is a function of the tree, in a file of its own.

mod clippy_files;
mod crates_in_docs;
mod floors;
mod leftovers;
mod lints;
mod machine_paths;
mod module_docs;
mod sizes;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The folders and files that belong to the project; whatever else lies in a clone is not looked at.
const PLACES: [&str; 17] = [
    "crates",
    "proto",
    "deploy",
    "grafana",
    "chaos-tests",
    "sample-tasks",
    "docs",
    ".ci",
    ".cargo",
    "README.md",
    "Makefile",
    "Cargo.toml",
    ".clippy.toml",
    ".rustfmt.toml",
    ".gitignore",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];
const SKIPPED: [&str; 3] = ["target", "node_modules", ".git"];

/// One workspace member, from `cargo metadata`.
#[derive(Debug, Deserialize)]
pub struct Package {
    pub name: String,
    pub manifest_path: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub name: String,
    /// Present when the dependency is another member.
    pub path: Option<String>,
}

/// One text file, its path relative to the root with `/` between the parts.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
    /// Its lines, numbered from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

#[derive(Debug, Default)]
pub struct Tree {
    pub packages: Vec<Package>,
    pub files: Vec<File>,
}

impl Tree {
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let out = Command::new(cargo)
            .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"])
            .current_dir(root)
            .output()
            .context("cargo metadata cannot be started")?;
        if !out.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        #[derive(Deserialize)]
        struct Metadata {
            packages: Vec<Package>,
        }
        let metadata: Metadata = serde_json::from_slice(&out.stdout).context("cargo metadata printed no JSON")?;
        let mut files = vec![];
        for place in PLACES {
            collect(root, &root.join(place), &mut files)?;
        }
        files.sort_by(|a: &File, b| a.path.cmp(&b.path));
        Ok(Tree { packages: metadata.packages, files })
    }

    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// The folder of a package, relative to the root: `crates/NAME` or `NAME`.
    pub fn folder_of(package: &Package) -> String {
        let mut parts = package.manifest_path.rsplit(['/', '\\']).skip(1);
        let own = parts.next().unwrap_or_default();
        if parts.next() == Some("crates") { format!("crates/{own}") } else { own.to_owned() }
    }
}

/// Text files below `at`, in any order; a link or a file that is no text is left out.
fn collect(root: &Path, at: &Path, files: &mut Vec<File>) -> anyhow::Result<()> {
    let Ok(kind) = std::fs::symlink_metadata(at) else { return Ok(()) };
    if kind.is_dir() {
        for entry in std::fs::read_dir(at).with_context(|| format!("cannot list {}", at.display()))? {
            let entry = entry.with_context(|| format!("cannot list {}", at.display()))?;
            if !SKIPPED.iter().any(|s| entry.file_name() == *s) {
                collect(root, &entry.path(), files)?;
            }
        }
    } else if kind.is_file() {
        let bytes = std::fs::read(at).with_context(|| format!("cannot read {}", at.display()))?;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(path) = at.strip_prefix(root)
        {
            files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
        }
    }
    Ok(())
}

/// What was found. `broken` fails the check, `remarks` are questions.
#[derive(Debug, Default)]
pub struct Report {
    pub broken: Vec<String>,
    pub remarks: Vec<String>,
}

pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    for found in [
        floors::check(tree),
        lints::check(tree),
        clippy_files::check(tree),
        crates_in_docs::check(tree),
        leftovers::check(tree),
        machine_paths::check(tree),
        module_docs::check(tree),
    ] {
        report.broken.extend(found);
    }
    report.remarks.extend(sizes::check(tree));
    report
}

#[cfg(test)]
pub mod samples {
    //! Small trees for the tests of the checks.

    use super::{Dependency, File, Package, Tree};

    pub fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            manifest_path: format!("/any/crates/{name}/Cargo.toml"),
            dependencies: dependencies
                .iter()
                .map(|d| Dependency { name: (*d).into(), path: Some("/any".into()) })
                .collect(),
        }
    }
    pub fn files(files: &[(&str, &str)]) -> Tree {
        Tree {
            packages: vec![],
            files: files.iter().map(|(p, t)| File { path: (*p).into(), text: (*t).into() }).collect(),
        }
    }
}
