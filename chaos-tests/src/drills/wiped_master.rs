//! Must show 5: a master's directory wiped: the old id is refused; a new node joins with a token, catches up by snapshot, and
//! votes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::MemberRole;

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::load::{self, Load, Pace};
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(90);
const VICTIM: &str = "master-3";
const SUCCESSOR: &str = "master-4";
/// Small, so that the log's beginning is purged and a newcomer can only catch up by snapshot.
const SNAPSHOT_EVERY: u32 = 100;
/// One by one each makes some entries of the log; together several times what the masters keep behind a snapshot.
const SUBMITS: u32 = 800;

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    let cluster = Cluster::start(&Options::noop(3, 1))?;
    snapshot_often(&cluster)?;
    let pace = Pace { clients: 1, submits: SUBMITS, over: Duration::from_secs(1) };
    let mut tally = load::tally(&Load::start(&cluster.cli, pace, load::spec("history", &["true"])).join()?);
    ensure!(
        tally.acknowledged.len() == SUBMITS as usize,
        "only {} submits were acknowledged",
        tally.acknowledged.len()
    );

    old_id_is_refused(&cluster)?;
    let token = cluster.cli.json::<serde_json::Value>(&["cluster", "add", SUCCESSOR])?["token"]
        .as_str()
        .context("cluster add -o json has no token")?
        .to_owned();
    let newcomer = Newcomer::start(&cluster, &token)?;
    wait::until("the new master's vote", LIMIT, Duration::from_millis(300), || {
        let status = cluster.status()?;
        Ok(status.members.iter().any(|m| m.name == SUCCESSOR && m.role() == MemberRole::Voter).then_some(()))
    })?;
    say(format!("{SUCCESSOR} joined with a token, caught up and votes"));
    newcomer.came_by_snapshot(&cluster)?;
    cluster.cli.ok(&["cluster", "remove", VICTIM])?;
    say(format!("{VICTIM} was removed from the group"));
    its_vote_counts(&cluster)?;
    tally.others = 1;
    load::each_exactly_once(&cluster.cli, &tally, LIMIT)?;
    say(format!("all {SUBMITS} jobs of before are there"));
    drop(newcomer);
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// Restarts the masters with this one setting changed in their configuration files, as a person would.
fn snapshot_often(cluster: &Cluster) -> anyhow::Result<()> {
    let masters = cluster.masters()?;
    for name in &masters {
        cluster.kill(name)?;
        let path = cluster.dir.join(name).join("master.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let other = text.lines().filter(|l| !l.starts_with("snapshot_every_entries"));
        let changed: String = other.map(|l| format!("{l}\n")).collect();
        ensure!(changed.contains("[raft]"), "{} has no [raft] part", path.display());
        let changed = changed.replace("[raft]\n", &format!("[raft]\nsnapshot_every_entries = {SNAPSHOT_EVERY}\n"));
        fs::write(&path, changed).with_context(|| format!("cannot write {}", path.display()))?;
    }
    cluster.start_all()?;
    cluster.leader()?;
    Ok(())
}

fn old_id_is_refused(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kill(VICTIM)?;
    let data = data_dir(cluster, VICTIM)?;
    let before = cluster.log(VICTIM).len();
    // Everything but its certificate and its configuration: what a new disk in the same machine looks like.
    for entry in fs::read_dir(&data).with_context(|| format!("cannot list {}", data.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "identity" || name == "master.toml") {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    say(format!("wiped {VICTIM}'s directory"));
    // It may end before 'dev start' has seen it ready: both are a refusal, the log says so.
    if let Err(error) = cluster.start_one(VICTIM) {
        say(format!("dev start {VICTIM}: {}", error.to_string().lines().next().unwrap_or_default()));
    }
    let line = wait::until("the refusal in its log", LIMIT, Duration::from_millis(200), || {
        let log = cluster.log(VICTIM);
        Ok(log.get(before..).unwrap_or_default().lines().find(|l| l.contains("refused")).map(str::to_owned))
    })?;
    say(format!("the old id is refused: {line}"));
    wait::until("the refused master's end", LIMIT, Duration::from_millis(200), || {
        Ok(cluster.process(VICTIM)?.pid().is_none().then_some(()))
    })
}

/// With one of the two old voters dead, a majority needs the new one.
fn its_vote_counts(cluster: &Cluster) -> anyhow::Result<()> {
    let victim = cluster.masters()?.into_iter().find(|m| m != VICTIM).context("no old master is left")?;
    cluster.kill(&victim)?;
    let job = cluster.cli.submit(&["--name", "after", "noop", "--", "true"])?;
    let ended = cluster.cli.ended(&job, LIMIT)?;
    ensure!(ended.state == "Succeeded", "the job submitted with one old voter dead is {}", ended.state);
    say(format!("with {victim} dead too, a job still runs: the new vote counts"));
    cluster.start_one(&victim)
}

/// Where a child keeps its data, as its configuration file says.
pub(super) fn data_dir(cluster: &Cluster, name: &str) -> anyhow::Result<PathBuf> {
    let path = cluster.dir.join(name).join("master.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = text.lines().find_map(|l| l.strip_prefix("data_dir")).context("its configuration names no data_dir")?;
    Ok(PathBuf::from(value.trim_start_matches([' ', '=']).trim().trim_matches('"')))
}

/// A master that no `dev` knows: an ordinary process with a file of its own, as on another machine.
struct Newcomer {
    child: Child,
    data: PathBuf,
}

impl Newcomer {
    fn start(cluster: &Cluster, token: &str) -> anyhow::Result<Self> {
        let data = cluster.dir.join(SUCCESSOR);
        let masters: Vec<String> = cluster
            .status()?
            .members
            .into_iter()
            .filter(|m| m.name != VICTIM && !m.grpc.is_empty())
            .map(|m| format!("\"{}\"", m.grpc))
            .collect();
        let ports = free_ports(3)?;
        let text = format!(
            "name = \"{SUCCESSOR}\"\ndata_dir = \"{}\"\nhttp_listen = \"127.0.0.1:{}\"\ngrpc_listen = \"127.0.0.1:{}\"\n\
             raft_listen = \"127.0.0.1:{}\"\n\n[join]\nmasters = [{}]\ntoken = \"{token}\"\n\n\
             [raft]\nsnapshot_every_entries = {SNAPSHOT_EVERY}\n",
            data.display(),
            ports[0],
            ports[1],
            ports[2],
            masters.join(", ")
        );
        let file = cluster.dir.join(format!("{SUCCESSOR}.toml"));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let log =
            File::create(cluster.dir.join("logs").join(format!("{SUCCESSOR}.log"))).context("cannot make its log")?;
        let child = cluster
            .cli
            .command(&["master", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("its log cannot be shared")?)
            .stderr(log)
            .spawn()
            .context("cannot start the new master")?;
        Ok(Newcomer { child, data })
    }

    /// A founder's state is the generation that it began with; an installed checkpoint is a later one.
    fn came_by_snapshot(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let generation = |data: &Path| fs::read_to_string(data.join("state/CURRENT_SM")).map(|s| s.trim().to_owned());
        let own = generation(&self.data).context("the new master has no state")?;
        let founder = generation(&data_dir(cluster, "master-1")?).context("master-1 has no state")?;
        ensure!(own != founder, "the new master's state is {own}, as a founder's: no snapshot was installed");
        say(format!("its state is {own}, a founder's {founder}: it came by snapshot"));
        Ok(())
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that nobody listens on now.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("no free port")?;
    held.iter().map(|l| Ok(l.local_addr()?.port())).collect()
}
