//! What the containers that run use now. Comes in: which attempts run, what looks at their storage found, the kernel's counters. Goes out: readings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use cloudai_types::AttemptId;

use super::{Shared, UNPOISONED};
use crate::executor::{AttemptReading, Meter, Readings};

/// Nobody has looked yet, or nobody looks.
const NOT_KNOWN: u64 = u64::MAX;

/// The attempts that run, each with what it has written.
#[derive(Default)]
pub struct Metered(Mutex<BTreeMap<AttemptId, Written>>);

/// Bytes on the disk, as the last look found them.
#[derive(Clone)]
pub struct Written(Arc<AtomicU64>);

impl Written {
    pub fn note(&self, bytes: u64) {
        self.0.store(bytes, Relaxed);
    }

    fn bytes(&self) -> Option<u64> {
        Some(self.0.load(Relaxed)).filter(|bytes| *bytes != NOT_KNOWN)
    }
}

impl Metered {
    /// It runs. Whoever looks at its storage notes there what is found.
    pub fn begin(&self, attempt: AttemptId) -> Written {
        let written = Written(Arc::new(AtomicU64::new(NOT_KNOWN)));
        self.0.lock().expect(UNPOISONED).insert(attempt, written.clone());
        written
    }

    pub fn end(&self, attempt: AttemptId) {
        self.0.lock().expect(UNPOISONED).remove(&attempt);
    }

    /// The first `most`, and how many more there are.
    fn now(&self, most: usize) -> (Vec<(AttemptId, Option<u64>)>, usize) {
        let all = self.0.lock().expect(UNPOISONED);
        let first: Vec<_> = all.iter().take(most).map(|(attempt, written)| (*attempt, written.bytes())).collect();
        let left_out = all.len() - first.len();
        (first, left_out)
    }
}

pub struct DockerMeter(pub Arc<Shared>);

impl Meter for DockerMeter {
    fn read(&self, most: usize) -> Readings {
        let (running, left_out) = self.0.metered.now(most);
        let one = |(attempt, storage_bytes)| {
            let now = self.0.parents.read_now(attempt);
            AttemptReading { attempt, cpu_micros: now.cpu_micros, memory_bytes: now.memory_bytes, storage_bytes }
        };
        let attempts = running.into_iter().map(one).collect();
        Readings { attempts, left_out: u32::try_from(left_out).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn those_that_run_are_known_in_their_order_with_what_they_have_written() {
        let id = |n| AttemptId::new(JobId(1), n, 1);
        let metered = Metered::default();
        let written = metered.begin(id(2));
        metered.begin(id(0)).note(0);
        metered.begin(id(1));
        assert_eq!(metered.now(9), (vec![(id(0), Some(0)), (id(1), None), (id(2), None)], 0));
        written.note(77);
        metered.end(id(1));
        metered.end(id(9));
        assert_eq!(metered.now(9), (vec![(id(0), Some(0)), (id(2), Some(77))], 0));
        assert_eq!(metered.now(1), (vec![(id(0), Some(0))], 1), "the others are counted");
    }
}
