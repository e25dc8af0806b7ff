//! The dashboards that a user has (grafana/dashboards/*.json), as questions. Comes in: their JSON, and the answers of a run. Goes out: what of it is empty and must
//! not be, and the other way round. How Grafana draws them is deliberately not known here.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::prometheus::Series;

#[derive(Debug, Clone)]
pub struct Board {
    /// Of its file.
    pub name: String,
    pub title: String,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub title: String,
    pub panels: Vec<Panel>,
}

#[derive(Debug, Clone)]
pub struct Panel {
    pub title: String,
    /// As Grafana calls it: `timeseries`, `stat`, `logs`.
    pub kind: String,
    pub is_stacked: bool,
    /// As Grafana calls it: `short`, `s`, `bytes`, …
    pub unit: String,
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub legend: String,
    /// With the dashboard's variables put in: all that they offer.
    pub query: String,
    /// `None`: nobody was asked, for it is a question for Loki.
    pub answer: Option<Vec<Series>>,
}

impl Line {
    pub fn is_empty(&self) -> bool {
        self.answer.iter().flatten().all(|series| series.points.is_empty())
    }
}

/// What a run cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// Nothing that takes lines of logs.
    Loki,
    /// No GPU in this machine.
    Gpus,
    /// No container engine: the workers only play tasks.
    Engine,
}

/// Lines that are empty where something is lacking: dashboard, panel, and what. Everything else must say something; so must these where nothing is lacking.
const EMPTY: [(&str, &str, Lacks); 8] = [
    ("workers", "Engine up", Lacks::Engine),
    ("workers", "Failed calls", Lacks::Engine),
    ("workers", "What calls take", Lacks::Engine),
    ("workers", "Busy", Lacks::Gpus),
    ("workers", "Memory in use", Lacks::Gpus),
    ("workers", "Temperature", Lacks::Gpus),
    ("logs", "Errors", Lacks::Loki),
    ("logs", "Everything", Lacks::Loki),
];

impl Lacks {
    pub fn why(self) -> &'static str {
        match self {
            Lacks::Loki => "needs a Loki",
            Lacks::Gpus => "this machine has no GPU",
            Lacks::Engine => "a run without a container engine",
        }
    }
}

/// Why this line may be empty.
fn excuse(board: &str, panel: &Panel, lacking: &[Lacks]) -> Option<Lacks> {
    let of_gpus = |line: &Line| line.query.contains("_gpu_");
    let found = EMPTY.iter().find(|(b, p, lacks)| {
        // Two panels of the workers are called alike.
        *b == board && *p == panel.title && (*lacks == Lacks::Gpus) == panel.lines.iter().any(of_gpus)
    });
    found.map(|(.., lacks)| *lacks).filter(|lacks| lacking.contains(lacks))
}

/// What a picture of an empty panel says.
pub fn why_empty(board: &str, panel: &Panel, lacking: &[Lacks]) -> &'static str {
    excuse(board, panel, lacking).map_or("nothing to show", Lacks::why)
}

/// Each line that is empty and must not be, and each that is not and should be: then the list above is wrong.
pub fn wrong(boards: &[Board], lacking: &[Lacks]) -> Vec<String> {
    let mut wrong = vec![];
    for board in boards {
        for panel in board.rows.iter().flat_map(|row| &row.panels) {
            let excuse = excuse(&board.name, panel, lacking);
            for line in &panel.lines {
                let told = format!("{}, {}: {}", board.title, panel.title, line.query);
                match (line.is_empty(), excuse) {
                    (true, None) => wrong.push(format!("{told} is empty")),
                    (false, Some(lacks)) => wrong.push(format!("{told} is not empty, although: {}", lacks.why())),
                    (true, Some(_)) | (false, None) => {}
                }
            }
        }
    }
    wrong
}

/// All of a folder, by name. `rate_interval_s`: what Grafana takes for `$__rate_interval`.
pub fn read(folder: &Path, rate_interval_s: u64) -> anyhow::Result<Vec<Board>> {
    let mut boards = vec![];
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.context("the folder of dashboards cannot be listed")?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let json = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        boards.push(board(&name, &json, rate_interval_s).with_context(|| path.display().to_string())?);
    }
    boards.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!boards.is_empty(), "{} has no dashboards", folder.display());
    Ok(boards)
}

fn board(name: &str, json: &Value, rate_interval_s: u64) -> anyhow::Result<Board> {
    let variables: Vec<(String, String)> = list(&json["templating"]["list"])
        .filter_map(|v| Some((format!("${}", v["name"].as_str()?), v["allValue"].as_str()?.to_owned())))
        .collect();
    let put_in = |expr: &str| {
        let query = expr.replace("$__rate_interval", &format!("{rate_interval_s}s"));
        variables.iter().fold(query, |query, (name, all)| query.replace(name, all))
    };
    let mut rows: Vec<Row> = vec![];
    for p in list(&json["panels"]) {
        let title = text(&p["title"]);
        if p["type"] == "row" {
            rows.push(Row { title, panels: vec![] });
            continue;
        }
        let line = |t: &Value| {
            let query = put_in(&text(&t["expr"]));
            ensure!(!query.is_empty() && !query.contains('$'), "{title} asks '{query}'");
            Ok(Line { legend: text(&t["legendFormat"]), query, answer: None })
        };
        let defaults = &p["fieldConfig"]["defaults"];
        let panel = Panel {
            kind: text(&p["type"]),
            is_stacked: defaults["custom"]["stacking"]["mode"] == "normal",
            unit: text(&defaults["unit"]),
            lines: list(&p["targets"]).map(line).collect::<anyhow::Result<_>>()?,
            title,
        };
        rows.last_mut().context("a panel stands above all rows")?.panels.push(panel);
    }
    Ok(Board { name: name.to_owned(), title: text(&json["title"]), rows })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<Board> {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana/dashboards"), 20).unwrap()
    }

    #[test]
    fn dashboards_are_read_as_grafana_does() {
        let boards = ours();
        let overview = boards.iter().find(|b| b.name == "overview").unwrap();
        let up = &overview.rows[0].panels[1];
        assert_eq!((up.title.as_str(), up.kind.as_str()), ("Masters up", "stat"));
        assert_eq!(up.lines[0].query, r#"sum(up{job=~".*master.*"})"#, "all masters, and no worker");
        let tasks = &overview.rows[1].panels;
        assert!(tasks[0].is_stacked && !tasks[1].is_stacked);
        assert!(tasks[1].lines[0].query.contains("[20s]"), "{}", tasks[1].lines[0].query);
    }

    #[test]
    fn every_exception_is_a_panel() {
        let boards = ours();
        for (board, panel, lacks) in EMPTY {
            let of = boards.iter().find(|b| b.name == board).unwrap();
            let found = of.rows.iter().flat_map(|r| &r.panels).any(|p| excuse(board, p, &[lacks]) == Some(lacks));
            assert!(found, "{board} has no panel {panel}");
        }
    }

    #[test]
    fn what_is_empty_and_should_not_be_is_found_and_the_other_way_round() {
        let full = Some(vec![Series { labels: Default::default(), points: vec![(0.0, 1.0)] }]);
        let line =
            |answer: &Option<Vec<Series>>| Line { legend: String::new(), query: "q".into(), answer: answer.clone() };
        let panel = |title: &str, answer| Panel {
            title: title.into(),
            kind: "timeseries".into(),
            is_stacked: false,
            unit: "s".into(),
            lines: vec![line(answer)],
        };
        let board =
            |panels| Board { name: "workers".into(), title: "W".into(), rows: vec![Row { title: "r".into(), panels }] };
        let empty = Some(vec![]);
        let good = board(vec![panel("Engine up", &empty), panel("Connected", &full)]);
        assert_eq!(wrong(&[good], &[Lacks::Engine]), Vec::<String>::new());
        let bad = board(vec![panel("Engine up", &full), panel("Connected", &empty)]);
        let told = wrong(&[bad], &[Lacks::Engine]);
        assert!(told.len() == 2 && told[0].contains("is not empty") && told[1].contains("Connected"), "{told:?}");
        // Where nothing is lacking there is no excuse.
        assert_eq!(wrong(&[board(vec![panel("Engine up", &empty)])], &[]).len(), 1);
    }
}
