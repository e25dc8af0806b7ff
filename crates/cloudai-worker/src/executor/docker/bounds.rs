//! What a container is held to while it runs, beside what the engine itself holds it to. Comes in: its spec, or what an earlier run wrote on
//! it. Goes out: numbers for whoever sees it through.

use cloudai_types::JobSpec;

use super::storage::Watch;
use super::{body, labels};

#[derive(Clone, PartialEq, Debug)]
pub struct Bounds {
    /// How many processes it may have: a limit that was reached is named in its ending.
    pub processes: u64,
    /// The number of the signal that asks it to stop.
    pub stop_signal: u32,
    /// Where it writes, if somebody has to look at that.
    pub watch: Option<Watch>,
}

impl Bounds {
    pub fn of(spec: &JobSpec, watch: Option<Watch>) -> Bounds {
        Bounds { processes: body::processes_limit(spec), stop_signal: labels::stop_signal(spec), watch }
    }
}
