//! Faults that somebody must be woken for. Comes in: a cluster that is well, and a Prometheus that looks at it. Goes out: which alerts were silent before a fault, and
//! fired after it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::doctor;
use crate::cluster::Cluster;
use crate::prometheus::{Alert, Prometheus, now_s};
use crate::rig::storage::Disk;
use crate::transcript::say;
use crate::wait;

/// What an alert waits is sixty times as short here: 1 min for certificates, 12 s of a lease and 10 s for a lost worker.
const FIRES_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An alert, and whose; empty: of the cluster.
pub type Expected = (&'static str, &'static str);

/// Is there such an alert, pending or firing?
fn state_of<'a>(alerts: &'a [Alert], (name, instance): &Expected) -> Option<&'a str> {
    let is = |alert: &&Alert, label: &str, value: &str| alert.labels.get(label).is_some_and(|v| v == value);
    let mut named = alerts.iter().filter(|a| is(a, "alertname", name));
    let found = if instance.is_empty() { named.next() } else { named.find(|a| is(a, "instance", instance)) };
    found.map(|alert| alert.state.as_str())
}

/// None of these says anything now, and none has fired since the cluster was well.
pub fn silent(prometheus: &Prometheus, since_s: f64, expected: &[Expected]) -> anyhow::Result<()> {
    let alerts = prometheus.alerts()?;
    for alert in expected {
        let state = state_of(&alerts, alert);
        ensure!(state.is_none(), "{alert:?} is {} before its fault", state.unwrap_or_default());
        let (name, instance) = alert;
        let of = if instance.is_empty() { String::new() } else { format!(",instance=\"{instance}\"") };
        let query = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"{of}}}");
        let fired = prometheus.query_range(&query, (since_s, now_s()), 1.0)?;
        ensure!(fired.is_empty(), "{alert:?} fired before its fault: {fired:?}");
    }
    Ok(())
}

pub fn fires(prometheus: &Prometheus, what: &str, expected: &[Expected]) -> anyhow::Result<()> {
    for alert in expected {
        wait::until(&format!("{alert:?}, because {what},"), FIRES_WITHIN, LOOK_EVERY, || {
            Ok((state_of(&prometheus.alerts()?, alert) == Some("firing")).then_some(()))
        })?;
        let (name, instance) = alert;
        say(format!("{what}: {name} {instance} fires"));
    }
    Ok(())
}

pub fn falls_silent(prometheus: &Prometheus, alert: Expected) -> anyhow::Result<()> {
    wait::until(&format!("the end of {alert:?}"), FIRES_WITHIN, LOOK_EVERY, || {
        Ok(state_of(&prometheus.alerts()?, &alert).is_none().then_some(()))
    })
}

/// The member's data moves to this disk, from where it goes on.
pub fn moves_to(cluster: &Cluster, name: &str, disk: &Disk) -> anyhow::Result<()> {
    let (data, there) = (cluster.dir.join(name), disk.mount.join(name));
    cluster.kill(name)?;
    doctor::command("cp", &["--archive", &data.display().to_string(), &there.display().to_string()])?;
    fs::remove_dir_all(&data).context("the old data cannot be removed")?;
    std::os::unix::fs::symlink(&there, &data).context("no link to the small disk")?;
    cluster.start_one(name)
}

/// All but this much of it is taken.
pub fn fills(disk: &Disk, left_mib: u64) -> anyhow::Result<()> {
    let (_, free) = doctor::room_mib(&disk.mount.display().to_string())?;
    let filler = disk.mount.join("filler").display().to_string();
    let length = format!("{}MiB", free.saturating_sub(left_mib));
    doctor::command("fallocate", &["--length", &length, &filler])?;
    Ok(())
}

/// One that is unmounted when it goes out of scope: declare it before the cluster that lives on it.
pub struct Mounted(pub Disk);

impl Mounted {
    pub fn make(dir: &Path, mib: u32) -> anyhow::Result<Mounted> {
        Disk::make(dir, "small", mib).map(Mounted)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.0.unmount() {
            println!("{} may still be mounted: {error:#}", self.0.mount.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Labels;

    #[test]
    fn an_alert_is_found_by_its_name_and_whose_it_is() {
        let alert = |name: &str, instance: &str, state: &str| Alert {
            labels: Labels::from([("alertname".into(), name.into()), ("instance".into(), instance.into())]),
            state: state.into(),
        };
        let all = [alert("A", "w1", "pending"), alert("A", "w2", "firing"), alert("B", "w1", "firing")];
        assert_eq!(state_of(&all, &("A", "w2")), Some("firing"));
        assert_eq!(state_of(&all, &("A", "")), Some("pending"));
        assert_eq!(state_of(&all, &("A", "w3")), None);
        assert_eq!(state_of(&all, &("C", "")), None);
    }
}
