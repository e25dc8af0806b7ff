//! Debian's Prometheus finds a `cloudai dev` cluster through `/service-discovery`, with the configuration, the alerts and the dashboards that a user has, while jobs
//! run and the leader is killed. The cluster's gauges have no gap but the failover, no page grows, every query of every dashboard has an answer, every rule is evaluated,
//! and alerts fire when a worker dies, a disk fills, a certificate is about to end and the quorum is lost: each silent before.
//!
//! In full size the dashboards are drawn from the run, into target/pictures or `CLOUDAI_PICTURES`. With a Docker engine tasks are containers; without one they are
//! played, and panels about engines are expected to be empty.

mod boards;
mod config;
mod faults;
mod pages;
mod pictures;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::{ClusterStatusRequest, Consistency};
use cloudai_replay::plot::dashboard;

use super::{Size, Verdict, doctor};
use crate::cluster::{Cluster, Options, kill_pids};
use crate::prometheus::{Prometheus, now_s};
use crate::rig::preflight;
use crate::transcript::say;
use crate::{engine, load, prometheus, wait};
use boards::{Board, Lacks};
use faults::{Expected, Mounted, falls_silent, fills, fires, silent};
use pages::Pages;
use work::Work;

struct Plan {
    /// Of scrapes, rules and looks for members.
    every_s: u64,
    jobs: u32,
    over: Duration,
    /// Pictures of the dashboards, at the end.
    draws: bool,
}

impl Plan {
    fn of(size: Size) -> Plan {
        match size {
            Size::Small => Plan { every_s: 1, jobs: 150, over: Duration::from_secs(24), draws: false },
            Size::Full => Plan { every_s: 5, jobs: 998, over: Duration::from_secs(540), draws: true },
        }
    }
}

const LIMIT: Duration = Duration::from_secs(60);
/// The killed leader stays away for so long.
const AWAY: Duration = Duration::from_secs(5);
const SERIES_MAX: f64 = 2_000.0;
/// So few that a short run has checkpoints.
const CHECKPOINT_EVERY: u32 = 150;
const DISK_MIB: u32 = 4_096;
/// Less than the 2 GB of the alerts, and enough to go on.
const DISK_LEFT_MIB: u64 = 1_536;
/// How finely a gap is looked for.
const STEP_S: f64 = 0.1;

const WORKER_GONE: [Expected; 2] = [("CloudaiWorkerUnreachable", "worker-1"), ("CloudaiWorkersLost", "")];
const DISK_FULL: [Expected; 2] = [("CloudaiMasterDiskLow", "master-3"), ("CloudaiWorkerDiskLow", "worker-3")];
const CERTIFICATE_ENDS: [Expected; 1] = [("CloudaiCertificateExpiring", "master-2")];
const QUORUM_LOST: [Expected; 1] = [("CloudaiNoLeader", "")];

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let missing = prometheus::why_not().into_iter().chain(preflight::missing(&[])).collect::<Vec<_>>();
    if !missing.is_empty() {
        return Ok(Verdict::NotRun(missing.join("; ")));
    }
    let plan = Plan::of(size);
    let (options, mut lacking) = match engine::why_not() {
        None => {
            engine::images()?;
            (Options::docker(3, 3), vec![Lacks::Loki])
        }
        Some(why) => {
            say(format!("no Docker engine answers ({why}): tasks are played, and panels about engines stay empty"));
            let capacity = Some("cpu=4,memory=16GiB".into());
            (Options { capacity, ..Options::noop(3, 3) }, vec![Lacks::Loki, Lacks::Engine])
        }
    };
    if !Path::new("/dev/nvidiactl").exists() {
        lacking.push(Lacks::Gpus);
    }
    let dir = tempfile::Builder::new().prefix("cloudai-prom-").tempdir()?;
    let disk = Mounted::make(dir.path(), DISK_MIB)?;
    let cluster = Cluster::start(&options)?;
    prepare(&cluster, &disk)?;
    let pages = Pages::of(&cluster)?;
    let files = Files::write(dir.path(), &cluster, &pages, plan.every_s)?;
    let started_s = now_s();
    let prometheus = Prometheus::start(dir.path(), &files.config)?;
    let members = (options.masters + options.workers) as usize;
    everybody_is_up(&prometheus, members)?;
    say(format!("Prometheus {} has found {members} members, and reaches them", prometheus.version()?));

    // Of all alerts that of certificates waits longest: this fault comes first, and the run goes on meanwhile.
    silent(&prometheus, started_s, &CERTIFICATE_ENDS)?;
    doctor::restart_with_certificate(&cluster, "master-2", doctor::TWO_DAYS)?;
    cluster.leader()?;
    everybody_is_up(&prometheus, members)?;

    let from_s = now_s();
    let work = Work::start(&cluster, options.executor, plan.jobs, plan.over)?;
    sleep(plan.over / 2);
    let mut marks = vec![(now_s(), "the leader is killed".to_owned())];
    let (killed, failover) = kill_the_leader(&cluster)?;
    say(format!("{killed}, the leader, is killed; {} ms later a read is answered", failover.as_millis()));
    sleep(AWAY);
    cluster.start_one(&killed)?;
    let (jobs, asked) = work.join()?;
    say(format!("{jobs} jobs; {} questions answered, {} refused", asked.answered, asked.refused));
    ensure!(asked.answered > 20 && asked.refused > 20, "too few questions for the dashboards: {asked:?}");
    everybody_is_up(&prometheus, members)?;
    let well_s = now_s();
    no_gap_but_the_failover(&prometheus, (from_s, well_s), failover, plan.every_s)?;
    pages_are_small_and_clean(&prometheus, &pages, dir.path())?;

    // So that "silent" is said of more than a moment.
    sleep(Duration::from_secs(2 * plan.every_s));
    marks.extend(alerts_fire(&prometheus, &cluster, &disk, well_s)?);
    everybody_is_up(&prometheus, members)?;
    sleep(Duration::from_secs(2 * plan.every_s));
    let to_s = now_s();

    every_rule_is_evaluated(&prometheus, files.alerts)?;
    let boards = answered(&prometheus, &plan, (from_s, to_s))?;
    let wrong = boards::wrong(&boards, &lacking);
    ensure!(wrong.is_empty(), "{} lines of dashboards:\n{}", wrong.len(), wrong.join("\n"));
    let lines = boards.iter().flat_map(|b| &b.rows).flat_map(|r| &r.panels).map(|p| p.lines.len()).sum::<usize>();
    say(format!("{lines} queries of {} dashboards say what they should over {:.0} s", boards.len(), to_s - from_s));
    if plan.draws {
        let about = format!(
            "{} s of a cluster of 3 masters and 3 workers with {jobs} jobs, as Prometheus {} saw them; drawn by us, not by Grafana.",
            (to_s - from_s).round(),
            prometheus.version()?
        );
        draw(&boards, &pictures::Run { about, from_s, to_s, marks, lacking })?;
    }
    drop(prometheus);
    work::ends(&cluster)?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// Faults, each of them only after its alerts were silent since `well_s`. When each happened, and what it was.
fn alerts_fire(
    prometheus: &Prometheus,
    cluster: &Cluster,
    disk: &Mounted,
    well_s: f64,
) -> anyhow::Result<Vec<(f64, String)>> {
    let mut marks = vec![];
    let mut happens = |what: &str| marks.push((now_s(), what.to_owned()));
    silent(prometheus, well_s, &[&WORKER_GONE[..], &DISK_FULL, &QUORUM_LOST].concat())?;
    happens("a disk is full");
    fills(&disk.0, DISK_LEFT_MIB)?;
    silent(prometheus, well_s, &WORKER_GONE)?;
    happens("a worker is killed");
    cluster.kill("worker-1")?;
    fires(prometheus, "the disk is full", &DISK_FULL)?;
    fires(prometheus, "the worker is gone", &WORKER_GONE)?;
    fires(prometheus, "the certificate ends soon", &CERTIFICATE_ENDS)?;
    silent(prometheus, well_s, &QUORUM_LOST)?;
    happens("two of three masters are killed");
    for master in &cluster.masters()?[..2] {
        cluster.kill(master)?;
    }
    fires(prometheus, "the quorum is lost", &QUORUM_LOST)?;
    cluster.start_all()?;
    falls_silent(prometheus, QUORUM_LOST[0])?;
    Ok(marks)
}

/// Checkpoints often enough for a short run, and a master and a worker on a small disk.
fn prepare(cluster: &Cluster, disk: &Mounted) -> anyhow::Result<()> {
    for master in cluster.masters()? {
        let path = cluster.dir.join(&master).join("master.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let (before, rest) = text.split_once("snapshot_every_entries = ").context("no checkpoints in master.toml")?;
        let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        fs::write(&path, format!("{before}snapshot_every_entries = {CHECKPOINT_EVERY}\n{rest}"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        if master == "master-3" {
            faults::moves_to(cluster, &master, &disk.0)?;
        } else {
            cluster.kill(&master)?;
            cluster.start_one(&master)?;
        }
        cluster.leader()?;
    }
    faults::moves_to(cluster, "worker-3", &disk.0)
}

/// What Prometheus is given, and promtool has found good.
struct Files {
    config: PathBuf,
    /// In the rules.
    alerts: usize,
}

impl Files {
    fn write(dir: &Path, cluster: &Cluster, pages: &Pages, every_s: u64) -> anyhow::Result<Files> {
        let (root, alerts_dir) = (repository()?, dir.join("alerts"));
        let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
        let (rules, alerts) = config::shortened(&read("grafana/alerts/cloudai.yml")?)?;
        let places = config::Places {
            masters: &pages.addresses(),
            identity: &cluster.dir.join("observer"),
            alerts: &alerts_dir,
            every_s,
        };
        let text = config::configuration(&read("deploy/prometheus/prometheus.yml")?, &places)?;
        let config = dir.join("prometheus.yml");
        fs::create_dir(&alerts_dir).context("no folder for the alerts")?;
        fs::write(alerts_dir.join("cloudai.yml"), rules).context("the alerts cannot be written")?;
        fs::write(&config, text).context("the configuration cannot be written")?;
        promtool(&format!("check rules {}", root.join("grafana/alerts/cloudai.yml").display()))?;
        promtool(&format!("check config {}", config.display()))?;
        Ok(Files { config, alerts })
    }
}

/// Its arguments as a shell reads them.
fn promtool(arguments: &str) -> anyhow::Result<()> {
    crate::command::run(Command::new("sh").args(["-c", &format!("promtool {arguments}")]), LIMIT)?
        .ok(&format!("promtool {arguments}"))?;
    Ok(())
}

/// Cargo says at run time where it runs; what was compiled in may be another clone's folder.
fn repository() -> anyhow::Result<PathBuf> {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Ok(Path::new(&here).parent().context("this crate lies in the workspace")?.to_owned())
}

fn everybody_is_up(prometheus: &Prometheus, members: usize) -> anyhow::Result<()> {
    let mut last = String::new();
    wait::until("a Prometheus that reaches all members", LIMIT, Duration::from_millis(300), || {
        let targets = prometheus.targets()?;
        let down = targets.iter().filter(|t| t.health != "up");
        last = down.map(|t| format!("{:?} is {}: {}; ", t.labels, t.health, t.last_error)).collect();
        Ok((targets.len() == members && last.is_empty()).then_some(()))
    })
    .with_context(|| last)
}

/// Its name, and how long it takes from there to a read that a majority has confirmed: that is the failover, as a client has it.
fn kill_the_leader(cluster: &Cluster) -> anyhow::Result<(String, Duration)> {
    let leader = cluster.leader()?;
    let pid = leader.pid().context("the leader has no process")?;
    load::runtime()?.block_on(async {
        let client = load::client(&cluster.cli, 0)?;
        let confirmed = || ClusterStatusRequest { consistency: Consistency::Linearizable as i32 };
        client.cluster_status(confirmed()).await.context("nobody answers before the fault")?;
        let began = Instant::now();
        kill_pids(&[pid])?;
        client.cluster_status(confirmed()).await.context("nobody answers after the leader's end")?;
        Ok((leader.name, began.elapsed()))
    })
}

/// As a dashboard asks: the largest of what any master says. A new leader is seen with the next scrape.
fn no_gap_but_the_failover(
    prometheus: &Prometheus,
    between: (f64, f64),
    failover: Duration,
    every_s: u64,
) -> anyhow::Result<()> {
    for gauge in ["cloudai_workers", "cloudai_tasks", "cloudai_cluster_cpu_capacity_cores"] {
        let query = format!("max({gauge}{{job=\"cloudai-master\"}})");
        let found = prometheus.query_range(&query, between, STEP_S)?;
        let [series] = found.as_slice() else { anyhow::bail!("{query} has {} answers", found.len()) };
        let gap_s = longest_gap(&series.points, between);
        let allowed_s = failover.as_secs_f64() + every_s as f64;
        say(format!("{gauge}: no gap longer than {gap_s:.1} s (failover and one scrape: {allowed_s:.1} s)"));
        ensure!(gap_s <= allowed_s, "{gauge} is away for {gap_s:.1} s; {allowed_s:.1} s are allowed");
    }
    Ok(())
}

/// Seconds for which there surely was nothing: between the first and the last step without a point. Before the first point as well, and after the last.
fn longest_gap(points: &[(f64, f64)], (from_s, to_s): (f64, f64)) -> f64 {
    let times: Vec<f64> =
        [from_s - STEP_S].into_iter().chain(points.iter().map(|p| p.0)).chain([to_s + STEP_S]).collect();
    let between = times.windows(2).map(|pair| pair[1] - pair[0] - 2.0 * STEP_S);
    between.fold(0.0, f64::max)
}

fn pages_are_small_and_clean(prometheus: &Prometheus, pages: &Pages, dir: &Path) -> anyhow::Result<()> {
    let query = r#"max by (instance) (max_over_time(scrape_samples_scraped{job="cloudai-master"}[1h]))"#;
    let found = prometheus.query(query)?;
    ensure!(found.len() == 3, "{} masters were scraped", found.len());
    for series in found {
        let name = series.labels.get("instance").cloned().unwrap_or_default();
        let most = series.points.last().map_or(f64::INFINITY, |(_, value)| *value);
        say(format!("{name}: {most} series at most"));
        ensure!(most <= SERIES_MAX, "{name} has {most} series");
    }
    let page = dir.join("page.txt");
    for target in prometheus.targets()? {
        fs::write(&page, pages.get(&target.scrape_url)?).context("a page cannot be written")?;
        promtool(&format!("check metrics < {}", page.display())).with_context(|| target.scrape_url.clone())?;
    }
    Ok(())
}

fn every_rule_is_evaluated(prometheus: &Prometheus, alerts: usize) -> anyhow::Result<()> {
    let rules = prometheus.rules()?;
    ensure!(rules.len() == alerts, "{} rules are loaded instead of {alerts}", rules.len());
    for rule in &rules {
        let is_evaluated = rule.health == "ok" && !rule.last_evaluation.starts_with("0001-");
        ensure!(is_evaluated, "{} is {} ({}) {}", rule.name, rule.health, rule.last_evaluation, rule.last_error);
    }
    say(format!("all {alerts} rules are evaluated"));
    Ok(())
}

/// Every dashboard, with what Prometheus answers to each of its questions over the run.
fn answered(prometheus: &Prometheus, plan: &Plan, (from_s, to_s): (f64, f64)) -> anyhow::Result<Vec<Board>> {
    // As Grafana reckons it: four scrapes.
    let mut boards = boards::read(&repository()?.join("grafana/dashboards"), 4 * plan.every_s)?;
    let step_s = ((to_s - from_s) / 150.0).ceil().max(plan.every_s as f64);
    for panel in boards.iter_mut().flat_map(|b| &mut b.rows).flat_map(|r| &mut r.panels) {
        // What is for Loki is asked of nobody.
        for line in panel.lines.iter_mut().filter(|_| panel.kind != "logs") {
            let told = || format!("{}: {}", panel.title, line.query);
            line.answer = Some(prometheus.query_range(&line.query, (from_s, to_s), step_s).with_context(told)?);
        }
    }
    Ok(boards)
}

/// A file for each dashboard that asks a Prometheus.
fn draw(boards: &[Board], run: &pictures::Run) -> anyhow::Result<()> {
    let folder = std::env::var_os("CLOUDAI_PICTURES").map(PathBuf::from);
    let folder = folder.map_or_else(|| repository().map(|root| root.join("target/pictures")), Ok)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for board in boards.iter().filter(|b| b.rows.iter().flat_map(|r| &r.panels).any(|p| p.kind != "logs")) {
        let path = folder.join(format!("{}.svg", board.name));
        fs::write(&path, dashboard::draw(&pictures::picture(board, run)))
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(format!("{} is drawn", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_what_was_surely_empty() {
        let points: Vec<(f64, f64)> = [10.0, 10.1, 10.2, 12.2, 12.3].map(|at| (at, 1.0)).to_vec();
        let gap = longest_gap(&points, (10.0, 12.3));
        assert!((gap - 1.8).abs() < 1e-6, "{gap}");
        let late = longest_gap(&points, (10.0, 15.3));
        assert!((late - 2.9).abs() < 1e-6, "{late}");
        assert!(longest_gap(&[], (0.0, 9.0)) > 8.0);
    }
}
