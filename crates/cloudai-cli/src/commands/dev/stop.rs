//! `dev stop`: workers first, then masters, in order; whoever does not listen is killed. The data stays.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde::Serialize;

use crate::commands::dev::child::{Child, Kind};
use crate::exit::Failure;
use crate::output::{Format, View, say, show};

const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Serialize)]
struct StoppedView {
    stopped: Vec<String>,
    #[serde(skip)]
    root: std::path::PathBuf,
}

impl View for StoppedView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let root = self.root.display();
        if self.stopped.is_empty() {
            return writeln!(out, "nothing was running; the data is in {root}");
        }
        writeln!(out, "stopped {}; the data is in {root}", self.stopped.join(", "))
    }
}

pub async fn run(root: &Path, format: Format) -> Result<(), Failure> {
    let stopped = all(root).await?;
    show(format, &StoppedView { stopped, root: root.to_owned() })
}

/// The names of those that were running.
pub async fn all(root: &Path) -> Result<Vec<String>, Failure> {
    let children = Child::all(root)?;
    let mut stopped = vec![];
    for kind in [Kind::Worker, Kind::Master] {
        let mut ending = vec![];
        for child in children.iter().filter(|c| c.role == kind) {
            if child.signal(Signal::TERM)? {
                stopped.push(child.name.clone());
                ending.push(child);
            }
        }
        let deadline = tokio::time::Instant::now() + GRACE;
        for child in ending {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !child.gone_within(left).await {
                say(format!("{} does not stop within {} s and is killed", child.name, GRACE.as_secs()));
                child.kill().await?;
            }
        }
    }
    Ok(stopped)
}

/// At once, without asking.
pub async fn kill_all(root: &Path) -> Result<(), Failure> {
    for child in Child::all(root)? {
        child.kill().await?;
    }
    Ok(())
}
