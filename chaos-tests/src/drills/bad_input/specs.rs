//! Specs that are no specs: malformed YAML, an unknown field, 100 MB, values that are none; and a task that no worker could
//! ever fit, which is no fault of the spec: it waits, and `explain` says why.

use std::fs;

use anyhow::{Context as _, ensure};

use super::{other_work_goes_on, refused};
use crate::cluster::Cluster;
use crate::transcript::say;

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const AUTH: i32 = 4;

pub fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("cloudai-specs-").tempdir().context("no temporary folder")?;
    let submit = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        cluster.cli.run(&["job", "submit", "-f", &path.to_string_lossy()])
    };
    refused("malformed YAML", &submit("a.yaml", b"name: x\nimage: [noop\n")?, USAGE, &["a.yaml"])?;
    refused("an unknown field", &submit("b.yaml", b"name: x\nimage: noop\ncpus: 2\n")?, USAGE, &["cpus", "3"])?;
    refused("binary instead of YAML", &submit("c.yaml", &[0, 159, 146, 150, 255])?, USAGE, &[])?;
    let huge = format!("image: noop\ncommand: [\"{}\"]\n", "x".repeat(100 << 20));
    refused("a spec of 100 MB", &submit("d.yaml", huge.as_bytes())?, USAGE, &["too large", "allowed"])?;
    drop(huge);
    refused("no image", &submit("e.yaml", b"name: x\n")?, USAGE, &["image"])?;
    refused("a bad memory size", &cluster.cli.run(&["job", "submit", "--memory", "lots", "noop"])?, USAGE, &["lots"])?;
    refused("a bad array", &cluster.cli.run(&["job", "submit", "--array", "9-0", "noop"])?, USAGE, &["array"])?;
    refused("an unknown job", &cluster.cli.run(&["job", "show", "zzzzzzzz"])?, NOT_FOUND, &["zzzzzzzz"])?;

    let foreign = dir.path().join("foreign");
    another_clusters_identity(&foreign)?;
    let mut stranger = cluster.cli.clone();
    stranger.env.insert("CLOUDAI_IDENTITY".into(), foreign.to_string_lossy().into_owned());
    refused("an identity of another cluster", &stranger.run(&["cluster", "status"])?, AUTH, &[])?;

    let giant = cluster.cli.submit(&["--name", "giant", "--cpu", "5000", "noop", "--", "true"])?;
    let why = cluster.cli.ok(&["task", "explain", &format!("{giant}/0")])?.stdout;
    ensure!(why.to_lowercase().contains("cpu"), "a task that fits nowhere is not explained: {why}");
    other_work_goes_on(cluster)?;
    cluster.cli.ok(&["job", "cancel", &giant])?;
    say("a task that no worker could ever fit: it waits, explain says why, and others pass it");
    Ok(())
}

fn another_clusters_identity(dir: &std::path::Path) -> anyhow::Result<()> {
    use cloudai_net::{CertificateAuthority, ClusterId, IdentityFiles, Role};
    use cloudai_types::{Timestamp, limits};
    use std::time::{SystemTime, UNIX_EPOCH};

    let now =
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_millis() as u64);
    let ca = CertificateAuthority::create(ClusterId::from_bytes([9; 8]), now).context("no other CA")?;
    let files = IdentityFiles::new(dir);
    files.enroll(&ca, Role::Admin, "stranger", &[], limits::LEAF_VALIDITY, now).context("no foreign identity")?;
    Ok(())
}
