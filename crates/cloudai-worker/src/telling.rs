//! Which samples a worker tells its leader. Comes in: what the leader wants, and each sample of its own. Goes out: yes or no. Counts samples, so that
//! it needs no clock and loses none to a tick that comes early.

use cloudai_types::limits;

/// Of one session. A leader that has not asked yet is told nothing: an older one would end the session over it.
#[derive(Default)]
pub struct Telling {
    /// One of so many; 0: none.
    every: u64,
    /// Since the last that was told.
    passed: u64,
}

impl Telling {
    /// The leader wants one each so many milliseconds; 0: nobody watches, and it is told now and then. The
    /// next one is told.
    pub fn wanted(&mut self, period_ms: u32) {
        self.every = match period_ms {
            0 => limits::TELEMETRY_UNWATCHED_EVERY.0.div_ceil(limits::SAMPLE_PERIOD.0),
            ms => u64::from(ms).div_ceil(limits::SAMPLE_PERIOD.0),
        };
        self.passed = self.every;
    }

    /// There is a sample: is it told?
    pub fn on_sample(&mut self) -> bool {
        self.passed += 1;
        let is_due = self.every > 0 && self.passed >= self.every;
        if is_due {
            self.passed = 0;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(telling: &mut Telling, samples: usize) -> String {
        (0..samples).map(|_| if telling.on_sample() { 't' } else { '.' }).collect()
    }

    #[test]
    fn it_tells_what_is_wanted_and_now_and_then_what_nobody_watches() {
        let mut telling = Telling::default();
        assert_eq!(told(&mut telling, 40), ".".repeat(40), "nobody has asked");
        telling.wanted(0);
        assert_eq!(told(&mut telling, 32), format!("t{}t.", ".".repeat(29)));
        telling.wanted(1_000);
        assert_eq!(told(&mut telling, 3), "ttt");
        telling.wanted(2_001);
        assert_eq!(told(&mut telling, 7), "t..t..t");
        telling.wanted(1);
        assert_eq!(told(&mut telling, 2), "tt", "there are no more than there are");
        telling.wanted(0);
        assert_eq!(told(&mut telling, 31), format!("t{}t", ".".repeat(29)));
    }
}
