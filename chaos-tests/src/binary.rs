//! Where the binary under test is. Comes in: `CLOUDAI_BIN`, or this process's own path. It builds nothing.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// The `cloudai` to test: `CLOUDAI_BIN`, otherwise the one in the same target folder as this process
/// (`TARGET/debug/deps/TEST` or `TARGET/debug/chaos-tests`).
pub fn cloudai() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("CLOUDAI_BIN") {
        let path = PathBuf::from(named);
        if !path.is_file() {
            bail!("CLOUDAI_BIN names {}, which is no file", path.display());
        }
        return Ok(path);
    }
    let own = std::env::current_exe().context("this process does not know its own path")?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("cloudai")).find(|p| p.is_file());
    found.context("there is no 'cloudai' beside this binary: cargo build -p cloudai-cli, or set CLOUDAI_BIN")
}
