//! The trace of a workflow, run in the simulator and on a live cluster with its times made shorter: the same jobs wait for each other, and it
//! takes as long as was foretold. `CLOUDAI_WFCOMMONS` names a trace in WfFormat; without it one is made up.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_replay::trace::{Format, Trace};
use cloudai_types::{JobId, TaskId};
use serde_json::Value;

use super::noop_records;
use super::{Size, Verdict};
use crate::checker::facts::Until;
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

/// Processors of the machine, in both worlds. One worker: the simulator knows no borders within a machine.
const NODES: u32 = 16;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let mut options = Options::noop(3, 1);
    options.capacity = Some(format!("cpu={NODES},memory=64GiB"));
    let cluster = Cluster::start(&options)?;
    let records = noop_records::keep(&cluster)?;
    let (path, format) = trace_file(&cluster.dir)?;
    let word = match format {
        Format::WfCommons => "wfcommons",
        Format::Jsonl => "jsonl",
        Format::Swf => "swf",
    };
    let file = path.to_str().context("a plain path")?;
    let nodes = NODES.to_string();
    let foretold: Value = cluster.cli.json(&[
        "sim",
        "replay",
        "--trace",
        file,
        "--format",
        word,
        "--nodes",
        &nodes,
        "--policy",
        "fcfs",
        "--backfill",
        "easy",
    ])?;
    let foretold_s = foretold[0]["makespan_s"].as_f64().context("a makespan")?;
    let trace = Trace::read(&path, format)?;
    // So long that what a cluster adds to each job is little beside it.
    let wanted_s = match size {
        Size::Small => 10.0,
        Size::Full => 60.0,
    };
    let scale = wanted_s / foretold_s;
    say(format!("{} jobs, {foretold_s} s in the simulator, to take {wanted_s} s here", trace.jobs.len()));
    let text = workflow(&trace, scale);
    let yaml = cluster.dir.join("replay.yaml");
    std::fs::write(&yaml, text)?;
    let yaml = yaml.to_str().context("a plain path")?;
    let submitted: Value = cluster.cli.json(&["workflow", "submit", "-f", yaml])?;
    let id = submitted["id"].as_str().context("the workflow's id")?.to_owned();
    let shown = wait::until("the workflow has ended", Duration::from_secs(600), Duration::from_secs(1), || {
        let shown: Value = cluster.cli.json(&["workflow", "show", &id])?;
        Ok((shown["state"] != "Running").then_some(shown))
    })?;
    ensure!(shown["state"] == "Succeeded", "it has ended as {}", shown["state"]);
    let jobs: Vec<(String, JobId)> = shown["nodes"]
        .as_array()
        .context("the workflow's jobs")?
        .iter()
        .map(|job| {
            Ok((job["node"].as_str().context("a node")?.to_owned(), job["id"].as_str().context("an id")?.parse()?))
        })
        .collect::<anyhow::Result<_>>()?;
    let executions = noop_records::read(&records)?;
    let of = |at: usize| -> anyhow::Result<(u64, u64)> {
        let (_, job) =
            jobs.iter().find(|(node, _)| *node == name(at)).with_context(|| format!("no job {}", name(at)))?;
        let all = executions.get(&TaskId { job: *job, index: 0 }).map_or(&[][..], Vec::as_slice);
        ensure!(all.len() == 1, "{} ran {} times", name(at), all.len());
        match all[0].until {
            Until::Ended(end) => Ok((all[0].start, end)),
            Until::Died(_) | Until::Running => anyhow::bail!("{} has no end in its worker's record", name(at)),
        }
    };
    let (mut first, mut last) = (u64::MAX, 0);
    for (at, job) in trace.jobs.iter().enumerate() {
        let (start, end) = of(at)?;
        (first, last) = (first.min(start), last.max(end));
        for parent in &job.parents {
            let (_, before) = of(*parent as usize)?;
            ensure!(before <= start, "{} began before {} had ended", name(at), name(*parent as usize));
        }
    }
    let took_s = Duration::from_nanos(last - first).as_secs_f64();
    let ratio = took_s / wanted_s;
    say(format!("all in order; it took {took_s:.2} s, {ratio:.3} times as long as foretold"));
    // In the small size what a cluster adds weighs too much to be judged.
    ensure!(size == Size::Small || (ratio - 1.0).abs() <= 0.1, "it took {ratio:.3} times as long as foretold");
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn name(at: usize) -> String {
    format!("j{at}")
}

fn workflow(trace: &Trace, scale: f64) -> String {
    let mut text = "name: replay\njobs:\n".to_owned();
    for (at, job) in trace.jobs.iter().enumerate() {
        let (own, run_s, cpu) = (name(at), job.run_s as f64 * scale, job.processors.min(NODES));
        write!(text, "  {own}:\n    image: noop\n    command: [sleep, '{run_s:.4}']\n    cpu: {cpu}\n")
            .expect("a string takes it");
        if !job.parents.is_empty() {
            let parents = job.parents.iter().map(|parent| name(*parent as usize)).collect::<Vec<_>>().join(", ");
            writeln!(text, "    depends_on: [{parents}]").expect("a string takes it");
        }
    }
    text
}

fn trace_file(dir: &Path) -> anyhow::Result<(PathBuf, Format)> {
    if let Some(path) = std::env::var_os("CLOUDAI_WFCOMMONS") {
        return Ok((path.into(), Format::WfCommons));
    }
    // Fans out, joins, and fans out again, with one long branch beside it.
    let mut text = String::new();
    let mut job = |id: u64, run_s: u64, processors: u32, after: &[u64]| {
        let line =
            serde_json::json!({"id": id, "submit_s": 0, "run_s": run_s, "processors": processors, "after": after});
        writeln!(text, "{line}").expect("a string takes it");
    };
    job(1, 20, 1, &[]);
    (2..34).for_each(|id| job(id, 30 + id * 7 % 40, 1 + (id % 3) as u32, &[1]));
    job(34, 25, 8, &(2..34).collect::<Vec<_>>());
    (35..60).for_each(|id| job(id, 15 + id * 11 % 50, 2, &[34]));
    job(60, 150, 1, &[1]);
    job(61, 10, 4, &(35..61).collect::<Vec<_>>());
    let path = dir.join("trace.jsonl");
    std::fs::write(&path, text)?;
    Ok((path, Format::Jsonl))
}
