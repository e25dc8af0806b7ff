//! I7: a live attempt's worker is registered and not lost.

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;

use super::{Invariant, MasterView, Verdict, core_says};

#[derive(Default)]
pub struct LiveWorker;

impl Invariant for LiveWorker {
    fn name(&self) -> &'static str {
        "I7"
    }

    fn on_state(&mut self, master: &MasterView, _: &Hot, faults: &[CoreFault]) -> Verdict {
        core_says("I7", master, faults)
    }
}
