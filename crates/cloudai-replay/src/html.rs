//! A comparison as a page for people. Comes in: what was asked, reports, their picture. Goes out: one HTML document that needs nothing
//! outside of it. Files and flags are deliberately not known here.

use std::fmt::Write;

use crate::inflation::Allocation;
use crate::interval::Interval;
use crate::plot::{plot, plot_allocation};
use crate::report::Report;
use crate::svg::escaped;

const STYLE: &str = "body{font:14px/1.5 sans-serif;color:#222;max-width:60em;margin:2em auto;padding:0 1em}\
                     table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}\
                     th,td{border-bottom:1px solid #ddd;padding:.2em .8em;text-align:right;white-space:nowrap}\
                     th:first-child,td:first-child{text-align:left}.default{font-weight:bold}svg{max-width:100%;height:auto}";

/// What a page says beside the figures.
pub struct Page<'a> {
    pub title: &'a str,
    /// What was asked, as names and values.
    pub facts: &'a [(&'a str, String)],
    /// How long decisions took: these figures differ from run to run.
    pub has_timings: bool,
}

/// The document.
pub fn page(page: &Page<'_>, reports: &[Report]) -> String {
    let mut out = begun(page);
    out.push_str("<h2>Comparison</h2>\n");
    out.push_str(&table(&COMPARED, reports.iter().map(compared)));
    out.push_str(&plot(page.title, reports));
    out.push_str("<h2>All figures</h2>\n");
    let head: Vec<&str> = std::iter::once("").chain(reports.iter().map(|r| r.policy.as_str())).collect();
    out.push_str(&table(&head, figures(reports)));
    if reports.iter().any(|r| r.seeds > 1) {
        out.push_str(
            "<p>± is half of the 95 % interval of the mean over the seeds (Student's t). What stands before it is that mean; \
             percentiles in the first table are over all jobs of all seeds.</p>\n",
        );
    }
    if page.has_timings {
        out.push_str("<h2>How long one look at the queue took</h2>\n");
        out.push_str(&table(&["", "p50, µs", "p95, µs", "p99, µs", "at most, µs"], reports.iter().map(decisions)));
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// The document of GPU clusters that fill: policies with their runs, one per seed.
pub fn allocation_page(page: &Page<'_>, runs: &[(&str, &[Allocation])]) -> String {
    let mut out = begun(page);
    out.push_str("<h2>Comparison</h2>\n");
    let head =
        ["policy", "GPU allocated at 100 %", "at 130 %", "fragmented at 100 %", "at 130 %", "placed", "turned away"];
    let row = |(policy, runs): &(&str, &[Allocation])| {
        let over = |of: fn(&Allocation) -> f64| {
            let Interval { mean, ci95 } = Interval::of(&runs.iter().map(of).collect::<Vec<_>>());
            ci95.map_or(number(mean), |ci95| format!("{} ± {}", number(mean), number(ci95)))
        };
        vec![
            (*policy).to_owned(),
            over(|a| a.at_100),
            over(|a| a.at_130),
            over(|a| a.fragmentation_at_100),
            over(|a| a.fragmentation_at_130),
            over(|a| a.placed as f64),
            over(|a| a.turned_away as f64),
        ]
    };
    out.push_str(&table(&head, runs.iter().map(row)));
    out.push_str("<p>In per cent of all GPU, when arrivals have asked for so much of it. ± is half of the 95 % interval over the seeds.</p>\n");
    out.push_str(&plot_allocation(page.title, runs));
    out.push_str("</body>\n</html>\n");
    out
}

/// Up to what was asked.
fn begun(page: &Page<'_>) -> String {
    let mut out = String::new();
    let title = escaped(page.title);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    out.push_str(&table(&["", ""], page.facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()])));
    out
}

const COMPARED: [&str; 12] = [
    "policy",
    "slowdown",
    "p50",
    "p99",
    "wait, s",
    "p99",
    "max",
    "makespan, s",
    "used",
    "fragmentation",
    "Jain index",
    "starved",
];

fn compared(report: &Report) -> Vec<String> {
    let m = &report.metrics;
    let name = if report.is_default { format!("{} (default)", report.policy) } else { report.policy.clone() };
    vec![
        name,
        with_interval(report, "bounded_slowdown_mean", m.bounded_slowdown.mean),
        number(m.bounded_slowdown.p50),
        number(m.bounded_slowdown.p99),
        with_interval(report, "wait_s_mean", m.wait_s.mean),
        number(m.wait_s.p99),
        number(m.wait_s.max),
        with_interval(report, "makespan_s", m.makespan_s),
        with_interval(report, "utilisation_to_last_start", m.utilisation.to_last_start),
        with_interval(report, "fragmentation", m.fragmentation),
        with_interval(report, "jain_index", m.jain_index),
        number(m.starved as f64),
    ]
}

/// A row for each figure, a column for each policy.
fn figures(reports: &[Report]) -> impl Iterator<Item = Vec<String>> + '_ {
    let of: Vec<Vec<(&'static str, f64)>> = reports.iter().map(|r| r.metrics.figures()).collect();
    let names: Vec<&'static str> = of.first().map(|f| f.iter().map(|(name, _)| *name).collect()).unwrap_or_default();
    names.into_iter().enumerate().map(move |(place, name)| {
        let cells = reports.iter().zip(&of).map(|(report, figures)| with_interval(report, name, figures[place].1));
        std::iter::once(name.to_owned()).chain(cells).collect()
    })
}

fn decisions(report: &Report) -> Vec<String> {
    let (d, us) = (&report.decision_ns, |ns: f64| format!("{:.1}", ns / 1_000.0));
    vec![report.policy.clone(), us(d.p50), us(d.p95), us(d.p99), us(d.max)]
}

fn with_interval(report: &Report, name: &str, value: f64) -> String {
    match report.over_seeds.get(name) {
        None => number(value),
        Some(over) => match over.ci95 {
            Some(ci95) => format!("{} ± {}", number(over.mean), number(ci95)),
            None => number(over.mean),
        },
    }
}

/// Four digits or all before the point, whichever is more.
fn number(value: f64) -> String {
    match value.abs() {
        v if v.fract() == 0.0 || v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = String>| {
        cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(&cell))).collect::<String>()
    };
    let head_row = match head.iter().all(|name| name.is_empty()) {
        true => String::new(),
        false => format!("<tr>{}</tr>\n", cells("th", &mut head.iter().map(|name| (*name).to_owned()))),
    };
    let rows: String = rows.map(|row| format!("<tr>{}</tr>\n", cells("td", &mut row.into_iter()))).collect();
    format!("<table>\n{head_row}{rows}</table>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_digits_that_nobody_needs() {
        assert_eq!(
            [0.0, 7.0, 0.48612, 12.3456, 123.456, 1_234.5, 86_400.0].map(number),
            ["0", "7", "0.486", "12.35", "123.5", "1234", "86400"]
        );
    }
}
