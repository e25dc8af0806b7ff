//! I1: no command can panic a master, and no fault of ours stops one on its own.

use super::{Invariant, Verdict, View};
use crate::panics;

#[derive(Default)]
pub struct Total;

impl Invariant for Total {
    fn name(&self) -> &'static str {
        "I1"
    }

    fn on_step(&mut self, view: &View) -> Verdict {
        if let Some(panic) = panics::first() {
            return Err(panic);
        }
        for master in view.masters {
            if let Some(reason) = &master.ended {
                return Err(format!("m{} ended on its own: {reason}", master.host));
            }
        }
        Ok(())
    }
}
