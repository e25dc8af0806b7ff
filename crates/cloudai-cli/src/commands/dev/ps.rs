//! `dev ps`: the cluster's processes.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::commands::dev::child::Child;
use crate::commands::dev::leader::leader;
use crate::exit::Failure;
use crate::output::{Columns, Format, View, show};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessView {
    pub name: String,
    pub role: &'static str,
    /// Null: not running.
    pub pid: Option<u32>,
    pub http: Option<String>,
    pub grpc: Option<String>,
    pub leader: bool,
    pub state: &'static str,
}

impl ProcessView {
    pub fn new(child: &Child, leader: Option<&str>) -> Self {
        let pid = child.pid();
        let url = |a: &Option<String>| a.as_ref().map(|a| format!("https://{a}"));
        ProcessView {
            name: child.name.clone(),
            role: child.role.name(),
            pid,
            http: url(&child.http),
            grpc: url(&child.grpc),
            leader: pid.is_some() && leader == Some(child.name.as_str()),
            state: if pid.is_some() { "running" } else { "stopped" },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ProcessList(pub Vec<ProcessView>);

impl View for ProcessList {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["NAME", "ROLE", "STATE", "PID", "HTTP", "GRPC"]);
        for p in &self.0 {
            let state = if p.leader { format!("{}, leader", p.state) } else { p.state.to_owned() };
            let text = |t: &Option<String>| t.clone().unwrap_or("-".to_owned());
            columns.row([
                p.name.clone(),
                p.role.to_owned(),
                state,
                p.pid.map_or("-".to_owned(), |p| p.to_string()),
                text(&p.http),
                text(&p.grpc),
            ]);
        }
        columns.write(out)
    }
}

pub async fn list(root: &Path) -> Result<ProcessList, Failure> {
    let children = Child::all(root)?;
    let leader = leader(root, &children).await;
    Ok(ProcessList(children.iter().map(|c| ProcessView::new(c, leader.as_deref())).collect()))
}

pub async fn run(root: &Path, format: Format) -> Result<(), Failure> {
    show(format, &list(root).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::dev::child::Kind;

    #[test]
    fn the_json_is_the_contract() {
        let child = Child {
            name: "master-1".into(),
            role: Kind::Master,
            config: "c".into(),
            http: Some("127.0.0.1:1".into()),
            grpc: Some("127.0.0.1:2".into()),
            running: None,
        };
        let list = ProcessList(vec![ProcessView::new(&child, Some("master-1"))]);
        assert_eq!(
            serde_json::to_value(&list).unwrap(),
            serde_json::json!([{"name": "master-1", "role": "master", "pid": null, "http": "https://127.0.0.1:1",
                "grpc": "https://127.0.0.1:2", "leader": false, "state": "stopped"}])
        );
    }
}
