//! A GPU cluster that fills: what is allocated, and what nobody can use, against what arrivals have asked for. A line for each policy; of several
//! seeds it is the first one's.

use cloudai_types::limits;

use super::axis::Axis;
use super::{PANEL_HEIGHT, Panel, WIDTH, colour};
use crate::inflation::{Allocation, Point};
use crate::svg::{Anchor, Svg};

/// The whole picture, of policies with their runs.
pub fn plot_allocation(title: &str, runs: &[(&str, &[Allocation])]) -> String {
    let mut svg = Svg::new(WIDTH, 2.0 * PANEL_HEIGHT, title);
    svg.text((20.0, 24.0), Anchor::Start, "title", title);
    let panel =
        |top: f64| Panel { left: 70.0, right: WIDTH - 30.0, top: top + 74.0, bottom: top + PANEL_HEIGHT - 60.0 };
    let drawn: Vec<(&str, &[Point])> = runs
        .iter()
        .take(limits::REPLAY_LINES_MAX)
        .filter_map(|(policy, runs)| Some((*policy, runs.first()?.curve.as_slice())))
        .collect();
    let seed = if runs.iter().any(|(_, runs)| runs.len() > 1) { ", first seed" } else { "" };
    let allocated = format!("GPU that is allocated{seed}");
    lines(&mut svg, panel(0.0), &drawn, (&allocated, "allocated, %"), |point| point.allocated);
    let fragmented = format!("GPU that is free, and that a usual task cannot use{seed}");
    lines(&mut svg, panel(PANEL_HEIGHT - 20.0), &drawn, (&fragmented, "fragmented, %"), |point| point.fragmented);
    svg.finish()
}

fn lines(svg: &mut Svg, panel: Panel, drawn: &[(&str, &[Point])], words: (&str, &str), y_of: fn(&Point) -> f64) {
    let points = || drawn.iter().flat_map(|(_, curve)| curve.iter());
    let highest = |of: fn(&Point) -> f64| points().map(of).fold(0.0, f64::max);
    let (x, y) = (Axis::from_zero(highest(|point| point.asked)), Axis::from_zero(highest(y_of)));
    panel.frame(svg, (&x, "asked for by all arrivals so far, % of all GPU"), (&y, words.1), words.0);
    for (place, (policy, curve)) in drawn.iter().enumerate() {
        let line: Vec<(f64, f64)> =
            curve.iter().map(|point| panel.at(x.place(point.asked), y.place(y_of(point)))).collect();
        svg.polyline(&line, "line", colour(place));
        let (row, column) = (panel.bottom + 54.0, panel.left + place as f64 * 110.0);
        svg.circle((column, row - 4.0), 4.0, "key", colour(place), policy);
        svg.text((column + 8.0, row), Anchor::Start, "name", policy);
    }
}
