//! The two endings of a drill that are neither a pass nor a fail. Both travel as errors, so that `?` carries them; the runner looks for
//! them in the chain. Neither ever counts as a pass.

/// The fault could not be proven to have happened, or there was too little traffic to say anything: the run shows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

/// The fault cannot be injected on this machine at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRun(pub String);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the run is invalid: {}", self.0)
    }
}

impl std::fmt::Display for NotRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not run: {}", self.0)
    }
}

impl std::error::Error for Invalid {}
impl std::error::Error for NotRun {}

/// What a drill comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Pass,
    Fail,
    Invalid,
    NotRun,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Invalid => "INVALID",
            Verdict::NotRun => "NOT RUN",
        }
    }

    /// Of an error that ended a drill.
    pub fn of(error: &anyhow::Error) -> Verdict {
        match error.downcast_ref::<NotRun>() {
            Some(_) => Verdict::NotRun,
            None if error.downcast_ref::<Invalid>().is_some() => Verdict::Invalid,
            None => Verdict::Fail,
        }
    }
}

/// `Err(Invalid)` unless it holds.
pub fn valid(holds: bool, why: impl FnOnce() -> String) -> anyhow::Result<()> {
    if holds { Ok(()) } else { Err(Invalid(why()).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_kind_is_found_below_what_was_said_about_it() {
        let not_run = Err::<(), _>(NotRun("no nft".into())).context("partition").expect_err("it is one");
        assert_eq!(Verdict::of(&not_run), Verdict::NotRun);
        let invalid = valid(false, || "counter is 0".into()).context("loss").expect_err("it is one");
        assert_eq!(Verdict::of(&invalid), Verdict::Invalid);
        assert_eq!(Verdict::of(&anyhow::anyhow!("lost")), Verdict::Fail);
    }
}
