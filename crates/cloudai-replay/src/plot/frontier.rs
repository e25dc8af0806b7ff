//! Mean bounded slowdown against the p99 wait, a point for each policy: to the left and below is better. The dashed line joins those
//! that no other one beats in both.

use super::axis::Axis;
use super::{Panel, colour, labels};
use crate::report::Report;
use crate::svg::{Anchor, Svg};

const HOUR_S: f64 = 3_600.0;

pub fn draw(svg: &mut Svg, panel: Panel, reports: &[Report]) {
    let values: Vec<(f64, f64)> =
        reports.iter().map(|r| (r.metrics.wait_s.p99 / HOUR_S, r.metrics.bounded_slowdown.mean)).collect();
    let (x, y) = (Axis::of(values.iter().map(|v| v.0)), Axis::of(values.iter().map(|v| v.1)));
    let title = "mean bounded slowdown and p99 wait of each policy; the ring is the default";
    panel.frame(svg, (&x, "p99 wait, hours"), (&y, "slowdown"), title);
    let at = |(hours, slowdown): (f64, f64)| panel.at(x.place(hours), y.place(slowdown));
    let front: Vec<(f64, f64)> = front(&values).into_iter().map(at).collect();
    svg.polyline(&front, "front", "");
    let points: Vec<((f64, f64), &str)> =
        values.iter().zip(reports).map(|(value, report)| (at(*value), report.policy.as_str())).collect();
    let places = labels::place(&panel, &points);
    for (place, ((point, name), (report, value))) in points.iter().zip(reports.iter().zip(&values)).enumerate() {
        let tip = format!("{name}: slowdown {:.2}, p99 wait {:.0} s", value.1, report.metrics.wait_s.p99);
        svg.circle(*point, 4.0, "point", colour(place), &tip);
        if report.is_default {
            svg.circle(*point, 7.0, "ring", "", "the default order");
        }
        let (label, anchor): ((f64, f64), Anchor) = places[place];
        svg.text(label, anchor, if report.is_default { "default" } else { "name" }, name);
    }
}

/// Those for which no other one is better in one and at least as good in the other, from left to right.
fn front(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut best = f64::INFINITY;
    sorted.retain(|(_, slowdown)| {
        let is_better = *slowdown < best;
        best = best.min(*slowdown);
        is_better
    });
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_holds_whom_nobody_beats() {
        let values = [(3.0, 1.0), (1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (2.5, 3.0), (4.0, 2.0)];
        assert_eq!(front(&values), [(1.0, 5.0), (2.0, 3.0), (3.0, 1.0)]);
        assert_eq!(front(&[]), []);
    }
}
