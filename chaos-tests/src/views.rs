//! The command line's JSON, as far as the drills read it. What is missing here is not read; what is renamed there breaks here.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub struct Process {
    pub name: String,
    pub role: String,
    /// None or 0: not running.
    pub pid: Option<u32>,
    #[serde(default)]
    pub http: Option<String>,
    #[serde(default)]
    pub grpc: Option<String>,
    #[serde(default)]
    pub leader: bool,
}

impl Process {
    pub fn pid(&self) -> Option<u32> {
        self.pid.filter(|p| *p != 0)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct JobView {
    pub id: String,
    pub name: String,
    pub state: String,
    #[serde(default)]
    pub counts: BTreeMap<String, u64>,
    /// Only in `job show`.
    #[serde(default)]
    pub tasks: Vec<TaskView>,
}

impl JobView {
    pub fn has_ended(&self) -> bool {
        !matches!(self.state.as_str(), "Queued" | "Running")
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct TaskView {
    pub index: u64,
    pub state: String,
    #[serde(default)]
    pub attempts: Vec<AttemptView>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AttemptView {
    pub number: u64,
    #[serde(default)]
    pub worker: Option<String>,
    pub state: String,
    #[serde(default)]
    pub reason: Option<ReasonView>,
    #[serde(default)]
    pub usage: Option<UsageView>,
}

impl AttemptView {
    /// The kind of its ending; empty while it has none.
    pub fn ending(&self) -> &str {
        self.reason.as_ref().map_or("", |r| r.kind.as_str())
    }
}

/// What an attempt used; null where it is not known.
#[derive(Debug, Clone, Deserialize)]
pub struct UsageView {
    pub memory_peak_bytes: Option<u64>,
    pub processes_max: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ReasonView {
    pub kind: String,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_read() {
        let text = r#"{"id":"0A1B2C3D","name":"x","state":"Failed","counts":{"failed":1},"submitted_at":"2026-01-01T00:00:00Z",
            "tasks":[{"index":0,"state":"Failed","attempts":[{"number":1,"worker":"w","state":"Exited",
            "reason":{"kind":"exit_code","exit_code":3},"started_at":null,"ended_at":null}]}]}"#;
        let job: JobView = serde_json::from_str(text).unwrap();
        assert!(job.has_ended());
        assert_eq!(job.tasks[0].attempts[0].reason.as_ref().unwrap().exit_code, Some(3));
    }
}
