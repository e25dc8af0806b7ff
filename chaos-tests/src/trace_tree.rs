//! What a trace looks like, and what it must look like. Comes in: the spans of one trace. Goes out: a tree, as lines of text, and every way in which
//! it differs from what was expected, in words.

use std::collections::BTreeMap;

/// A span, and who told it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Ids in hex; the parent's is empty at the root.
    pub trace: String,
    pub span: String,
    pub parent: String,
    pub name: String,
    pub by: String,
    pub began_ns: u64,
    pub ended_ns: u64,
    pub failed: bool,
}

/// A line for each span, below its parent, in the order of their beginnings: name, who told it, when it began after the first one, how long it took.
pub fn tree(spans: &[Told]) -> Vec<String> {
    let first = spans.iter().map(|span| span.began_ns).min().unwrap_or(0);
    let mut below: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for span in spans {
        let parent = if spans.iter().any(|s| s.span == span.parent) { span.parent.as_str() } else { "" };
        below.entry(parent).or_default().push(span);
    }
    let mut lines = vec![];
    print("", 0, first, &mut below, &mut lines);
    lines
}

fn print(parent: &str, depth: usize, first: u64, below: &mut BTreeMap<&str, Vec<&Told>>, lines: &mut Vec<String>) {
    let mut children = below.remove(parent).unwrap_or_default();
    children.sort_by_key(|span| (span.began_ns, span.ended_ns));
    for span in children {
        let name = format!("{}{}", "  ".repeat(depth), span.name);
        let ms = |ns: u64| ns as f64 / 1e6;
        let (after, took) = (ms(span.began_ns - first), ms(span.ended_ns.saturating_sub(span.began_ns)));
        let failed = if span.failed { "  FAILED" } else { "" };
        lines.push(format!("{name:<20} {:<26} +{after:>9.1} ms  {took:>9.1} ms{failed}", span.by));
        print(&span.span, depth + 1, first, below, lines);
    }
}

/// Each of `expected` (name, its parent's name; empty: the root) is there once, below the right one, and nothing else is.
pub fn differences(spans: &[Told], expected: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = vec![];
    for (name, parent) in expected {
        let found: Vec<&Told> = spans.iter().filter(|span| span.name == *name).collect();
        if found.len() != 1 {
            wrong.push(format!("{} spans are called {name}, and not one", found.len()));
        }
        for span in found {
            let above = spans.iter().find(|s| s.span == span.parent).map_or("", |s| s.name.as_str());
            if above != *parent || (parent.is_empty() && !span.parent.is_empty()) {
                wrong.push(format!("{name} is below '{above}', and not below '{parent}'"));
            }
            if span.ended_ns < span.began_ns {
                wrong.push(format!("{name} ended before it began"));
            }
        }
    }
    let others = spans.iter().filter(|span| expected.iter().all(|(name, _)| *name != span.name));
    wrong.extend(others.map(|span| format!("nobody expected {}", span.name)));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: &str, parent: &str, name: &str, began_ns: u64) -> Told {
        let (span, parent, name) = (id.to_owned(), parent.to_owned(), name.to_owned());
        Told { span, parent, name, by: "m1".to_owned(), began_ns, ended_ns: began_ns + 1_500_000, ..Told::default() }
    }

    #[test]
    fn children_stand_below_their_parent_in_the_order_of_time() {
        let spans =
            [span("c", "a", "apply", 9_000_000), span("b", "a", "replicate", 5_000_000), span("a", "", "propose", 0)];
        let names: Vec<String> = tree(&spans).iter().map(|l| l[..20].trim_end().to_owned()).collect();
        assert_eq!(names, ["propose", "  replicate", "  apply"]);
        assert!(tree(&spans)[2].ends_with("+      9.0 ms        1.5 ms"), "{:?}", tree(&spans));
    }

    #[test]
    fn what_is_missing_twice_or_elsewhere_is_found() {
        let expected = [("submit", ""), ("propose", "submit")];
        let good = [span("a", "", "submit", 0), span("b", "a", "propose", 1)];
        assert_eq!(differences(&good, &expected), Vec::<String>::new());
        let orphan = [span("a", "z", "submit", 0), span("b", "a", "propose", 1)];
        assert_eq!(differences(&orphan, &expected).len(), 1, "its parent is not there");
        let elsewhere = [span("a", "", "submit", 0), span("b", "z", "propose", 1)];
        assert_eq!(differences(&elsewhere, &expected).len(), 1);
        assert_eq!(differences(&good[..1], &expected).len(), 1);
        let twice = [good.as_slice(), &[span("c", "a", "propose", 2), span("d", "a", "other", 2)]].concat();
        assert_eq!(differences(&twice, &expected).len(), 2);
    }
}
