//! `top`, `cluster status --watch` and `job watch` on a real terminal of 80 columns: each page shows what there is, a leader that is killed is
//! seen to be gone and another to lead, and the shell gets its terminal back. With `--write-docs` the screens are kept in docs/screens.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::rig::preflight::Need;
use crate::tmux::{PROMPT, Tmux};
use crate::transcript::say;
use crate::wait;

const COLUMNS: u16 = 80;
const ROWS: u16 = 24;
/// Every page of `top` begins with it.
const TITLE: &str = "cloudai top  1 cluster";

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    if let Some(why) = Need::Tmux.missing() {
        return Ok(Verdict::NotRun(why));
    }
    let mut options = Options::noop(3, 2);
    options.capacity = Some("cpu=8,memory=16GiB".into());
    let cluster = Cluster::start(&options)?;
    let dir = tempfile::Builder::new().prefix("cloudai-screens-").tempdir()?;
    let mut env = cluster.cli.env.clone();
    let binary = cluster.cli.binary.parent().context("the binary lies nowhere")?;
    env.insert("PATH".into(), format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default()));
    let tmux = Tmux::start(dir.path(), COLUMNS, ROWS, &env)?;

    // Something that has failed, something that runs, something that waits for those, and something that waits for ever.
    let short = cluster.cli.submit(&["--name", "short", "--cpu", "1", "noop", "--", "exit", "3"])?;
    cluster.cli.ended(&short, Duration::from_secs(60))?;
    cluster.cli.submit(&["--name", "render", "--array", "0-5", "--cpu", "2", "noop", "--", "sleep", "3600"])?;
    cluster.cli.submit(&[
        "--name", "sweep", "--array", "0-19", "--cpu", "2", "--memory", "512m", "noop", "--", "sleep", "3600",
    ])?;
    cluster.cli.submit(&["--name", "huge", "--cpu", "64", "noop", "--", "true"])?;

    in_a_pipe(&cluster)?;
    pages(&tmux)?;
    leader_changes(&cluster, &tmux)?;
    gives_the_terminal_back(&tmux)?;
    status(&cluster, &tmux)?;
    job(&cluster, &tmux)?;
    drop(tmux);
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

/// No terminal, so nothing that only a terminal understands, and an end.
fn in_a_pipe(cluster: &Cluster) -> anyhow::Result<()> {
    let done = cluster.cli.ok(&["top"])?;
    ensure!(!done.stdout.contains('\u{1b}'), "escapes in a pipe: {:?}", done.stdout);
    for word in ["leader:", "worker-1", "queued", "sweep"] {
        ensure!(done.stdout.contains(word), "'{word}' is not in what top prints in a pipe: {}", done.stdout);
    }
    say("in a pipe top prints one picture, and ends");
    Ok(())
}

fn pages(tmux: &Tmux) -> anyhow::Result<()> {
    tmux.enter("cloudai top")?;
    let words = [TITLE, "leads, term", "3 voting masters", "2 of 2 ready", "16 held"];
    let shown = tmux.until("the page of the cluster, and what its machines use", |screen| {
        words.iter().all(|word| screen.contains(word)) && !screen.contains("- used")
    })?;
    keep("top-cluster", &shown)?;
    tmux.press(&["2"])?;
    let shown = tmux.until("the page of workers, and what each uses", |screen| {
        let rows: Vec<&str> = screen.lines().filter(|line| line.starts_with("worker-")).collect();
        screen.contains("by name")
            && rows.len() == 2
            && rows.iter().all(|r| r.contains("8/8") && r.matches('%').count() == 2)
    })?;
    keep("top-workers", &shown)?;
    tmux.press(&["s", "s"])?;
    tmux.shows("another order", &["by cpu held"])?;
    tmux.press(&["/", "w", "o", "r", "k", "e", "r", "-", "2", "Enter"])?;
    tmux.until("only one worker", |screen| screen.contains("worker-2") && !screen.contains("worker-1"))?;
    tmux.press(&["Enter"])?;
    let shown = tmux.shows("all of one worker", &["worker:", "worker-2", "Esc: back"])?;
    keep("top-worker", &shown)?;
    tmux.press(&["Escape"])?;
    tmux.shows("the rows again", &["by cpu held"])?;
    tmux.press(&["3"])?;
    let shown = tmux.until("the queue, and why each job waits", |screen| {
        screen.contains("huge") && screen.contains("sweep") && screen.contains("default:") && !screen.contains("...")
    })?;
    keep("top-queue", &shown)?;
    tmux.press(&["4"])?;
    let shown = tmux.shows("the tasks", &["Running", "exit_code 3", "worker-"])?;
    keep("top-tasks", &shown)?;
    tmux.press(&["?"])?;
    let shown = tmux.shows("the help", &["Shift-Tab", "Grey is what was"])?;
    keep("top-help", &shown)?;
    // Escape and a digit at once would be Alt and the digit.
    tmux.press(&["Escape"])?;
    tmux.shows("the tasks again", &["exit_code 3"])?;
    tmux.press(&["1"])?;
    tmux.shows("the cluster again", &["3 voting masters"])?;
    Ok(())
}

fn leader_changes(cluster: &Cluster, tmux: &Tmux) -> anyhow::Result<()> {
    let first = cluster.leader()?.name;
    cluster.kill(&first)?;
    // An election may be over before the next look: then the news is that another leads.
    let news = format!("before: {first}");
    let mut reconnected = false;
    tmux.until("another leader", |screen| {
        reconnected |= screen.contains("reconnecting to ");
        screen.contains(&news) && !screen.contains("reconnecting to ")
    })?;
    say(format!(
        "{first} was killed: {}",
        if reconnected { "reconnecting, then another leads" } else { "another leads" }
    ));
    let second = cluster.leader()?.name;
    cluster.kill(&second)?;
    let shown = tmux.shows("that there is no majority", &["reconnecting to ", "3 voting masters"])?;
    keep("top-reconnecting", &shown)?;
    cluster.start_all()?;
    let third = cluster.leader()?.name;
    let leads = format!("{third} leads, term");
    let shown = tmux.until("a new leader", |screen| screen.contains(&leads) && !screen.contains("reconnecting to "))?;
    keep("top-new-leader", &shown)?;
    say(format!("{second} was killed too: reconnecting; all are back: {third} leads"));
    Ok(())
}

fn gives_the_terminal_back(tmux: &Tmux) -> anyhow::Result<()> {
    tmux.press(&["q"])?;
    tmux.until("the shell after q", |screen| screen.contains(PROMPT) && !screen.contains(TITLE))?;
    is_restored(tmux, "after q")?;
    tmux.enter("clear; cloudai top; echo ended with $?")?;
    tmux.shows("top once more", &[TITLE, "leads, term"])?;
    let top = child_of(tmux.shell()?)?;
    crate::run(std::process::Command::new("kill").args(["-TERM", &top.to_string()]), Duration::from_secs(10))?
        .ok("kill")?;
    tmux.until("the shell after SIGTERM", |screen| screen.contains("ended with 130") && !screen.contains(TITLE))?;
    is_restored(tmux, "after SIGTERM")?;
    say("the terminal is as it was, after q and after SIGTERM");
    Ok(())
}

/// Lines are lines again, and what is typed is seen.
fn is_restored(tmux: &Tmux, when: &str) -> anyhow::Result<()> {
    tmux.enter("clear; stty -a | tr ' ;' '\\n\\n' | grep -cx -e icanon -e echo")?;
    tmux.until(&format!("a terminal as before, {when}"), |screen| screen.lines().any(|line| line.trim() == "2"))
        .map(drop)
}

fn child_of(shell: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{shell}/task/{shell}/children");
    wait::until("the process of top", Duration::from_secs(10), Duration::from_millis(50), || {
        let children = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        Ok(children.split_whitespace().next().and_then(|pid| pid.parse().ok()))
    })
}

fn status(cluster: &Cluster, tmux: &Tmux) -> anyhow::Result<()> {
    let leads = |name: &str| format!("leader:       {name}");
    let before = cluster.leader()?.name;
    tmux.enter("clear; cloudai cluster status --watch 1")?;
    let shown = tmux.shows("the status", &[&leads(&before), "3 voting masters; 1 may fail"])?;
    keep("status-watch", &shown)?;
    cluster.kill(&before)?;
    let after = cluster.leader()?.name;
    tmux.until("the status with another leader", |screen| {
        screen.contains(&leads(&after)) && screen.matches("leader:").count() == 1
    })?;
    tmux.press(&["C-c"])?;
    tmux.shows("the shell after Ctrl-C", &[PROMPT])?;
    cluster.start_all()?;
    say(format!("status --watch saw {after} take over from {before}, in place"));
    Ok(())
}

/// Half of it waits for the other half; one of its tasks fails; a leader is killed in the middle.
fn job(cluster: &Cluster, tmux: &Tmux) -> anyhow::Result<()> {
    cluster.cli.ok(&["job", "cancel", "--all", "--yes"])?;
    let fine = cluster.cli.submit(&["--name", "fine", "--array", "0-79", "--cpu", "1", "noop", "--", "sleep", "2"])?;
    let bad = cluster.cli.submit(&["--name", "bad", "--cpu", "1", "noop", "--", "exit", "3"])?;
    tmux.enter(&format!("clear; cloudai job watch {fine} {bad}; echo ended with $?"))?;
    let shown = tmux.shows("two bars", &[&format!("{fine} ["), &format!("{bad} ["), "/80", "queued", "/s"])?;
    keep("job-watch", &shown)?;
    cluster.kill("leader")?;
    tmux.shows(
        "the end of both",
        &["80/80", &format!("job {fine} ended: Succeeded"), &format!("job {bad} ended: Failed"), "ended with 1"],
    )?;
    cluster.start_all()?;
    let one = cluster.cli.run(&["job", "watch", &bad])?;
    ensure!(one.code == 3, "job watch of one job ended with {} and not as its task did: {}", one.code, one.stderr);
    ensure!(
        one.stdout.contains("1/1 1 failed") && !one.stdout.contains('\u{1b}'),
        "in a pipe it said {:?}",
        one.stdout
    );
    say("job watch: two bars over a change of leader, and the exit code of the task");
    Ok(())
}

/// For the docs, where that was asked for.
fn keep(name: &str, screen: &str) -> anyhow::Result<()> {
    if !super::writes_docs() {
        return Ok(());
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/screens");
    fs::create_dir_all(&dir).context("no folder for the screens")?;
    let lines: String = screen.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    fs::write(dir.join(format!("{name}.txt")), format!("{}\n", lines.trim_end())).context("a screen cannot be written")
}
