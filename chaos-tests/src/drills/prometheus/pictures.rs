//! The dashboards of a run that is over, as pictures. Comes in: boards with their answers, and what happened when. Goes out: what `cloudai-replay` draws. Grafana is not
//! asked: these are our own plots of its queries.

use cloudai_replay::plot::dashboard::{Dashboard, Kind, Row, Series, Tile, Unit};

use super::boards::{self, Board, Lacks, Line, Panel};
use crate::prometheus::Labels;

/// What all pictures of a run share.
pub struct Run {
    pub about: String,
    /// Seconds since 1970.
    pub from_s: f64,
    pub to_s: f64,
    /// Seconds since 1970, and what happened.
    pub marks: Vec<(f64, String)>,
    pub lacking: Vec<Lacks>,
}

pub fn picture(board: &Board, run: &Run) -> Dashboard {
    let marks: Vec<(f64, String)> = run.marks.iter().map(|(at, what)| (at - run.from_s, what.clone())).collect();
    let rows = board.rows.iter().map(|row| Row {
        title: row.title.clone(),
        panels: row.panels.iter().map(|panel| tile(board, panel, run)).collect(),
    });
    Dashboard {
        title: board.title.clone(),
        about: run.about.clone(),
        span_s: run.to_s - run.from_s,
        rows: rows.collect(),
        marks,
    }
}

fn tile(board: &Board, panel: &Panel, run: &Run) -> Tile {
    let series = panel.lines.iter().flat_map(|line| series(line, panel, run));
    Tile {
        title: panel.title.clone(),
        kind: match (panel.kind.as_str(), panel.is_stacked) {
            ("stat", _) => Kind::Number,
            (_, true) => Kind::Stack,
            (_, false) => Kind::Lines,
        },
        unit: match panel.unit.as_str() {
            "s" => Unit::Seconds,
            "bytes" => Unit::Bytes,
            "percentunit" => Unit::Share,
            "ops" => Unit::PerSecond,
            "celsius" => Unit::Celsius,
            "dateTimeFromNow" => Unit::Days,
            _ => Unit::Plain,
        },
        series: series.collect(),
        why_empty: boards::why_empty(&board.name, panel, &run.lacking).to_owned(),
    }
}

fn series(line: &Line, panel: &Panel, run: &Run) -> Vec<Series> {
    let value = |value: f64| match panel.unit.as_str() {
        // Milliseconds since 1970.
        "dateTimeFromNow" => (value / 1e3 - run.to_s) / 86_400.0,
        _ => value,
    };
    let said = line.answer.iter().flatten().filter(|series| !series.points.is_empty());
    let drawn = said.map(|series| Series {
        name: legend(&line.legend, &series.labels),
        points: series.points.iter().map(|(at, v)| (at - run.from_s, value(*v))).collect(),
    });
    drawn.collect()
}

/// `{{label}}` is that label's value.
fn legend(template: &str, labels: &Labels) -> String {
    labels.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus;

    #[test]
    fn panels_become_tiles_with_names_and_times_of_the_run() {
        let labels = Labels::from([("op".to_owned(), "build".to_owned()), ("result".to_owned(), "ok".to_owned())]);
        let answer = vec![prometheus::Series { labels, points: vec![(1_010.0, 2.0)] }];
        let line = Line { legend: "{{op}} {{result}}".into(), query: "q".into(), answer: Some(answer) };
        let panel = |unit: &str, kind: &str| Panel {
            title: "T".into(),
            kind: kind.into(),
            is_stacked: false,
            unit: unit.into(),
            lines: vec![line.clone()],
        };
        let row =
            boards::Row { title: "R".into(), panels: vec![panel("s", "timeseries"), panel("dateTimeFromNow", "stat")] };
        let board = Board { name: "b".into(), title: "B".into(), rows: vec![row] };
        let marks = vec![(1_005.0, "the leader is killed".to_owned())];
        let run = Run { about: "A run.".into(), from_s: 1_000.0, to_s: 1_060.0, marks, lacking: vec![] };
        let drawn = picture(&board, &run);
        assert_eq!((drawn.about.as_str(), drawn.span_s), ("A run.", 60.0));
        assert_eq!(drawn.marks[0].0, 5.0);
        let [lines, number] = drawn.rows[0].panels.as_slice() else { panic!("two tiles") };
        assert_eq!(
            (lines.kind, lines.unit, number.kind, number.unit),
            (Kind::Lines, Unit::Seconds, Kind::Number, Unit::Days)
        );
        assert_eq!((lines.series[0].name.as_str(), lines.series[0].points[0]), ("build ok", (10.0, 2.0)));
    }
}
