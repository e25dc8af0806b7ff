//! Join tokens: a made-up one, and one that was redeemed already.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{other_work_goes_on, refused};
use crate::cluster::Cluster;
use crate::command::{self, Finished};
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "guest";
/// A text that is no token is wrong input.
const USAGE: i32 = 2;
/// A token that the masters do not accept.
const AUTH: i32 = 4;

pub fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let token = cluster.cli.json::<serde_json::Value>(&["worker", "authorize", NAME])?["token"]
        .as_str()
        .context("worker authorize -o json has no token")?
        .to_owned();
    refused("a text that is no token", &end_of(cluster, "none", "nonsense")?, USAGE, &["token"])?;
    let wrong = with_another_secret(&token);
    refused("a token with a wrong secret", &end_of(cluster, "wrong", &wrong)?, AUTH, &["token"])?;

    let mut guest = start(cluster, "first", &token)?;
    let joined = wait::until("the guest's registration", LIMIT, Duration::from_millis(200), || {
        let workers: Vec<serde_json::Value> = cluster.cli.json(&["worker", "list"])?;
        Ok(workers.iter().any(|w| w["name"] == NAME && w["state"] == "Ready").then_some(()))
    });
    // Whatever came of it, the process that was started here ends here.
    let ended = guest.kill().and_then(|()| guest.wait());
    joined?;
    ended.context("the guest could not be stopped")?;
    say("a worker joined with its token");
    refused("the same token once more", &end_of(cluster, "second", &token)?, AUTH, &["token"])?;
    other_work_goes_on(cluster)
}

/// The secret is the last part.
fn with_another_secret(token: &str) -> String {
    let (head, secret) = token.rsplit_once('.').unwrap_or(("", token));
    let other: String = secret.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    format!("{head}.{other}")
}

fn config(cluster: &Cluster, folder: &str, token: &str) -> anyhow::Result<PathBuf> {
    let data = cluster.dir.join("guests").join(folder);
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let masters: Vec<String> = cluster.status()?.members.into_iter().map(|m| format!("\"{}\"", m.grpc)).collect();
    let file = data.join("worker.toml");
    let text = format!(
        "name = \"{NAME}\"\ndata_dir = \"{}\"\nmasters = [{}]\nexecutor = \"noop\"\njoin_token = \"{token}\"\n",
        data.join("data").display(),
        masters.join(", ")
    );
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn start(cluster: &Cluster, folder: &str, token: &str) -> anyhow::Result<Child> {
    let file = config(cluster, folder, token)?;
    let mut command = cluster.cli.command(&["worker", "--config"]);
    command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("cannot start a worker")
}

/// A worker that must give up by itself.
fn end_of(cluster: &Cluster, folder: &str, token: &str) -> anyhow::Result<Finished> {
    let file = config(cluster, folder, token)?;
    let done = command::run(cluster.cli.command(&["worker", "--config"]).arg(&file), LIMIT)?;
    done.speaks_like_a_person()?;
    ensure!(done.code != 0, "a worker with a bad token ended with success");
    Ok(done)
}
