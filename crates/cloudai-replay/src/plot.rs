//! Pictures of a comparison. Comes in: reports. Goes out: one SVG of two panels, the frontier of mean bounded slowdown against the p99 wait and
//! the utilisation over time; of GPU clusters that fill another one, of what is allocated and fragmented; of a Prometheus's answers a [`dashboard`]. The same reports give the same bytes. Files are deliberately not known here.

mod allocation;
mod axis;
pub mod dashboard;
mod frontier;
mod labels;
mod utilisation;

pub use allocation::plot_allocation;

use crate::report::Report;
use crate::svg::{Anchor, Svg};

const WIDTH: f64 = 760.0;
const PANEL_HEIGHT: f64 = 420.0;

/// Colours that people with any kind of sight can tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"];

fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

/// A part of the drawing with axes around it, in pixels.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Panel {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The whole picture.
pub fn plot(title: &str, reports: &[Report]) -> String {
    let mut svg = Svg::new(WIDTH, 2.0 * PANEL_HEIGHT, title);
    svg.text((20.0, 24.0), Anchor::Start, "title", title);
    let panel =
        |top: f64| Panel { left: 70.0, right: WIDTH - 30.0, top: top + 74.0, bottom: top + PANEL_HEIGHT - 60.0 };
    frontier::draw(&mut svg, panel(0.0), reports);
    utilisation::draw(&mut svg, panel(PANEL_HEIGHT - 20.0), reports);
    svg.finish()
}
