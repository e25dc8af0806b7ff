//! Five fields of a crontab: minute, hour, day of the month, month, day of the week. Comes in: a text. Goes out: which dates and times of a clock it
//! means, or the field that is wrong. The crate `croner` parses; what it reads and we do not promise is refused before. Zones and moments are not known
//! here.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use cloudai_types::limits;
use croner::parser::CronParser;
use croner::time::Weekday;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cron {
    parsed: croner::Cron,
    /// Of `parsed`, in order: they are asked for on each day that is looked at.
    hours: Vec<u32>,
    minutes: Vec<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum CronError {
    #[error("has {0} fields; write five: minute, hour, day of the month, month, day of the week")]
    Fields(usize),
    #[error("has {0} bytes; at most {max} are allowed", max = limits::CRON_BYTES_MAX)]
    TooLong(usize),
    #[error("'{0}' is none of @hourly, @daily, @weekly, @monthly and @yearly")]
    Word(String),
    #[error("{field}: '{text}' is none of *, a value, a range such as 1-5, and a step such as */15 or 10-50/5")]
    Dialect { field: &'static str, text: String },
    #[error("{field}: '{text}' has a step of more than {last}")]
    Step { field: &'static str, text: String, last: u16 },
    #[error("{field}: '{text}' does not fit ({first} to {last}): {cause}")]
    Field {
        field: &'static str,
        text: String,
        first: u16,
        last: u16,
        #[source]
        cause: croner::errors::CronError,
    },
    #[error("is not understood: {0}")]
    Pattern(#[source] croner::errors::CronError),
}

/// A field of the text: what we promise of it.
struct Field {
    name: &'static str,
    first: u16,
    last: u16,
    words: &'static [&'static str],
    /// That croner has read in this field.
    step: fn(&croner::Cron) -> u16,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", first: 0, last: 59, words: &[], step: |cron| cron.pattern.minutes.step },
    Field { name: "hour", first: 0, last: 23, words: &[], step: |cron| cron.pattern.hours.step },
    Field { name: "day of the month", first: 1, last: 31, words: &[], step: |cron| cron.pattern.days.step },
    Field {
        name: "month",
        first: 1,
        last: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        step: |cron| cron.pattern.months.step,
    },
    // 7 is Sunday as well.
    Field {
        name: "day of the week",
        first: 0,
        last: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        step: |cron| cron.pattern.days_of_week.step,
    },
];

const WORDS: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        if text.len() > limits::CRON_BYTES_MAX {
            return Err(CronError::TooLong(text.len()));
        }
        let text = match text.trim() {
            // The only one that croner does not know.
            "@midnight" => "@daily",
            other => other,
        };
        if WORDS.contains(&text) {
            return Cron::parse(text, false);
        }
        if text.starts_with('@') {
            return Err(CronError::Word(text.to_owned()));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [_, _, day, _, weekday] = fields[..] else { return Err(CronError::Fields(fields.len())) };
        for (place, text) in fields.iter().enumerate() {
            text.split(',').try_for_each(|item| check(place, item))?;
            if text.contains(',') {
                // A star among others is refused only now.
                parse_alone(place, text)?;
            }
        }
        // One of them is enough, unless one begins with a star, as in every crontab. To croner `*/2` is no star.
        Cron::parse(text, day.starts_with('*') || weekday.starts_with('*'))
    }
}

impl Cron {
    /// `both`: a date must match its day of the month and of the week.
    fn parse(text: &str, both: bool) -> Result<Self, CronError> {
        let parsed = CronParser::builder().dom_and_dow(both).build().parse(text).map_err(CronError::Pattern)?;
        let hours = (0..24).filter(|hour| parsed.pattern.hour_match(*hour).is_ok_and(|has| has)).collect();
        let minutes = (0..60).filter(|minute| parsed.pattern.minute_match(*minute).is_ok_and(|has| has)).collect();
        Ok(Cron { parsed, hours, minutes })
    }

    pub fn has_date(&self, date: NaiveDate) -> bool {
        let (pattern, month) = (&self.parsed.pattern, date.month());
        let weekday = Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
        // Croner refuses only dates that do not exist.
        pattern.month_match(month).is_ok_and(|has| has)
            && pattern.day_match(date.year(), month, date.day(), weekday).is_ok_and(|has| has)
    }

    /// Hour and minute, in the order of a day.
    pub fn times(&self) -> impl Iterator<Item = (u32, u32)> {
        self.hours.iter().flat_map(|hour| self.minutes.iter().map(|minute| (*hour, *minute)))
    }

    /// It means every hour, and so goes by hours that pass and not by what a clock shows.
    pub fn is_every_hour(&self) -> bool {
        self.hours.len() == 24
    }
}

/// One item of the list in one of the five fields.
fn check(place: usize, item: &str) -> Result<(), CronError> {
    let Field { name: field, last, step, .. } = FIELDS[place];
    if !FIELDS[place].promises(item) {
        return Err(CronError::Dialect { field, text: item.to_owned() });
    }
    // Croner takes it for the first value alone: who writes */90 for minutes means something else.
    if step(&parse_alone(place, item)?) > last {
        return Err(CronError::Step { field, text: item.to_owned(), last });
    }
    Ok(())
}

/// With stars elsewhere: croner does not say which field it refuses.
fn parse_alone(place: usize, text: &str) -> Result<croner::Cron, CronError> {
    let Field { name: field, first, last, .. } = FIELDS[place];
    let mut fields = ["*"; FIELDS.len()];
    fields[place] = text;
    let wrong = |cause| CronError::Field { field, text: text.to_owned(), first, last, cause };
    CronParser::new().parse(&fields.join(" ")).map_err(wrong)
}

impl Field {
    /// The characters and names that we promise, and no more. Croner also reads `L`, `W`, `#`, `?` and `+`, skips empty items, and reads names in any
    /// field, as steps and inside of numbers. Whether what is written means something is for croner to say.
    fn promises(&self, item: &str) -> bool {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_word = |text: &str| self.words.iter().any(|word| text.eq_ignore_ascii_case(word));
        let (range, step) = item.split_once('/').unwrap_or((item, ""));
        !item.is_empty() && range.split(['*', '-']).all(|text| is_number(text) || is_word(text)) && is_number(step)
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
        assert_eq!((times("@daily"), times("@midnight")), (vec!["0:00".to_owned()], vec!["0:00".to_owned()]));
        assert_eq!(
            (times("* * * * *").len(), cron("0 * * * *").is_every_hour(), cron("0 0-22 * * *").is_every_hour()),
            (1440, true, false)
        );
    }

    #[test]
    fn a_date_matches_either_day_unless_one_of_them_is_a_star() {
        // 13 November 2026 is a Friday.
        let (friday, thirteenth) = ((11, 6), (11, 13));
        let of =
            |text: &str, (month, day)| cron(text).has_date(NaiveDate::from_ymd_opt(2026, month, day).expect("a date"));
        assert!(of("0 0 13 * fri", friday) && of("0 0 13 * fri", thirteenth) && of("0 0 13 * Fri", (10, 13)));
        assert!(!of("0 0 13 * *", friday) && of("0 0 13 * *", thirteenth));
        assert!(!of("0 0 */2 * 5", friday) && of("0 0 */2 * 5", thirteenth), "a star with a step is a star");
        assert!(!of("0 0 6 * */3", thirteenth) && !of("0 0 6 * */3", friday) && of("0 0 6 * */5", friday));
        assert!(of("0 0 */2 * */5", thirteenth) && !of("0 0 */2 * */5", friday));
        assert!(of("0 0 * nov 1-5", friday) && !of("0 0 * dec 1-5", friday));
        assert!(of("0 0 * * 7", (11, 1)) && of("0 0 * * sun", (11, 1)) && of("0 0 * * 5-7", (11, 1)));
        assert!(of("0 0 * * fri-sun", (11, 1)) && of("0 0 * * mon-sun", friday), "after a dash, Sunday is 7");
        let (first, new_year) = ((11, 1), (1, 1));
        assert!(of("@weekly", first) && !of("@weekly", friday) && of("@monthly", first) && !of("@monthly", friday));
        assert!(of("@yearly", new_year) && of("@annually", new_year) && !of("@yearly", first));
    }

    #[test]
    fn what_is_wrong_names_the_field() {
        for (text, says) in [
            ("* * * *", "has 4 fields"),
            ("0 0 0 * * *", "has 6 fields"),
            ("", "has 0 fields"),
            ("@reboot", "'@reboot' is none of"),
            ("60 * * * *", "minute: '60' does not fit (0 to 59): Component error: Number out of bounds"),
            ("0 24 * * *", "hour: '24'"),
            ("0 0 0 * *", "day of the month: '0'"),
            ("0 0 * foo *", "month: 'foo'"),
            (
                "0 0 * * fri-mon",
                "day of the week: 'fri-mon' does not fit (0 to 7): Component error: Range out of bounds",
            ),
            ("*/0 * * * *", "minute: '*/0' does not fit (0 to 59): Component error: Step cannot be zero"),
            ("*/15,*/90,1 * * * *", "minute: '*/90' has a step of more than 59"),
            ("5/10 * * * *", "minute: '5/10' does not fit (0 to 59): Component error: Invalid step syntax"),
            ("1,,2 * * * *", "minute: ''"),
            ("0 0 *,2 * 1", "day of the month: '*,2' does not fit"),
            ("-1 * * * *", "minute: '-1'"),
        ] {
            let error = text.parse::<Cron>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(matches!("*".repeat(300).parse::<Cron>(), Err(CronError::TooLong(300))));
        let error = "0 24 * * *".parse::<Cron>().expect_err("24");
        assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<croner::errors::CronError>()));
    }

    #[test]
    fn what_croner_reads_and_we_do_not_promise_is_refused() {
        for (text, says) in [
            ("0 0 L * *", "day of the month: 'L' is none of"),
            ("0 0 15W * *", "day of the month: '15W'"),
            ("0 0 ? * 1", "day of the month: '?'"),
            ("0 0 1,lw * 1", "day of the month: 'lw'"),
            ("0 0 * * 5L", "day of the week: '5L'"),
            ("0 0 * * fri#2", "day of the week: 'fri#2'"),
            ("0 0 1 * +fri", "day of the week: '+fri'"),
            ("mon * * * *", "minute: 'mon'"),
            ("0 0 * mon *", "month: 'mon'"),
            ("0 0 * * jan", "day of the week: 'jan'"),
            ("0 0 * 1feb *", "month: '1feb'"),
            ("0 0 * */feb *", "month: '*/feb'"),
            ("0 0 * * montue", "day of the week: 'montue'"),
            (", * * * *", "minute: ''"),
            ("0 0 1, * *", "day of the month: ''"),
            ("0 0 * * * 2027", "has 6 fields"),
            ("0 0 0 * * * 2027", "has 7 fields"),
            ("@DAILY", "'@DAILY' is none of"),
            ("0 @daily * * *", "hour: '@daily'"),
        ] {
            let error = text.parse::<Cron>().expect_err(text).to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
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
