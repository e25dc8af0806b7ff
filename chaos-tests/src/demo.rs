//! What `make demo` shows: a cluster of real processes, real containers, work submitted to a follower, the leader killed with SIGKILL in the
//! middle, and everything done exactly once. Comes in: a text file for the sample, a folder for the cluster. Goes out: a story on
//! stdout, the sample's JSON result, and an error if any part of the promise did not hold. Nothing is left running.

use std::fs;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use cloudai_client::{Client, ClientOptions};
use cloudai_proto::v1::{ClusterStatusRequest, Consistency, GetJobRequest, JobSummary, Member};

use crate::check;
use crate::cli::Cli;
use crate::cluster::{self, Cluster, Options};
use crate::engine::{self, Starts};
use crate::load;
use crate::transcript::say;

const ARRAY: usize = 100;
/// Of the array, before the leader is killed: early enough that most of the work is still to do.
const KILL_AFTER: u32 = 25;
const LIMIT: Duration = Duration::from_secs(180);

pub fn run(input: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let input = readable(input)?;
    if let Some(why) = engine::why_not() {
        bail!("no Docker engine answers ({why}): the demo's work is real containers. 'make demo' starts one");
    }
    engine::images()?;
    say("images are built");
    let data_dir = std::path::absolute(data_dir).context("the data directory has no absolute path")?;
    stop(&data_dir)?;

    let mut options = Options::docker(3, 2);
    options.allow_mounts = vec![input.parent().unwrap_or(Path::new("/")).to_owned()];
    let cluster = Cluster::start_in(&data_dir, &options, None)?;
    let id = cluster.id()?;
    let outcome = show(&cluster, &id, &input);
    let cleared = clear(cluster, &id, &data_dir, outcome.is_ok());
    outcome?;
    cleared?;
    say(format!("everything held, and nothing is left running; the demo took {:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// Stops a cluster that an earlier demo left behind; does nothing when there is none.
pub fn stop(data_dir: &Path) -> anyhow::Result<()> {
    if !data_dir.join("run").is_dir() {
        return Ok(());
    }
    let cli = Cli { binary: crate::binary::cloudai()?, env: Default::default() };
    let mut command = cli.command(&["dev", "stop", "--data-dir"]);
    crate::command::run(command.arg(data_dir), LIMIT)?.ok("cloudai dev stop")?;
    fs::remove_dir_all(data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))?;
    say(format!("stopped the cluster that was left in {}", data_dir.display()));
    Ok(())
}

fn readable(input: &Path) -> anyhow::Result<PathBuf> {
    let real = fs::canonicalize(input)
        .with_context(|| format!("there is no file {}: name one with --input", input.display()))?;
    let size = fs::read(&real)
        .with_context(|| format!("{} cannot be read: name another file with --input", real.display()))?
        .len();
    ensure!(size > 0, "{} is empty: name a text file with --input", real.display());
    Ok(real)
}

fn show(cluster: &Cluster, id: &str, input: &Path) -> anyhow::Result<()> {
    let starts = Starts::watch(id)?;
    let leader = cluster.leader()?;
    let members = cluster.status()?.members;
    let follower = members.iter().find(|m| !m.leader).context("there is no follower")?;
    say(format!("{} leads; work goes to a follower, {}", leader.name, follower.name));
    let mut to_follower = cluster.cli.clone();
    to_follower.env.insert("CLOUDAI_ADDR".into(), follower.grpc.clone());

    let mount = format!("{}:/input", input.display());
    let sample = submit(
        &to_follower,
        &[
            "--name",
            "data-processing",
            "--cpu",
            "0.5",
            "--memory",
            "64m",
            "--mount",
            &mount,
            "cloudai/data-processing",
            "--",
            "data-processing",
            "--input",
            "/input",
            "--pace-ms",
            "80",
        ],
    )?;
    let range = format!("0-{}", ARRAY - 1);
    let array = submit(
        &to_follower,
        &[
            "--name",
            "short",
            "--array",
            &range,
            "--cpu",
            "0.5",
            "--memory",
            "16m",
            "cloudai/busybox",
            "--",
            "sh",
            "-c",
            "sleep 0.2; echo task $CLOUDAI_TASK_INDEX",
        ],
    )?;
    let log = FollowedLog::start(&cluster.cli, &sample)?;
    let runtime = load::runtime()?;
    let progress = Progress { cluster, sample: &sample, array: &array, log: &log, runtime: &runtime };

    progress.until("a quarter of the short tasks", |_, array| array >= KILL_AFTER)?;
    let (successor, took) = kill_leader(&runtime, cluster, &leader.name, &members)?;
    say(format!("{successor} took over after {} ms", took.as_millis()));
    progress.until("the end of both jobs", |sample, array| sample >= 1 && array >= ARRAY as u32)?;
    drop(log);

    let mut wrong = vec![];
    for (job, tasks) in [(&sample, 1), (&array, ARRAY)] {
        // One page of `job show` holds them all.
        wrong.extend(check::every_task_succeeded_once(&cluster.cli.job(job)?, tasks));
    }
    let started = starts.so_far();
    wrong.extend(
        started.iter().filter(|(_, n)| **n != 1).map(|(name, n)| format!("container {name} was started {n} times")),
    );
    if started.len() != ARRAY + 1 {
        wrong.push(format!("{} containers were started for {} tasks", started.len(), ARRAY + 1));
    }
    check::none("not everything was done exactly once", &wrong)?;
    say(format!("{} tasks, {} containers, each task done exactly once", ARRAY + 1, started.len()));

    let task = format!("{sample}/0");
    let text = cluster.cli.ok(&["task", "logs", &task])?;
    let result: serde_json::Value = serde_json::from_str(text.last_line())
        .with_context(|| format!("the last line of the sample's log is no JSON: {}", text.last_line()))?;
    ensure!(result["sample"] == "data-processing", "this is not the sample's result: {result}");
    say(format!("the sample read {} bytes of {}; its result:", result["input_bytes"], input.display()));
    println!("{}", text.last_line());
    cluster.nobody_panicked()
}

fn submit(cli: &Cli, arguments: &[&str]) -> anyhow::Result<String> {
    let shown: Vec<String> =
        arguments.iter().map(|a| if a.contains(' ') { format!("'{a}'") } else { (*a).to_owned() }).collect();
    say(format!("$ cloudai job submit {}", shown.join(" ")));
    let id = cli.submit(arguments)?;
    say(format!("  job {id}"));
    Ok(id)
}

/// SIGKILL, then asks the survivors what they know until one names another leader.
fn kill_leader(
    runtime: &tokio::runtime::Runtime,
    cluster: &Cluster,
    leader: &str,
    members: &[Member],
) -> anyhow::Result<(String, Duration)> {
    let pid = cluster.process(leader)?.pid().with_context(|| format!("{leader} has no process"))?;
    let identity = cluster.cli.env.get("CLOUDAI_IDENTITY").context("the env file has no CLOUDAI_IDENTITY")?;
    let survivors: Vec<Client> = members
        .iter()
        .filter(|m| m.name != leader)
        .map(|m| {
            let mut options = ClientOptions::new(vec![m.grpc.clone()], identity);
            options.retry_for = Duration::from_millis(500);
            Client::open(&options).context("no client for a survivor")
        })
        .collect::<Result<_, _>>()?;
    cluster::kill_pids(&[pid])?;
    let killed = Instant::now();
    say(format!("killed the leader, {leader} (pid {pid}), with SIGKILL"));
    let request = ClusterStatusRequest { consistency: Consistency::Stale as i32 };
    runtime.block_on(async {
        while killed.elapsed() < LIMIT {
            for survivor in &survivors {
                if let Ok(status) = survivor.cluster_status(request).await
                    && !status.leader.is_empty()
                    && status.leader != leader
                {
                    return Ok((status.leader, killed.elapsed()));
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("nobody took over within {} s", LIMIT.as_secs())
    })
}

struct Progress<'a> {
    cluster: &'a Cluster,
    sample: &'a str,
    array: &'a str,
    log: &'a FollowedLog,
    runtime: &'a tokio::runtime::Runtime,
}

impl Progress<'_> {
    /// Shows a line per change, until `enough(succeeded of the sample, succeeded of the array)`.
    fn until(&self, what: &str, enough: impl Fn(u32, u32) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        let on_terminal = std::io::stdout().is_terminal();
        let client = {
            let _inside = self.runtime.enter();
            load::client(&self.cluster.cli, 0)?
        };
        let (mut shown, mut last) = (String::new(), None::<Instant>);
        loop {
            let (sample, array) = self.runtime.block_on(async {
                anyhow::Ok((summary(&client, self.sample).await?, summary(&client, self.array).await?))
            })?;
            let (sample, array) = (sample.counts.unwrap_or_default(), array.counts.unwrap_or_default());
            let done = enough(sample.succeeded, array.succeeded);
            let line = format!(
                "short: {:3} queued {:3} active {:3} done | sample: {}",
                array.queued,
                array.active,
                array.succeeded,
                self.log.newest()
            );
            // Each change on a terminal, one line per second elsewhere.
            if line != shown && (on_terminal || done || last.is_none_or(|l| l.elapsed() >= Duration::from_secs(1))) {
                say(&line);
                (shown, last) = (line, Some(Instant::now()));
            }
            if done {
                return Ok(());
            }
            for counts in [sample, array] {
                let lost = counts.failed + counts.cancelled + counts.dead;
                ensure!(lost == 0, "{lost} tasks did not succeed: cloudai job show {} or {}", self.sample, self.array);
            }
            ensure!(began.elapsed() < LIMIT, "{what} did not come within {} s", LIMIT.as_secs());
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

async fn summary(client: &Client, job: &str) -> anyhow::Result<JobSummary> {
    let reply = client.get_job(GetJobRequest { job: job.to_owned(), ..GetJobRequest::default() }).await;
    reply.context("a job cannot be read")?.job.context("the answer holds no job")
}

/// `cloudai task logs -f` in the background: the newest line of the sample, as it comes.
struct FollowedLog {
    child: Child,
    newest: Arc<Mutex<String>>,
}

impl FollowedLog {
    fn start(cli: &Cli, job: &str) -> anyhow::Result<Self> {
        let mut child = cli
            .command(&["task", "logs", "-f", &format!("{job}/0")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start cloudai task logs -f")?;
        let out = child.stdout.take().context("it has no output")?;
        let newest = Arc::new(Mutex::new("waits".to_owned()));
        let own = newest.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let short = if line.starts_with('{') { "result printed".to_owned() } else { line };
                *own.lock().expect("no holder of this lock can panic") = short;
            }
        });
        Ok(FollowedLog { child, newest })
    }

    fn newest(&self) -> String {
        self.newest.lock().expect("no holder of this lock can panic").clone()
    }
}

impl Drop for FollowedLog {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops everything, and proves it. A folder that might explain a failure is kept.
fn clear(cluster: Cluster, id: &str, data_dir: &Path, held: bool) -> anyhow::Result<()> {
    cluster.stop()?;
    let left = engine::containers(&[&format!("cloudai.cluster={id}")], false)?;
    if !left.is_empty() {
        engine::remove(&left)?;
        bail!("containers were left behind (now removed): {left:?}");
    }
    if held {
        fs::remove_dir_all(data_dir).with_context(|| format!("cannot remove {}", data_dir.display()))?;
    } else {
        say(format!("logs and configuration are kept in {}", data_dir.display()));
    }
    std::io::stdout().flush().context("stdout is closed")
}
