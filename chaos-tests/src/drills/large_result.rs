//! Must show 6 of the issue about real work: a task leaves a gigabyte, and its worker is killed half way through the upload. It ends stored once,
//! with the sum of what was written, and comes out again in another network namespace, also after a download that was broken off.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, needs_docker};
use crate::cluster::{Cluster, Options, kill_pids};
use crate::command::{Finished, run as run_command};
use crate::forwarder::Forwarder;
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(2);
const FILE: &str = "big.bin";

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let network = match Network::lay() {
        Ok(network) => network,
        Err(error) => return Ok(Verdict::NotRun(format!("no network namespace can be made here ({error:#})"))),
    };
    // Less than the gibibyte that a task may leave that asked for no storage.
    let bytes: u64 = if size == Size::Full { 1_000_000_000 } else { 300_000_000 };
    let cluster = Cluster::start(&Options::docker(3, 1))?;
    let job = stored_once(&cluster, bytes)?;
    let sum = checked(&cluster, &job, bytes)?;
    downloaded(&cluster, &network, &job, bytes, &sum)?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// The worker dies between the first half and the manifest, and comes back.
fn stored_once(cluster: &Cluster, bytes: u64) -> anyhow::Result<String> {
    let script = format!("head -c {bytes} /dev/urandom >/cloudai/out/{FILE}");
    let submit =
        ["--name", "large", "--results", "--cpu", "1", "--memory", "64m", "cloudai/busybox", "--", "sh", "-c", &script];
    let job = cluster.cli.submit(&submit)?;
    let attempt = attempt_dir(cluster, &job);
    let pid = cluster.process("worker-1")?.pid().context("worker-1 has no pid")?;
    let half = wait::until("the first half in the store", LIMIT, LOOK, || {
        let so_far = files(&attempt)?.iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).sum::<u64>();
        Ok((so_far >= bytes * 2 / 5).then_some(so_far))
    })?;
    kill_pids(&[pid])?;
    ensure!(!attempt.join("manifest.json").exists(), "the kill came too late: the manifest is there");
    say(format!("killed the worker when {} of {} MB were in the store", half / 1_000_000, bytes / 1_000_000));
    cluster.start_one("worker-1")?;
    let ended = cluster.cli.ended(&job, LIMIT)?;
    ensure!(ended.state == "Succeeded", "the job is {}", ended.state);
    let attempts: usize = ended.tasks.iter().map(|t| t.attempts.len()).sum();
    ensure!(attempts == 1, "it took {attempts} attempts");
    Ok(job)
}

fn attempt_dir(cluster: &Cluster, job: &str) -> PathBuf {
    cluster.dir.join("results/default").join(job).join("0/1")
}

/// All files below, at any depth. A folder that is not there has none.
fn files(at: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![];
    let Ok(entries) = fs::read_dir(at) else { return Ok(found) };
    for entry in entries {
        // One that vanishes meanwhile was renamed.
        let Ok(entry) = entry else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())?),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    Ok(found)
}

/// Exactly one manifest and one object, and both say the same. The sum.
fn checked(cluster: &Cluster, job: &str, bytes: u64) -> anyhow::Result<String> {
    let attempt = attempt_dir(cluster, job);
    let mut all = files(&cluster.dir.join("results/default").join(job))?;
    all.sort();
    let wanted = [attempt.join("files").join(FILE), attempt.join("manifest.json")];
    ensure!(all == wanted, "the store holds {all:?}");
    let manifest = fs::read_to_string(&wanted[1]).context("the manifest cannot be read")?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).context("the manifest is no JSON")?;
    let file = &manifest["files"][0];
    ensure!(file["size"] == bytes, "the manifest says {} bytes", file["size"]);
    let sum = sha256(&wanted[0])?;
    ensure!(file["sha256"] == sum.as_str(), "the manifest says {}, and the object has {sum}", file["sha256"]);
    let shown = cluster.cli.ok(&["job", "results", job, "-o", "json"])?;
    ensure!(shown.stdout.contains(&sum), "job results does not show the sum: {}", shown.stdout);
    let copies: Vec<PathBuf> = files(&cluster.dir)?.into_iter().filter(|path| path.ends_with(FILE)).collect();
    ensure!(copies == wanted[..1], "there are copies of it: {copies:?}");
    say(format!("stored once: {} MB in one attempt with one manifest, and nothing besides", bytes / 1_000_000));
    Ok(sum)
}

fn sha256(file: &Path) -> anyhow::Result<String> {
    let done = run_command(Command::new("sha256sum").arg(file), LIMIT)?.ok("sha256sum")?;
    Ok(done.stdout.split_whitespace().next().unwrap_or_default().to_owned())
}

fn downloaded(cluster: &Cluster, network: &Network, job: &str, bytes: u64, sum: &str) -> anyhow::Result<()> {
    // The masters of `cloudai dev` listen on this machine only: what they say is passed on at the namespace's gateway.
    let masters = cluster.processes()?.into_iter().filter(|p| p.role == "master").filter_map(|p| p.grpc);
    let forwarders = masters
        .map(|to| Forwarder::start(&network.gateway, to.trim_start_matches("https://")))
        .collect::<anyhow::Result<Vec<Forwarder>>>()
        .context("no way to the masters")?;
    let addresses: Vec<String> = forwarders.iter().map(|f| f.address.to_string()).collect();
    let passed = || forwarders.iter().map(Forwarder::passed).sum::<u64>();
    let to = tempfile::Builder::new().prefix("cloudai-download-").tempdir().context("no temporary folder")?;
    let mut cli = cluster.cli.clone();
    cli.env.insert("CLOUDAI_ADDR".into(), addresses.join(","));
    let download = || {
        let plain = cli.command(&["job", "download", job, "--dir", &to.path().display().to_string()]);
        network.inside(&plain)
    };
    let mut broken = download();
    let mut child =
        broken.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("cannot download")?;
    let part = wait::until("a third of the download", LIMIT, LOOK, || {
        let parts = files(&to.path().join(".cloudai-parts"))?;
        let so_far = parts.iter().map(|path| fs::metadata(path).map_or(0, |m| m.len())).sum::<u64>();
        Ok((so_far >= bytes / 3).then_some(so_far))
    });
    // Killed in any case; it may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    let part: u64 = part?;
    ensure!(!to.path().join(FILE).exists(), "the download was broken off too late");
    let before = passed();
    let done: Finished = run_command(&mut download(), LIMIT)?.ok("cloudai job download in another namespace")?;
    let fetched = passed() - before;
    ensure!(sha256(&to.path().join(FILE))? == sum, "what was downloaded has another sum");
    // Frames and TLS cost a little.
    let most = (bytes - part) + (bytes - part) / 10 + (1 << 20);
    ensure!(fetched <= most, "{fetched} bytes came although {part} of {bytes} were there already");
    ensure!(!to.path().join(".cloudai-parts").exists(), "parts of the download are left");
    say(format!(
        "downloaded in another network namespace: broken off at {} MB, gone on with the rest in {:.1} s, and the sum is equal",
        part / 1_000_000,
        done.took.as_secs_f64()
    ));
    Ok(())
}

/// A namespace with one cable to this one.
struct Network {
    name: String,
    cable: String,
    gateway: String,
}

impl Network {
    fn lay() -> anyhow::Result<Network> {
        let pid = std::process::id();
        // A network of four addresses for each process: two that run beside each other have others.
        let (third, fourth) = ((pid / 63) % 256, pid % 63 * 4);
        let network = Network {
            name: format!("cloudai-dl-{pid}"),
            cable: format!("cai{pid}"),
            gateway: format!("10.213.{third}.{}", fourth + 1),
        };
        ip(&["netns", "add", &network.name])?;
        ip(&["link", "add", &network.cable, "type", "veth", "peer", "name", "eth0", "netns", &network.name])?;
        ip(&["addr", "add", &format!("{}/30", network.gateway), "dev", &network.cable])?;
        ip(&["link", "set", &network.cable, "up"])?;
        let own = format!("10.213.{third}.{}/30", fourth + 2);
        ip(&["-n", &network.name, "addr", "add", &own, "dev", "eth0"])?;
        ip(&["-n", &network.name, "link", "set", "eth0", "up"])?;
        ip(&["-n", &network.name, "link", "set", "lo", "up"])?;
        Ok(network)
    }

    /// The same command, with this network and no other.
    fn inside(&self, plain: &Command) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg("--");
        command.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cable goes with the namespace; what was not made cannot be removed.
        let _ = ip(&["netns", "del", &self.name]);
        let _ = ip(&["link", "del", &self.cable]);
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run_command(Command::new("ip").args(arguments), Duration::from_secs(20))?
        .ok(&format!("ip {}", arguments.join(" ")))?;
    Ok(())
}
