//! What the workers of a `cloudai dev` cluster really ran, as they write it down themselves. Comes in: a cluster with the executor `noop`. Goes
//! out: every execution of every task.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use cloudai_types::TaskId;
use serde_json::Value;

use crate::checker::executions;
use crate::checker::facts::Execution;
use crate::cluster::Cluster;
use crate::wait;

/// Each worker with its record.
pub type Records = Vec<(String, PathBuf)>;

/// From here on: the workers are started again for it.
pub fn keep(cluster: &Cluster) -> anyhow::Result<Records> {
    let workers = cluster.processes()?.into_iter().filter(|p| p.role == "worker").map(|p| p.name);
    let mut records = vec![];
    for name in workers.collect::<Vec<_>>() {
        let record = cluster.dir.join(format!("{name}.record"));
        let config = cluster.dir.join(&name).join("worker.toml");
        let text = std::fs::read_to_string(&config).with_context(|| format!("{}", config.display()))?;
        let others = text.lines().filter(|line| !line.starts_with("noop_record"));
        // Before the first table, if there is one.
        let own = format!("noop_record = \"{}\"", record.display());
        let text = std::iter::once(own.as_str()).chain(others).collect::<Vec<_>>().join("\n");
        std::fs::write(&config, text + "\n")?;
        cluster.kill(&name)?;
        cluster.start_one(&name)?;
        records.push((name, record));
    }
    wait::until("the workers are back", Duration::from_secs(60), Duration::from_millis(100), || {
        let all: Vec<Value> = cluster.cli.json(&["worker", "list"])?;
        let written = records.iter().all(|(_, record)| record.exists());
        Ok((written && all.iter().all(|w| w["state"] == "Ready")).then_some(()))
    })?;
    Ok(records)
}

pub fn read(records: &Records) -> anyhow::Result<BTreeMap<TaskId, Vec<Execution>>> {
    let mut all: BTreeMap<TaskId, Vec<Execution>> = BTreeMap::new();
    for (worker, path) in records {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        for execution in executions::read(worker, &text, &[])? {
            all.entry(execution.task()).or_default().push(execution);
        }
    }
    Ok(all)
}
