//! Software: the same everywhere, but for the time of an upgrade.

use std::collections::BTreeMap;

use super::{Facts, Report};

pub(super) fn look(facts: &Facts, report: &mut Report) {
    let mut by_software: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, condition) in facts.conditions() {
        by_software.entry(&condition.software).or_default().push(name);
    }
    let format = facts.status.as_ref().map_or(String::new(), |status| format!(", log format {}", status.version));
    let seen: Vec<&str> = by_software.keys().copied().collect();
    if seen.is_empty() {
        return;
    }
    report.saw("software", format!("{}{format}", seen.join(", ")));
    if let Some((fewest, who)) = by_software.iter().min_by_key(|(_, who)| who.len()).filter(|_| seen.len() > 1) {
        report.warning(
            "versions",
            format!(
                "not all run the same software: {} {} {fewest}",
                who.join(", "),
                if who.len() == 1 { "runs" } else { "run" }
            ),
            "an upgrade is half done; what only the newer can do waits until all masters have it",
            "finish it: docs/operations.md, masters one by one, then workers",
        );
    }
    let known = facts.answers().map(|(_, a)| a.check.version_max).min();
    if let (Some(known), Some(status)) = (known, &facts.status)
        && known > status.version
        && seen.len() == 1
    {
        report.warning(
            "log_format",
            format!("the log is still in format {}, and every master that answers knows {known}", status.version),
            "the leader raises it by itself when it has heard that from all masters, also from those that are away",
            "bring back the masters that do not answer, or remove them; then look again",
        );
    }
}
