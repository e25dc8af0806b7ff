//! Must-show 7, its part that needs masters: a tag that moves between submit and start. What is run is what the tag meant at the submit.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chaos_tests::{Cluster, Options, engine, say, wait};
use serde_json::Value;

#[allow(dead_code)]
#[path = "../../crates/cloudai-worker/tests/support/registry.rs"]
mod registry;

use registry::Registry;

const LIMIT: Duration = Duration::from_secs(90);
const WORKER: &str = "worker-1";

struct Rig {
    cluster: Cluster,
    registry: Registry,
}

impl Rig {
    fn image(&self, tag: &str) -> String {
        format!("{}/moving:{tag}", self.registry.host)
    }

    fn submit(&self, image: &str, flags: &[&str]) -> anyhow::Result<String> {
        let arguments = [flags, &["--cpu", "0.1", "--memory", "64m", image, "--", "cat", "/which"]].concat();
        self.cluster.cli.submit(&arguments)
    }

    /// Null: not pinned.
    fn pinned_to(&self, job: &str) -> anyhow::Result<Value> {
        Ok(self.cluster.cli.json::<Value>(&["job", "show", job])?["spec"]["image_digest"].clone())
    }

    fn output(&self, job: &str) -> anyhow::Result<String> {
        let ended = self.cluster.cli.ended(job, LIMIT)?;
        ensure!(ended.state == "Succeeded", "job {job} ended as {}", ended.state);
        Ok(self.cluster.cli.ok(&["task", "logs", &format!("{job}/0")])?.stdout)
    }
}

#[test]
fn a_tag_that_moves_between_submit_and_start_does_not_move_the_job() -> anyhow::Result<()> {
    if let Some(why) = engine::why_not().or_else(registry::why_not) {
        say(format!("NOT RUN: {why}"));
        return Ok(());
    }
    let rig = Rig { registry: Registry::start(None), cluster: Cluster::start(&Options::docker(3, 1))? };
    let cli = &rig.cluster.cli;
    let first = rig.registry.push("moving:1", "first");
    let tag = rig.image("1");

    cli.ok(&["worker", "drain", WORKER])?;
    let submitted = rig.submit(&tag, &["--idempotency-key", "before-it-moves"])?;
    ensure!(rig.pinned_to(&submitted)? == Value::String(first.clone()), "it is not pinned to {first}");
    let second = rig.registry.push("moving:1", "second");
    ensure!(first != second, "the tag has not moved");
    say(format!("{tag} moved from {first} to {second} while job {submitted} waited"));

    // Also a repeated request and another leader change nothing about it.
    let leader = rig.cluster.leader()?.name;
    rig.cluster.kill(&leader)?;
    rig.cluster.start_one(&leader)?;
    wait::until("a leader after the kill", LIMIT, Duration::from_millis(200), || Ok(Some(rig.cluster.leader()?)))?;
    let again = rig.submit(&tag, &["--idempotency-key", "before-it-moves"])?;
    ensure!(again == submitted, "a repeated request became another job, {again}");
    ensure!(rig.pinned_to(&submitted)? == Value::String(first), "the record has changed");

    cli.ok(&["worker", "resume", WORKER])?;
    let output = rig.output(&submitted)?;
    ensure!(output.trim() == "first", "what the tag means now was run: {output}");
    let later = rig.submit(&tag, &[])?;
    ensure!(rig.pinned_to(&later)? == Value::String(second), "a later job is not pinned to the new content");
    let output = rig.output(&later)?;
    ensure!(output.trim() == "second", "the old content was run: {output}");
    say("each job ran what its tag meant when it was submitted");

    let absent = rig.image("2");
    let refused = cli.run(&["job", "submit", "--pull", "always", &absent, "--", "cat", "/which"])?;
    ensure!(refused.code == 3 && refused.stderr.contains("does not exist"), "{}: {}", refused.code, refused.stderr);
    let hoped_for = rig.submit(&absent, &[])?;
    ensure!(rig.pinned_to(&hoped_for)?.is_null(), "nothing can be pinned to nothing");
    let ended = cli.ended(&hoped_for, LIMIT)?;
    let attempts = &ended.tasks.first().context("it has a task")?.attempts;
    let kind = attempts.last().and_then(|a| a.reason.as_ref()).map(|r| r.kind.clone());
    ensure!(kind.as_deref() == Some("image_not_found"), "it ended as {kind:?}");
    say("a tag that does not exist is refused with `pull: always`, and told by the worker otherwise");

    let Rig { cluster, registry } = rig;
    drop(registry);
    let unpinned = cluster.cli.submit(&["--pull", "always", "--cpu", "0.1", &tag, "--", "cat", "/which"])?;
    let shown = cluster.cli.json::<Value>(&["job", "show", &unpinned])?;
    ensure!(shown["spec"]["image_digest"].is_null(), "nobody could say what the tag means");
    say("a registry that is away refuses no job");
    Ok(())
}

/// The password is in the cluster's state only, sealed: the leader asks with it, and the worker pulls with it.
#[test]
fn a_stored_login_opens_a_registry_to_the_leader_and_to_the_workers() -> anyhow::Result<()> {
    if let Some(why) = engine::why_not().or_else(registry::why_not) {
        say(format!("NOT RUN: {why}"));
        return Ok(());
    }
    let rig =
        Rig { registry: Registry::start(Some(("ci", "s3cret"))), cluster: Cluster::start(&Options::docker(3, 1))? };
    let digest = rig.registry.push("moving:1", "let in");
    let image = rig.image("1");
    let shut_out = rig.submit(&image, &[])?;
    ensure!(rig.pinned_to(&shut_out)?.is_null(), "the registry told a stranger what the tag means");
    let ended = rig.cluster.cli.ended(&shut_out, LIMIT)?;
    ensure!(ended.state != "Succeeded", "the registry let a stranger in");

    let mut login =
        rig.cluster.cli.command(&["registry", "login", &rig.registry.host, "--username", "ci", "--password-stdin"]);
    let mut login = login.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("cloudai cannot be started")?;
    login.stdin.take().context("it has an input")?.write_all(b"s3cret\n")?;
    ensure!(login.wait()?.success(), "the login is not stored");
    let let_in = rig.submit(&image, &[])?;
    ensure!(rig.pinned_to(&let_in)? == Value::String(digest), "the leader did not ask with the stored login");
    let output = rig.output(&let_in)?;
    ensure!(output.trim() == "let in", "it ran something else: {output}");
    say("with the stored login the leader pinned the tag, and the worker pulled it");
    Ok(())
}
