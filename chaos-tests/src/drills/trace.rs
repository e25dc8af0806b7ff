//! One trace of one task, from the command to the report of its end, over the death of the leader that placed it: every span is there once, below
//! the right one, whoever told it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Size, Verdict, needs_docker};
use crate::check;
use crate::cluster::{Cluster, Executor, Options};
use crate::collector::Collector;
use crate::trace_tree::{Told, differences, tree};
use crate::transcript::say;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A span, and what it is below. The task is submitted through a follower.
const EXPECTED: [(&str, &str); 13] = [
    ("submit", ""),
    ("forward", "submit"),
    ("propose", "forward"),
    ("replicate", "propose"),
    ("apply", "propose"),
    ("task", "propose"),
    ("attempt", "task"),
    ("schedule", "attempt"),
    ("assign", "attempt"),
    ("start", "attempt"),
    ("run", "attempt"),
    ("upload", "attempt"),
    ("report", "attempt"),
];
/// Of containers alone.
const PULL: (&str, &str) = ("pull", "attempt");
/// What has been told when the leader is killed.
const BEFORE: [&str; 8] = ["submit", "forward", "propose", "replicate", "apply", "schedule", "assign", "start"];

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    one(&Options::noop(3, 1), &["noop", "--", "sleep", "8"])?;
    if let Some(why) = needs_docker()? {
        let Verdict::NotRun(why) = why else { anyhow::bail!("{why:?} is no reason") };
        return Ok(Verdict::NotRun(format!("the trace without containers is whole; with them: {why}")));
    }
    let script = "echo $TRACEPARENT; sleep 8";
    one(&Options::docker(3, 1), &["--memory", "64m", "cloudai/busybox", "--", "sh", "-c", script])?;
    Ok(Verdict::Passed)
}

fn one(options: &Options, task: &[&str]) -> anyhow::Result<()> {
    let collector = Collector::start()?;
    let mut options = options.clone();
    options.flags.extend(["--otlp".to_owned(), collector.url().to_owned()]);
    let cluster = Cluster::start(&options)?;
    let leader = cluster.leader()?.name;
    let follower = cluster.masters()?.into_iter().find(|name| *name != leader).context("there are three masters")?;
    let mut through = cluster.cli.clone();
    let address = cluster.process(&follower)?.grpc.context("a master has an address")?;
    through.env.extend([
        ("CLOUDAI_ADDR".to_owned(), address),
        ("CLOUDAI_OTLP_ENDPOINT".to_owned(), collector.url().to_owned()),
    ]);
    let job = through.submit(&[&["--results", "--cpu", "0.1"], task].concat())?;
    say(format!("job {job} was submitted through {follower}; {leader} leads"));
    let shown: Value = cluster.cli.json(&["task", "show", &job])?;
    let trace = shown["trace_id"].as_str().context("the task shows no trace")?.to_owned();

    let before = told(&collector, &trace, "its start", |spans| BEFORE.iter().all(|name| has(spans, name)))?;
    ensure!(!has(&before, "run"), "it ended before the leader could be killed");
    cluster.kill(&leader)?;
    say(format!("killed {leader} while the task runs"));
    let ended = cluster.cli.ended(&job, LIMIT)?;
    ensure!(ended.state == "Succeeded", "the job has ended as {}", ended.state);
    check::none("one attempt was enough", &check::no_task_ran_twice(&ended))?;
    let last = ["task", "report"];
    let spans = told(&collector, &trace, "its end", |spans| last.iter().all(|name| has(spans, name)))?;
    say(format!("trace {trace}"));
    tree(&spans).iter().for_each(say);

    let with_containers = options.executor == Executor::Docker;
    let mut expected = EXPECTED.to_vec();
    expected.extend(with_containers.then_some(PULL));
    let wrong = differences(&spans, &expected);
    ensure!(wrong.is_empty(), "the trace is not as expected:\n  {}", wrong.join("\n  "));
    let of = |name: &str| spans.iter().find(|span| span.name == name).context("it is there");
    ensure!(of("propose")?.by.ends_with(&leader), "who proposed it is {}", of("propose")?.by);
    ensure!(of("forward")?.by.ends_with(&follower), "who passed it on is {}", of("forward")?.by);
    let heir = &of("task")?.by;
    ensure!(!heir.ends_with(&leader) && heir == &of("attempt")?.by, "its end was told by {heir}");
    if with_containers {
        let printed = cluster.cli.ok(&["task", "logs", &format!("{job}/0")])?.stdout;
        let attempt = format!("00-{trace}-{}-01", of("attempt")?.span);
        ensure!(printed.trim() == attempt, "the program was told '{}', and not {attempt}", printed.trim());
        say(format!("its program was told {attempt}"));
    }
    cluster.nobody_panicked()?;
    cluster.stop()
}

fn has(spans: &[Told], name: &str) -> bool {
    spans.iter().any(|span| span.name == name)
}

/// The trace's spans, once `enough` of them have come.
fn told(
    collector: &Collector,
    trace: &str,
    until: &str,
    enough: impl Fn(&[Told]) -> bool,
) -> anyhow::Result<Vec<Told>> {
    let what = format!("the part of the trace up to {until}");
    wait::until(&what, LIMIT, LOOK_EVERY, || {
        let spans = collector.traces().remove(trace).unwrap_or_default();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        ensure!(enough(&spans), "there are {}", names.join(", "));
        Ok(Some(spans))
    })
}
