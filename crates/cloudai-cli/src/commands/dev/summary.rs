//! What is said when the cluster is ready, and the file that makes every client command work.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commands::dev::child::{Child, Kind};
use crate::commands::dev::leader::admin_dir;
use crate::commands::dev::ps::ProcessList;
use crate::exit::Failure;
use crate::output::View;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryView {
    pub data_dir: PathBuf,
    pub env: PathBuf,
    pub addr: String,
    pub identity: PathBuf,
    pub processes: ProcessList,
}

impl SummaryView {
    pub fn new(root: &Path, children: &[Child], processes: ProcessList) -> Self {
        SummaryView {
            data_dir: root.to_owned(),
            env: root.join("env"),
            addr: addresses(children),
            identity: admin_dir(root),
            processes,
        }
    }
}

fn addresses(children: &[Child]) -> String {
    children.iter().filter(|c| c.role == Kind::Master).filter_map(|c| c.grpc.clone()).collect::<Vec<_>>().join(",")
}

impl View for SummaryView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "CloudAI is ready. A cluster for trying and testing: all of it on this machine, not for production.\n"
        )?;
        self.processes.table(out)?;
        let dir = self.data_dir.display();
        writeln!(
            out,
            "\ndata:    {dir}\nlogs:    {dir}/logs\nto use:  eval \"$(cat {}/env)\"\n\nTry:",
            shell_word(&dir.to_string())
        )?;
        writeln!(out, "  cloudai run busybox -- echo hello")?;
        writeln!(out, "  cloudai dev kill leader && cloudai cluster status")?;
        writeln!(out, "  cloudai job submit --array 0-99 busybox -- sleep 1 && cloudai queue")?;
        writeln!(out, "Stop: cloudai dev stop")
    }
}

/// Exports for a shell.
pub fn write_env(root: &Path, children: &[Child]) -> Result<(), Failure> {
    let text = format!(
        "export CLOUDAI_ADDR={}\nexport CLOUDAI_IDENTITY={}\nexport CLOUDAI_DEV_DIR={}\n",
        shell_word(&addresses(children)),
        shell_word(&admin_dir(root).display().to_string()),
        shell_word(&root.display().to_string()),
    );
    std::fs::write(root.join("env"), text).map_err(|e| Failure::failed("the env file cannot be written").why(e))
}

/// Quoted where a shell would read more than the text.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-:,@+[]".contains(&b) && b != b'[' && b != b']');
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_shell_needs_it() {
        assert_eq!(shell_word("127.0.0.1:7601,a:1"), "127.0.0.1:7601,a:1");
        assert_eq!(shell_word("/a b/c"), "'/a b/c'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word("$(x)"), "'$(x)'");
    }
}
