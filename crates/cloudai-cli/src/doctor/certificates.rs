//! Certificates: renewed by themselves when a third of their time is left, so that one with less than a quarter was not.

use cloudai_types::limits;

use super::{Facts, Report, Severity};
use crate::times::duration;

pub(super) fn look(facts: &Facts, report: &mut Report) {
    let own = ("the certificate that you ask with".to_owned(), facts.own_certificate_end_ms);
    let others = facts.conditions().map(|(name, c)| (format!("the certificate of {name}"), c.certificate_end_ms));
    let all: Vec<(String, u64)> = others.chain([own]).filter(|(_, end_ms)| *end_ms > 0).collect();
    let Some((first, end_ms)) = all.iter().min_by_key(|(_, end_ms)| *end_ms) else { return };
    report.saw("certificates", format!("{first} ends first, in {}", duration(end_ms.saturating_sub(facts.now_ms))));
    for (whose, end_ms) in &all {
        let left = end_ms.saturating_sub(facts.now_ms);
        if left >= limits::LEAF_VALIDITY.0 / 4 {
            continue;
        }
        let what = match left {
            0 => format!("{whose} has ended"),
            left => format!("{whose} ends in {}", duration(left)),
        };
        let severity = if left < limits::CERTIFICATE_URGENT.0 { Severity::Problem } else { Severity::Warning };
        report.find(
            severity,
            "certificate",
            what,
            "it should have been renewed by now, at the leader; after its end nobody lets it in",
            "look for 'renew' in its log, and whether the leader has the CA's key (docs/operations.md)",
        );
    }
}
