//! A queued index with a past: which attempt comes next, what the ones before have cost, when it may come, what it asks for, and which
//! workers it keeps away from. Comes in: what follows an attempt's ending. Goes out: reads for the scheduler and for people.

use cloudai_types::limits;

use crate::rows::WaitingRow;

/// Kept small: [`limits::DEVIATING_BYTES_MAX`]. The last two fields are written by [`Waiting::avoiding`] only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    pub not_before_ms: u64,
    pub next_number: u32,
    /// Memory that the next attempt asks for, where that is more than the spec says; 0: what the spec says.
    pub memory_mib: u32,
    pub attempts_used: u16,
    pub losses: u8,
    /// So many of `avoid` it may not go to; the one after them it avoids while another fits.
    pub(crate) never: u8,
    /// Workers; 0: none.
    pub(crate) avoid: [u32; limits::RETRY_AVOIDED_MAX],
}

impl Waiting {
    /// It may not go to any of `never` (the first [`limits::RETRY_AVOIDED_MAX`] count), and avoids `worker` while another fits.
    #[must_use]
    pub fn avoiding(mut self, never: &[u32], worker: u32) -> Self {
        let many = never.len().min(limits::RETRY_AVOIDED_MAX);
        self.avoid = [0; limits::RETRY_AVOIDED_MAX];
        self.avoid[..many].copy_from_slice(&never[..many]);
        self.never = many as u8;
        if let Some(soft) = self.avoid.get_mut(many)
            && !never.contains(&worker)
        {
            *soft = worker;
        }
        self
    }

    /// Workers that it may not go to.
    pub fn never(&self) -> &[u32] {
        self.avoid.get(..usize::from(self.never)).unwrap_or(&self.avoid)
    }

    /// The worker that it avoids while another fits; 0: none.
    pub fn avoid_worker(&self) -> u32 {
        self.avoid.get(usize::from(self.never)).copied().unwrap_or(0)
    }

    /// It asks for something else than its siblings.
    pub fn is_apart(&self) -> bool {
        self.memory_mib > 0 || self.never > 0
    }

    pub(crate) fn row(&self) -> WaitingRow {
        WaitingRow {
            next_number: self.next_number,
            attempts_used: self.attempts_used.into(),
            losses: self.losses.into(),
            not_before_ms: self.not_before_ms,
            avoid_worker: self.avoid_worker(),
            memory_mib: self.memory_mib,
            never_workers: self.never().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudai_types::JobId;

    use super::*;
    use crate::hot::{ActiveAttempt, Job};

    #[test]
    fn what_waits_and_what_runs_stays_small() {
        let (index, delayed) = (size_of::<u32>(), size_of::<(u64, JobId, u32)>());
        let waiting = size_of::<Waiting>();
        assert!(index + waiting + delayed <= limits::DEVIATING_BYTES_MAX, "{index} + {waiting} + {delayed}");
        assert!(size_of::<Job>() <= 112, "{} bytes, and a million of them wait", size_of::<Job>());
        assert!(size_of::<ActiveAttempt>() <= 48, "{}", size_of::<ActiveAttempt>());
    }

    #[test]
    fn workers_to_avoid_are_kept_in_both_kinds() {
        let told = |never: &[u32], worker| {
            let w = Waiting::default().avoiding(never, worker);
            (w.never().to_vec(), w.avoid_worker(), w.is_apart())
        };
        assert_eq!(told(&[], 0), (vec![], 0, false));
        assert_eq!(told(&[], 7), (vec![], 7, false));
        assert_eq!(told(&[7, 5], 7), (vec![7, 5], 0, true));
        assert_eq!(told(&[5], 7), (vec![5], 7, true));
        assert_eq!(told(&[1, 2, 3, 4], 9), (vec![1, 2, 3], 0, true), "the first three count, and leave no room");
    }
}
