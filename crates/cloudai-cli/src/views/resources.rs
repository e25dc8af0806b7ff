//! Amounts in JSON: CPUs as a number of cores, sizes in bytes.

use cloudai_types::Resources;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourcesView {
    pub cpu: f64,
    pub memory_bytes: u64,
    pub storage_bytes: u64,
    pub gpu: u32,
}

impl From<Resources> for ResourcesView {
    fn from(r: Resources) -> Self {
        ResourcesView {
            cpu: r.cpu_milli as f64 / 1000.0,
            memory_bytes: r.memory_bytes,
            storage_bytes: r.storage_bytes,
            gpu: r.gpus,
        }
    }
}

/// `a=1,b=2`
pub fn labels(map: &std::collections::BTreeMap<String, String>) -> String {
    map.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}
