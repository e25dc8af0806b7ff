//! What lies where under the cluster's directory. Comes in: the directory. Goes out: paths and records.
//!
//! `admin/` identity · `master-N/`, `worker-N/` data and identity · `NAME.toml` configurations · `logs/NAME.log` ·
//! `run/NAME.json` processes · `run/cluster.json` · `env` exports for client commands.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::child::Child;
use crate::exit::{Code, Failure};

pub struct Layout {
    pub dir: PathBuf,
}

/// `run/cluster.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterRecord {
    pub cluster: String,
    pub executor: String,
}

const CLUSTER: &str = "cluster.json";

impl Layout {
    /// The directory need not exist. It is made absolute: children run elsewhere.
    pub fn new(dir: &Path) -> Result<Layout, Failure> {
        let dir = std::path::absolute(dir)
            .map_err(|e| Failure::invalid(format!("{} is no usable directory", dir.display())).why(e))?;
        Ok(Layout { dir })
    }

    pub fn existing(dir: &Path) -> Result<Layout, Failure> {
        let layout = Layout::new(dir)?;
        if layout.exists() {
            return Ok(layout);
        }
        Err(Failure::new(Code::NotFound, "not_found", format!("there is no cluster in {}", layout.dir.display()))
            .next("start one with `cloudai dev`, or name its directory with --data-dir"))
    }

    pub fn exists(&self) -> bool {
        self.run().join(CLUSTER).exists()
    }

    pub fn run(&self) -> PathBuf {
        self.dir.join("run")
    }
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }
    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }
    pub fn admin(&self) -> PathBuf {
        self.dir.join("admin")
    }
    pub fn env(&self) -> PathBuf {
        self.dir.join("env")
    }

    pub fn create(&self) -> Result<(), Failure> {
        for dir in [self.run(), self.dir.join("logs")] {
            std::fs::create_dir_all(&dir)
                .map_err(|e| Failure::failed(format!("{} cannot be created", dir.display())).why(e))?;
        }
        Ok(())
    }

    /// Written to the end or not at all.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|e| Failure::failed(format!("{} cannot be written", path.display())).why(e))
    }

    pub fn save_cluster(&self, record: &ClusterRecord) -> Result<(), Failure> {
        self.write(&self.run().join(CLUSTER), &json(record)?)
    }

    pub fn cluster(&self) -> Result<ClusterRecord, Failure> {
        read(&self.run().join(CLUSTER))
    }

    pub fn save_child(&self, child: &Child) -> Result<(), Failure> {
        self.write(&self.run().join(format!("{}.json", child.name)), &json(child)?)
    }

    /// Masters first, then workers, each in order of their numbers.
    pub fn children(&self) -> Result<Vec<Child>, Failure> {
        let entries = std::fs::read_dir(self.run())
            .map_err(|e| Failure::failed(format!("{} cannot be read", self.run().display())).why(e))?;
        let mut children = vec![];
        for path in entries.flatten().map(|e| e.path()) {
            let is_child = path.extension().is_some_and(|e| e == "json") && path.file_name().is_some_and(|n| n != CLUSTER);
            if is_child {
                children.push(read::<Child>(&path)?);
            }
        }
        children.sort_by_key(|c| (c.role != "master", c.name.len(), c.name.clone()));
        Ok(children)
    }

    pub fn child(&self, name: &str) -> Result<Child, Failure> {
        let children = self.children()?;
        let names = children.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(", ");
        children.into_iter().find(|c| c.name == name).ok_or_else(|| {
            Failure::new(Code::NotFound, "not_found", format!("there is no process '{name}' in this cluster"))
                .next(format!("name one of: {names}"))
        })
    }
}

fn json(record: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(record).map_err(|e| Failure::failed("a record cannot be written").why(e))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let unreadable = |e: &dyn std::fmt::Display| Failure::failed(format!("{} cannot be read", path.display())).why(e);
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(&e))?;
    serde_json::from_str(&text).map_err(|e| unreadable(&e))
}
