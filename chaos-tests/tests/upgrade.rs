//! The present program on a data directory of a former one: every job, task and worker is there with the answers of that time,
//! and work goes on. Comes in: `fixtures/format-*`. It knows the command line, and nothing of what is inside the files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use chaos_tests::{Cli, binary, run, say, wait};
use cloudai_net::{CertificateAuthority, IdentityFiles, Role};
use cloudai_types::{Timestamp, limits};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(90);
const EVERY: Duration = Duration::from_millis(200);
/// As `make.sh` laid it out.
const MASTERS: [(&str, &str); 3] =
    [("master-1", "127.83.26.1:7601"), ("master-2", "127.83.26.2:7601"), ("master-3", "127.83.26.3:7601")];
const WORKERS: [&str; 2] = ["worker-1", "worker-2"];

#[test]
fn the_format_of_november_2026_is_read_and_work_goes_on() -> anyhow::Result<()> {
    let frozen = Frozen::unpack("format-2026-11")?;
    // One by one: without a majority nothing changes, so the answers are those of the moment that was frozen.
    for (name, address) in MASTERS {
        let alone = frozen.start(name, "master")?;
        frozen.answers_as_then(&frozen.cli(address))?;
        say(format!("{name} gives the answers of then"));
        drop(alone);
    }
    let mut processes = vec![];
    for (name, _) in MASTERS {
        processes.push(frozen.start(name, "master")?);
    }
    for name in WORKERS {
        processes.push(frozen.start(name, "worker")?);
    }
    let cli = frozen.cli(&MASTERS.map(|(_, address)| address).join(","));
    let job = wait::until("a submit after the upgrade", LIMIT, EVERY, || {
        Ok(Some(cli.submit(&["--name", "after-the-upgrade", "--cpu", "0.1", "noop", "--", "true"])?))
    })?;
    // The old active job reserves its CPU until it is cancelled, which must work too.
    let active = frozen.id_of("active")?;
    cli.ok(&["job", "cancel", &active])?;
    for (id, state) in [(&job, "Succeeded"), (&active, "Cancelled"), (&frozen.id_of("partly")?, "Succeeded")] {
        let ended = cli.ended(id, LIMIT)?;
        ensure!(ended.state == state, "job {id} ({}) ended as {}, not {state}", ended.name, ended.state);
    }
    say("a new job ended, the old active one was cancelled, and the half-done array was finished");
    let ended = frozen.id_of("ended-array")?;
    let then = frozen.shown_then(&ended)?;
    holds_all_of(&then, &cli.json::<Value>(&["job", "show", &ended])?, &ended)
}

struct Frozen {
    fixture: PathBuf,
    dir: PathBuf,
    binary: PathBuf,
    _temporary: tempfile::TempDir,
    /// The addresses are fixed, so one such test runs at a time on a machine.
    _alone: File,
}

impl Frozen {
    fn unpack(name: &str) -> anyhow::Result<Self> {
        let alone = File::create(std::env::temp_dir().join(format!("cloudai-{name}.lock"))).context("no lock file")?;
        alone.lock().context("the lock file cannot be locked")?;
        let fixture = Path::new("fixtures").join(name);
        let temporary = tempfile::Builder::new().prefix("cloudai-chaos-").tempdir().context("no temporary folder")?;
        let dir = temporary.path().join("cluster");
        fs::create_dir(&dir)?;
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(fixture.join("cluster.tar.gz")).arg("-C").arg(&dir);
        run(&mut tar, LIMIT)?.ok("tar")?;
        let frozen = Frozen { fixture, dir, binary: binary::cloudai()?, _temporary: temporary, _alone: alone };
        for (name, _) in MASTERS {
            frozen.place(name, "master")?;
        }
        for name in WORKERS {
            frozen.place(name, "worker")?;
        }
        frozen.renew_certificates()?;
        Ok(frozen)
    }

    /// Its configuration names the directory that it lies in.
    fn place(&self, name: &str, role: &str) -> anyhow::Result<()> {
        let path = self.config(name, role);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(text.contains("@DIR@"), "{} does not say where it lies", path.display());
        Ok(fs::write(&path, text.replace("@DIR@", &self.dir.display().to_string()))?)
    }

    fn config(&self, name: &str, role: &str) -> PathBuf {
        self.dir.join(name).join(format!("{role}.toml"))
    }

    /// The leaves of then have expired, or will; the CA has not.
    fn renew_certificates(&self) -> anyhow::Result<()> {
        let ca = CertificateAuthority::load(&self.dir.join("ca")).context("the frozen CA")?;
        let now = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64);
        let issue = |dir: PathBuf, role, name: &str| {
            let issued = IdentityFiles::new(dir).enroll(&ca, role, name, &[], limits::LEAF_VALIDITY, now);
            issued.map(drop).with_context(|| format!("a new certificate for {name}"))
        };
        issue(self.dir.join("admin"), Role::Admin, "admin")?;
        MASTERS.iter().try_for_each(|(n, _)| issue(self.dir.join(n).join("identity"), Role::Master, n))?;
        WORKERS.iter().try_for_each(|n| issue(self.dir.join(n).join("identity"), Role::Worker, n))
    }

    fn start(&self, name: &str, role: &str) -> anyhow::Result<Process> {
        let path = self.dir.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&path).context("cannot make its log")?;
        let bare = Cli { binary: self.binary.clone(), env: Default::default() };
        let mut command = bare.command(&[role, "--config"]);
        command.arg(self.config(name, role)).stdin(Stdio::null());
        let child = command.stdout(log.try_clone()?).stderr(log).spawn().with_context(|| format!("start {name}"))?;
        Ok(Process(child, path))
    }

    fn cli(&self, addresses: &str) -> Cli {
        let env = [
            ("CLOUDAI_ADDR", addresses.to_owned()),
            ("CLOUDAI_IDENTITY", self.dir.join("admin").display().to_string()),
        ];
        Cli { binary: self.binary.clone(), env: env.map(|(k, v)| (k.to_owned(), v)).into() }
    }

    fn answers(&self, file: &str) -> anyhow::Result<Vec<Value>> {
        let path = self.fixture.join("answers").join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        documents.collect::<Result<_, _>>().with_context(|| format!("{} is no JSON", path.display()))
    }

    fn answer(&self, file: &str) -> anyhow::Result<Value> {
        self.answers(file)?.into_iter().next().with_context(|| format!("{file} is empty"))
    }

    /// What `job show` said of it.
    fn shown_then(&self, id: &str) -> anyhow::Result<Value> {
        let shown = self.answers("each.jsonl")?.into_iter().find(|v| v["id"] == id);
        shown.with_context(|| format!("no answer about {id}"))
    }

    fn id_of(&self, name: &str) -> anyhow::Result<String> {
        let jobs = self.answer("jobs.json")?;
        let found = jobs.as_array().into_iter().flatten().find(|j| j["name"] == name);
        Ok(found.and_then(|j| j["id"].as_str()).with_context(|| format!("no job {name}"))?.to_owned())
    }

    fn answers_as_then(&self, cli: &Cli) -> anyhow::Result<()> {
        let ask = |arguments: &[&str]| {
            let mut all = arguments.to_vec();
            all.extend(["--consistency", "stale"]);
            cli.json::<Value>(&all)
        };
        let jobs = wait::until("an answer", LIMIT, EVERY, || Ok(Some(ask(&["job", "list", "--limit", "1000"])?)))?;
        holds_all_of(&self.answer("jobs.json")?, &jobs, "job list")?;
        holds_all_of(&self.answer("workers.json")?, &ask(&["worker", "list"])?, "worker list")?;
        holds_all_of(&self.answer("queue.json")?, &ask(&["queue"])?, "queue")?;
        let mut seen = 0;
        for pair in self.answers("each.jsonl")?.chunks_exact(2) {
            let id = pair[0]["id"].as_str().context("an answer without an id")?;
            holds_all_of(&pair[0], &ask(&["job", "show", id])?, id)?;
            holds_all_of(&pair[1], &ask(&["task", "list", id, "--limit", "50"])?, id)?;
            seen += 1;
        }
        ensure!(seen >= 8, "only {seen} jobs were asked in full");
        Ok(())
    }
}

/// Everything that was said is said again; what is said in addition is a new field.
fn holds_all_of(then: &Value, now: &Value, at: &str) -> anyhow::Result<()> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => then.iter().try_for_each(|(key, old)| {
            let new = now.get(key).with_context(|| format!("{at}.{key} is gone"))?;
            holds_all_of(old, new, &format!("{at}.{key}"))
        }),
        (Value::Array(then), Value::Array(now)) => {
            ensure!(then.len() == now.len(), "{at} has {} items, not {}", now.len(), then.len());
            then.iter()
                .zip(now)
                .enumerate()
                .try_for_each(|(i, (old, new))| holds_all_of(old, new, &format!("{at}[{i}]")))
        }
        _ if then == now => Ok(()),
        _ => bail!("{at} was {then}, and is {now}"),
    }
}

/// Killed when it goes out of scope; shows the end of its log when the test fails.
struct Process(Child, PathBuf);

impl Drop for Process {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
        if std::thread::panicking() {
            println!("{}", fs::read_to_string(&self.1).unwrap_or_default());
        }
    }
}

#[test]
fn a_changed_or_missing_answer_is_seen() {
    let then = serde_json::json!({"a": [1, {"b": "x"}]});
    let same = |now: Value| holds_all_of(&then, &now, "").is_ok();
    assert!(same(serde_json::json!({"a": [1, {"b": "x", "new": 1}], "more": 2})));
    assert!(!same(serde_json::json!({"a": [1, {"b": "y"}]})));
    assert!(!same(serde_json::json!({"a": [1]})));
    assert!(!same(serde_json::json!({})));
}
