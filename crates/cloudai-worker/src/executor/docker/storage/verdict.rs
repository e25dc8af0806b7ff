//! Whether a task has written more than it asked for, and when to look again. Comes in: what a look found, when, and how long it took. Goes
//! out: a [`Verdict`]. Pure: time is told to it.

use cloudai_types::resources::Bytes;
use cloudai_types::{Millis, Timestamp, limits};

use super::extent::Extent;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It ends, and these are the words.
    Over(String),
    LookAgainIn(Millis),
}

/// What is remembered of one task's looks.
#[derive(Clone, Debug)]
pub struct Looks {
    allowed: u64,
    is_asked: bool,
    last: Option<(Timestamp, u64)>,
}

impl Looks {
    /// `allowed`: bytes. `is_asked`: so much storage was asked for; otherwise it is what results may take without any.
    pub fn new(allowed: u64, is_asked: bool) -> Looks {
        Looks { allowed, is_asked, last: None }
    }

    pub fn judge(&mut self, found: Extent, now: Timestamp, took: Millis) -> Verdict {
        let wrote = match found {
            Extent::Bytes(bytes) => bytes,
            Extent::TooManyFiles => {
                let most = limits::STORAGE_FILES_MAX;
                return Verdict::Over(format!(
                    "it has more than {most} files and folders, and its storage cannot be counted"
                ));
            }
            Extent::TooDeep => {
                let most = limits::STORAGE_DEPTH_MAX;
                return Verdict::Over(format!(
                    "its folders are more than {most} deep, and its storage cannot be counted"
                ));
            }
        };
        if wrote > self.allowed {
            let (wrote, most) = (Bytes(wrote), Bytes(self.allowed));
            return Verdict::Over(if self.is_asked {
                format!("it wrote {wrote} and asked for {most} of storage")
            } else {
                format!("it wrote {wrote} of results and may have {most}, because it asked for no storage")
            });
        }
        let pause = self.pause(wrote, now);
        self.last = Some((now, wrote));
        let rest = Millis(took.0.saturating_mul(limits::STORAGE_LOOK_PAUSE_FACTOR));
        Verdict::LookAgainIn(pause.max(rest).min(limits::STORAGE_LOOK_PAUSE_MAX))
    }

    /// Half of the time in which it would be full, should it go on like this.
    fn pause(&self, wrote: u64, now: Timestamp) -> Millis {
        let Some((before, had)) = self.last else { return limits::STORAGE_LOOK_MIN };
        let (grown, passed, room) = (wrote.saturating_sub(had), (now - before).0, self.allowed - wrote);
        if grown == 0 {
            return limits::STORAGE_LOOK_MAX;
        }
        let half = u128::from(room) * u128::from(passed) / u128::from(grown) / 2;
        let half = Millis(u64::try_from(half).unwrap_or(u64::MAX));
        half.clamp(limits::STORAGE_LOOK_MIN, limits::STORAGE_LOOK_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn again(ms: u64) -> Verdict {
        Verdict::LookAgainIn(Millis(ms))
    }

    fn over(looks: &mut Looks, found: Extent) -> String {
        match looks.judge(found, Timestamp(0), Millis(0)) {
            Verdict::Over(words) => words,
            Verdict::LookAgainIn(pause) => panic!("{pause:?}"),
        }
    }

    #[test]
    fn what_grows_fast_is_looked_at_soon() {
        let mut looks = Looks::new(100 * MIB, true);
        let mut look = |ms, mib| looks.judge(Extent::Bytes(mib * MIB), Timestamp(ms), Millis(0));
        assert_eq!(look(0, 0), again(1_000), "nothing is known of it yet");
        assert_eq!(look(1_000, 0), again(5_000), "it writes nothing");
        assert_eq!(look(6_000, 10), again(5_000), "45 s at this pace, and half of that");
        assert_eq!(look(8_000, 50), again(1_250), "2.5 s");
        assert_eq!(look(9_000, 99), again(1_000));
        assert_eq!(look(10_000, 40), again(5_000), "it has removed something");
        assert_eq!(look(11_000, 100), again(1_000), "all of it is allowed");
    }

    #[test]
    fn a_slow_look_is_repeated_seldom() {
        let mut looks = Looks::new(MIB, true);
        let mut look = |took| looks.judge(Extent::Bytes(0), Timestamp(0), Millis(took));
        assert_eq!((look(10), look(100), look(400)), (again(1_000), again(5_000), again(8_000)));
        assert_eq!((look(60_000), look(u64::MAX)), (again(60_000), again(60_000)));
    }

    #[test]
    fn over_is_over_and_says_by_how_much() {
        let mut looks = Looks::new(8 * MIB, true);
        assert_eq!(over(&mut looks, Extent::Bytes(12 * MIB)), "it wrote 12.0 MiB and asked for 8.0 MiB of storage");
        assert_eq!(
            over(&mut Looks::new(8 * MIB, false), Extent::Bytes(12 * MIB)),
            "it wrote 12.0 MiB of results and may have 8.0 MiB, because it asked for no storage"
        );
        assert!(over(&mut looks, Extent::TooManyFiles).contains("more than 1000000 files"));
        assert!(over(&mut looks, Extent::TooDeep).contains("more than 100 deep"));
        assert!(matches!(
            Looks::new(u64::MAX, true).judge(Extent::Bytes(u64::MAX), Timestamp(0), Millis(0)),
            Verdict::LookAgainIn(_)
        ));
    }
}
