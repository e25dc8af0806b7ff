//! A dashboard of a run that is over, as a picture. Comes in: rows of panels with the series that somebody has asked for, and moments to mark. Goes out: one
//! SVG, the same for the same input. Where the numbers come from, and what a query is, is deliberately not known here.

use super::axis::{Axis, number};
use super::{Panel, colour};
use crate::svg::{Anchor, Svg};

/// Of one panel, in pixels; three fit beside each other.
const WIDTH: f64 = 376.0;
const HEIGHT: f64 = 226.0;
const NUMBER_WIDTH: f64 = 279.0;
const NUMBER_HEIGHT: f64 = 76.0;
const GAP: f64 = 12.0;
const WHOLE: f64 = 3.0 * WIDTH + 4.0 * GAP;
const HEAD: f64 = 52.0;
const ROW_HEAD: f64 = 30.0;
/// Around a plot, for its title, its ticks and its legend.
const ABOVE: f64 = 34.0;
const BESIDE: f64 = 54.0;
const BELOW: f64 = 62.0;
/// Of the legend; a line more says how many others there are.
const LEGEND_LINES: usize = 3;
const SERIES_MAX: usize = 7;
/// An upper bound for the mean width of a letter.
const LETTER: f64 = 6.0;

pub struct Dashboard {
    pub title: String,
    /// Under the title: of which run this is.
    pub about: String,
    /// What the axes end with, in seconds; they begin with 0.
    pub span_s: f64,
    /// Seconds from the beginning, and what happened.
    pub marks: Vec<(f64, String)>,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub title: String,
    pub panels: Vec<Tile>,
}

pub struct Tile {
    pub title: String,
    pub kind: Kind,
    pub unit: Unit,
    pub series: Vec<Series>,
    /// What stands there when there is no series.
    pub why_empty: String,
}

pub struct Series {
    pub name: String,
    /// Seconds from the beginning, in order, and values. A step that is missing is a gap.
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Lines,
    /// Areas on top of each other.
    Stack,
    /// The last value, large.
    Number,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Plain,
    Seconds,
    Bytes,
    /// 0 to 1.
    Share,
    PerSecond,
    Celsius,
    Days,
}

/// The whole picture.
pub fn draw(dashboard: &Dashboard) -> String {
    let heights: Vec<f64> = dashboard.rows.iter().map(height_of).collect();
    let mut svg = Svg::new(WHOLE, HEAD + heights.iter().sum::<f64>() + GAP, &dashboard.title);
    svg.text((GAP, 24.0), Anchor::Start, "title", &dashboard.title);
    svg.text((GAP, 42.0), Anchor::Start, "small", &dashboard.about);
    let marks = dashboard.marks.iter().enumerate().map(|(number, (_, what))| format!("{}: {what}", number + 1));
    svg.text((WHOLE - GAP, 24.0), Anchor::End, "markname", &marks.collect::<Vec<_>>().join(", "));
    let mut top = HEAD;
    for (row, height) in dashboard.rows.iter().zip(heights) {
        svg.text((GAP, top + 20.0), Anchor::Start, "row", &row.title);
        for (tile, (left, top)) in row.panels.iter().zip(places(row, top + ROW_HEAD)) {
            svg.group(&tile.title, |svg| match tile.kind {
                Kind::Number => big(svg, (left, top), tile),
                Kind::Lines | Kind::Stack => plot(svg, (left, top), tile, dashboard),
            });
        }
        top += height;
    }
    svg.finish()
}

fn size_of(tile: &Tile) -> (f64, f64) {
    match tile.kind {
        Kind::Number => (NUMBER_WIDTH, NUMBER_HEIGHT),
        Kind::Lines | Kind::Stack => (WIDTH, HEIGHT),
    }
}

/// Where each tile's corner is: from left to right, and in the next line where there is no room.
fn places(row: &Row, top: f64) -> Vec<(f64, f64)> {
    let (mut left, mut top, mut line) = (GAP, top, 0.0);
    let mut places = Vec::with_capacity(row.panels.len());
    for tile in &row.panels {
        let (width, height) = size_of(tile);
        if left + width > WHOLE {
            (left, top, line) = (GAP, top + line + GAP, 0.0);
        }
        places.push((left, top));
        (left, line) = (left + width + GAP, f64::max(line, height));
    }
    places
}

fn height_of(row: &Row) -> f64 {
    let bottoms = places(row, ROW_HEAD).into_iter().zip(&row.panels).map(|((_, top), tile)| top + size_of(tile).1);
    bottoms.fold(ROW_HEAD, f64::max) + GAP
}

fn big(svg: &mut Svg, (left, top): (f64, f64), tile: &Tile) {
    svg.frame((left, top), (NUMBER_WIDTH, NUMBER_HEIGHT), "box");
    svg.text((left + 8.0, top + 16.0), Anchor::Start, "default", &tile.title);
    let last = tile.series.first().and_then(|series| series.points.last());
    match last {
        Some((_, value)) => {
            svg.text((left + NUMBER_WIDTH / 2.0, top + 54.0), Anchor::Middle, "big", &shown(*value, *value, tile.unit));
        }
        None => svg.text((left + NUMBER_WIDTH / 2.0, top + 50.0), Anchor::Middle, "small", &tile.why_empty),
    }
}

fn plot(svg: &mut Svg, (left, top): (f64, f64), tile: &Tile, of: &Dashboard) {
    svg.frame((left, top), (WIDTH, HEIGHT), "box");
    svg.text((left + 8.0, top + 16.0), Anchor::Start, "default", &tile.title);
    let panel =
        Panel { left: left + BESIDE, right: left + WIDTH - 12.0, top: top + ABOVE, bottom: top + HEIGHT - BELOW };
    if tile.series.is_empty() {
        let middle = ((panel.left + panel.right) / 2.0, (panel.top + panel.bottom) / 2.0);
        svg.text(middle, Anchor::Middle, "small", &tile.why_empty);
        return;
    }
    let (drawn, others) = chosen(&tile.series);
    let layers = match tile.kind {
        Kind::Stack => stacked(&drawn),
        Kind::Lines | Kind::Number => vec![],
    };
    let tops = layers.iter().flatten().map(|(_, _, high)| *high);
    let values = drawn.iter().flat_map(|series| &series.points).map(|(_, value)| *value);
    let highest = tops.chain(values).fold(0.0, f64::max);
    let (x, y) = (Axis::from_zero(of.span_s / 60.0), Axis::from_zero(if highest > 0.0 { highest * 1.08 } else { 1.0 }));
    frame(svg, panel, (&x, &y), tile.unit, highest);
    let at = |(seconds, value): (f64, f64)| panel.at(x.place(seconds / 60.0), y.place(value.max(0.0)));
    let step = step_of(&drawn);
    for (place, series) in drawn.iter().enumerate() {
        if let Some(layer) = layers.get(place) {
            let upper = layer.iter().map(|(t, _, high)| at((*t, *high)));
            let lower = layer.iter().rev().map(|(t, low, _)| at((*t, *low)));
            svg.area(&upper.chain(lower).collect::<Vec<_>>(), colour(place));
            continue;
        }
        for piece in pieces(&series.points, step) {
            match piece {
                [alone] => svg.circle(at(*alone), 1.5, "point", colour(place), &series.name),
                _ => svg.polyline(&piece.iter().map(|p| at(*p)).collect::<Vec<_>>(), "line", colour(place)),
            }
        }
    }
    for (number, (seconds, what)) in of.marks.iter().enumerate() {
        let (from, to) = (at((*seconds, 0.0)), panel.top);
        svg.line(from, (from.0, to), "mark");
        svg.group(what, |svg| svg.text((from.0, to - 2.0), Anchor::Middle, "markname", &(number + 1).to_string()));
    }
    legend(svg, panel, &drawn, others);
}

/// Those that are seen: of too many the largest ones, in their order. And how many are left out.
fn chosen(series: &[Series]) -> (Vec<&Series>, usize) {
    let high = |series: &Series| series.points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut places: Vec<usize> = (0..series.len()).collect();
    places.sort_by(|a, b| high(&series[*b]).total_cmp(&high(&series[*a])).then(a.cmp(b)));
    places.truncate(SERIES_MAX);
    places.sort_unstable();
    (places.iter().map(|place| &series[*place]).collect(), series.len() - places.len())
}

/// Time, lower and upper edge of each series on top of those before it. Where one has no value it has no height.
fn stacked(series: &[&Series]) -> Vec<Vec<(f64, f64, f64)>> {
    // In thousandths, so that equal times are equal.
    let key = |seconds: f64| (seconds * 1e3).round() as i64;
    let mut sums: std::collections::BTreeMap<i64, f64> =
        series.iter().flat_map(|s| &s.points).map(|(seconds, _)| (key(*seconds), 0.0)).collect();
    let layer = |series: &&Series| {
        let own: std::collections::BTreeMap<i64, f64> = series.points.iter().map(|(t, v)| (key(*t), *v)).collect();
        let edges = sums.iter_mut().map(|(time, sum)| {
            let low = *sum;
            *sum += own.get(time).copied().unwrap_or(0.0).max(0.0);
            (*time as f64 / 1e3, low, *sum)
        });
        edges.collect()
    };
    series.iter().map(layer).collect()
}

/// The shortest time between two points.
fn step_of(series: &[&Series]) -> f64 {
    let steps = series.iter().flat_map(|s| s.points.windows(2)).map(|pair| pair[1].0 - pair[0].0);
    steps.fold(f64::INFINITY, f64::min)
}

/// What hangs together: a step that is missing parts it.
fn pieces(points: &[(f64, f64)], step: f64) -> impl Iterator<Item = &[(f64, f64)]> {
    points.chunk_by(move |a, b| b.0 - a.0 < 1.5 * step)
}

fn frame(svg: &mut Svg, panel: Panel, (x, y): (&Axis, &Axis), unit: Unit, highest: f64) {
    for tick in &x.ticks {
        let (at, _) = panel.at(x.place(*tick), 0.0);
        svg.line((at, panel.top), (at, panel.bottom), "grid");
        svg.text((at, panel.bottom + 13.0), Anchor::Middle, "small", &number(*tick));
    }
    for tick in &y.ticks {
        let (_, at) = panel.at(0.0, y.place(*tick));
        svg.line((panel.left, at), (panel.right, at), "grid");
        svg.text((panel.left - 4.0, at + 4.0), Anchor::End, "small", &shown(*tick, highest, unit));
    }
    svg.line((panel.left, panel.bottom), (panel.right, panel.bottom), "axis");
    svg.line((panel.left, panel.top), (panel.left, panel.bottom), "axis");
    svg.text((panel.left - 24.0, panel.bottom + 13.0), Anchor::End, "small", "min");
}

/// A line of the key for each, side by side while there is room.
fn legend(svg: &mut Svg, panel: Panel, drawn: &[&Series], others: usize) {
    let left = panel.left - BESIDE + 10.0;
    let (mut x, mut line) = (left, 0);
    for (place, series) in drawn.iter().enumerate() {
        let name = short(if series.name.is_empty() { "value" } else { &series.name });
        let width = 22.0 + name.chars().count() as f64 * LETTER;
        if x > left && x + width > panel.right {
            (x, line) = (left, line + 1);
        }
        if line == LEGEND_LINES {
            return more(svg, (panel.right, panel.bottom), drawn.len() - place + others);
        }
        let y = panel.bottom + 30.0 + 13.0 * line as f64;
        svg.circle((x + 4.0, y - 4.0), 4.0, "key", colour(place), &series.name);
        svg.text((x + 12.0, y), Anchor::Start, "small", &name);
        x += width;
    }
    if others > 0 {
        more(svg, (panel.right, panel.bottom), others);
    }
}

/// Beside the ticks, where no key stands.
fn more(svg: &mut Svg, (right, bottom): (f64, f64), others: usize) {
    svg.text((right + 8.0, bottom + 56.0), Anchor::End, "small", &format!("{others} more"));
}

fn short(name: &str) -> String {
    match name.char_indices().nth(28) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// A value as people read it; `beside` is the largest one, and decides the prefix.
fn shown(value: f64, beside: f64, unit: Unit) -> String {
    // From what on, divided by what, called what.
    let scaled = |steps: &[(f64, f64, &str)]| {
        let fits = |(from, by, _): &&(f64, f64, &str)| beside >= *from || (beside == 0.0 && *by == 1.0);
        let step = steps.iter().find(fits);
        let (_, by, name) = step.copied().unwrap_or((0.0, 1.0, ""));
        format!("{}{name}", digits(value / by))
    };
    match unit {
        Unit::Plain => scaled(&[(1e6, 1e6, " M"), (1e4, 1e3, " k"), (0.0, 1.0, "")]),
        Unit::Seconds => scaled(&[
            (7_200.0, 3_600.0, " h"),
            (180.0, 60.0, " min"),
            (1.0, 1.0, " s"),
            (1e-3, 1e-3, " ms"),
            (0.0, 1e-6, " µs"),
        ]),
        Unit::Bytes => {
            scaled(&[(1e12, 1e12, " TB"), (1e9, 1e9, " GB"), (1e6, 1e6, " MB"), (1e3, 1e3, " kB"), (0.0, 1.0, " B")])
        }
        Unit::Share => format!("{} %", digits(value * 100.0)),
        Unit::PerSecond => scaled(&[(1e4, 1e3, " k/s"), (0.0, 1.0, "/s")]),
        Unit::Celsius => format!("{} °C", digits(value)),
        Unit::Days => format!("in {} days", digits(value)),
    }
}

/// Three that say something, or all before the point.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_prefix_of_the_largest_beside_them() {
        assert_eq!(shown(0.000_25, 0.001, Unit::Seconds), "0.25 ms");
        assert_eq!(shown(90.0, 600.0, Unit::Seconds), "1.5 min");
        assert_eq!(shown(2e9, 64e9, Unit::Bytes), "2 GB");
        assert_eq!(shown(0.0, 64e9, Unit::Bytes), "0 GB");
        assert_eq!(shown(0.125, 1.0, Unit::Share), "12.5 %");
        assert_eq!(shown(0.0, 0.0, Unit::Seconds), "0 s");
        assert_eq!(shown(7.0, 7.0, Unit::Plain), "7");
        assert_eq!(shown(12_345.0, 12_345.0, Unit::PerSecond), "12.3 k/s");
        assert_eq!(shown(89.96, 89.96, Unit::Days), "in 90 days");
    }

    #[test]
    fn a_missing_step_parts_a_line() {
        let points = [(0.0, 1.0), (5.0, 1.0), (10.0, 2.0), (25.0, 3.0)];
        let found: Vec<usize> = pieces(&points, 5.0).map(<[_]>::len).collect();
        assert_eq!(found, [3, 1]);
    }

    #[test]
    fn areas_stand_on_those_before_them() {
        let series = |points: &[(f64, f64)]| Series { name: String::new(), points: points.to_vec() };
        let (a, b) = (series(&[(0.0, 1.0), (1.0, 2.0)]), series(&[(1.0, 3.0), (2.0, 4.0)]));
        let layers = stacked(&[&a, &b]);
        assert_eq!(layers[0], [(0.0, 0.0, 1.0), (1.0, 0.0, 2.0), (2.0, 0.0, 0.0)]);
        assert_eq!(layers[1], [(0.0, 1.0, 1.0), (1.0, 2.0, 5.0), (2.0, 0.0, 4.0)]);
    }

    #[test]
    fn of_too_many_the_largest_are_drawn() {
        let all: Vec<Series> =
            (0..9).map(|n| Series { name: n.to_string(), points: vec![(0.0, f64::from(n))] }).collect();
        let (drawn, others) = chosen(&all);
        let names: Vec<&str> = drawn.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names, others), (vec!["2", "3", "4", "5", "6", "7", "8"], 2));
    }
}
