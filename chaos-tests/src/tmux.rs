//! A terminal that nobody sits at: one tmux server with one pane and a shell in it. Comes in: keys and lines. Goes out: what is on the screen. It is
//! stopped when it goes out of scope.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::command::{Finished, run};
use crate::wait;

/// What the shell in it says when it waits for a line.
pub const PROMPT: &str = "ready>";
const LIMIT: Duration = Duration::from_secs(10);
/// A screen is drawn four times a second, on a machine that may have much else to do.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SESSION: &str = "screens";

pub struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// With these in the shell's environment.
    pub fn start(dir: &Path, columns: u16, rows: u16, env: &BTreeMap<String, String>) -> anyhow::Result<Tmux> {
        let tmux = Tmux { socket: dir.join("tmux.sock") };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let mut command = tmux.command(&["new-session", "-d", "-s", SESSION, "-x", &columns, "-y", &rows, "sh"]);
        command.envs(env).env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        run(&mut command, LIMIT)?.ok("tmux new-session")?;
        tmux.enter(&format!("PS1='{PROMPT} '; clear"))?;
        tmux.until("a shell's prompt", |screen| screen.trim() == PROMPT)?;
        Ok(tmux)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        // Nobody's own settings, and a server of our own.
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(words).env_remove("TMUX");
        command
    }

    fn ok(&self, words: &[&str]) -> anyhow::Result<Finished> {
        run(&mut self.command(words), LIMIT)?.ok(&format!("tmux {}", words.join(" ")))
    }

    /// As tmux names them: `Tab`, `Enter`, `C-c`, `j`.
    pub fn press(&self, keys: &[&str]) -> anyhow::Result<()> {
        let mut words = vec!["send-keys", "-t", SESSION];
        words.extend(keys);
        self.ok(&words).map(drop)
    }

    /// A line for the shell.
    pub fn enter(&self, line: &str) -> anyhow::Result<()> {
        self.ok(&["send-keys", "-t", SESSION, "-l", line])?;
        self.press(&["Enter"])
    }

    pub fn screen(&self) -> anyhow::Result<String> {
        Ok(self.ok(&["capture-pane", "-p", "-t", SESSION])?.stdout)
    }

    /// The process of the shell.
    pub fn shell(&self) -> anyhow::Result<u32> {
        let told = self.ok(&["display-message", "-p", "-t", SESSION, "#{pane_pid}"])?.stdout;
        told.trim().parse().with_context(|| format!("tmux says no process: {told}"))
    }

    /// Waits until all of this is on the screen, and gives that.
    pub fn shows(&self, what: &str, words: &[&str]) -> anyhow::Result<String> {
        self.until(what, |screen| words.iter().all(|word| screen.contains(word)))
    }

    pub fn until(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) -> anyhow::Result<String> {
        let mut last = String::new();
        let seen = wait::until(what, SHOWN_WITHIN, LOOK_EVERY, || {
            last = self.screen()?;
            Ok(is_so(&last).then(|| last.clone()))
        });
        seen.with_context(|| format!("the screen is\n{last}"))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if let Err(error) = self.ok(&["kill-server"]) {
            println!("a tmux server may be left at {}: {error:#}", self.socket.display());
        }
    }
}
