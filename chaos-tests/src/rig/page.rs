//! The report page: one HTML file without any reference to elsewhere, with a timeline plot per run. Comes in: reports. Goes out: text.

use std::fmt::Write as _;

use super::outcome::Verdict;
use super::report::Report;
use super::timeline::Band;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 160.0;
/// Rows of bands below the curve; more faults share the last one.
const BAND_ROWS: usize = 6;
const BAND_HEIGHT: f64 = 16.0;

pub fn html(reports: &[Report]) -> String {
    let mut page = String::from(
        "<!doctype html><meta charset=\"utf-8\"><title>CloudAI drills</title>\n<style>\
         body{font:14px/1.4 system-ui,sans-serif;margin:2em auto;max-width:1060px;padding:0 1em}\
         table{border-collapse:collapse;margin:.5em 0}td,th{border:1px solid #bbb;padding:2px 8px;text-align:left}\
         .pass{color:#176b2c}.fail,.invalid,.not_run{color:#a40e26;font-weight:bold}svg{background:#fafafa;border:1px solid #ddd}\
         pre{white-space:pre-wrap}</style>\n<h1>CloudAI drills</h1>\n",
    );
    page += "<table><tr><th>drill</th><th>seed</th><th>verdict</th><th>seconds</th></tr>\n";
    for (at, r) in reports.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "<tr><td><a href=\"#r{at}\">{} {}</a></td><td>{}</td><td class=\"{}\">{}</td><td>{:.1}</td></tr>",
            escaped(&r.id),
            escaped(&r.name),
            r.seed,
            class(r.verdict),
            r.verdict.word(),
            r.took_s
        );
    }
    page += "</table>\n";
    for (at, r) in reports.iter().enumerate() {
        page += &section(at, r);
    }
    page
}

fn section(at: usize, r: &Report) -> String {
    let mut text = format!(
        "<h2 id=\"r{at}\">{} {} <span class=\"{}\">{}</span></h2>\n<p>seed {}, size {:?}, {:.1} s</p>\n{}",
        escaped(&r.id),
        escaped(&r.name),
        class(r.verdict),
        r.verdict.word(),
        r.seed,
        r.size,
        r.took_s,
        plot(r)
    );
    text += "<table><tr><th>what</th><th>measured</th><th>required</th><th></th></tr>\n";
    for row in &r.rows {
        let (class, word) = match row.holds {
            Some(true) => ("pass", "holds"),
            Some(false) => ("fail", "FAILS"),
            None => ("", ""),
        };
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            escaped(&row.what),
            escaped(&row.measured),
            escaped(&row.required)
        );
    }
    text += "</table>\n";
    if !r.notes.is_empty() {
        let _ = writeln!(text, "<pre>{}</pre>", escaped(&r.notes.join("\n")));
    }
    if !r.bands.is_empty() {
        text += "<details><summary>faults and their proofs</summary><ul>\n";
        for band in &r.bands {
            let _ = writeln!(text, "<li>{}: {}</li>", escaped(&band.what), escaped(&band.proof));
        }
        text += "</ul></details>\n";
    }
    text
}

/// Acknowledged submits per second over time, faults as bands.
fn plot(r: &Report) -> String {
    let starts = r.points.iter().map(|p| p.at_ns).chain(r.bands.iter().map(|b| b.from_ns));
    let ends = r.points.iter().map(|p| p.at_ns).chain(r.bands.iter().filter_map(|b| b.to_ns));
    let (Some(from), Some(to)) = (starts.min(), ends.max()) else { return String::new() };
    let span = to.saturating_sub(from).max(1) as f64;
    let x = |ns: u64| ns.saturating_sub(from) as f64 / span * WIDTH;
    let slice_s = match r.points.as_slice() {
        [a, b, ..] => (b.at_ns - a.at_ns) as f64 / 1e9,
        _ => 0.1,
    };
    let rate = |count: u32| f64::from(count) / slice_s;
    let top = r.points.iter().map(|p| rate(p.acknowledged)).fold(1.0, f64::max);
    let total = HEIGHT + BAND_HEIGHT * BAND_ROWS as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {total}\" width=\"100%\">\n");
    for (n, band) in r.bands.iter().enumerate() {
        svg += &drawn(band, n.min(BAND_ROWS - 1), x(band.from_ns), x(band.to_ns.unwrap_or(to)));
    }
    let line: Vec<String> = r
        .points
        .iter()
        .map(|p| format!("{:.1},{:.1}", x(p.at_ns), HEIGHT - 4.0 - rate(p.acknowledged) / top * (HEIGHT - 20.0)))
        .collect();
    let _ = write!(
        svg,
        "<polyline fill=\"none\" stroke=\"#0b57d0\" stroke-width=\"1.2\" points=\"{}\"/>\n\
         <text x=\"4\" y=\"12\" font-size=\"11\">{top:.0} acknowledged submits/s</text>\n\
         <text x=\"{}\" y=\"12\" font-size=\"11\" text-anchor=\"end\">{:.1} s</text>\n</svg>\n",
        line.join(" "),
        WIDTH - 4.0,
        span / 1e9
    );
    svg
}

fn drawn(band: &Band, row: usize, from: f64, to: f64) -> String {
    let (width, y) = ((to - from).max(1.0), HEIGHT + BAND_HEIGHT * row as f64);
    let title = escaped(&format!("{}: {}", band.what, band.proof));
    format!(
        "<g><title>{title}</title><rect x=\"{from:.1}\" y=\"0\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"#f7c6c7\" \
         opacity=\"0.45\"/><rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"#d9534f\" \
         opacity=\"0.6\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\">{}</text></g>\n",
        BAND_HEIGHT - 2.0,
        (from + 2.0).min(WIDTH - 120.0),
        y + 11.0,
        escaped(&band.what)
    )
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Invalid => "invalid",
        Verdict::NotRun => "not_run",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::timeline::Point;
    use crate::rig_drills::Size;

    #[test]
    fn a_page_shows_rows_bands_and_no_markup_of_others() {
        let mut report = Report::new("D00", "<b>", Size::Short, 7);
        report.require("lost", true, 0, 0);
        report.bands = vec![Band { what: "m1 killed".into(), from_ns: 50, to_ns: None, proof: "pid 7 is gone".into() }];
        report.points = vec![Point { at_ns: 0, acknowledged: 3 }, Point { at_ns: 100, acknowledged: 0 }];
        let page = html(&[report]);
        for part in ["D00 &lt;b&gt;", "m1 killed: pid 7 is gone", "polyline", "holds"] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("<b>"));
    }
}
