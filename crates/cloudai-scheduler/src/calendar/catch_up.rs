//! What becomes of the times of a schedule that have come. Comes in: its timetable, the last time that is decided, now. Goes out: the next time to
//! decide, and how many are passed over. One at a time: what is left is due at once.

use std::collections::VecDeque;

use cloudai_types::{Missed, limits};

use super::timetable::Timetable;

/// The next time to decide. All before it are decided with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    pub due_ms: u64,
    /// It was missed as well, and does not run.
    pub is_missed: bool,
    /// Times before it that do not run, and the last of them; at most [`limits::SCHEDULE_MISSED_MAX`] are counted.
    pub missed: u32,
    pub missed_last_ms: u64,
    /// The time after it; 0: none.
    pub next_ms: u64,
}

/// `None`: no time has come.
pub fn due(table: &Timetable, decided_ms: u64, now_ms: u64, policy: Missed) -> Option<Due> {
    let most = match policy {
        Missed::Once | Missed::Skip => 1,
        Missed::All => limits::SCHEDULE_CATCH_UP_MAX,
    };
    let newest = newest(table, decided_ms, now_ms, most);
    let due_ms = *newest.front()?;
    let passed = table.after(decided_ms).take_while(|ms| *ms < due_ms).take(limits::SCHEDULE_MISSED_MAX as usize);
    let missed = passed.count() as u32;
    let missed_last_ms = if missed == 0 { 0 } else { last_before(table, decided_ms, due_ms) };
    let is_late = now_ms.saturating_sub(due_ms) > limits::SCHEDULE_LATE.0;
    let is_missed = policy == Missed::Skip && is_late;
    Some(Due { due_ms, is_missed, missed, missed_last_ms, next_ms: table.next(due_ms).unwrap_or(0) })
}

fn last_before(table: &Timetable, decided_ms: u64, due_ms: u64) -> u64 {
    newest(table, decided_ms, due_ms.saturating_sub(1), 1).front().copied().unwrap_or(0)
}

/// The newest `most` times after one moment, up to another, in order. It looks back in growing steps, so that a schedule that was paused for a year
/// costs no walk over all of it.
fn newest(table: &Timetable, after_ms: u64, until_ms: u64, most: usize) -> VecDeque<u64> {
    let mut back_ms = FIRST_LOOK_MS;
    loop {
        let from = until_ms.saturating_sub(back_ms).max(after_ms);
        let mut found = VecDeque::new();
        for ms in table.after(from).take_while(|ms| *ms <= until_ms) {
            if found.len() == most {
                found.pop_front();
            }
            found.push_back(ms);
        }
        if found.len() == most || from == after_ms {
            return found;
        }
        back_ms = back_ms.saturating_mul(4);
    }
}

const FIRST_LOOK_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    /// 2026-11-30T00:00:00Z
    const T0: u64 = 1_795_996_800_000;

    fn hourly() -> Timetable {
        Timetable::parse("0 * * * *", "UTC").expect("valid")
    }

    fn told(due: Option<Due>) -> Option<(u64, bool, u32, u64, u64)> {
        let hours = |ms: u64| ms.saturating_sub(T0) / HOUR;
        due.map(|d| (hours(d.due_ms), d.is_missed, d.missed, hours(d.missed_last_ms), hours(d.next_ms)))
    }

    #[test]
    fn on_time_all_policies_are_the_same() {
        for policy in Missed::ALL {
            assert_eq!(due(&hourly(), T0, T0 + HOUR - 1, policy), None);
            assert_eq!(told(due(&hourly(), T0, T0 + HOUR + 150, policy)), Some((1, false, 0, 0, 2)));
        }
    }

    #[test]
    fn five_hours_without_a_leader() {
        let now = T0 + 5 * HOUR + 10 * MINUTE;
        assert_eq!(told(due(&hourly(), T0, now, Missed::Once)), Some((5, false, 4, 4, 6)));
        assert_eq!(told(due(&hourly(), T0, now, Missed::Skip)), Some((5, true, 4, 4, 6)));
        assert_eq!(told(due(&hourly(), T0, now, Missed::All)), Some((1, false, 0, 0, 2)));
        let on_time = T0 + 5 * HOUR + 100;
        assert_eq!(told(due(&hourly(), T0, on_time, Missed::Skip)), Some((5, false, 4, 4, 6)), "this one is in time");
    }

    #[test]
    fn a_year_of_pause_is_bounded() {
        let minutely = Timetable::parse("* * * * *", "UTC").expect("valid");
        let now = T0 + 365 * 24 * HOUR;
        let all = due(&minutely, T0, now, Missed::All).expect("much is due");
        let most = limits::SCHEDULE_CATCH_UP_MAX as u64;
        assert_eq!((all.due_ms, all.missed), (now - (most - 1) * MINUTE, limits::SCHEDULE_MISSED_MAX));
        assert_eq!((all.missed_last_ms, all.next_ms), (all.due_ms - MINUTE, all.due_ms + MINUTE));
        let once = due(&minutely, T0, now, Missed::Once).expect("much is due");
        assert_eq!((once.due_ms, once.is_missed), (now, false));
    }

    proptest! {
        /// Carried out one after the other, every time is decided once: it runs, or it is counted as missed.
        #[test]
        fn every_time_is_decided_once(
            policy in prop::sample::select(Missed::ALL.to_vec()), times in 0..300u64, late_ms in 0..2 * HOUR,
        ) {
            let table = hourly();
            let now = T0 + times * HOUR + late_ms;
            let (mut decided, mut ran, mut missed) = (T0, 0, 0);
            while let Some(d) = due(&table, decided, now, policy) {
                prop_assert!(d.due_ms > decided && d.due_ms <= now && d.next_ms > d.due_ms);
                missed += u64::from(d.missed) + u64::from(d.is_missed);
                ran += u64::from(!d.is_missed);
                decided = d.due_ms;
            }
            let come = (now - T0) / HOUR;
            prop_assert_eq!(ran + missed, come);
            let expected = match policy {
                Missed::All => come.min(limits::SCHEDULE_CATCH_UP_MAX as u64),
                Missed::Once => come.min(1),
                Missed::Skip => u64::from(come > 0 && (now - T0) % HOUR <= limits::SCHEDULE_LATE.0),
            };
            prop_assert_eq!(ran, expected);
        }
    }
}
