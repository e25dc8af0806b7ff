//! Where the tests find published traces: `CLOUDAI_TRACES`, else `../shared/traces` beside the workspace. They are not ours to
//! commit; a test that misses them says NOT RUN and why.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};

use cloudai_replay::{Format, Trace};

/// The folder, or a line on stderr.
pub fn folder(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    let folder = std::env::var_os("CLOUDAI_TRACES").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT RUN: {test}: there are no traces in {} (set CLOUDAI_TRACES to their folder)", folder.display());
    None
}

/// A trace that has to be in the folder once there is one.
pub fn swf(folder: &Path, name: &str) -> Trace {
    let path = folder.join(name);
    Trace::read(&path, Format::Swf).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
