//! Five fields of a crontab: minute, hour, day of the month, month, day of the week. Comes in: a text. Goes out: which dates and times of a clock it
//! means, or the field that is wrong. Zones and moments are not known here.

use std::str::FromStr;

use cloudai_types::limits;

/// Sets of numbers, a bit each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Its day of the month, or of the week, begins with a star: a date must then match both. Otherwise one of them is enough.
    both: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CronError {
    #[error("has {0} fields; write five: minute, hour, day of the month, month, day of the week")]
    Fields(usize),
    #[error("has {0} bytes; at most {max} are allowed", max = limits::CRON_BYTES_MAX)]
    TooLong(usize),
    #[error("'{0}' is none of @hourly, @daily, @weekly, @monthly and @yearly")]
    Word(String),
    #[error("{field}: '{text}' {problem}")]
    Field { field: &'static str, text: String, problem: String },
}

/// A field of the text: what it may hold.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Of `first` and those after it.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, words: &[] },
    Field { name: "hour", first: 0, last: 23, words: &[] },
    Field { name: "day of the month", first: 1, last: 31, words: &[] },
    Field {
        name: "month",
        first: 1,
        last: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    // 7 is Sunday as well.
    Field { name: "day of the week", first: 0, last: 7, words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if text.len() > limits::CRON_BYTES_MAX {
            return Err(CronError::TooLong(text.len()));
        }
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            word if word.starts_with('@') => return Err(CronError::Word(word.to_owned())),
            other => other,
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = words[..] else { return Err(CronError::Fields(words.len())) };
        let [minutes, hours, days, months, weekdays] = FIELDS.map(|field| move |text: &str| field.parse(text));
        let weekdays = weekdays(weekday)?;
        Ok(Cron {
            minutes: minutes(minute)?,
            hours: hours(hour)?,
            days: days(day)?,
            months: months(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            both: day.starts_with('*') || weekday.starts_with('*'),
        })
    }
}

impl Cron {
    /// `weekday`: Sunday is 0.
    pub fn has_date(&self, month: u32, day: u32, weekday: u32) -> bool {
        let (by_day, by_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        has(self.months, month) && if self.both { by_day && by_weekday } else { by_day || by_weekday }
    }

    /// Hour and minute, in the order of a day.
    pub fn times(&self) -> impl Iterator<Item = (u32, u32)> {
        let minutes = self.minutes;
        let hours = (0..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| (0..60).filter(move |m| has(minutes, *m)).map(move |minute| (hour, minute)))
    }

    /// It means every hour, and so goes by hours that pass and not by what a clock shows.
    pub fn is_every_hour(&self) -> bool {
        (0..24).all(|hour| has(self.hours, hour))
    }
}

fn has(set: u64, n: u32) -> bool {
    n < 64 && set >> n & 1 == 1
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, CronError> {
        text.split(',').try_fold(0, |set, item| Ok(set | self.item(item)?))
    }

    /// `*`, `5`, `1-5`, and each of the first and the last with a step, as in `*/15`.
    fn item(&self, item: &str) -> Result<u64, CronError> {
        let wrong = |problem: String| CronError::Field { field: self.name, text: item.to_owned(), problem };
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => (range, Some(step)),
        };
        let step = match step.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(step)) if (1..=self.last).contains(&step) => step,
            Some(_) => return Err(wrong(format!("has no step of 1 to {}", self.last))),
        };
        let number = |text: &str| {
            let word = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
            let number = word.map(|n| n as u32 + self.first).or_else(|| text.parse().ok());
            let number = number.filter(|n| (self.first..=self.last).contains(n));
            number.ok_or_else(|| wrong(format!("is outside of {} to {}", self.first, self.last)))
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((from, to)) => (number(from)?, number(to)?),
            None if item.contains('/') => {
                return Err(wrong("has a step and no range: write for example */5 or 10-50/5".into()));
            }
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(wrong("runs backwards".to_owned()));
        }
        Ok((from..=to).step_by(step as usize).fold(0, |set, n| set | 1 << n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cron(text: &str) -> Cron {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn times(text: &str) -> Vec<String> {
        cron(text).times().map(|(hour, minute)| format!("{hour}:{minute:02}")).collect()
    }

    #[test]
    fn times_are_lists_ranges_and_steps() {
        assert_eq!(times("30 2 * * *"), ["2:30"]);
        assert_eq!(
            times("5,0-2 22-23 * * *"),
            ["22:00", "22:01", "22:02", "22:05", "23:00", "23:01", "23:02", "23:05"]
        );
        assert_eq!(times("*/20 8-12/4 * * *"), ["8:00", "8:20", "8:40", "12:00", "12:20", "12:40"]);
        assert_eq!(times("@daily"), ["0:00"]);
        assert_eq!(
            (times("* * * * *").len(), cron("0 * * * *").is_every_hour(), cron("0 0-22 * * *").is_every_hour()),
            (1440, true, false)
        );
    }

    #[test]
    fn a_date_matches_either_day_unless_one_of_them_is_a_star() {
        // 13 November 2026 is a Friday.
        let (friday, thirteenth) = ((11, 6, 5), (11, 13, 5));
        let of = |text: &str, (month, day, weekday)| cron(text).has_date(month, day, weekday);
        assert!(of("0 0 13 * fri", friday) && of("0 0 13 * fri", thirteenth) && of("0 0 13 * Fri", (10, 13, 2)));
        assert!(!of("0 0 13 * *", friday) && of("0 0 13 * *", thirteenth));
        assert!(!of("0 0 */2 * 5", friday) && of("0 0 */2 * 5", thirteenth), "a star with a step is a star");
        assert!(of("0 0 * nov 1-5", friday) && !of("0 0 * dec 1-5", friday));
        assert!(of("0 0 * * 7", (11, 1, 0)) && of("0 0 * * sun", (11, 1, 0)) && of("0 0 * * 5-7", (11, 1, 0)));
    }

    #[test]
    fn what_is_wrong_names_the_field() {
        for (text, says) in [
            ("* * * *", "has 4 fields"),
            ("0 0 0 * * *", "has 6 fields"),
            ("", "has 0 fields"),
            ("@reboot", "'@reboot' is none of"),
            ("60 * * * *", "minute: '60' is outside of 0 to 59"),
            ("0 24 * * *", "hour: '24'"),
            ("0 0 0 * *", "day of the month: '0'"),
            ("0 0 * foo *", "month: 'foo'"),
            ("0 0 * * mon-sun", "day of the week: 'mon-sun' runs backwards"),
            ("*/0 * * * *", "minute: '*/0' has no step"),
            ("5/10 * * * *", "minute: '5/10' has a step and no range"),
            ("1,,2 * * * *", "minute: ''"),
            ("-1 * * * *", "minute: '-1'"),
        ] {
            let error = text.parse::<Cron>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_eq!("*".repeat(300).parse::<Cron>(), Err(CronError::TooLong(300)));
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in prop_oneof![".{0,40}", "[0-9*/, @a-z-]{0,30}", "([0-9*/,-]{1,6} ){5}"]) {
            if let Ok(cron) = text.parse::<Cron>() {
                prop_assert!(cron.times().count() > 0, "every field has something");
            }
        }
    }
}
