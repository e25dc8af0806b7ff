//! What must hold after every drill, as pure functions. Comes in: [`Facts`]: what the clients did and were told, what the
//! cluster says at the end, what was really executed, what the masters' logs say. Goes out: every violation, in words.
//! Nothing here asks a cluster anything, and nothing here knows a fault.
//!
//! | | |
//! |---|---|
//! | A1 | no acknowledged submit is missing, none happened twice, none happened that was refused |
//! | A2 | a result that a client has read is never lost and never another one |
//! | A3 | at most one accepted result per task, and none that nobody produced |
//! | A4 | two executions of one task overlap only after the older attempt was lost by a logged command; never for `stop` tasks |
//! | A5 | the clients' history is linearizable; lists are cuts of the log |
//! | A7 | masters at the same applied index have the same state |
//! | A9 | after the faults: one leader, every voter caught up, every client writes and reads in time, nobody panicked |
//!
//! A6 (watches) and A8 (the audit chain) have nothing to look at yet: what they check is not built.

pub mod accepted_once;
pub mod acknowledged;
pub mod cuts;
pub mod digests;
pub mod executions;
pub mod facts;
pub mod from_history;
pub mod healed;
pub mod linearizable;
pub mod logs;
pub mod overlap;
pub mod presence;
mod registers;
pub mod results;

use std::fmt;
use std::time::Duration;

pub use facts::{Execution, Facts, Op, Until};

/// How long the search for a linearization may take. "Unknown" after that is a failure, never a pass.
pub const SEARCH_LIMIT: Duration = Duration::from_secs(120);

/// Which check found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    A1,
    A2,
    A3,
    A4,
    A5,
    A7,
    A9,
}

/// One promise that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub check: Check,
    pub what: String,
}

impl Violation {
    pub fn new(check: Check, what: impl Into<String>) -> Self {
        Violation { check, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.what)
    }
}

/// Every check on these facts. Empty: all of them hold.
pub fn check_all(facts: &Facts) -> Vec<Violation> {
    let mut found = vec![];
    found.extend(acknowledged::check(&facts.ops, &facts.jobs));
    found.extend(results::check(&facts.ops, &facts.jobs));
    found.extend(accepted_once::check(&facts.jobs, &facts.executions));
    found.extend(overlap::check(&facts.jobs, &facts.executions, &facts.stop_jobs, facts.clocks_agree));
    found.extend(presence::check(&facts.ops, &facts.jobs));
    found.extend(linearizable::check(&facts.ops, SEARCH_LIMIT));
    found.extend(cuts::check(&facts.ops, &facts.jobs));
    found.extend(digests::check(&facts.digests));
    found.extend(healed::check(&facts.heal));
    found.extend(logs::check(&facts.logs));
    found
}

/// Fails with the first few of them.
pub fn none(found: &[Violation]) -> anyhow::Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = found.iter().take(10).map(Violation::to_string).collect();
    anyhow::bail!("{} violations\n  {}", found.len(), first.join("\n  "))
}
