//! Must show 9 of the tasks' issue: a canary secret is looked for in everything that a cluster writes and says, and is not found. The task
//! that uses it, as a file and as a variable, proves that it has it by its SHA-256.
//!
//! The search is shown to be able to find: a marker that a job has openly in its environment is found in the files of every master.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, needs_docker};
use crate::cluster::{Cluster, Options};
use crate::command::run as run_command;
use crate::transcript::say;

const LIMIT: Duration = Duration::from_secs(120);
/// Of a text that is looked for.
const PART_BYTES: usize = 24;
const SMALL: [&str; 4] = ["--cpu", "0.1", "--memory", "64m"];
/// Enough entries for checkpoints at [`SNAPSHOT_EVERY`].
const ENTRIES: u32 = 60;
const SNAPSHOT_EVERY: u32 = 20;
/// Says what it has, and not what that is.
const SCRIPT: &str =
    "sha256sum < /run/secrets/canary; printf %s \"$CANARY\" | sha256sum; ls -ln /run/secrets/canary; id -u";

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let cluster = Cluster::start(&Options::docker(3, 1))?;
    often_checkpointed(&cluster)?;
    let outside = tempfile::Builder::new().prefix("cloudai-canary-").tempdir().context("no temporary folder")?;
    let canary = format!("canary-{:032x}-{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let marker = format!("marker-{:032x}-{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let file = outside.path().join("value");
    fs::write(&file, &canary).context("the canary's own file")?;

    let said = store(&cluster, &file, &canary)?;
    let job = prove(&cluster, &canary)?;
    refuse(&cluster)?;
    fill(&cluster, &marker)?;
    // Another master leads, loads everything, and opens the secret.
    let leader = cluster.leader()?.name;
    cluster.kill(&leader)?;
    cluster.start_one(&leader)?;
    cluster.leader()?;
    prove(&cluster, &canary)?;

    let mut places = said;
    places.extend(answers(&cluster, &job)?);
    places.extend(processes(&cluster)?);
    let mut files = vec![];
    read_all(&cluster.dir, &mut files)?;
    let needles = Needles::of(&marker);
    for master in cluster.masters()? {
        for part in ["state", "raft", "snapshots"] {
            let below = cluster.dir.join(&master).join(part).display().to_string();
            let hit = files.iter().any(|(path, bytes)| path.starts_with(&below) && needles.found_in(bytes).is_some());
            ensure!(hit, "the marker is not found in {below}: the search would not find the canary there either");
        }
    }
    let (count, bytes) = (files.len(), files.iter().map(|(_, b)| b.len()).sum::<usize>());
    places.extend(files);
    let needles = Needles::of(&canary);
    for (name, bytes) in &places {
        if let Some(form) = needles.found_in(bytes) {
            anyhow::bail!("{name} holds the canary ({form})");
        }
    }
    say(format!("the canary is in none of {count} files ({} KiB), and in no answer or command line", bytes >> 10));
    nothing_is_left_in_memory(&cluster)?;
    remove(&cluster)?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// Each master makes a checkpoint after few entries, so that there is one to look at.
fn often_checkpointed(cluster: &Cluster) -> anyhow::Result<()> {
    for master in cluster.masters()? {
        let path = cluster.dir.join(&master).join("master.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (before, after) =
            text.split_once("snapshot_every_entries = ").context("the configuration has the number")?;
        let after = after.split_once('\n').map_or("", |(_, rest)| rest);
        fs::write(&path, format!("{before}snapshot_every_entries = {SNAPSHOT_EVERY}\n{after}"))?;
        cluster.kill(&master)?;
        cluster.start_one(&master)?;
        cluster.leader()?;
    }
    Ok(())
}

/// The secret, twice, and a login with it as the password. What the commands said.
fn store(cluster: &Cluster, file: &Path, canary: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut said = vec![];
    let path = file.display().to_string();
    for arguments in [
        vec!["secret", "set", "canary", "--from-file", &path],
        vec!["secret", "set", "canary"],
        vec!["registry", "login", "registry.example:5000", "--username", "ci", "--password-stdin"],
        // Refused: not of this kind, too long for a name.
        vec!["secret", "set", "no name"],
    ] {
        let input = fs::File::open(file).context("the canary's own file")?;
        let done = cluster.cli.command(&arguments).stdin(Stdio::from(input)).output()?;
        let is_refused = arguments.contains(&"no name");
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success() != is_refused, "{arguments:?} ended with {}: {text}", done.status);
        said.push((format!("what {arguments:?} said"), [done.stdout, done.stderr].concat()));
    }
    let listed: serde_json::Value = cluster.cli.json(&["secret", "list"])?;
    ensure!(listed[0]["name"] == "canary" && listed[0]["version"] == 2, "secret list shows {listed}");
    ensure!(!listed.to_string().contains(canary), "secret list shows the value");
    Ok(said)
}

/// Runs the task; the job's id.
fn prove(cluster: &Cluster, canary: &str) -> anyhow::Result<String> {
    let mut all = vec![];
    all.extend(SMALL);
    all.extend(["--user", "1234", "--secret", "canary", "--secret", "canary=env:CANARY"]);
    all.extend(["cloudai/busybox", "--", "sh", "-c", SCRIPT]);
    let job = cluster.cli.submit(&all)?;
    let ended = cluster.cli.ended(&job, LIMIT)?;
    let log = cluster.cli.ok(&["job", "logs", &job])?.stdout;
    ensure!(ended.state == "Succeeded", "the job with the secret is {}: {log}\n{:?}", ended.state, ended.tasks);
    let sum = sha256(canary)?;
    ensure!(log.matches(&sum).count() == 2, "the task does not have the secret twice: {log}");
    ensure!(log.contains("-r-------- ") && log.contains(" 1234 "), "the file is not its user's alone: {log}");
    ensure!(!log.contains(canary), "the task's log shows it");
    say("a task has it as a file and as a variable");
    Ok(job)
}

/// By a program that gets it on its standard input.
fn sha256(text: &str) -> anyhow::Result<String> {
    use std::io::Write as _;
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("it has an input")?.write_all(text.as_bytes())?;
    let done = child.wait_with_output()?;
    let line = String::from_utf8_lossy(&done.stdout).into_owned();
    Ok(line.split_whitespace().next().context("sha256sum prints a sum")?.to_owned())
}

/// A name that is not there, and a namespace that has none.
fn refuse(cluster: &Cluster) -> anyhow::Result<()> {
    for more in [["--secret", "absent", "cloudai/busybox"], ["--secret", "canary", "cloudai/busybox"]] {
        let namespace = if more[1] == "canary" { "elsewhere" } else { "default" };
        let mut all = vec!["job", "submit", "-n", namespace];
        all.extend(more);
        let done = cluster.cli.run(&all)?;
        ensure!(done.code == 3 && done.stderr.contains("cloudai secret set"), "{all:?}: {} {}", done.code, done.stderr);
    }
    Ok(())
}

/// Log entries that hold the marker openly, by jobs that never run.
fn fill(cluster: &Cluster, marker: &str) -> anyhow::Result<()> {
    let env = format!("MARKER={marker}");
    for _ in 0..ENTRIES {
        cluster.cli.submit(&["--env", &env, "--require", "zone=mars", "cloudai/busybox"])?;
    }
    Ok(())
}

/// Everything that the command line can be asked.
fn answers(cluster: &Cluster, job: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let task = format!("{job}/0");
    let mut said = vec![];
    let worker = cluster.cli.json::<serde_json::Value>(&["worker", "list"])?;
    let worker = worker[0]["name"].as_str().context("a worker has a name")?.to_owned();
    for arguments in [
        vec!["secret", "list"],
        vec!["registry", "list"],
        vec!["job", "list"],
        vec!["job", "show", job],
        vec!["task", "list", job],
        vec!["task", "show", &task],
        vec!["task", "explain", &task],
        vec!["dead", "list"],
        vec!["queue"],
        vec!["worker", "list"],
        vec!["worker", "show", &worker],
        vec!["cluster", "status"],
        vec!["cluster", "members"],
    ] {
        for format in ["json", "table"] {
            let mut all = arguments.clone();
            all.extend(["-o", format]);
            let done = cluster.cli.run(&all)?;
            // An ended task has nothing to be explained: that is an answer too.
            said.push((format!("what {all:?} said"), [done.stdout, done.stderr].concat().into_bytes()));
        }
    }
    let log = cluster.cli.ok(&["job", "logs", job])?;
    said.push(("the job's log".into(), [log.stdout, log.stderr].concat().into_bytes()));
    Ok(said)
}

/// `/metrics`, and what each process of the cluster was started with.
fn processes(cluster: &Cluster) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut found = vec![];
    for process in cluster.processes()? {
        if let Some(pid) = process.pid() {
            for part in ["cmdline", "environ"] {
                found.push((format!("the {part} of {}", process.name), fs::read(format!("/proc/{pid}/{part}"))?));
            }
        }
        if let Some(http) = process.http {
            let url = format!("https://{http}/metrics");
            let page = run_command(Command::new("curl").args(["-sk", "--max-time", "5", &url]), LIMIT)?.stdout;
            found.push((url, page.into_bytes()));
        }
    }
    ensure!(found.len() >= 8, "the cluster's processes are not there to be looked at");
    Ok(found)
}

fn read_all(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // A checkpoint may be removed while it is looked at.
            let _gone = read_all(&entry.path(), found);
        } else if kind.is_file()
            && let Ok(bytes) = fs::read(entry.path())
        {
            found.push((entry.path().display().to_string(), bytes));
        }
    }
    Ok(())
}

/// The folder in memory is there and empty.
fn nothing_is_left_in_memory(cluster: &Cluster) -> anyhow::Result<()> {
    let prefix = format!("cloudai-{}-", cluster.id()?);
    let mut seen = 0;
    for entry in fs::read_dir("/dev/shm")?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            seen += 1;
            let left = fs::read_dir(entry.path())?.count();
            ensure!(left == 0, "{} folders of secrets are left in {}", left, entry.path().display());
        }
    }
    ensure!(seen == 1, "{seen} folders in memory are the worker's");
    Ok(())
}

/// Removed is removed: a job that names it is refused, and one that waits does not start.
fn remove(cluster: &Cluster) -> anyhow::Result<()> {
    let mut all = vec!["--require", "zone=mars", "--secret", "canary"];
    all.extend(SMALL);
    all.push("cloudai/busybox");
    cluster.cli.submit(&all)?;
    cluster.cli.ok(&["secret", "remove", "canary"])?;
    cluster.cli.ok(&["registry", "logout", "registry.example:5000"])?;
    let again = cluster.cli.run(&["secret", "remove", "canary"])?;
    ensure!(again.code == 3, "a secret that is not there is removed with {}", again.code);
    let refused = cluster.cli.run(&["job", "submit", "--secret", "canary", "cloudai/busybox"])?;
    ensure!(refused.code == 3, "a job that names a removed secret ends with {}: {}", refused.code, refused.stderr);
    Ok(())
}

/// Parts of one text, in the forms in which they may lie about. Parts, because what packs blocks of a database cuts a text where four bytes of it
/// were there before.
struct Needles(Vec<(&'static str, Vec<u8>)>);

impl Needles {
    fn of(text: &str) -> Needles {
        Needles(
            text.as_bytes()
                .chunks(PART_BYTES)
                .filter(|part| part.len() >= PART_BYTES / 2)
                .flat_map(Self::forms)
                .collect(),
        )
    }

    fn forms(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let mut all = vec![
            ("as it is", bytes.to_vec()),
            ("in hexadecimal", hex.clone().into_bytes()),
            ("in hexadecimal", hex.to_uppercase().into_bytes()),
            ("as a list of numbers", list.clone().into_bytes()),
            ("as a list of numbers", list.replace(' ', "").into_bytes()),
        ];
        // Wherever it begins in what was encoded: without the characters at both ends, which its neighbours decide about.
        for skip in 0..3 {
            let inner = &bytes[skip..skip + (bytes.len() - skip) / 3 * 3];
            all.push(("in base64", base64(inner)));
        }
        all
    }

    fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        self.0.iter().find(|(_, needle)| contains(bytes, needle)).map(|(form, _)| *form)
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| b == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Of whole groups of three bytes, so without padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |group: &[u8]| {
        let n = group.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        [18, 12, 6, 0].map(|shift| DIGITS[n >> shift & 63])
    };
    bytes.chunks_exact(3).flat_map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_text_is_found_in_every_form() {
        let needles = Needles::of("canary-0123456789");
        let found = |text: &[u8]| needles.found_in(text);
        assert_eq!(found(b"xxcanary-0123456789xx"), Some("as it is"));
        assert_eq!(found(b"00 63616e6172792d30313233343536373839 00"), Some("in hexadecimal"));
        assert_eq!(found(b"00 63616E6172792D30313233343536373839 00"), Some("in hexadecimal"));
        assert_eq!(found(format!("{:?}", b"canary-0123456789").as_bytes()), Some("as a list of numbers"));
        // printf 'canary-0123456789', 'x…' and 'xy…' with base64.
        for encoded in ["Y2FuYXJ5LTAxMjM0NTY3ODk=", "eGNhbmFyeS0wMTIzNDU2Nzg5", "eHljYW5hcnktMDEyMzQ1Njc4OQ=="] {
            assert_eq!(found(encoded.as_bytes()), Some("in base64"), "{encoded}");
        }
        assert_eq!((found(b"canary-012345678"), found(b"")), (None, None));
    }
}
