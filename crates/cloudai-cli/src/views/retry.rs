//! A job's own rules about failed attempts, in the words of a job file.

use std::collections::BTreeMap;

use cloudai_types::resources::Bytes;
use cloudai_types::{ReasonKind, RetryAction, RetryRules};
use serde::Serialize;

use crate::times::{duration, seconds};

/// Null: as for a job without rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetryView {
    /// Reason → `retry`, `fail` or `elsewhere`.
    pub reasons: BTreeMap<&'static str, &'static str>,
    /// Seconds.
    pub delay: Option<f64>,
    pub delay_factor: Option<f64>,
    /// Seconds.
    pub delay_max: Option<f64>,
    pub jitter: Option<f64>,
    pub memory_factor: Option<f64>,
    pub memory_max_bytes: Option<u64>,
    #[serde(skip)]
    delays_ms: (u64, u64),
}

impl From<RetryRules> for RetryView {
    fn from(r: RetryRules) -> Self {
        let hundredths = |n: u32| (n > 0).then(|| f64::from(n) / 100.0);
        let words = r.rules.iter().filter_map(|rule| {
            let (kind, action) = (ReasonKind::try_from(rule.reason).ok()?, RetryAction::try_from(rule.action).ok()?);
            Some((kind.name(), action.name()))
        });
        RetryView {
            reasons: words.collect(),
            delay: (r.delay_ms > 0).then(|| seconds(r.delay_ms)),
            delay_factor: hundredths(r.delay_factor_percent),
            delay_max: (r.delay_max_ms > 0).then(|| seconds(r.delay_max_ms)),
            jitter: hundredths(r.jitter_percent),
            memory_factor: hundredths(r.memory_factor_percent),
            memory_max_bytes: (r.memory_max_bytes > 0).then_some(r.memory_max_bytes),
            delays_ms: (r.delay_ms, r.delay_max_ms),
        }
    }
}

impl RetryView {
    /// Only what differs from the usual, one thing per line.
    pub fn text(&self) -> String {
        let mut lines: Vec<String> =
            self.reasons.iter().map(|(reason, action)| format!("{reason}: {action}")).collect();
        let mut pause = vec![];
        if self.delays_ms.0 > 0 {
            pause.push(format!("after {}", duration(self.delays_ms.0)));
        }
        pause.extend(self.delay_factor.map(|factor| format!("times {factor} with each failure")));
        if self.delays_ms.1 > 0 {
            pause.push(format!("at most {}", duration(self.delays_ms.1)));
        }
        pause.extend(self.jitter.map(|part| format!("shortened by up to {} %", (part * 100.0).round())));
        if !pause.is_empty() {
            lines.push(pause.join(", "));
        }
        if let (Some(factor), Some(max)) = (self.memory_factor, self.memory_max_bytes) {
            lines.push(format!("memory times {factor} after out_of_memory, up to {}", Bytes(max)));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::RetryRule;

    #[test]
    fn rules_are_shown_in_the_words_of_a_job_file() {
        let rule = |kind: ReasonKind, action: RetryAction| RetryRule { reason: kind as i32, action: action as i32 };
        let view = RetryView::from(RetryRules {
            rules: vec![
                rule(ReasonKind::Signal, RetryAction::Elsewhere),
                rule(ReasonKind::ExitCode, RetryAction::Fail),
            ],
            delay_ms: 5_000,
            delay_factor_percent: 150,
            delay_max_ms: 600_000,
            jitter_percent: 20,
            memory_factor_percent: 150,
            memory_max_bytes: 4 << 30,
        });
        assert_eq!(
            view.text(),
            "exit_code: fail\nsignal: elsewhere\n\
             after 5.0s, times 1.5 with each failure, at most 10m0s, shortened by up to 20 %\n\
             memory times 1.5 after out_of_memory, up to 4.0 GiB"
        );
        assert_eq!(
            serde_json::to_value(&view).unwrap(),
            serde_json::json!({
                "reasons": {"exit_code": "fail", "signal": "elsewhere"}, "delay": 5.0, "delay_factor": 1.5,
                "delay_max": 600.0, "jitter": 0.2, "memory_factor": 1.5, "memory_max_bytes": 4_294_967_296_u64,
            })
        );
        let one = RetryView::from(RetryRules { delay_ms: 1_500, ..RetryRules::default() });
        assert_eq!(one.text(), "after 1.5s");
        assert_eq!(serde_json::to_value(&one).unwrap()["jitter"], serde_json::Value::Null);
    }
}
