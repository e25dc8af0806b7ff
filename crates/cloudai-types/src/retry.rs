//! What a user wants done when an attempt has failed, by the reason of its ending. Comes in: the `retry` part of a spec. Goes out: what
//! to do, how long to wait, how much memory to ask for. Which budget pays for a try, and whether it is spent, is not known here.

use crate::limits;
use crate::reason::ReasonKind;
use crate::resources::Bytes;

/// What follows a failed attempt. The numbers are persisted: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum RetryAction {
    /// Another try, wherever there is room.
    Retry = 0,
    /// No other try: the task has failed.
    Fail = 1,
    /// Another try, on a worker where it has not ended so.
    Elsewhere = 2,
}

impl RetryAction {
    pub const ALL: [RetryAction; 3] = [RetryAction::Retry, RetryAction::Fail, RetryAction::Elsewhere];

    /// The word in files, flags and JSON.
    pub fn name(self) -> &'static str {
        match self {
            RetryAction::Retry => "retry",
            RetryAction::Fail => "fail",
            RetryAction::Elsewhere => "elsewhere",
        }
    }
}

/// One reason, and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct RetryRule {
    #[prost(enumeration = "ReasonKind", tag = "1")]
    pub reason: i32,
    #[prost(enumeration = "RetryAction", tag = "2")]
    pub action: i32,
}

/// A job's own rules. What they leave out is as for a job without rules.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RetryRules {
    /// At most one for each reason.
    #[prost(message, repeated, tag = "1")]
    pub rules: Vec<RetryRule>,
    /// Pause before the second try; 0: [`limits::RETRY_BACKOFF_FIRST`].
    #[prost(uint64, tag = "2")]
    pub delay_ms: u64,
    /// How the pause grows with each failure, in hundredths; 0: 200, it doubles.
    #[prost(uint32, tag = "3")]
    pub delay_factor_percent: u32,
    /// Longest pause; 0: [`limits::RETRY_BACKOFF_MAX`], or the first pause where that is longer.
    #[prost(uint64, tag = "4")]
    pub delay_max_ms: u64,
    /// A pause is shortened by up to so many hundredths, differently for each attempt; 0: not at all.
    #[prost(uint32, tag = "5")]
    pub jitter_percent: u32,
    /// After `out_of_memory` the next attempt asks for so many hundredths of what this one had; 0: for the same.
    #[prost(uint32, tag = "6")]
    pub memory_factor_percent: u32,
    /// It never asks for more than this.
    #[prost(uint64, tag = "7")]
    pub memory_max_bytes: u64,
}

impl RetryRules {
    /// What the rules say of this ending; `None`: nothing, it goes as without rules.
    pub fn action(&self, kind: ReasonKind) -> Option<RetryAction> {
        let rule = self.rules.iter().find(|rule| rule.reason == kind as i32)?;
        RetryAction::try_from(rule.action).ok()
    }

    /// The pause after so many failures; none after none. `dice`: any number that differs from attempt to attempt and is the same on
    /// every master.
    pub fn pause_ms(&self, failures: u32, dice: u64) -> u64 {
        if failures == 0 {
            return 0;
        }
        let first = if self.delay_ms == 0 { limits::RETRY_BACKOFF_FIRST.0 } else { self.delay_ms };
        let max = if self.delay_max_ms == 0 { limits::RETRY_BACKOFF_MAX.0.max(first) } else { self.delay_max_ms };
        let factor = u64::from(if self.delay_factor_percent == 0 { 200 } else { self.delay_factor_percent });
        let mut pause = first.min(max);
        for _ in 1..failures.min(limits::RETRY_GROWS_MAX) {
            if pause >= max {
                break;
            }
            pause = (pause.saturating_mul(factor) / 100).min(max);
        }
        let span = u128::from(pause) * u128::from(self.jitter_percent.min(100)) / 100;
        let cut = (span * u128::from(dice >> 32)) >> 32;
        pause.saturating_sub(u64::try_from(cut).unwrap_or(u64::MAX))
    }

    /// What the next attempt asks for after one that had `memory_bytes` ran out of them, in whole MiB; `None`: for the same.
    pub fn raised_memory_mib(&self, memory_bytes: u64) -> Option<u32> {
        if self.memory_factor_percent <= 100 || memory_bytes == 0 {
            return None;
        }
        let wanted = u128::from(memory_bytes) * u128::from(self.memory_factor_percent) / 100;
        let mib = wanted.div_ceil(1 << 20).min(u128::from(self.memory_max_bytes >> 20));
        let mib = u32::try_from(mib).ok()?;
        (u64::from(mib) << 20 > memory_bytes).then_some(mib)
    }

    /// Tells what is wrong with them, for tasks that ask for so much memory.
    pub(crate) fn check(&self, memory_bytes: u64, fault: &mut impl FnMut(&'static str, String)) {
        if self.rules.len() > ReasonKind::ALL.len() {
            return fault("retry.reasons", format!("has {} entries, more than there are reasons", self.rules.len()));
        }
        for (n, rule) in self.rules.iter().enumerate() {
            let Ok(kind) = ReasonKind::try_from(rule.reason) else {
                fault("retry.reasons", format!("reason number {} is not known", rule.reason));
                continue;
            };
            if kind == ReasonKind::Cancelled {
                fault("retry.reasons", "cancelled: what somebody cancelled is never tried again".to_owned());
            }
            if RetryAction::try_from(rule.action).is_err() {
                fault("retry.reasons", format!("{}: what follows is none of retry, fail, elsewhere", kind.name()));
            }
            if self.rules[..n].iter().any(|earlier| earlier.reason == rule.reason) {
                fault("retry.reasons", format!("{} is there twice", kind.name()));
            }
        }
        let days = limits::RETRY_DELAY_MAX.0 / 86_400_000;
        if self.delay_ms > limits::RETRY_DELAY_MAX.0 {
            fault("retry.delay", format!("is over {days} days"));
        }
        if self.delay_max_ms > limits::RETRY_DELAY_MAX.0 {
            fault("retry.delay_max", format!("is over {days} days"));
        }
        if self.delay_max_ms != 0 && self.delay_max_ms < self.delay_ms {
            fault("retry.delay_max", "is shorter than the first delay".to_owned());
        }
        let most = limits::RETRY_FACTOR_PERCENT_MAX;
        if self.delay_factor_percent != 0 && !(100..=most).contains(&self.delay_factor_percent) {
            fault("retry.delay_factor", format!("is not between 1 and {}", most / 100));
        }
        if self.jitter_percent > 100 {
            fault("retry.jitter", "is over 1, the whole delay".to_owned());
        }
        self.check_memory(memory_bytes, fault);
    }

    fn check_memory(&self, memory_bytes: u64, fault: &mut impl FnMut(&'static str, String)) {
        let most = limits::RETRY_FACTOR_PERCENT_MAX;
        match (self.memory_factor_percent, self.memory_max_bytes) {
            (0, 0) => return,
            (0, _) => {
                return fault("retry.memory_max", "says nothing without memory_factor; set that too".to_owned());
            }
            (_, 0) => fault("retry.memory_max", "is missing; say how much memory a try may ask for at most".to_owned()),
            (_, _) => {}
        }
        if !(101..=most).contains(&self.memory_factor_percent) {
            fault("retry.memory_factor", format!("is not above 1 and at most {}", most / 100));
        }
        if memory_bytes == 0 {
            fault("retry.memory_factor", "multiplies nothing; set memory, what the first try asks for".to_owned());
        }
        if self.memory_max_bytes > limits::RETRY_MEMORY_BYTES_MAX {
            fault("retry.memory_max", format!("is over {}", Bytes(limits::RETRY_MEMORY_BYTES_MAX)));
        }
        if self.memory_max_bytes != 0 && self.memory_max_bytes < memory_bytes {
            fault("retry.memory_max", format!("is below the {} of the first try", Bytes(memory_bytes)));
        }
        if self.action(ReasonKind::OutOfMemory) == Some(RetryAction::Fail) {
            fault("retry.memory_factor", "is never used: out_of_memory is not tried again".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(reason: ReasonKind, action: RetryAction) -> RetryRule {
        RetryRule { reason: reason as i32, action: action as i32 }
    }

    fn faults(rules: &RetryRules, memory_bytes: u64) -> Vec<String> {
        let mut faults = vec![];
        rules.check(memory_bytes, &mut |field, problem| faults.push(format!("{field} {problem}")));
        faults
    }

    #[test]
    fn actions_have_numbers_and_words_of_their_own() {
        for (n, action) in RetryAction::ALL.into_iter().enumerate() {
            assert_eq!((action as usize, RetryAction::try_from(n as i32)), (n, Ok(action)));
        }
        assert_eq!(RetryAction::ALL.map(RetryAction::name), ["retry", "fail", "elsewhere"]);
    }

    #[test]
    fn without_a_word_the_pause_doubles_from_a_second_to_five_minutes() {
        let usual = RetryRules::default();
        assert_eq!([0, 1, 2, 3, 4].map(|n| usual.pause_ms(n, u64::MAX)), [0, 1_000, 2_000, 4_000, 8_000]);
        assert_eq!([30, u32::MAX].map(|n| usual.pause_ms(n, 0)), [300_000; 2]);
    }

    #[test]
    fn a_pause_begins_grows_and_ends_as_its_rules_say() {
        let rules =
            RetryRules { delay_ms: 400, delay_factor_percent: 150, delay_max_ms: 1_000, ..RetryRules::default() };
        assert_eq!([1, 2, 3, 4, 50].map(|n| rules.pause_ms(n, 0)), [400, 600, 900, 1_000, 1_000]);
        let steady = RetryRules { delay_factor_percent: 100, ..rules.clone() };
        assert_eq!([1, 2, u32::MAX].map(|n| steady.pause_ms(n, 0)), [400; 3]);
        let long = RetryRules { delay_ms: 900_000, ..RetryRules::default() };
        assert_eq!(long.pause_ms(2, 0), 900_000, "longer than the usual longest one, which it did not set");
    }

    #[test]
    fn jitter_only_shortens_and_never_by_more_than_its_part() {
        let rules = RetryRules { delay_ms: 1_000, jitter_percent: 30, ..RetryRules::default() };
        assert_eq!(rules.pause_ms(1, 0), 1_000);
        assert_eq!(rules.pause_ms(1, 1 << 63), 850);
        assert_eq!(rules.pause_ms(1, u64::MAX), 701);
        let whole = RetryRules { delay_ms: u64::MAX, delay_max_ms: u64::MAX, jitter_percent: u32::MAX, ..rules };
        assert!(whole.pause_ms(u32::MAX, u64::MAX) < u64::MAX, "no number panics");
    }

    #[test]
    fn memory_grows_in_whole_mib_up_to_its_bound() {
        const MIB: u64 = 1 << 20;
        let rules = RetryRules { memory_factor_percent: 150, memory_max_bytes: 100 * MIB, ..RetryRules::default() };
        assert_eq!(rules.raised_memory_mib(32 * MIB), Some(48));
        assert_eq!(rules.raised_memory_mib(33 * MIB), Some(50), "49.5 rounded up");
        assert_eq!(rules.raised_memory_mib(80 * MIB), Some(100), "the bound");
        assert_eq!(rules.raised_memory_mib(100 * MIB), None, "there is no more");
        assert_eq!(rules.raised_memory_mib(0), None, "nothing was limited");
        assert_eq!(RetryRules::default().raised_memory_mib(32 * MIB), None);
        let endless = RetryRules { memory_factor_percent: u32::MAX, memory_max_bytes: u64::MAX, ..rules };
        assert_eq!(endless.raised_memory_mib(u64::MAX), None, "no number panics");
    }

    #[test]
    fn each_mistake_is_told() {
        let none: [&str; 0] = [];
        assert_eq!(faults(&RetryRules::default(), 0), none);
        let good = RetryRules {
            rules: vec![
                rule(ReasonKind::ExitCode, RetryAction::Fail),
                rule(ReasonKind::WorkerLost, RetryAction::Elsewhere),
            ],
            delay_ms: 5_000,
            delay_factor_percent: 300,
            delay_max_ms: 60_000,
            jitter_percent: 20,
            memory_factor_percent: 150,
            memory_max_bytes: 1 << 30,
        };
        assert_eq!(faults(&good, 1 << 29), none);
        let bad = |change: &dyn Fn(&mut RetryRules), memory: u64| {
            let mut rules = good.clone();
            change(&mut rules);
            faults(&rules, memory)
        };
        let told = [
            bad(&|r| r.rules.push(rule(ReasonKind::ExitCode, RetryAction::Retry)), 1),
            bad(&|r| r.rules.push(rule(ReasonKind::Cancelled, RetryAction::Retry)), 1),
            bad(&|r| r.rules.push(RetryRule { reason: 99, action: 0 }), 1),
            bad(&|r| r.rules.push(RetryRule { reason: ReasonKind::Signal as i32, action: 9 }), 1),
            bad(&|r| r.rules.push(rule(ReasonKind::OutOfMemory, RetryAction::Fail)), 1),
            bad(&|r| r.delay_ms = u64::MAX, 1).into_iter().take(1).collect(),
            bad(&|r| r.delay_max_ms = 1_000, 1),
            bad(&|r| r.delay_factor_percent = 99, 1),
            bad(&|r| r.jitter_percent = 101, 1),
            bad(&|r| r.memory_factor_percent = 100, 1),
            bad(&|r| r.memory_factor_percent = 0, 1),
            bad(&|r| r.memory_max_bytes = 0, 1),
            bad(&|_| {}, 0),
            bad(&|_| {}, 2 << 30),
        ];
        let fields: Vec<Vec<&str>> =
            told.iter().map(|faults| faults.iter().filter_map(|f| f.split(' ').next()).collect()).collect();
        let expected = [
            "retry.reasons",
            "retry.reasons",
            "retry.reasons",
            "retry.reasons",
            "retry.memory_factor",
            "retry.delay",
            "retry.delay_max",
            "retry.delay_factor",
            "retry.jitter",
            "retry.memory_factor",
            "retry.memory_max",
            "retry.memory_max",
            "retry.memory_factor",
            "retry.memory_max",
        ];
        assert_eq!(fields, expected.map(|field| vec![field]));
    }
}
