//! Tests derived from CVEs of other systems that need real processes. Each carries the name that `docs/security-tests.md` lists with
//! its CVE.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chaos_tests::{Cluster, Options, run, wait};

const LIMIT: Duration = Duration::from_secs(60);
/// Stands for every secret that a user puts into an environment.
const CANARY: &str = "canary-8d1f0c6a4b";
/// Stands for every secret and password that is stored in the cluster.
const STORED: &str = "stored-5e7b92d1f3";

fn read_all(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        match path.is_dir() {
            true => read_all(&path, found)?,
            false => found.push((path.display().to_string(), fs::read(&path).unwrap_or_default())),
        }
    }
    Ok(())
}

fn holds(text: &[u8], secret: &str) -> bool {
    text.windows(secret.len()).any(|w| w == secret.as_bytes())
}

/// Nothing is quiet that can be asked for: a level does not protect a secret.
const LOUDEST: &str = "trace,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace,rustls=trace,tokio_rustls=trace,openraft=trace,bollard=trace";

/// Everybody logs all that there is, from here on.
fn speak_up(cluster: &Cluster) -> anyhow::Result<()> {
    for whose in [&["--all"][..], &["--worker", "worker-1"]] {
        let told: serde_json::Value =
            cluster.cli.json(&[&["cluster", "log-level", LOUDEST, "--for", "1h"], whose].concat())?;
        let filters = told.as_array().context("a list of filters")?;
        ensure!(filters.iter().all(|f| f["filter"] == LOUDEST && f["changed_by"].is_string()), "not loud: {told}");
    }
    let slip = cluster.cli.run(&["cluster", "log-level", "debgu", "--all"])?;
    ensure!(slip.code == 2 && slip.stderr.contains("'debgu' is no level"), "a slip is taken: {}", slip.stderr);
    Ok(())
}

/// A secret of a namespace and a login at a registry.
fn store_secrets(cluster: &Cluster) -> anyhow::Result<()> {
    let file = cluster.dir.join("canary");
    fs::write(&file, STORED)?;
    let path = file.display().to_string();
    cluster.cli.ok(&["secret", "set", "canary", "--from-file", &path])?;
    let login = ["registry", "login", "registry.example:5000", "--username", "ci", "--password-stdin"];
    let done = cluster.cli.command(&login).stdin(fs::File::open(&file)?).output()?;
    ensure!(done.status.success(), "no login is stored: {}", String::from_utf8_lossy(&done.stderr));
    fs::remove_file(&file)?;
    Ok(())
}

/// CVE-2019-12741 and its kin: secrets in logs, metrics, process lists.
#[test]
fn no_secret_in_logs_api_bundle() -> anyhow::Result<()> {
    let cluster = Cluster::start(&Options { flags: vec![], ..Options::noop(3, 1) })?;
    speak_up(&cluster)?;
    store_secrets(&cluster)?;
    let env = format!("PASSWORD={CANARY}");
    let job = cluster.cli.submit(&["--env", &env, "--cpu", "0.1", "noop", "--", "sleep", "0.2"])?;
    cluster.cli.ended(&job, LIMIT)?;
    let waiting = cluster.cli.submit(&["--env", &env, "--require", "zone=mars", "noop", "--", "true"])?;
    // Refusals and conflicts quote what they refuse: not this.
    let refused = cluster.cli.run(&["job", "submit", "--env", &env, "--name", "a b", "noop"])?;
    ensure!(
        refused.code == 2 && !refused.stderr.contains(CANARY),
        "a refusal shows the environment: {}",
        refused.stderr
    );
    let token = cluster.cli.json::<serde_json::Value>(&["worker", "authorize", "w9"])?["token"]
        .as_str()
        .context("a token")?
        .to_owned();
    let secret = token.rsplit(['-', '.', ':', '_']).next().unwrap_or_default().to_owned();
    ensure!(secret.len() >= 16, "the token's last part is no secret: the test looks for the wrong thing");
    // A leader dies and another one loads everything.
    let leader = cluster.leader()?.name;
    cluster.kill(&leader)?;
    cluster.start_one(&leader)?;
    wait::until("a leader after the kill", LIMIT, Duration::from_millis(200), || Ok(Some(cluster.leader()?)))?;
    let task = format!("{waiting}/0");
    let asked: [&[&str]; 4] = [&["task", "explain", &task], &["queue"], &["job", "list"], &["worker", "list"]];
    for arguments in asked {
        let said = cluster.cli.run(arguments)?;
        ensure!(!said.stdout.contains(CANARY) && !said.stderr.contains(CANARY), "{arguments:?} shows the environment");
    }

    let ca_key = fs::read_to_string(cluster.dir.join("ca/ca-key.pem"))?;
    let ca_key = ca_key.lines().nth(1).context("a PEM key has a second line")?.to_owned();
    let mut logs = vec![];
    read_all(&cluster.dir.join("logs"), &mut logs)?;
    let has_level = |level: &str| logs.iter().any(|(_, text)| holds(text, level));
    ensure!(has_level("TRACE") && has_level("DEBUG"), "nobody has spoken up: there is nothing to look at");
    for process in cluster.processes()? {
        if let Some(pid) = process.pid() {
            logs.push((format!("the command line of {}", process.name), fs::read(format!("/proc/{pid}/cmdline"))?));
        }
        if let Some(http) = process.http {
            let url = format!("https://{http}/metrics");
            let mut curl = Command::new("curl");
            curl.args(["-sk", "--max-time", "5", &url]);
            logs.push((url, run(&mut curl, LIMIT)?.stdout.into_bytes()));
        }
    }
    for (name, text) in &logs {
        for (what, secret) in [
            ("the environment", CANARY),
            ("a stored secret", STORED),
            ("a join token", secret.as_str()),
            ("the CA's key", ca_key.as_str()),
        ] {
            ensure!(!holds(text, secret), "{name} holds {what}");
        }
    }
    // Keys and configurations with tokens are for their owner only.
    let mut files = vec![];
    read_all(&cluster.dir, &mut files)?;
    for (path, text) in files.iter().filter(|(p, _)| !p.contains("/raft/") && !p.contains("/state/")) {
        use std::os::unix::fs::PermissionsExt as _;
        if holds(text, "PRIVATE KEY") || holds(text, "join_token") {
            let mode = fs::metadata(path)?.permissions().mode() & 0o777;
            ensure!(mode & 0o077 == 0, "{path} holds a secret and has mode {mode:o}");
        }
    }
    cluster.nobody_panicked()?;
    cluster.stop()
}

/// CVE-2024-47609: a listener that is out of file descriptors waits, and lives.
#[test]
fn tls_accept_survives() -> anyhow::Result<()> {
    let cluster = Cluster::start(&Options::noop(1, 0))?;
    let master = cluster.process("master-1")?;
    let pid = master.pid().context("master-1 does not run")?;
    let open = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &pid.to_string(), &format!("--nofile={}", open + 20)]);
    run(&mut prlimit, LIMIT)?.ok("prlimit")?;
    let grpc = master.grpc.context("master-1 has no address")?;
    let address = grpc.strip_prefix("https://").unwrap_or(&grpc);
    let held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    wait::until("the complaint about file descriptors", LIMIT, Duration::from_millis(100), || {
        Ok(cluster.log("master-1").contains("raise the limit of open files").then_some(()))
    })?;
    drop(held);
    wait::until("an answer after the flood", LIMIT, Duration::from_millis(200), || {
        Ok(Some(cluster.cli.ok(&["job", "list"])?))
    })?;
    ensure!(cluster.process("master-1")?.pid() == Some(pid), "the master was started again");
    cluster.nobody_panicked()?;
    cluster.stop()
}
