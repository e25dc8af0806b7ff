//! What follows a failed try, out of flags, alone or on top of what a spec says. Comes in: what clap parsed. Goes out: the spec's rules.

use cloudai_types::resources::parse_size;
use cloudai_types::{ReasonKind, RetryAction, RetryRule, RetryRules};

use crate::input::job_file::{parse_action, parse_delay, parse_factor, parse_reason};

/// The global `--retry` is about requests; these are about tasks.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RetryFlags {
    /// What follows a failed try, by its reason (repeatable): retry, fail, or elsewhere (a retry, not on the same worker)
    #[arg(long, value_name = "REASON=ACTION", value_parser = parse_rule)]
    pub retry_on: Vec<(ReasonKind, RetryAction)>,
    /// Pause before the second try, for example 5s
    #[arg(long, value_name = "DURATION", value_parser = parse_delay)]
    pub retry_delay: Option<u64>,
    /// How the pause grows with each failure; 2 doubles it
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    pub retry_delay_factor: Option<u32>,
    /// Longest pause
    #[arg(long, value_name = "DURATION", value_parser = parse_delay)]
    pub retry_delay_max: Option<u64>,
    /// Part of a pause by which it may be shortened, differently for each try; 0.2 is a fifth
    #[arg(long, value_name = "PART", value_parser = parse_factor)]
    pub retry_jitter: Option<u32>,
    /// After a try ran out of memory the next one asks for so many times as much
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    pub retry_memory_factor: Option<u32>,
    /// And never for more than this
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub retry_memory_max: Option<u64>,
}

fn parse_rule(text: &str) -> Result<(ReasonKind, RetryAction), String> {
    let Some((reason, action)) = text.split_once('=') else {
        return Err(format!("'{text}' is no rule: write REASON=ACTION, for example out_of_memory=retry"));
    };
    Ok((parse_reason(reason)?, parse_action(action)?))
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|e| e.to_string())
}

impl RetryFlags {
    /// What the flags say on top of `rules`.
    pub fn over(&self, rules: Option<RetryRules>) -> Option<RetryRules> {
        let had = rules.is_some();
        let mut rules = rules.unwrap_or_default();
        for (kind, action) in &self.retry_on {
            rules.rules.retain(|rule| rule.reason != *kind as i32);
            rules.rules.push(RetryRule { reason: *kind as i32, action: *action as i32 });
        }
        rules.delay_ms = self.retry_delay.unwrap_or(rules.delay_ms);
        rules.delay_factor_percent = self.retry_delay_factor.unwrap_or(rules.delay_factor_percent);
        rules.delay_max_ms = self.retry_delay_max.unwrap_or(rules.delay_max_ms);
        rules.jitter_percent = self.retry_jitter.unwrap_or(rules.jitter_percent);
        rules.memory_factor_percent = self.retry_memory_factor.unwrap_or(rules.memory_factor_percent);
        rules.memory_max_bytes = self.retry_memory_max.unwrap_or(rules.memory_max_bytes);
        (had || rules != RetryRules::default()).then_some(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_rules_of_a_file_reason_by_reason() {
        assert_eq!(RetryFlags::default().over(None), None);
        let rule = |kind: ReasonKind, action: RetryAction| RetryRule { reason: kind as i32, action: action as i32 };
        let file = RetryRules {
            rules: vec![rule(ReasonKind::Signal, RetryAction::Fail), rule(ReasonKind::Timeout, RetryAction::Elsewhere)],
            delay_ms: 5_000,
            ..RetryRules::default()
        };
        assert_eq!(RetryFlags::default().over(Some(file.clone())), Some(file.clone()));
        let flags = RetryFlags {
            retry_on: vec![parse_rule("signal=retry").unwrap()],
            retry_jitter: Some(20),
            ..RetryFlags::default()
        };
        let both = RetryRules {
            rules: vec![
                rule(ReasonKind::Timeout, RetryAction::Elsewhere),
                rule(ReasonKind::Signal, RetryAction::Retry),
            ],
            jitter_percent: 20,
            ..file.clone()
        };
        assert_eq!(flags.over(Some(file)), Some(both));
        for bad in ["signal", "signal=again", "bad_luck=retry", "=retry"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }
}
