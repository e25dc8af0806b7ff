//! A large workflow while leaders are killed: it ends, every task has run exactly once, and none before those that it waits for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_types::{JobId, TaskId};
use serde_json::Value;

use super::noop_records;
use super::{Size, Verdict};
use crate::checker::facts::{Execution, Until};
use crate::cluster::{Cluster, Options};
use crate::transcript::say;
use crate::wait;

struct Plan {
    layers: u32,
    /// Jobs in a layer.
    width: u32,
    /// Tasks of a job.
    tasks: u32,
}

/// A job's name and those that it waits for; true: index by index.
type Edges = BTreeMap<String, Vec<(String, bool)>>;

pub fn run(size: Size) -> anyhow::Result<Verdict> {
    let plan = match size {
        Size::Small => Plan { layers: 8, width: 5, tasks: 25 },
        Size::Full => Plan { layers: 10, width: 20, tasks: 50 },
    };
    let cluster = Cluster::start(&Options::noop(3, 2))?;
    let records = noop_records::keep(&cluster)?;
    let (edges, text) = workflow(&plan);
    let file = cluster.dir.join("workflow.yaml");
    std::fs::write(&file, text)?;
    let file = file.to_str().context("a plain path")?;
    cluster.cli.ok(&["workflow", "validate", "-f", file])?;
    let submitted: Value = cluster.cli.json(&["workflow", "submit", "-f", file])?;
    let id = submitted["id"].as_str().context("the workflow's id")?.to_owned();
    let all = u64::from(plan.layers * plan.width * plan.tasks);
    say(format!("{id}: {} jobs, {all} tasks", plan.layers * plan.width));
    // In the middle of it, twice.
    for third in [1, 2] {
        let ended =
            wait::until("a third of it has ended", Duration::from_secs(300), Duration::from_millis(50), || {
                let ended = tasks_ended(&cluster, &id)?;
                Ok((ended >= all * third / 3).then_some(ended))
            })?;
        ensure!(ended < all, "it was over before a leader could be killed: {ended} tasks");
        let leader = cluster.leader()?.name;
        cluster.kill(&leader)?;
        say(format!("killed the leader, {leader}, after {ended} tasks"));
        cluster.start_one(&leader)?;
    }
    let waited = cluster.cli.ok(&["workflow", "wait", &id, "--timeout", "300s"])?;
    say(format!("wait: {}", waited.stdout.trim()));
    let shown: Value = cluster.cli.json(&["workflow", "show", &id])?;
    ensure!(shown["state"] == "Succeeded", "it has ended as {}", shown["state"]);
    let jobs = job_ids(&shown)?;
    ensure!(jobs.len() == edges.len(), "{} jobs are shown, {} were submitted", jobs.len(), edges.len());
    let executions = noop_records::read(&records)?;
    once_each(&executions, &jobs, plan.tasks)?;
    in_order(&executions, &jobs, &edges, plan.tasks)?;
    say(format!("all {all} tasks ran exactly once, each after those that it waits for"));
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// Each job waits for the one before it in its column, index by index, and for the whole of the next column's.
fn workflow(plan: &Plan) -> (Edges, String) {
    let name = |layer: u32, at: u32| format!("l{layer}-{}", at % plan.width);
    let mut edges = Edges::new();
    let mut text = "name: layers\njobs:\n".to_owned();
    for layer in 0..plan.layers {
        for at in 0..plan.width {
            let waits_for = match layer {
                0 => vec![],
                _ => vec![(name(layer - 1, at), true), (name(layer - 1, at + 1), false)],
            };
            let tasks = plan.tasks - 1;
            let own = name(layer, at);
            writeln!(text, "  {own}:\n    image: noop\n    command: [sleep, '0.02']\n    array: 0-{tasks}\n    cpu: 1")
                .expect("a string takes it");
            if !waits_for.is_empty() {
                let of = waits_for.iter().map(|(job, each)| format!("{{job: {job}, each: {each}}}"));
                let of = of.collect::<Vec<_>>().join(", ");
                writeln!(text, "    depends_on: [{of}]").expect("a string takes it");
            }
            edges.insert(own, waits_for);
        }
    }
    (edges, text)
}

fn jobs_of(shown: &Value) -> anyhow::Result<&Vec<Value>> {
    shown["nodes"].as_array().context("the workflow's jobs")
}

fn tasks_ended(cluster: &Cluster, id: &str) -> anyhow::Result<u64> {
    let shown: Value = cluster.cli.json(&["workflow", "show", id])?;
    Ok(jobs_of(&shown)?.iter().filter_map(|job| job["counts"]["succeeded"].as_u64()).sum())
}

fn job_ids(shown: &Value) -> anyhow::Result<BTreeMap<String, JobId>> {
    let one = |job: &Value| {
        let (node, id) = (job["node"].as_str().context("a node")?, job["id"].as_str().context("an id")?);
        Ok((node.to_owned(), id.parse().context("a job's id")?))
    };
    jobs_of(shown)?.iter().map(one).collect()
}

fn once_each(
    executions: &BTreeMap<TaskId, Vec<Execution>>,
    jobs: &BTreeMap<String, JobId>,
    tasks: u32,
) -> anyhow::Result<()> {
    for (node, job) in jobs {
        for index in 0..tasks {
            let times = executions.get(&TaskId { job: *job, index }).map_or(0, Vec::len);
            ensure!(times == 1, "{node}, {job}/{index}: ran {times} times");
        }
    }
    ensure!(executions.len() == jobs.len() * tasks as usize, "something ran that is of no job of the workflow");
    Ok(())
}

/// On the clock that the records share.
fn in_order(
    executions: &BTreeMap<TaskId, Vec<Execution>>,
    jobs: &BTreeMap<String, JobId>,
    edges: &Edges,
    tasks: u32,
) -> anyhow::Result<()> {
    let of = |node: &str, index: u32| -> anyhow::Result<(u64, u64)> {
        let job = *jobs.get(node).with_context(|| format!("no job is called {node}"))?;
        let one = executions.get(&TaskId { job, index }).and_then(|all| all.first());
        let one = one.with_context(|| format!("{node}/{index} never ran"))?;
        match one.until {
            Until::Ended(end) => Ok((one.start, end)),
            Until::Died(_) | Until::Running => anyhow::bail!("{node}/{index} has no end in its worker's record"),
        }
    };
    for (child, waits_for) in edges {
        for (parent, each) in waits_for {
            for index in 0..tasks {
                let (start, _) = of(child, index)?;
                let before = if *each { index..index + 1 } else { 0..tasks };
                for earlier in before {
                    let (_, end) = of(parent, earlier)?;
                    ensure!(end <= start, "{child}/{index} began before {parent}/{earlier} had ended");
                }
            }
        }
    }
    Ok(())
}
