//! The Docker engine, seen with its own command line: does it answer, which containers carry our labels, what was started.
//! Comes in: the cluster's id, which all its containers are labelled with.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;

use crate::command::run;

const LIMIT: Duration = Duration::from_secs(60);

/// None: it answers. Otherwise why it does not, in one line.
pub fn why_not() -> Option<String> {
    match run(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]), Duration::from_secs(15)) {
        Ok(done) if done.code == 0 => None,
        Ok(done) => Some(done.stderr.lines().last().unwrap_or("docker version failed").to_owned()),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Builds the sample images; does nothing when they are there.
pub fn images() -> anyhow::Result<()> {
    // Cargo says at run time where it runs; what was compiled in may be another clone's folder.
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let root = std::path::Path::new(&here).parent().context("this crate lies in the workspace")?;
    run(&mut Command::new(root.join("sample-tasks/build.sh")), Duration::from_secs(300))?
        .ok("sample-tasks/build.sh")?;
    Ok(())
}

fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    Ok(run(Command::new("docker").args(arguments), LIMIT)?.ok(&format!("docker {}", arguments.join(" ")))?.stdout)
}

/// What a listing of the engine prints, line by line.
pub fn names(listing: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    Ok(docker(listing)?.lines().map(str::to_owned).collect())
}

/// Names of the containers that carry all these labels (`name` or `name=value`), running or not.
pub fn containers(labels: &[&str], running_only: bool) -> anyhow::Result<Vec<String>> {
    let filters: Vec<String> = labels.iter().map(|l| format!("label={l}")).collect();
    let mut arguments = vec!["ps", "--format", "{{.Names}}"];
    if !running_only {
        arguments.push("--all");
    }
    for filter in &filters {
        arguments.extend(["--filter", filter]);
    }
    Ok(docker(&arguments)?.lines().map(str::to_owned).collect())
}

/// One field of a container, as the engine's template language names it.
pub fn inspect(container: &str, template: &str) -> anyhow::Result<String> {
    Ok(docker(&["inspect", "--format", template, container])?.trim().to_owned())
}

/// What the engine keeps on the disk of a container's output. 0: its files cannot be seen from here.
pub fn log_bytes(name: &str) -> anyhow::Result<u64> {
    let path = docker(&["inspect", "--format", "{{.LogPath}}", name])?;
    let path = std::path::Path::new(path.trim());
    let (Some(dir), Some(file)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else { return Ok(0) };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let ours = entries.filter(|e| e.file_name().to_str().is_some_and(|name| name.starts_with(file)));
    Ok(ours.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum())
}

/// SIGKILL to these containers.
pub fn kill(names: &[String]) -> anyhow::Result<()> {
    for name in names {
        // One that has just ended by itself refuses the signal.
        let _ = docker(&["kill", name]);
    }
    Ok(())
}

pub fn remove(names: &[String]) -> anyhow::Result<()> {
    let mut arguments = vec!["rm", "--force", "--volumes"];
    arguments.extend(names.iter().map(String::as_str));
    docker(&arguments)?;
    Ok(())
}

/// Counts container starts from now on, by container name.
pub struct Starts {
    child: Child,
    counted: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Starts {
    pub fn watch(cluster: &str) -> anyhow::Result<Self> {
        let label = format!("label=cloudai.cluster={cluster}");
        let mut child = Command::new("docker")
            .args(["events", "--filter", "event=start", "--filter", &label, "--filter", "label=cloudai.attempt"])
            .args(["--format", "{{.Actor.Attributes.name}}"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start docker events")?;
        let out = child.stdout.take().context("docker events has no output")?;
        let counted: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
        let own = counted.clone();
        std::thread::spawn(move || {
            for name in BufReader::new(out).lines().map_while(Result::ok) {
                *own.lock().expect("no holder of this lock can panic").entry(name).or_default() += 1;
            }
        });
        Ok(Starts { child, counted })
    }

    pub fn so_far(&self) -> BTreeMap<String, u32> {
        self.counted.lock().expect("no holder of this lock can panic").clone()
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
