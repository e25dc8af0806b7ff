//! The picture of a comparison is XML, says who is who, and has a mark for each policy.

#![allow(clippy::unwrap_used)]

use cloudai_replay::inflation::{PlacementPolicy, Point, inflate};
use cloudai_replay::plot::dashboard::{self, Dashboard, Kind, Row, Series, Tile, Unit};
use cloudai_replay::{Model, Plan, Policy, Report, Workload, html, plot, plot_allocation, report};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::placement::{Demand, GPU_MILLI, GPUS_MAX, NodeFree};
use cloudai_types::limits;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

fn reports(policies: &[&str], seeds: u64) -> Vec<Report> {
    let workload = |seed| Workload { model: Model::Lublin, jobs: 300, nodes: 64, seed, load: Some(1.2) };
    let traces: Vec<_> = (1..=seeds).map(|seed| workload(seed).generate().unwrap()).collect();
    let plan = Plan {
        capacity: 64,
        backfill: Backfill::Easy,
        predict: true,
        windows: vec![],
        window_length: 0,
        price_per_node_hour: None,
    };
    let told = policies.iter().map(|name| report(&traces, &Policy::parse(name).unwrap(), &plan, &mut || ()).unwrap());
    told.collect()
}

/// An element, its class, and its text where it has any.
type Element = (String, String, String);

fn element(start: &BytesStart<'_>) -> Element {
    let class = start.try_get_attribute("class").unwrap();
    let class = class.map(|c| String::from_utf8(c.value.to_vec()).unwrap()).unwrap_or_default();
    (String::from_utf8(start.name().as_ref().to_vec()).unwrap(), class, String::new())
}

/// Every element; an error of the parser is a failure.
fn parsed(xml: &str) -> Vec<Element> {
    let (mut reader, mut elements, mut open) = (Reader::from_str(xml), vec![], vec![]);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                open.push(elements.len());
                elements.push(element(&start));
            }
            Event::Empty(start) => elements.push(element(&start)),
            Event::End(_) => _ = open.pop(),
            Event::Text(text) => {
                if let Some(place) = open.last() {
                    let element: &mut Element = &mut elements[*place];
                    element.2.push_str(&text.decode().unwrap());
                }
            }
            Event::Eof => return elements,
            _ => {}
        }
    }
}

fn count(elements: &[Element], name: &str, class: &str) -> usize {
    elements.iter().filter(|element| element.0 == name && element.1 == class).count()
}

#[test]
fn each_policy_has_a_mark_a_name_and_a_line() {
    let policies = ["fcfs", "sjf", "saf", "aged_area", "aged_area:width=0.2:ageing=4"];
    let told = reports(&policies, 1);
    let svg = plot("A & B <c>", &told);
    let elements = parsed(&svg);
    assert_eq!(elements[0].0, "svg");
    assert_eq!((count(&elements, "circle", "point"), count(&elements, "circle", "ring")), (5, 1));
    assert_eq!((count(&elements, "polyline", "line"), count(&elements, "polyline", "front")), (5, 1));
    for policy in policies {
        let is_label = |e: &&Element| e.0 == "text" && e.2 == policy;
        let labels: Vec<&Element> = elements.iter().filter(is_label).collect();
        assert!(!labels.is_empty(), "{policy} has no label");
        assert_eq!(labels.iter().any(|e| e.1 == "default"), policy == "aged_area", "{policy}");
    }
    assert_eq!(plot("A & B <c>", &reports(&policies, 1)), svg, "to the byte");
    assert!(!svg.contains("href") && !svg.contains("url("), "nothing outside is needed");
}

#[test]
fn lines_that_cannot_be_told_apart_are_not_drawn() {
    let many: Vec<String> = (0..12).map(|width| format!("aged_area:width={width}")).collect();
    let told = reports(&many.iter().map(String::as_str).collect::<Vec<_>>(), 2);
    let elements = parsed(&plot("t", &told));
    assert_eq!(count(&elements, "circle", "point"), 12);
    assert_eq!(count(&elements, "polyline", "line"), limits::REPLAY_LINES_MAX);
    assert!(elements.iter().any(|e| e.2 == "utilisation over time, first 6 policies, first window and seed"));
    assert_eq!(count(&parsed(&plot("t", &[])), "circle", "point"), 0, "nothing to draw is drawn too");
}

#[test]
fn the_page_holds_the_tables_and_the_picture() {
    let told = reports(&["fcfs", "aged_area"], 3);
    let facts = [("trace", "<script>alert(1)</script>".to_owned())];
    let page = |has_timings| html::page(&html::Page { title: "kth & co", facts: &facts, has_timings }, &told);
    let text = page(false);
    let body = text.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let elements = parsed(body);
    assert_eq!(count(&elements, "circle", "point"), 2);
    assert!(!elements.iter().any(|e| e.0 == "script"), "what users name is text");
    let cells: Vec<&str> = elements.iter().filter(|e| e.0 == "td").map(|e| e.2.as_str()).collect();
    // Two facts; two policies in 12 columns; each figure with two values.
    let figures = told[0].metrics.figures();
    assert_eq!(cells.len(), 2 + 2 * 12 + figures.len() * 3);
    for (name, _) in figures {
        assert!(cells.contains(&name), "{name}");
    }
    assert!(cells.iter().any(|cell| cell.contains(" ± ")) && cells.contains(&"aged_area (default)"));
    assert_eq!(page(false), text, "to the byte");
    assert!(!text.contains("µs") && page(true).contains("µs"), "what is measured stands there only when asked for");
}

#[test]
fn a_cluster_that_fills_has_a_picture_and_a_page() {
    let mut gpu_milli = [0; GPUS_MAX];
    gpu_milli[..2].fill(GPU_MILLI);
    let nodes = [NodeFree { cpu_milli: 16_000, memory_mib: 64_000, gpu_milli, gpus: 2 }; 4];
    let demand = |gpu_milli| Demand { cpu_milli: 1_000, memory_mib: 1_000, gpu_milli, gpus: 1 };
    let pods: Vec<Demand> = (0..12).map(|n| demand([300, 500, 1_000][n % 3])).collect();
    let runs = PlacementPolicy::ALL.map(|policy| (policy.name(), vec![inflate(&nodes, &pods, policy, 1)]));
    let runs: Vec<(&str, &[_])> = runs.iter().map(|(policy, runs)| (*policy, runs.as_slice())).collect();
    for (policy, runs) in &runs {
        let (first, last) = (runs[0].curve[0], *runs[0].curve.last().unwrap());
        assert_eq!((first.asked, first.allocated), (0.0, 0.0), "{policy}");
        assert_eq!((last.allocated, last.fragmented), (runs[0].at_130, runs[0].fragmentation_at_130), "{policy}");
        let is_a_part = |p: &Point| p.allocated + p.fragmented <= 100.0 + 1e-9 && p.fragmented >= 0.0;
        assert!(runs[0].curve.iter().all(is_a_part), "{policy}: {:?}", runs[0].curve);
        assert!(runs[0].curve.is_sorted_by(|a, b| a.asked <= b.asked && a.allocated <= b.allocated), "{policy}");
    }
    let elements = parsed(&plot_allocation("t", &runs));
    assert_eq!((count(&elements, "polyline", "line"), count(&elements, "circle", "key")), (6, 6));
    let facts = [("workload", "t".to_owned())];
    let text = html::allocation_page(&html::Page { title: "t", facts: &facts, has_timings: false }, &runs);
    let elements = parsed(text.strip_prefix("<!DOCTYPE html>\n").unwrap());
    let cells: Vec<&str> = elements.iter().filter(|e| e.0 == "td").map(|e| e.2.as_str()).collect();
    assert_eq!(cells.len(), 2 + 3 * 7);
    assert!(PlacementPolicy::ALL.iter().all(|policy| cells.contains(&policy.name())));
}

#[test]
fn a_dashboard_has_a_title_for_each_panel_its_gaps_and_its_marks() {
    let series = |name: &str, points: &[(f64, f64)]| Series { name: name.to_owned(), points: points.to_vec() };
    let tile = |title: &str, kind, unit, series| Tile {
        title: title.to_owned(),
        kind,
        unit,
        series,
        why_empty: "nothing <here>".to_owned(),
    };
    let gap = series("a & b", &[(0.0, 1.0), (60.0, 2.0), (240.0, 0.5), (300.0, 0.25)]);
    let whole = series("c", &[(0.0, 1.0), (60.0, 1.0), (120.0, 1.0)]);
    let panels = vec![
        tile("Leader", Kind::Number, Unit::Plain, vec![series("", &[(0.0, 1.0)])]),
        tile("Lines <1>", Kind::Lines, Unit::Bytes, vec![gap, series("alone", &[(60.0, 7.0)])]),
        tile("Stack", Kind::Stack, Unit::PerSecond, vec![whole]),
        tile("Empty", Kind::Lines, Unit::Celsius, vec![]),
        tile("No number", Kind::Number, Unit::Days, vec![]),
    ];
    let picture = Dashboard {
        title: "A board".to_owned(),
        about: "of a test".to_owned(),
        span_s: 300.0,
        marks: vec![(120.0, "the leader is killed".to_owned())],
        rows: vec![Row { title: "Is it well?".to_owned(), panels }],
    };
    let svg = dashboard::draw(&picture);
    let elements = parsed(&svg);
    let titles: Vec<&str> = elements.iter().filter(|e| e.0 == "title").map(|e| e.2.as_str()).collect();
    for title in ["A board", "Leader", "Stack", "Empty", "No number", "the leader is killed"] {
        assert!(titles.contains(&title), "{title} in {titles:?}");
    }
    assert!(svg.contains("<title>Lines &lt;1&gt;</title>") && svg.contains("nothing &lt;here&gt;"));
    assert_eq!(count(&elements, "polyline", "line"), 2, "a gap parts the line");
    assert_eq!((count(&elements, "polygon", "area"), count(&elements, "circle", "point")), (1, 1));
    assert_eq!(count(&elements, "line", "mark"), 2, "in each plot that has something to show");
    assert_eq!(dashboard::draw(&picture), svg, "to the byte");
    assert!(!svg.contains("href") && !svg.contains("url("), "nothing outside is needed");
}
