//! A pattern of times in a zone. Comes in: two texts, a moment. Goes out: the moments after it that the pattern means.
//!
//! Where clocks change, each time of the pattern still comes once. One that does not exist, because the clock jumps over it, comes as much later as
//! the clock jumps. One that exists twice comes at its first time. A pattern that means every hour goes by the hours that pass: it comes in both.

use chrono::{DateTime, Days, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use cloudai_types::limits;

use super::cron::{Cron, CronError};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

#[derive(Debug, thiserror::Error)]
pub enum TimetableError {
    #[error("cron: {0}")]
    Cron(#[from] CronError),
    #[error("timezone: '{0}' is not known: write a name such as UTC or Europe/Paris")]
    Zone(String),
}

impl Timetable {
    pub fn parse(cron: &str, zone: &str) -> Result<Self, TimetableError> {
        let zone =
            zone.parse().map_err(|_| TimetableError::Zone(zone.chars().take(limits::ZONE_BYTES_MAX).collect()))?;
        Ok(Timetable { cron: cron.parse()?, zone })
    }

    /// The first moment after this one; `None`: there is none within [`limits::CRON_DAYS_MAX`] days, as of 30 February.
    pub fn next(&self, after_ms: u64) -> Option<u64> {
        self.after(after_ms).next()
    }

    /// The moments after this one, in order, those of the next [`limits::CRON_DAYS_MAX`] days.
    pub fn after(&self, after_ms: u64) -> impl Iterator<Item = u64> {
        let local = i64::try_from(after_ms).ok().and_then(DateTime::from_timestamp_millis);
        let local = local.map(|at| at.with_timezone(&self.zone).naive_local());
        // A clock that goes back shows again what it has shown: some hours before are looked at too.
        let from = local.and_then(|local| local.checked_sub_signed(TimeDelta::hours(LOOK_BACK_HOURS)));
        let days = from.map(|from| from.date()).into_iter().flat_map(|first| {
            (0..=u64::from(limits::CRON_DAYS_MAX)).map_while(move |n| first.checked_add_days(Days::new(n)))
        });
        let from = from.unwrap_or_default();
        let mut last = after_ms;
        days.flat_map(move |date| self.of_day(date, from)).filter(move |ms| {
            let is_new = *ms > last;
            last = last.max(*ms);
            is_new
        })
    }

    /// The moments of one day of the zone's clock, from a time of that clock on, in order.
    fn of_day(&self, date: NaiveDate, from: NaiveDateTime) -> Vec<u64> {
        if !self.cron.has_date(date) {
            return vec![];
        }
        let times = self.cron.times().filter_map(|(hour, minute)| date.and_hms_opt(hour, minute, 0));
        let mut moments: Vec<u64> = times
            .filter(|at| *at >= from)
            .flat_map(|at| self.moments(at))
            .filter_map(|s| u64::try_from(s).ok())
            .collect();
        // What the clock jumps over comes after what it jumps to.
        moments.sort_unstable();
        moments
    }

    /// Milliseconds since the epoch at which the zone's clock shows this.
    fn moments(&self, at: NaiveDateTime) -> impl Iterator<Item = i64> {
        let (first, second) = match self.zone.from_local_datetime(&at) {
            MappedLocalTime::Single(only) => (Some(only.timestamp_millis()), None),
            MappedLocalTime::Ambiguous(first, second) => {
                let second = self.cron.is_every_hour().then(|| second.timestamp_millis());
                (Some(first.timestamp_millis()), second)
            }
            MappedLocalTime::None => (self.as_if_not_jumped(at), None),
        };
        first.into_iter().chain(second)
    }

    /// By the clock as it was before it jumped over this.
    fn as_if_not_jumped(&self, at: NaiveDateTime) -> Option<i64> {
        let before = JUMPS_HOURS.into_iter().find_map(|hours| {
            self.zone.from_local_datetime(&at.checked_sub_signed(TimeDelta::hours(hours))?).latest()
        })?;
        let offset_ms = i64::from(before.offset().fix().local_minus_utc()) * 1_000;
        Some(at.and_utc().timestamp_millis() - offset_ms)
    }
}

/// No clock was ever set back by more at once.
const LOOK_BACK_HOURS: i64 = 25;
/// Before a time that is jumped over: most clocks jump by one hour, some by a half, a few have left out a day.
const JUMPS_HOURS: [i64; 3] = [1, 3, 25];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(rfc3339: &str) -> u64 {
        DateTime::parse_from_rfc3339(rfc3339).expect("a time").timestamp_millis() as u64
    }

    /// The next moments, as the zone's clock shows them.
    fn next(cron: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
        let table = Timetable::parse(cron, zone).expect("a timetable");
        let shown = |ms: u64| {
            let at = DateTime::from_timestamp_millis(ms as i64).expect("a time").with_timezone(&table.zone);
            at.format("%m-%d %H:%M%:z").to_string()
        };
        table.after(at(after)).take(n).map(shown).collect()
    }

    #[test]
    fn moments_follow_each_other_in_the_zone() {
        assert_eq!(
            next("30 2 * * *", "Europe/Paris", "2026-11-30T01:29:59Z", 3),
            ["11-30 02:30+01:00", "12-01 02:30+01:00", "12-02 02:30+01:00"]
        );
        let table = Timetable::parse("30 2 * * *", "Europe/Paris").expect("valid");
        let first = at("2026-11-30T01:30:00Z");
        assert_eq!(
            (table.next(first - 1), table.next(first)),
            (Some(first), Some(first + 86_400_000)),
            "after, not from"
        );
        assert_eq!(next("0 12 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["02-29 12:00+00:00"], "2100 has none");
        assert_eq!(next("0 12 30 2 *", "UTC", "2026-01-01T00:00:00Z", 1), Vec::<String>::new());
    }

    #[test]
    fn what_the_clock_jumps_over_comes_once_and_as_much_later() {
        // Paris, 29 March 2026: after 01:59 comes 03:00.
        assert_eq!(
            next("30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", 2),
            ["03-29 03:30+02:00", "03-30 02:30+02:00"]
        );
        let both = next("0,30 2,3 * * *", "Europe/Paris", "2026-03-29T00:00:00Z", 3);
        assert_eq!(both, ["03-29 03:00+02:00", "03-29 03:30+02:00", "03-30 02:00+02:00"], "no moment twice");
        // Havana, 8 March 2026: after 23:59 comes 01:00.
        assert_eq!(next("15 0 * * *", "America/Havana", "2026-03-08T04:30:00Z", 1), ["03-08 01:15-04:00"]);
        // Lord Howe, 4 October 2026: after 01:59 comes 02:30.
        let howe = next("20,30 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2);
        assert_eq!(howe, ["10-04 02:30+11:00", "10-04 02:50+11:00"]);
        // Samoa left out 30 December 2011.
        assert_eq!(next("0 9 30 12 *", "Pacific/Apia", "2011-12-29T12:00:00Z", 1), ["12-31 09:00+14:00"]);
    }

    #[test]
    fn what_the_clock_shows_twice_comes_at_its_first_time() {
        // Paris, 25 October 2026: 02:00 to 02:59 come twice.
        assert_eq!(
            next("30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", 2),
            ["10-25 02:30+02:00", "10-26 02:30+01:00"]
        );
        let between = next("30 2 * * *", "Europe/Paris", "2026-10-25T00:45:00Z", 1);
        assert_eq!(between, ["10-26 02:30+01:00"], "asked between the two");
    }

    #[test]
    fn what_comes_every_hour_comes_in_every_hour() {
        assert_eq!(
            next("0 * * * *", "Europe/Paris", "2026-10-24T23:00:00Z", 4),
            ["10-25 02:00+02:00", "10-25 02:00+01:00", "10-25 03:00+01:00", "10-25 04:00+01:00"]
        );
        assert_eq!(
            next("0 * * * *", "Europe/Paris", "2026-03-29T00:00:00Z", 2),
            ["03-29 03:00+02:00", "03-29 04:00+02:00"]
        );
    }

    #[test]
    fn zones_and_patterns_that_are_none_say_so() {
        let of = |cron, zone| Timetable::parse(cron, zone).expect_err("wrong").to_string();
        assert_eq!(
            of("* * * * *", "Paris"),
            "timezone: 'Paris' is not known: write a name such as UTC or Europe/Paris"
        );
        assert!(of("* * *", "UTC").starts_with("cron: has 3 fields"));
    }

    const ZONES: [&str; 6] =
        ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana"];

    proptest! {
        /// A day of the clock has each of its times once, wherever one begins to look.
        #[test]
        fn a_daily_time_comes_once_a_day(
            zone in prop::sample::select(ZONES.to_vec()), hour in 0..24u32, minute in 0..60u32, day in 0..2_000u64,
            offset_ms in 0..86_400_000u64,
        ) {
            let table = Timetable::parse(&format!("{minute} {hour} * * *"), zone).expect("valid");
            let start = at("2025-01-01T00:00:00Z") + day * 86_400_000 + offset_ms;
            let moments: Vec<u64> = table.after(start).take(4).collect();
            for pair in moments.windows(2) {
                let hours = (pair[1] - pair[0]) as f64 / 3_600_000.0;
                prop_assert!((22.9..=25.1).contains(&hours), "{hours} hours between two days");
            }
            // The next one of any moment before is the same one.
            prop_assert_eq!(table.next(moments[0]), Some(moments[1]));
            prop_assert_eq!(table.next(moments[1] - 1), Some(moments[1]));
        }

        #[test]
        fn no_moment_panics(after_ms in prop_oneof![any::<u64>(), 0..300_000_000_000_000u64], zone in prop::sample::select(ZONES.to_vec())) {
            let table = Timetable::parse("*/7 3 * * 1", zone).expect("valid");
            prop_assert!(table.next(after_ms).is_none_or(|next| next > after_ms));
        }
    }
}
