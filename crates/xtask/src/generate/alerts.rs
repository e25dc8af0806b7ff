//! The alerts, held against everything that they lean on: each query is about metrics that exist, each has a page of the run-book, and a world in which it
//! fires and one in which it does not. promtool, where it is installed, plays those worlds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use super::queries;
use super::tests::root;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    r#for: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Labels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    alert_rule_test: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    alertname: String,
    exp_alerts: Vec<serde_json::Value>,
}

fn folder() -> PathBuf {
    root().join("grafana/alerts")
}

fn rules() -> Vec<Rule> {
    let text = std::fs::read_to_string(folder().join("cloudai.yml")).unwrap();
    let rules: Rules = serde_saphyr::from_str(&text).unwrap();
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// As a heading's address on the web.
fn anchors() -> BTreeSet<String> {
    let runbooks = std::fs::read_to_string(root().join("docs/runbooks.md")).unwrap();
    runbooks.lines().filter_map(|l| l.strip_prefix("## ")).map(|h| h.trim().to_lowercase()).collect()
}

#[test]
fn every_alert_is_about_metrics_that_exist_and_says_what_to_do() {
    let (rules, anchors) = (rules(), anchors());
    let mut names = BTreeSet::new();
    for rule in &rules {
        let name = &rule.alert;
        assert!(names.insert(name.to_lowercase()), "{name} twice");
        queries::check(&rule.expr, name);
        assert!(!rule.r#for.is_empty(), "{name} fires at the first sight");
        assert!(["critical", "warning"].contains(&rule.labels.severity.as_str()), "{name}");
        let Annotations { summary, description, runbook_url } = &rule.annotations;
        assert!(summary.ends_with('.') && description.ends_with('.') && summary != description, "{name}");
        assert_eq!(runbook_url, &format!("docs/runbooks.md#{}", name.to_lowercase()));
        assert!(anchors.contains(&name.to_lowercase()), "docs/runbooks.md has no section {name}");
    }
    let forgotten: Vec<_> = anchors.iter().filter(|a| a.starts_with("cloudai") && !names.contains(*a)).collect();
    assert!(forgotten.is_empty(), "sections of the run-book without an alert: {forgotten:?}");
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_stays_silent() {
    let text = std::fs::read_to_string(folder().join("tests/cloudai_test.yml")).unwrap();
    let cases: Cases = serde_saphyr::from_str(&text).unwrap();
    let expected = || cases.tests.iter().flat_map(|case| &case.alert_rule_test);
    for Rule { alert, .. } in rules() {
        for fires in [true, false] {
            let has = expected().any(|e| e.alertname == alert && e.exp_alerts.is_empty() != fires);
            assert!(has, "{alert} has no case with fires = {fires}");
        }
    }
}

/// NOT RUN, and a line that says so, where there is no promtool.
#[test]
fn promtool_agrees_with_rules_cases_and_configuration() {
    let run = |dir: PathBuf, arguments: &[&str]| Command::new("promtool").args(arguments).current_dir(dir).output();
    let all: [(PathBuf, &[&str]); 3] = [
        (folder(), &["check", "rules", "cloudai.yml"]),
        (folder().join("tests"), &["test", "rules", "cloudai_test.yml"]),
        (root().join("deploy/prometheus"), &["check", "config", "--syntax-only", "prometheus.yml"]),
    ];
    for (dir, arguments) in all {
        match run(dir, arguments) {
            Ok(output) => {
                let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
                assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!(
                    "NOT RUN: promtool {arguments:?}: promtool is not installed (Debian's package prometheus has it)"
                );
            }
            Err(error) => panic!("promtool cannot be started: {error}"),
        }
    }
}
