//! Reads a query as Prometheus does, for the tests of dashboards and alerts: it parses, and each series and label that it names exists.

use cloudai_telemetry::names;
use promql_parser::label::Matchers;
use promql_parser::parser::{self, Expr, VectorSelector};

/// What Prometheus adds to each series, or what our configuration of it does.
const ADDED: [&str; 4] = ["job", "instance", "le", "__name__"];

/// Panics with `told` where something is wrong.
pub fn check(query: &str, told: &str) {
    let query = query.replace("$__rate_interval", "5m");
    let parsed = parser::parse(&query).unwrap_or_else(|e| panic!("{told}: {e}\n{query}"));
    let mut selectors = vec![];
    collect(&parsed, &mut selectors);
    assert!(!selectors.is_empty(), "{told}: it asks for nothing\n{query}");
    for selector in selectors {
        check_selector(selector, told);
    }
}

fn check_selector(selector: &VectorSelector, told: &str) {
    let name = selector.name.as_deref().unwrap_or_default();
    let labels: &[&str] = match names::of_series(name) {
        Some(metric) => metric.labels,
        None => {
            assert!(name == "up" || name.starts_with("process_"), "{told}: there is no series {name}");
            &[]
        }
    };
    let Matchers { matchers, .. } = &selector.matchers;
    for matcher in matchers {
        let label = matcher.name.as_str();
        assert!(labels.contains(&label) || ADDED.contains(&label), "{told}: {name} has no label {label}");
    }
}

fn collect<'a>(expr: &'a Expr, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) => found.push(&matrix.vs),
        Expr::Aggregate(aggregate) => {
            collect(&aggregate.expr, found);
            if let Some(param) = &aggregate.param {
                collect(param, found);
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, found);
            collect(&binary.rhs, found);
        }
        Expr::Paren(paren) => collect(&paren.expr, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, found),
        Expr::Call(call) => call.args.args.iter().for_each(|arg| collect(arg, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

#[test]
fn a_wrong_query_is_found() {
    check("sum(rate(cloudai_task_retries_total{reason=\"x\"}[$__rate_interval]))", "good");
    for wrong in [
        "sum(rate(cloudai_task_retries_total[5m])",
        "cloudai_no_such_metric",
        "cloudai_task_queue_wait_seconds",
        "cloudai_tasks{user=\"me\"}",
        "1 + 1",
    ] {
        assert!(std::panic::catch_unwind(|| check(wrong, "wrong")).is_err(), "{wrong}");
    }
}
