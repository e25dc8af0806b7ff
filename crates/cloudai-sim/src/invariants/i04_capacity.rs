//! I4: what runs on a worker fits it, in the state and on the engine.

use cloudai_core::Hot;
use cloudai_core::invariants::Violation as CoreFault;
use cloudai_types::Resources;

use super::{Invariant, MasterView, Verdict, View, core_says};

#[derive(Default)]
pub struct Capacity;

impl Invariant for Capacity {
    fn name(&self) -> &'static str {
        "I4"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        for worker in view.workers {
            let used = worker
                .engine
                .containers()
                .iter()
                .filter(|(_, c)| c.holds())
                .fold(Resources::default(), |sum, (_, c)| sum.plus(&c.needs.resources));
            if !used.fits(&worker.capacity) {
                return Err(format!("{} runs {used} and has {}", worker.name, worker.capacity));
            }
        }
        Ok(())
    }

    fn on_state(&mut self, master: &MasterView, _: &Hot, faults: &[CoreFault]) -> Verdict {
        core_says("I4", master, faults)
    }
}
