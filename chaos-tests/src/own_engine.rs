//! A Docker engine of a test's own, which may be killed: everything of it lies in one folder, and nothing else uses it. Comes in: whether its
//! containers outlive it (live restore). Goes out: its socket, and verbs on its process. The daemon below it (`containerd`) is a process of
//! its own, as on a machine with systemd: killing the engine leaves it, and the containers, alone.
//!
//! It makes no bridge and no firewall rule: its containers have no network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::command::run;
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(60);
/// An engine that stops gives each container ten seconds.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const CALL_LIMIT: Duration = Duration::from_secs(120);

pub struct OwnEngine {
    dir: PathBuf,
    containerd: Child,
    dockerd: Option<Child>,
    live_restore: bool,
}

/// None: one can be started here. Otherwise why not, in one line.
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can start a container engine".to_owned());
    }
    ["dockerd", "containerd"].into_iter().find_map(|program| {
        let found = run(Command::new(program).arg("--version"), Duration::from_secs(15));
        found.err().map(|error| format!("{program} cannot be started: {error:#}"))
    })
}

impl OwnEngine {
    /// `dir`: an empty folder with a short path, which the caller removes afterwards.
    pub fn start(dir: &Path, live_restore: bool) -> anyhow::Result<Self> {
        let path = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{}\"\n",
            path("containerd"),
            path("containerd-state"),
            path("containerd.sock"),
        );
        fs::write(dir.join("containerd.toml"), config).context("the engine's folder cannot be written to")?;
        let containerd = Command::new("containerd")
            .arg("--config")
            .arg(dir.join("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(log(dir, "containerd.log")?)
            .stderr(log(dir, "containerd.log")?)
            .spawn()
            .context("containerd cannot be started")?;
        let mut engine = OwnEngine { dir: dir.to_owned(), containerd, dockerd: None, live_restore };
        engine.start_again(live_restore)?;
        Ok(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// After it was killed or stopped.
    pub fn start_again(&mut self, live_restore: bool) -> anyhow::Result<()> {
        ensure!(self.dockerd.is_none(), "the engine runs already");
        // A killed one leaves it behind, and would be taken for one that runs.
        let _ = fs::remove_file(self.dir.join("docker.pid"));
        // In a network namespace of its own: an engine without a bridge removes the bridge of whoever has one.
        let child = Command::new("unshare")
            .args(["--net", "--", "dockerd"])
            .args(["--bridge", "none", "--iptables=false", &format!("--live-restore={live_restore}")])
            .arg("--containerd")
            .arg(self.dir.join("containerd.sock"))
            .arg("--data-root")
            .arg(self.dir.join("data"))
            .arg("--exec-root")
            .arg(self.dir.join("exec"))
            .arg("--pidfile")
            .arg(self.dir.join("docker.pid"))
            .arg("--host")
            .arg(self.host())
            .stdin(Stdio::null())
            .stdout(log(&self.dir, "dockerd.log")?)
            .stderr(log(&self.dir, "dockerd.log")?)
            .spawn()
            .context("dockerd cannot be started")?;
        self.dockerd = Some(child);
        self.live_restore = live_restore;
        wait::until("an answer of the test's own engine", START_LIMIT, Duration::from_millis(200), || {
            Ok(self.docker(&["version", "--format", "{{.Server.Version}}"]).is_ok().then_some(()))
        })
        .with_context(|| self.last_words())
    }

    /// The engine's command line, at this engine.
    pub fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(arguments);
        Ok(run(&mut command, CALL_LIMIT)?.ok(&format!("docker {}", arguments.join(" ")))?.stdout)
    }

    /// Copies an image from the machine's own engine.
    pub fn load(&self, image: &str) -> anyhow::Result<()> {
        let file = self.dir.join("image.tar");
        let mut save = Command::new("docker");
        save.arg("save").arg("--output").arg(&file).arg(image);
        run(&mut save, CALL_LIMIT)?.ok("docker save")?;
        self.docker(&["load", "--quiet", "--input", &file.display().to_string()])?;
        fs::remove_file(&file).context("the image's file cannot be removed")
    }

    /// SIGKILL to the engine alone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.dockerd.take().context("the engine does not run")?;
        child.kill().context("the engine cannot be killed")?;
        child.wait().context("the engine cannot be waited for")?;
        Ok(())
    }

    /// SIGTERM, and until it has stopped. Without live restore it stops its containers first.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut child = self.dockerd.take().context("the engine does not run")?;
        terminate(&child)?;
        let ended = wait::until("the engine's end", STOP_LIMIT, Duration::from_millis(100), || {
            child.try_wait().context("the engine cannot be waited for")
        });
        if ended.is_err() {
            // A refusal means that it has just ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        ended.map(drop)
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.dir.join("dockerd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(10).collect();
        format!("the engine's last words: {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for OwnEngine {
    /// Leaves no process and no mount: whatever runs is removed first.
    fn drop(&mut self) {
        if self.dockerd.is_none()
            && let Err(error) = self.start_again(self.live_restore)
        {
            println!("the test's own engine cannot be cleaned up: {error:#}");
        }
        let left = self.docker(&["ps", "--all", "--quiet"]).unwrap_or_default();
        let ids: Vec<&str> = left.split_whitespace().collect();
        if !ids.is_empty() {
            let mut arguments = vec!["rm", "--force", "--volumes"];
            arguments.extend(ids);
            // What cannot be removed is left in a temporary folder.
            let _ = self.docker(&arguments);
        }
        let _ = self.stop();
        let _ = terminate(&self.containerd);
        let ended = wait::until("containerd's end", STOP_LIMIT, Duration::from_millis(100), || {
            self.containerd.try_wait().context("containerd cannot be waited for")
        });
        if ended.is_err() {
            let _ = self.containerd.kill();
            let _ = self.containerd.wait();
        }
        // With live restore the engine leaves its mounts for its successor, which does not come.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let below = mounts.lines().filter_map(|l| l.split(' ').nth(1)).filter(|m| Path::new(m).starts_with(&self.dir));
        for mount in below.collect::<Vec<_>>().into_iter().rev() {
            let _ = run(Command::new("umount").args(["--lazy", mount]), Duration::from_secs(20));
        }
    }
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("a process cannot be told to stop")
}

fn log(dir: &Path, name: &str) -> anyhow::Result<File> {
    let opened = File::options().append(true).create(true).open(dir.join(name));
    opened.with_context(|| format!("{name} cannot be written"))
}
