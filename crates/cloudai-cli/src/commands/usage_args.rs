//! What `worker stats` and `task stats` ask for: how far back, and in how many steps. The steps of a picture are the columns that a terminal has left.

use std::io::IsTerminal;

use cloudai_types::limits;

use crate::output::Format;
use crate::times::{now_ms, parse_since};
use crate::views::usage::Picture;

/// What stands before a picture on its line, at its widest: a name, four amounts, and the spaces between.
const COLUMNS_BEFORE: usize = 62;
const PICTURE_MIN: usize = 12;
const PICTURE_MAX: usize = 240;

#[derive(Debug, Clone, clap::Args)]
pub struct UsageArgs {
    /// Only what was used since then: 6h ago, or at 2026-11-24T02:03:04Z; default: all that the worker keeps
    #[arg(long, value_name = "TIME", value_parser = back)]
    since: Option<u64>,
    /// With -o json or yaml: steps of the answer, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::HISTORY_POINTS_MAX)))]
    points: Option<u32>,
}

/// How long ago, in milliseconds: the worker's clock is another one than ours.
fn back(text: &str) -> Result<u64, String> {
    let now_ms = now_ms();
    match now_ms.saturating_sub(parse_since(text, now_ms)?) {
        0 => Err(format!("'{}' is now or later: write an earlier time", text.trim())),
        back_ms => Ok(back_ms),
    }
}

impl UsageArgs {
    /// 0: all.
    pub fn back_ms(&self) -> u64 {
        self.since.unwrap_or(0)
    }

    /// 0: as many as the masters think right.
    pub fn points_max(&self, picture: Option<Picture>) -> u32 {
        self.points.or(picture.map(|p| p.columns)).unwrap_or(0)
    }
}

/// The picture for this output; `None`: numbers only.
pub fn picture(format: Format) -> Option<Picture> {
    let var = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let locale = var("LC_ALL").or_else(|| var("LC_CTYPE")).or_else(|| var("LANG"));
    let terminal = std::io::stdout().is_terminal().then(|| usize::from(console::Term::stdout().size().1));
    match format {
        Format::Table => picture_on(terminal, locale.as_deref(), var("TERM").as_deref()),
        Format::Json | Format::Jsonl | Format::Yaml | Format::Csv => None,
    }
}

/// `terminal`: how many columns it has.
fn picture_on(terminal: Option<usize>, locale: Option<&str>, kind: Option<&str>) -> Option<Picture> {
    let locale = locale?.to_ascii_lowercase();
    let is_able = (locale.contains("utf-8") || locale.contains("utf8")) && kind != Some("dumb");
    let columns = terminal.filter(|_| is_able)?.saturating_sub(COLUMNS_BEFORE).clamp(PICTURE_MIN, PICTURE_MAX);
    Some(Picture { columns: columns as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_can_show_it_gets_a_picture_of_its_width() {
        let columns = |terminal, locale, kind| picture_on(terminal, locale, kind).map(|p| p.columns);
        assert_eq!(columns(Some(80), Some("en_GB.UTF-8"), Some("xterm")), Some(18));
        assert_eq!(columns(Some(200), Some("C.utf8"), None), Some(138));
        assert_eq!(columns(Some(40), Some("C.UTF-8"), None), Some(12), "a narrow one is wrapped");
        assert_eq!(columns(Some(10_000), Some("C.UTF-8"), None), Some(240));
        assert_eq!(columns(None, Some("C.UTF-8"), Some("xterm")), None, "a pipe");
        assert_eq!(columns(Some(80), Some("C.UTF-8"), Some("dumb")), None);
        assert_eq!(columns(Some(80), Some("C"), Some("xterm")), None);
        assert_eq!(columns(Some(80), None, Some("xterm")), None);
    }

    #[test]
    fn how_far_back_is_a_length() {
        assert_eq!(back("10m"), Ok(600_000));
        assert!(back("0").unwrap_err().contains("is now or later"));
        assert!(back("2999-01-01T00:00:00Z").is_err());
        assert!(back("x").is_err());
    }
}
