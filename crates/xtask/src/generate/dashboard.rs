//! A board as Grafana reads it. Comes in: a board of the table. Goes out: its JSON, always the same for the same board. Knows nothing of what a panel is
//! about.

use serde_json::{Value, json};

use super::boards::{Board, Kind, Panel, Unit};

/// The newest format that Grafana 10 writes; later ones read it.
const SCHEMA_VERSION: u32 = 39;
/// Of Grafana's grid of 24 columns.
const WIDTH: u32 = 8;
const HEIGHT: u32 = 8;
const NUMBER_WIDTH: u32 = 6;
const NUMBER_HEIGHT: u32 = 4;

/// The matchers that a dashboard's variables make.
const OF: &str = r#"job=~"$job",instance=~"$instance""#;

/// A query as Grafana gets it.
pub fn query(written: &str) -> String {
    written.replace("$of", OF)
}

pub fn json(board: &Board) -> String {
    let mut panels = vec![];
    let (mut id, mut y) = (0, 0);
    let mut next_id = || {
        id += 1;
        id
    };
    for row in board.rows {
        panels.push(json!({
            "id": next_id(), "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
        }));
        y += 1;
        let (mut x, mut line_height) = (0, 0);
        for p in row.panels {
            let (w, h) = match p.kind {
                Kind::Number => (NUMBER_WIDTH, NUMBER_HEIGHT),
                Kind::Lines | Kind::Stack => (WIDTH, HEIGHT),
                Kind::Logs => (24, 2 * HEIGHT),
            };
            if x + w > 24 {
                (x, y, line_height) = (0, y + line_height, 0);
            }
            panels.push(panel(p, next_id(), json!({ "x": x, "y": y, "w": w, "h": h })));
            (x, line_height) = (x + w, line_height.max(h));
        }
        y += line_height;
    }
    let is_of_logs = board.rows.iter().flat_map(|r| r.panels).any(|p| p.kind == Kind::Logs);
    let dashboard = json!({
        "uid": format!("cloudai-{}", board.name),
        "title": board.title,
        "tags": ["cloudai"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": false,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-3h", "to": "now" },
        "timezone": "browser",
        "links": [{ "type": "dashboards", "title": "CloudAI", "tags": ["cloudai"], "asDropdown": true, "includeVars": true, "keepTime": true }],
        "templating": { "list": variables(board.role, is_of_logs) },
        "annotations": { "list": [] },
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&dashboard).expect("texts and numbers");
    text.push('\n');
    text
}

fn variables(role: &str, is_of_logs: bool) -> Vec<Value> {
    let source = |name: &str, kind: &str, label: &str| json!({ "type": "datasource", "name": name, "query": kind, "label": label });
    // All is all that the variable offers, and no member of another role.
    let asked = |name: &str, query: String, wanted: &str| {
        json!({
            "type": "query", "name": name, "label": name, "multi": true, "includeAll": true, "allValue": wanted, "refresh": 2, "sort": 1,
            "regex": format!("/{wanted}/"), "query": { "query": query, "refId": name },
            "datasource": { "type": "prometheus", "uid": "${datasource}" },
            "current": { "text": "All", "value": "$__all" },
        })
    };
    let mut all = vec![
        source("datasource", "prometheus", "Prometheus"),
        asked("job", "label_values(cloudai_build_info, job)".to_owned(), &format!(".*{role}.*")),
        asked("instance", "label_values(cloudai_build_info{job=~\"$job\"}, instance)".to_owned(), ".*"),
    ];
    if is_of_logs {
        all.push(source("loki", "loki", "Loki"));
    }
    all
}

fn panel(p: &Panel, id: u32, place: Value) -> Value {
    let (kind, source) = match p.kind {
        Kind::Lines | Kind::Stack => ("timeseries", json!({ "type": "prometheus", "uid": "${datasource}" })),
        Kind::Number => ("stat", json!({ "type": "prometheus", "uid": "${datasource}" })),
        Kind::Logs => ("logs", json!({ "type": "loki", "uid": "${loki}" })),
    };
    let targets = p.lines.iter().zip('A'..).map(|((legend, written), name)| {
        json!({
            "refId": name.to_string(), "expr": query(written), "legendFormat": legend, "datasource": source,
            "instant": p.kind == Kind::Number, "range": p.kind != Kind::Number,
        })
    });
    json!({
        "id": id,
        "type": kind,
        "title": p.title,
        "description": p.about,
        "gridPos": place,
        "datasource": source,
        "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": { "defaults": field(p), "overrides": [] },
        "options": options(p.kind),
    })
}

fn field(p: &Panel) -> Value {
    let unit = match p.unit {
        Unit::Plain => "short",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::Share => "percentunit",
        Unit::PerSecond => "ops",
        Unit::Celsius => "celsius",
        Unit::UnixTime => "dateTimeFromNow",
    };
    match p.kind {
        Kind::Lines | Kind::Logs | Kind::Number => json!({ "unit": unit }),
        Kind::Stack => json!({ "unit": unit, "custom": { "stacking": { "mode": "normal" }, "fillOpacity": 40 } }),
    }
}

fn options(kind: Kind) -> Value {
    match kind {
        Kind::Lines | Kind::Stack => {
            json!({ "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi", "sort": "desc" } })
        }
        Kind::Number => json!({ "reduceOptions": { "calcs": ["lastNotNull"] }, "colorMode": "none" }),
        Kind::Logs => json!({ "showTime": true, "wrapLogMessage": true, "sortOrder": "Descending" }),
    }
}
