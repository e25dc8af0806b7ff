//! Must show 6: a worker's certificate on the Raft port, an expired one, one of another cluster, none: refused each time,
//! with the reason in the log. And, so that this shows something, a master's own gets in.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use cloudai_net::{CertificateAuthority, ClusterId, IdentityFiles, Role};
use cloudai_types::{Millis, Timestamp, limits};

use super::{Size, Verdict};
use crate::cluster::{Cluster, Options};
use crate::load;
use crate::tls_probe::{Answer, probe};
use crate::transcript::say;
use crate::wait;

struct Case {
    name: &'static str,
    /// None: no certificate.
    identity: Option<PathBuf>,
    /// What the log's line must speak of; None: it gets in.
    reason: Option<&'static str>,
}

pub fn run(_: Size) -> anyhow::Result<Verdict> {
    let cluster = Cluster::start(&Options::noop(1, 1))?;
    let made = tempfile::Builder::new().prefix("cloudai-certs-").tempdir().context("no temporary folder")?;
    let cases = cases(&cluster, made.path())?;
    let status = cluster.status()?;
    let master = status.members.first().context("the status lists no master")?;
    for case in cases {
        let before = cluster.log(&master.name).len();
        let answer = load::runtime()?.block_on(probe(&master.raft, case.identity.as_deref()))?;
        let Some(reason) = case.reason else {
            ensure!(answer == Answer::Talked, "{}: refused ({answer:?}), so the refusals show nothing", case.name);
            say(format!("{}: accepted on the Raft port", case.name));
            continue;
        };
        ensure!(answer != Answer::Talked, "{}: the Raft port talked to it", case.name);
        let line = wait::until(
            &format!("the reason in the log ({})", case.name),
            Duration::from_secs(20),
            Duration::from_millis(100),
            || {
                let log = cluster.log(&master.name);
                let new = log.get(before..).unwrap_or_default();
                Ok(new.lines().find(|l| l.contains("refused") && l.contains(reason)).map(str::to_owned))
            },
        )?;
        say(format!("{}: refused; the log: {line}", case.name));
    }
    cluster.cli.ok(&["cluster", "status"])?;
    cluster.nobody_panicked()?;
    cluster.stop()?;
    Ok(Verdict::Passed)
}

fn cases(cluster: &Cluster, made: &Path) -> anyhow::Result<Vec<Case>> {
    let now =
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_millis() as u64);
    let own = CertificateAuthority::load(&cluster.dir.join("ca")).context("the cluster's CA cannot be loaded")?;
    let other = CertificateAuthority::create(ClusterId::from_bytes([7; 8]), now).context("no other CA")?;
    // The same cluster id, and still another CA: a forged one.
    let forged = CertificateAuthority::create(own.cluster().clone(), now).context("no forged CA")?;
    let year = Millis::from_secs(365 * 24 * 3600);
    let long_ago = Timestamp(now.0.saturating_sub(year.0));
    let issue =
        |folder: &str, ca: &CertificateAuthority, role: Role, at: Timestamp| -> anyhow::Result<Option<PathBuf>> {
            let dir = made.join(folder);
            IdentityFiles::new(&dir)
                .enroll(ca, role, "probe", &[], limits::LEAF_VALIDITY, at)
                .with_context(|| format!("no {folder} certificate"))?;
            Ok(Some(dir))
        };
    Ok(vec![
        Case { name: "a master's", identity: issue("master", &own, Role::Master, now)?, reason: None },
        Case { name: "a worker's", identity: issue("worker", &own, Role::Worker, now)?, reason: Some("worker") },
        Case { name: "an admin's", identity: issue("admin", &own, Role::Admin, now)?, reason: Some("admin") },
        Case {
            name: "an expired master's",
            identity: issue("expired", &own, Role::Master, long_ago)?,
            reason: Some("expired"),
        },
        Case {
            name: "another cluster's master's",
            identity: issue("other", &other, Role::Master, now)?,
            reason: Some("another cluster"),
        },
        Case {
            name: "a forged master's",
            identity: issue("forged", &forged, Role::Master, now)?,
            reason: Some("issuer"),
        },
        Case { name: "none", identity: None, reason: Some("no certificate") },
    ])
}
