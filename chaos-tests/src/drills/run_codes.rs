//! Must show 7: `cloudai run` returns the container's exit code (0, 3, 137), streams as it goes, and prints the sample's result.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use anyhow::{Context as _, ensure};

use super::{Size, Verdict, needs_docker};
use crate::cluster::{Cluster, Options};
use crate::command::code_of;
use crate::transcript::say;

const SMALL: [&str; 4] = ["--cpu", "0.1", "--memory", "64m"];

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    if let Some(not_run) = needs_docker()? {
        return Ok(not_run);
    }
    let inputs = tempfile::Builder::new().prefix("cloudai-input-").tempdir().context("no temporary folder")?;
    // Tasks are nobody: what they are to read, everybody must be able to read.
    fs::set_permissions(inputs.path(), fs::Permissions::from_mode(0o755))
        .context("the input folder keeps its rights")?;
    let mut options = Options::docker(3, 2);
    options.allow_mounts = vec![inputs.path().to_owned()];
    let cluster = Cluster::start(&options)?;
    exit_codes(&cluster)?;
    streaming(&cluster, inputs.path())?;
    sample(&cluster, inputs.path())?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn exit_codes(cluster: &Cluster) -> anyhow::Result<()> {
    for (script, code) in [("echo fine", 0), ("echo no >&2; exit 3", 3), ("kill -9 $$", 137)] {
        let mut all = vec!["run"];
        all.extend(SMALL);
        all.extend(["cloudai/busybox", "--", "sh", "-c", script]);
        let done = cluster.cli.run(&all)?;
        ensure!(done.code == code, "'{script}' gave exit code {}, not {code}: {}", done.code, done.stderr);
        say(format!("run '{script}': exit code {code}"));
    }
    Ok(())
}

/// The second line is printed only after the first one arrived here: whoever collects first and shows later, hangs.
fn streaming(cluster: &Cluster, inputs: &std::path::Path) -> anyhow::Result<()> {
    let mount = format!("{}:/in", inputs.display());
    let script = "echo first; until [ -e /in/go ]; do sleep 0.1; done; echo second";
    let mut all = vec!["run", "--timeout", "60s", "--mount", &mount];
    all.extend(SMALL);
    all.extend(["cloudai/busybox", "--", "sh", "-c", script]);
    let mut child = cluster
        .cli
        .command(&all)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start cloudai run")?;
    let mut lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
    let first = lines.next().context("run ended without a line")??;
    fs::write(inputs.join("go"), "").context("cannot write into the input folder")?;
    let second = lines.next().context("run ended after the first line")??;
    ensure!((first.trim_end(), second.trim_end()) == ("first", "second"), "the lines were '{first}' and '{second}'");
    let code = code_of(child.wait().context("cannot wait for cloudai run")?);
    ensure!(code == 0, "the streaming run ended with {code}");
    say("run streams: the second line was printed only because the first one had arrived");
    Ok(())
}

fn sample(cluster: &Cluster, inputs: &std::path::Path) -> anyhow::Result<()> {
    let input = inputs.join("words.txt");
    let text: String = (0..500).map(|n| format!("line {n} of a file that somebody has\n")).collect();
    fs::write(&input, &text).context("cannot write the input")?;
    let mount = format!("{}:/input", input.display());
    let mut all = vec!["run", "--mount", &mount];
    all.extend(SMALL);
    all.extend(["cloudai/data-processing", "--", "data-processing", "--input", "/input", "--pace-ms", "0"]);
    let done = cluster.cli.ok(&all)?;
    let result: serde_json::Value = serde_json::from_str(done.last_line())
        .with_context(|| format!("the last line is no JSON: {}", done.last_line()))?;
    ensure!(result["data_points"] == 100, "the sample has {} data points", result["data_points"]);
    ensure!(result["input_bytes"] == text.len(), "the sample read {} bytes, not {}", result["input_bytes"], text.len());
    say(format!("the sample's result: {} lines in {} data points", result["summary"]["lines"], result["data_points"]));
    Ok(())
}
