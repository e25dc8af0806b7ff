//! What waits.

use std::collections::BTreeMap;
use std::io::{self, Write};

use cloudai_proto::v1::QueueReply;
use serde::Serialize;

use crate::output::{Columns, View, count};
use crate::times::{ago, now_ms, rfc3339};
use crate::views::placement::{PlacementView, requires};
use crate::views::resources::{ResourcesView, labels};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShapeView {
    pub priority: i32,
    pub resources: ResourcesView,
    pub require: BTreeMap<String, String>,
    /// Null: no rules but `require`.
    pub placement: Option<PlacementView>,
    pub tasks: u64,
    pub jobs: u32,
    pub oldest_submitted_at: Option<String>,
    #[serde(skip)]
    text: (String, u64),
}

/// `queue`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueView {
    pub queued: u64,
    pub active: u64,
    /// Of the queued: waiting for the time of their next attempt.
    pub retrying: u64,
    /// Jobs that have not ended.
    pub jobs: u64,
    pub oldest_submitted_at: Option<String>,
    /// Highest priority first.
    pub shapes: Vec<ShapeView>,
}

impl From<QueueReply> for QueueView {
    fn from(q: QueueReply) -> Self {
        let shapes = q.shapes.into_iter().map(|s| {
            let r = s.resources.unwrap_or_default();
            ShapeView {
                priority: s.priority,
                resources: r.into(),
                require: s.require,
                placement: s.placement.map(Into::into),
                tasks: s.tasks,
                jobs: s.jobs,
                oldest_submitted_at: rfc3339(s.oldest_ms),
                text: (r.to_string(), s.oldest_ms),
            }
        });
        QueueView {
            queued: q.queued,
            active: q.active,
            retrying: q.retrying,
            jobs: q.jobs,
            oldest_submitted_at: rfc3339(q.oldest_ms),
            shapes: shapes.collect(),
        }
    }
}

impl View for QueueView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} queued ({} of them waiting for a retry), {} active, {}",
            self.queued,
            self.retrying,
            self.active,
            count(self.jobs, "job")
        )?;
        if self.shapes.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut columns = Columns::new(&["PRIORITY", "TASKS", "JOBS", "OLDEST", "EACH TASK", "REQUIRES"]);
        for s in &self.shapes {
            let require = requires(labels(&s.require), s.placement.as_ref());
            let require = if require.is_empty() { "-".to_owned() } else { require };
            columns.row([
                s.priority.to_string(),
                s.tasks.to_string(),
                s.jobs.to_string(),
                ago(s.text.1, now_ms()),
                s.text.0.clone(),
                require,
            ]);
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::QueueShape;
    use cloudai_types::Resources;

    #[test]
    fn the_queue_by_shape() {
        let shape = QueueShape {
            priority: 5,
            resources: Some(Resources { cpu_milli: 500, ..Default::default() }),
            tasks: 7,
            jobs: 2,
            ..Default::default()
        };
        let q = QueueView::from(QueueReply {
            shapes: vec![shape],
            queued: 7,
            active: 1,
            retrying: 2,
            jobs: 3,
            ..Default::default()
        });
        let mut out = vec![];
        q.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "7 queued (2 of them waiting for a retry), 1 active, 3 jobs\n\n\
             PRIORITY  TASKS  JOBS  OLDEST  EACH TASK             REQUIRES\n\
             5         7      2     -       cpu 0.5, memory 0 B  -\n"
                .replace("EACH TASK             R", "EACH TASK            R")
        );
        assert_eq!(
            serde_json::to_value(&q).unwrap()["shapes"][0],
            serde_json::json!({"priority": 5, "resources": {"cpu": 0.5, "memory_bytes": 0, "storage_bytes": 0, "gpu": 0},
                "require": {}, "placement": null, "tasks": 7, "jobs": 2, "oldest_submitted_at": null})
        );
    }
}
