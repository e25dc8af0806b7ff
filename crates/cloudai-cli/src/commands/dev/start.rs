//! `dev start`: what is down comes up again, with its own configuration, ports and data.

use std::path::Path;
use std::time::Duration;

use crate::commands::dev::child::Child;
use crate::commands::dev::ps::{ProcessList, ProcessView};
use crate::exit::Failure;
use crate::output::{Format, say, show};

/// A process that is wrong about its configuration ends within this.
const SETTLE: Duration = Duration::from_millis(300);

pub async fn run(root: &Path, name: Option<&str>, format: Format) -> Result<(), Failure> {
    let mut children = match name {
        Some(name) => vec![Child::find(root, name)?],
        None => Child::all(root)?,
    };
    let mut started = vec![];
    for child in &mut children {
        match child.pid() {
            Some(pid) => say(format!("{} is running already (pid {pid})", child.name)),
            None => {
                child.gone_after_kill().await?;
                started.push((child.start(root)?, child.name.clone()));
            }
        }
    }
    tokio::time::sleep(SETTLE).await;
    for (process, name) in &mut started {
        if let Ok(Some(status)) = process.try_wait() {
            let child = Child::find(root, name)?;
            return Err(Failure::failed(format!("{name} ended at once ({status})"))
                .why(child.log_tail(root))
                .next(format!("its whole log: {}", child.log_path(root).display())));
        }
    }
    show(format, &ProcessList(children.iter().map(|c| ProcessView::new(c, None)).collect()))
}
