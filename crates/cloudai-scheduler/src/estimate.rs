//! When does a task start that waits? Comes in: how many come first, how many were started lately, and when a worker has room by the time limits
//! of what runs there. Goes out: about when, with what it is reckoned from, for people; or why nobody can say. It is no promise: who submits
//! a task of a higher priority meanwhile comes first. Whether the task can start at all is the caller's to know.

use std::fmt;

use crate::explain::{Ahead, counted};
use crate::pace::Lately;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// So much is watched before anything is said.
const WATCHED_MS_MIN: u64 = MINUTE_MS;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Estimate {
    /// As many start from now on as did lately.
    ByPace { in_ms: u64, ahead: Ahead, lately: Lately },
    /// Nothing comes first, and this worker has room when the time limits there have ended.
    ByLimits { in_ms: u64, worker: String },
    /// Nothing was started while it was watched.
    NothingStarts { of_ms: u64 },
    /// The leader has not watched for long enough.
    TooEarly { of_ms: u64 },
}

/// A worker that has room at this time at the latest, if nobody else takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomBy {
    pub worker: String,
    /// From now on.
    pub in_ms: u64,
}

/// For a task that can start. `room`: where it is known; it bounds what the pace says of the first, so that nobody behind it is told an earlier time.
pub fn estimate(ahead: Ahead, lately: Lately, room: Option<RoomBy>) -> Estimate {
    let by_pace = by_pace(ahead, lately);
    let is_first = ahead.tasks == 0 && !ahead.at_least;
    let is_sooner = |room: &RoomBy| by_pace.in_ms().is_none_or(|in_ms| room.in_ms < in_ms);
    match room.filter(|room| is_first && is_sooner(room)) {
        Some(RoomBy { worker, in_ms }) => Estimate::ByLimits { in_ms, worker },
        None => by_pace,
    }
}

fn by_pace(ahead: Ahead, lately: Lately) -> Estimate {
    let Lately { started, of_ms } = lately;
    if of_ms < WATCHED_MS_MIN {
        return Estimate::TooEarly { of_ms };
    }
    if started == 0 {
        return Estimate::NothingStarts { of_ms };
    }
    let tasks = u128::from(ahead.tasks) + 1;
    let in_ms = u64::try_from(tasks * u128::from(of_ms) / u128::from(started)).unwrap_or(u64::MAX);
    Estimate::ByPace { in_ms, ahead, lately }
}

impl Estimate {
    /// `None`: nobody can say.
    pub fn in_ms(&self) -> Option<u64> {
        match self {
            Estimate::ByPace { in_ms, .. } | Estimate::ByLimits { in_ms, .. } => Some(*in_ms),
            Estimate::NothingStarts { .. } | Estimate::TooEarly { .. } => None,
        }
    }
}

/// What people read.
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Estimate::ByPace { in_ms, ahead, lately } => {
                let at_least = if ahead.at_least { "at least " } else { "" };
                let first = match ahead.tasks {
                    0 if !ahead.at_least => "nothing comes first".to_owned(),
                    1 => format!("{at_least}1 task comes first"),
                    tasks => format!("{at_least}{tasks} tasks come first"),
                };
                write!(
                    f,
                    "{}: {first}, and {} in the last {}",
                    about(*in_ms, ahead.at_least),
                    rate(lately),
                    span(lately.of_ms)
                )
            }
            Estimate::ByLimits { in_ms, worker } => {
                let when = about(*in_ms, false);
                write!(
                    f,
                    "{when}: nothing comes first, and by the time limits of what runs on {worker} it has room then at the latest"
                )
            }
            Estimate::NothingStarts { of_ms } => {
                write!(f, "no estimate: nothing was started in the last {}", span(*of_ms))
            }
            Estimate::TooEarly { of_ms } => {
                write!(f, "no estimate yet: this leader has watched for {} s; ask again in a minute", of_ms / 1_000)
            }
        }
    }
}

/// No more digits than anybody can know.
fn about(ms: u64, at_least: bool) -> String {
    let word = if at_least { "in more than" } else { "in about" };
    let whole = |unit: u64| (ms.saturating_add(unit / 2) / unit).max(1);
    match ms {
        ms if ms < MINUTE_MS && at_least => "in more than a moment".to_owned(),
        ms if ms < MINUTE_MS => "in less than a minute".to_owned(),
        ms if ms < HOUR_MS => format!("{word} {} min", whole(MINUTE_MS)),
        ms if ms < 6 * HOUR_MS => {
            let tens = whole(10 * MINUTE_MS);
            let rest = if tens % 6 == 0 { String::new() } else { format!(" {} min", tens % 6 * 10) };
            format!("{word} {} h{rest}", tens / 6)
        }
        ms if ms < 2 * DAY_MS => format!("{word} {} h", whole(HOUR_MS)),
        ms if ms < 30 * DAY_MS => format!("{word} {} days", whole(DAY_MS)),
        _ => "in more than 30 days".to_owned(),
    }
}

/// `28 per minute were started`, or where that is less than one the number itself.
fn rate(lately: &Lately) -> String {
    let Lately { started, of_ms } = *lately;
    let per_minute = u128::from(started) * u128::from(MINUTE_MS) / u128::from(of_ms.max(1));
    match (per_minute, started) {
        (0, 1) => "1 was started".to_owned(),
        (0, started) => format!("{started} were started"),
        (1, _) => "1 per minute was started".to_owned(),
        (per_minute, _) => format!("{per_minute} per minute were started"),
    }
}

/// `10 minutes`.
fn span(ms: u64) -> String {
    let minutes = ms.div_ceil(MINUTE_MS).max(1);
    if minutes == 1 { "minute".to_owned() } else { counted(minutes, "minute") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ahead(tasks: u64) -> Ahead {
        Ahead { jobs: tasks, tasks, at_least: false }
    }

    fn lately(started: u64, minutes: u64) -> Lately {
        Lately { started, of_ms: minutes * MINUTE_MS }
    }

    fn told(tasks: u64, started: u64, minutes: u64) -> String {
        estimate(ahead(tasks), lately(started, minutes), None).to_string()
    }

    #[test]
    fn the_words_say_what_it_is_reckoned_from() {
        assert_eq!(
            told(340, 284, 10),
            "in about 12 min: 340 tasks come first, and 28 per minute were started in the last 10 minutes"
        );
        assert_eq!(told(0, 3, 10), "in about 3 min: nothing comes first, and 3 were started in the last 10 minutes");
        assert_eq!(
            told(1, 600, 3),
            "in less than a minute: 1 task comes first, and 200 per minute were started in the last 3 minutes"
        );
        assert_eq!(told(7, 0, 10), "no estimate: nothing was started in the last 10 minutes");
        assert_eq!(
            told(1_000_000, 9, 9),
            "in more than 30 days: 1000000 tasks come first, and 1 per minute was started in the last 9 minutes"
        );
    }

    #[test]
    fn a_new_leader_says_nothing_yet() {
        let early = estimate(ahead(3), Lately { started: 500, of_ms: 20_900 }, None);
        assert_eq!(early.to_string(), "no estimate yet: this leader has watched for 20 s; ask again in a minute");
        assert_eq!(early.in_ms(), None);
    }

    #[test]
    fn what_was_not_counted_to_its_end_is_more() {
        let many = estimate(Ahead { at_least: true, ..ahead(12_000) }, lately(500, 10), None);
        assert_eq!(
            many.to_string(),
            "in more than 4 h: at least 12000 tasks come first, and 50 per minute were started in the last 10 minutes"
        );
    }

    #[test]
    fn time_limits_count_for_the_first_where_the_pace_says_no_less() {
        let room = Some(RoomBy { worker: "w3".into(), in_ms: 11 * MINUTE_MS });
        let of = |tasks, lately| estimate(ahead(tasks), lately, room.clone());
        assert_eq!(
            of(0, lately(0, 10)).to_string(),
            "in about 11 min: nothing comes first, and by the time limits of what runs on w3 it has room then at the latest"
        );
        assert!(matches!(of(0, Lately::default()), Estimate::ByLimits { .. }), "a new leader knows the limits");
        assert!(matches!(of(0, lately(500, 10)), Estimate::ByPace { in_ms: 1_200, .. }), "others end earlier");
        assert!(matches!(of(1, lately(500, 10)), Estimate::ByPace { in_ms: 2_400, .. }), "others come first");
    }

    #[test]
    fn no_more_digits_than_anybody_can_know() {
        let minutes = |n: u64| about(n * MINUTE_MS, false);
        assert_eq!([1, 59, 66].map(minutes), ["in about 1 min", "in about 59 min", "in about 1 h 10 min"]);
        assert_eq!([120, 300, 361].map(minutes), ["in about 2 h", "in about 5 h", "in about 6 h"]);
        assert_eq!([47 * 60, 61 * 60].map(minutes), ["in about 47 h", "in about 3 days"]);
    }

    proptest! {
        /// Nothing overflows, and who is further behind is never told an earlier time.
        #[test]
        fn later_in_the_queue_is_later(
            tasks in prop_oneof![Just(0), any::<u64>()], more in any::<u64>(), started in any::<u64>(), of_ms in any::<u64>(),
            at_least: bool, room in prop::option::of(any::<u64>()),
        ) {
            let lately = Lately { started, of_ms };
            let room = room.map(|in_ms| RoomBy { worker: "w".into(), in_ms });
            let of = |tasks| estimate(Ahead { jobs: 0, tasks, at_least }, lately, room.clone());
            let (near, far) = (of(tasks), of(tasks.saturating_add(more)));
            if let (Some(near_ms), Some(far_ms)) = (near.in_ms(), far.in_ms()) {
                prop_assert!(near_ms <= far_ms, "{near} and {far}");
            }
            let is_known = of_ms >= WATCHED_MS_MIN && started > 0;
            let is_by_limits = matches!(near, Estimate::ByLimits { .. });
            prop_assert_eq!(near.in_ms().is_some(), is_known || is_by_limits);
        }
    }
}
