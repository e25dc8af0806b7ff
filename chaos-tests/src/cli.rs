//! The command line as a user has it: the binary, with a cluster's exported settings. Comes in: arguments. Goes out: the
//! finished process, or its JSON. It retries nothing: what the binary says is what is tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::command::{Finished, run};
use crate::views::JobView;

/// No client command takes longer: it gives up by itself after 30 s.
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug, Clone)]
pub struct Cli {
    pub binary: PathBuf,
    /// What `eval "$(cat DIR/env)"` would set.
    pub env: BTreeMap<String, String>,
}

impl Cli {
    /// Reads `DIR/env`: lines `export NAME=VALUE`, the value as it is or in quotes.
    pub fn from_env_file(binary: &Path, file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Cli { binary: binary.to_owned(), env: parse_env(&text) })
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CLOUDAI_")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(&self.env);
        command
    }

    /// To its end, whatever its exit code.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        let done = run(&mut self.command(arguments), LIMIT)?;
        done.speaks_like_a_person()?;
        Ok(done)
    }

    /// To its end, which must be exit code 0.
    pub fn ok(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        self.run(arguments)?.ok(&format!("cloudai {}", arguments.join(" ")))
    }

    /// With `-o json`, parsed.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> anyhow::Result<T> {
        // Behind the command's own words and before a `--`, where flags end.
        let at = arguments.iter().position(|a| *a == "--").unwrap_or(arguments.len());
        let mut all = arguments.to_vec();
        all.splice(at..at, ["-o", "json"]);
        let done = self.ok(&all)?;
        serde_json::from_str(&done.stdout)
            .with_context(|| format!("cloudai {} printed no such JSON: {}", all.join(" "), done.stdout))
    }

    /// `job submit` with these arguments; the new job's id.
    pub fn submit(&self, arguments: &[&str]) -> anyhow::Result<String> {
        #[derive(serde::Deserialize)]
        struct Submitted {
            id: String,
        }
        let mut all = vec!["job", "submit"];
        all.extend(arguments);
        Ok(self.json::<Submitted>(&all)?.id)
    }

    pub fn job(&self, id: &str) -> anyhow::Result<JobView> {
        self.json(&["job", "show", id])
    }

    /// Waits until the job has ended, whatever way, and shows it.
    pub fn ended(&self, id: &str, limit: Duration) -> anyhow::Result<JobView> {
        crate::wait::until(&format!("the end of job {id}"), limit, Duration::from_millis(300), || {
            let job = self.job(id)?;
            Ok(job.has_ended().then_some(job))
        })
    }
}

fn parse_env(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let pairs = lines.filter_map(|l| l.strip_prefix("export ").unwrap_or(l).split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_read_as_a_shell_would() {
        let env =
            parse_env("# CloudAI\nexport CLOUDAI_ADDR=\"a:1,b:2\"\nexport CLOUDAI_IDENTITY='/x y/admin'\nPLAIN=1\n\n");
        assert_eq!(env["CLOUDAI_ADDR"], "a:1,b:2");
        assert_eq!(env["CLOUDAI_IDENTITY"], "/x y/admin");
        assert_eq!(env["PLAIN"], "1");
    }
}
