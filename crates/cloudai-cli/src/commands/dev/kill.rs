//! `dev kill`: SIGKILL, as a power cut would, to one process by its name or to whoever leads.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::commands::dev::child::Child;
use crate::commands::dev::leader::leader;
use crate::exit::{Code, Failure};
use crate::output::{Format, View, show};

/// An election is over long before that.
const LEADER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Serialize)]
struct KilledView {
    name: String,
    pid: u32,
}

impl View for KilledView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} (pid {}) is killed; start it again: cloudai dev start {}", self.name, self.pid, self.name)
    }
}

pub async fn run(root: &Path, name: &str, format: Format) -> Result<(), Failure> {
    let child = if name == "leader" { the_leader(root).await? } else { Child::find(root, name)? };
    let not_running = || {
        Failure::new(Code::Conflict, "conflict", format!("{} is not running", child.name))
            .next(format!("start it: cloudai dev start {}", child.name))
    };
    let pid = child.pid().ok_or_else(not_running)?;
    if !child.kill().await? {
        return Err(not_running());
    }
    show(format, &KilledView { name: child.name.clone(), pid })
}

async fn the_leader(root: &Path) -> Result<Child, Failure> {
    let until = Instant::now() + LEADER_WITHIN;
    loop {
        let children = Child::all(root)?;
        if let Some(name) = leader(root, &children).await
            && let Some(child) = children.into_iter().find(|c| c.name == name)
        {
            return Ok(child);
        }
        if Instant::now() >= until {
            return Err(Failure::new(
                Code::Unreachable,
                "no_leader",
                format!("no master says that it leads, for {} s", LEADER_WITHIN.as_secs()),
            )
            .next("`cloudai dev ps` shows which masters run; a majority must"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
