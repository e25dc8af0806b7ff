//! How fast a job gets done. Comes in: how many of its tasks have ended, and when that was seen. Goes out: tasks per second over the last
//! minute, and the time that the rest takes at that pace. It knows nothing of tasks that are longer than those before them.

use std::collections::VecDeque;

/// What is older than this says nothing about now.
const WINDOW_MS: u64 = 60_000;

#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// When, and how many had ended: the newest last, and one that is as old as the window or older.
    seen: VecDeque<(u64, u32)>,
}

impl Pace {
    pub fn on(&mut self, now_ms: u64, ended: u32) {
        let is_first = self.seen.len() < 2;
        match self.seen.back_mut() {
            // Of what is seen within a second the last counts: a thousand changes a second need no thousand entries.
            Some(last) if !is_first && now_ms.saturating_sub(last.0) < 1_000 => last.1 = ended,
            _ => self.seen.push_back((now_ms, ended)),
        }
        while self.seen.get(1).is_some_and(|(at, _)| now_ms.saturating_sub(*at) >= WINDOW_MS) {
            self.seen.pop_front();
        }
    }

    /// Tasks per second; nothing before one has ended while somebody looked.
    pub fn per_second(&self, now_ms: u64) -> Option<f64> {
        let ((since, before), (_, ended)) = (self.seen.front()?, self.seen.back()?);
        let ms = now_ms.saturating_sub(*since);
        (ended > before && ms > 0).then(|| f64::from(ended - before) * 1000.0 / ms as f64)
    }

    /// Milliseconds until `left` more have ended.
    pub fn left_ms(&self, now_ms: u64, left: u32) -> Option<u64> {
        self.per_second(now_ms).map(|pace| (f64::from(left) / pace * 1000.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_a_task_has_ended() {
        let mut pace = Pace::default();
        assert_eq!((pace.per_second(5), pace.left_ms(5, 9)), (None, None));
        pace.on(0, 40);
        assert_eq!(pace.per_second(10_000), None, "those of before nobody has seen ending");
        pace.on(10_000, 60);
        assert_eq!((pace.per_second(10_000), pace.left_ms(10_000, 30)), (Some(2.0), Some(15_000)));
        assert_eq!(pace.per_second(20_000), Some(1.0), "silence slows it down");
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let mut pace = Pace::default();
        pace.on(0, 0);
        pace.on(10_000, 1_000);
        for second in 1..=120 {
            pace.on(10_000 + second * 1_000, 1_000 + second as u32);
        }
        assert_eq!(pace.per_second(130_000), Some(1.0));
        assert!(pace.seen.len() <= 62, "{}", pace.seen.len());
    }
}
