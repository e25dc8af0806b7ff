//! Times and durations as people and programs read them. Comes in: milliseconds. Goes out: RFC 3339 in UTC, seconds, ages.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `2026-11-24T02:03:04.567Z`; nothing for 0, which means "not yet".
pub fn rfc3339(ms: u64) -> Option<String> {
    if ms == 0 {
        return None;
    }
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    at.format(&Rfc3339).ok()
}

/// A duration in seconds, as JSON carries it.
pub fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// `850ms`, `12.3s`, `5m10s`, `3h20m`, `4d6h`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", s, ms % 1000 / 100),
        60_000..3_600_000 => format!("{}m{}s", s / 60, s % 60),
        3_600_000..86_400_000 => format!("{}h{}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// How long ago, `-` for never.
pub fn ago(ms: u64, now_ms: u64) -> String {
    if ms == 0 { "-".to_owned() } else { format!("{} ago", duration(now_ms.saturating_sub(ms))) }
}

/// From `from` to `to`, or to now while `to` has not come; `-` before `from`.
pub fn span(from_ms: u64, to_ms: u64, now_ms: u64) -> String {
    match (from_ms, to_ms) {
        (0, _) => "-".to_owned(),
        (from, 0) => duration(now_ms.saturating_sub(from)),
        (from, to) => duration(to.saturating_sub(from)),
    }
}

pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// What flags and files say: `2s`, `500ms`, `1h30m`, or plain seconds.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let t = text.trim();
    let wrong = || format!("'{t}' is no duration: write for example 500ms, 2s, 90s, 10m or 1h30m");
    if let Ok(s) = t.parse::<f64>() {
        return std::time::Duration::try_from_secs_f64(s).map_err(|_| wrong());
    }
    humantime::parse_duration(t).map_err(|_| wrong())
}

/// A time: so long before `now_ms`, or a moment in RFC 3339. Milliseconds since the epoch.
pub fn parse_since(text: &str, now_ms: u64) -> Result<u64, String> {
    let t = text.trim();
    if let Ok(at) = OffsetDateTime::parse(t, &Rfc3339) {
        return u64::try_from(at.unix_timestamp_nanos() / 1_000_000)
            .map_err(|_| format!("'{t}' is before 1970: write a later time"));
    }
    let ago = parse_duration(t)
        .map_err(|_| format!("'{t}' is no time: write for example 10m or 1h30m (ago), or 2026-11-24T02:03:04Z"))?;
    Ok(now_ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_zero_is_never() {
        assert_eq!(rfc3339(1_790_000_000_123).as_deref(), Some("2026-09-21T14:13:20.123Z"));
        assert_eq!(rfc3339(0), None);
        assert_eq!(rfc3339(u64::MAX), None);
    }

    #[test]
    fn durations_read_both_ways() {
        let shown: Vec<String> = [5, 12_345, 310_000, 12_000_000, 367_000_000].into_iter().map(duration).collect();
        assert_eq!(shown, ["5ms", "12.3s", "5m10s", "3h20m", "4d5h"]);
        assert_eq!(parse_duration("2s").unwrap().as_millis(), 2000);
        assert_eq!(parse_duration("1.5").unwrap().as_millis(), 1500);
        assert_eq!(parse_duration("1h30m").unwrap().as_secs(), 5400);
        for bad in ["", "x", "-1", "1e300", "nan"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_so_long_ago_or_a_moment() {
        let now = 1_790_000_000_123;
        assert_eq!(parse_since("10m", now), Ok(now - 600_000));
        assert_eq!(parse_since("5", now), Ok(now - 5_000));
        assert_eq!(parse_since("2026-09-21T14:13:20.123Z", 0), Ok(now));
        assert_eq!(parse_since("2026-09-21T16:13:20.123+02:00", 0), Ok(now));
        assert_eq!(parse_since("1000000h", now), Ok(0), "before there was time");
        for bad in ["", "x", "2026-09-21", "1960-01-01T00:00:00Z", "-1"] {
            assert!(parse_since(bad, now).is_err(), "{bad}");
        }
    }
}
