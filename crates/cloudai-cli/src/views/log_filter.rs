//! What masters and workers write to their logs.

use std::io::{self, Write};

use cloudai_proto::v1::LogFilter;
use serde::Serialize;

use crate::output::{Columns, View};
use crate::times::{duration, seconds};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogFilterView {
    pub node: String,
    /// `master` or `worker`.
    pub role: &'static str,
    pub filter: String,
    /// What it began with, and goes back to.
    pub usual: String,
    /// Seconds until then; null: it is the usual one.
    pub left: Option<f64>,
    /// `role/name`; null: nobody.
    pub changed_by: Option<String>,
}

impl LogFilterView {
    pub fn new(role: &'static str, filter: LogFilter) -> Self {
        LogFilterView {
            node: filter.node,
            role,
            left: (!filter.changed_by.is_empty()).then(|| seconds(filter.left_ms)),
            changed_by: (!filter.changed_by.is_empty()).then_some(filter.changed_by),
            filter: filter.filter,
            usual: filter.usual,
        }
    }
}

/// `cluster log-level`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LogFiltersView(pub Vec<LogFilterView>);

impl View for LogFiltersView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut columns = Columns::new(&["NODE", "FILTER", "FOR", "BY", "USUALLY"]);
        for of in &self.0 {
            let left = of.left.map_or("-".to_owned(), |left| duration((left * 1000.0) as u64));
            let by = of.changed_by.clone().unwrap_or("-".to_owned());
            columns.row([of.node.clone(), of.filter.clone(), left, by, of.usual.clone()]);
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_filter_and_one_for_a_while() {
        let usual = LogFilter {
            node: "master-1".into(),
            filter: "info,openraft=error".into(),
            usual: "info,openraft=error".into(),
            left_ms: 0,
            changed_by: String::new(),
        };
        let changed = LogFilter {
            node: "master-2".into(),
            filter: "info,cloudai_raft=debug".into(),
            left_ms: 599_200,
            changed_by: "admin/ann".into(),
            ..usual.clone()
        };
        let view = LogFiltersView([usual, changed].map(|f| LogFilterView::new("master", f)).to_vec());
        let mut out = vec![];
        view.table(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
NODE      FILTER                   FOR    BY         USUALLY
master-1  info,openraft=error      -      -          info,openraft=error
master-2  info,cloudai_raft=debug  9m59s  admin/ann  info,openraft=error
"
        );
        assert_eq!(
            serde_json::to_string(&view.0[1]).unwrap(),
            r#"{"node":"master-2","role":"master","filter":"info,cloudai_raft=debug","usual":"info,openraft=error","left":599.2,"changed_by":"admin/ann"}"#
        );
    }
}
