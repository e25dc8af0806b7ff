//! I11: the tasks of a gang that have not ended all wait or all run, until one of them fails.

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;

use super::{Invariant, MasterView, Verdict, core_says};

#[derive(Default)]
pub struct Gangs;

impl Invariant for Gangs {
    fn name(&self) -> &'static str {
        "I11"
    }

    fn on_state(&mut self, master: &MasterView, _: &Hot, faults: &[CoreFault]) -> Verdict {
        core_says("I11", master, faults)
    }
}
