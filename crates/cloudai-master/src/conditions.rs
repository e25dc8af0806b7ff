//! How workers' machines are. Comes in: what their heartbeats say now and then. Goes out: the last word of each, for whoever asks. In the
//! leader's memory only: nothing is decided by it, and a new leader hears of it with the next sessions.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cloudai_proto::v1::MachineCondition;
use cloudai_types::{WorkerId, limits};
use tokio::time::Instant;

const UNPOISONED: &str = "nothing panics under this lock";

#[derive(Default)]
pub struct Conditions(Mutex<BTreeMap<WorkerId, Told>>);

#[derive(Clone)]
pub struct Told {
    pub at: Instant,
    /// Its clock less ours when it came, in milliseconds; what the message took makes it smaller.
    pub clock_ahead_ms: i64,
    pub condition: MachineCondition,
}

impl Conditions {
    /// A new leadership knows nothing yet.
    pub fn begin(&self) {
        self.0.lock().expect(UNPOISONED).clear();
    }

    /// `now_ms`: this machine's wall clock. Longer words than a worker sends are left out.
    pub fn tell(&self, worker: WorkerId, now_ms: u64, mut condition: MachineCondition) {
        let clock_ahead_ms = condition.now_ms.cast_signed().saturating_sub(now_ms.cast_signed());
        for text in [&mut condition.engine_trouble, &mut condition.software] {
            text.truncate(text.floor_char_boundary(limits::ENGINE_TROUBLE_BYTES_MAX));
        }
        self.0.lock().expect(UNPOISONED).insert(worker, Told { at: Instant::now(), clock_ahead_ms, condition });
    }

    pub fn of(&self, worker: WorkerId) -> Option<Told> {
        self.0.lock().expect(UNPOISONED).get(&worker).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_word_of_each_counts_until_another_leads() {
        let conditions = Conditions::default();
        let said = |now_ms, trouble: &str| MachineCondition {
            now_ms,
            engine_trouble: trouble.to_owned(),
            ..Default::default()
        };
        conditions.tell(WorkerId(1), 5_000, said(4_000, "gone"));
        conditions.tell(WorkerId(1), 9_000, said(9_500, &"é".repeat(limits::ENGINE_TROUBLE_BYTES_MAX)));
        conditions.tell(WorkerId(2), 5_000, said(u64::MAX, ""));
        let told = conditions.of(WorkerId(1)).expect("it was told");
        assert_eq!((told.clock_ahead_ms, told.condition.engine_trouble.len()), (500, limits::ENGINE_TROUBLE_BYTES_MAX));
        assert!(conditions.of(WorkerId(2)).is_some() && conditions.of(WorkerId(3)).is_none());
        conditions.begin();
        assert!(conditions.of(WorkerId(1)).is_none());
    }
}
