//! Mean bounded slowdown against the p99 wait, a point for each policy: to the left and below is better. The dashed line joins those
//! that no other one beats in both.

use super::axis::Axis;
use super::{Panel, colour, labels};
use crate::report::Report;
use crate::svg::Svg;

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
    let points: Vec<labels::Named<'_>> = values
        .iter()
        .zip(reports)
        .map(|(value, report)| labels::Named { at: at(*value), name: &report.policy, is_first: report.is_default })
        .collect();
    for (place, (point, label)) in points.iter().zip(labels::place(&panel, &points)).enumerate() {
        let Report { policy, metrics: m, is_default, .. } = &reports[place];
        if label.is_far {
            svg.line(point.at, (label.at.0, label.at.1 - 4.0), "lead");
        }
        let tip = format!("{policy}: slowdown {:.2}, p99 wait {:.0} s", m.bounded_slowdown.mean, m.wait_s.p99);
        svg.circle(point.at, 4.0, "point", colour(place), &tip);
        if *is_default {
            svg.circle(point.at, 7.0, "ring", "", "the default order");
        }
        svg.text(label.at, label.anchor, if *is_default { "default" } else { "name" }, policy);
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
