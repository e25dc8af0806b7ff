//! Utilisation over time, a line for each of the first policies. Of several windows or seeds it is the first one's.

use cloudai_types::limits;

use super::axis::Axis;
use super::{Panel, colour};
use crate::report::Report;
use crate::svg::{Anchor, Svg};

const DAY_S: f64 = 86_400.0;
/// From this span on, time is told in days.
const DAYS_FROM_S: f64 = 3.0 * DAY_S;

pub fn draw(svg: &mut Svg, panel: Panel, reports: &[Report]) {
    let drawn = &reports[..reports.len().min(limits::REPLAY_LINES_MAX)];
    let span_s = |r: &Report| r.timeline.step_s * r.timeline.used.len() as f64;
    let longest_s = drawn.iter().map(span_s).fold(0.0, f64::max);
    let (unit_s, unit) = if longest_s >= DAYS_FROM_S { (DAY_S, "days") } else { (3_600.0, "hours") };
    let (x, y) = (Axis::from_zero(longest_s / unit_s), Axis::from_zero(1.0));
    panel.frame(svg, (&x, &format!("{unit} since the first submission")), (&y, "used"), &title(drawn, reports));
    for (place, report) in drawn.iter().enumerate() {
        let steps = report.timeline.used.iter().enumerate();
        let middle = |step: usize| (step as f64 + 0.5) * report.timeline.step_s / unit_s;
        let points: Vec<(f64, f64)> =
            steps.map(|(step, used)| panel.at(x.place(middle(step)), y.place(*used))).collect();
        svg.polyline(&points, "line", colour(place));
        let row = panel.bottom + 54.0;
        let column = panel.left + place as f64 * 110.0;
        svg.circle((column, row - 4.0), 4.0, "key", colour(place), &report.policy);
        svg.text((column + 8.0, row), Anchor::Start, "name", &short(&report.policy));
    }
}

fn title(drawn: &[Report], reports: &[Report]) -> String {
    let which = match drawn.len() == reports.len() {
        true => String::new(),
        false => format!(", first {} policies", drawn.len()),
    };
    let part = match reports.iter().any(|r| r.windows > 0 || r.seeds > 1) {
        true => ", first window and seed",
        false => "",
    };
    format!("utilisation over time{which}{part}")
}

/// Fits into a column of the key; the whole name is the tip.
fn short(name: &str) -> String {
    match name.char_indices().nth(14) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
