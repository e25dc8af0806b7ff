//! Logging. Comes in: a filter and a format. Goes out: lines on stderr, for stdout belongs to data. Call it once, in `main`. How the filter changes
//! later is [`crate::levels`]'s affair, how a JSON line looks [`crate::json_lines`]'s.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::json_lines::JsonLines;
use crate::levels::Levels;

/// The environment variable that a filter is usually taken from.
pub const FILTER_VARIABLE: &str = "CLOUDAI_LOG";
/// What is logged when nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info,openraft=error";

/// Libraries that log every frame or every handshake. Each is heard again when the filter names it.
const QUIET: &[(&str, &str)] = &[
    ("h2", "off"),
    ("hyper", "off"),
    ("hyper_util", "off"),
    ("tonic", "warn"),
    ("tower", "warn"),
    ("rustls", "off"),
    ("tokio_rustls", "off"),
    ("openraft", "warn"),
    // The exporter of traces: what became of it is said by `trace::exporter`.
    ("opentelemetry", "off"),
];

/// Libraries that log what they send, secrets in it included. No filter makes them louder.
const HELD: &[(&str, &str)] = &[("bollard", "warn")];

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no log format: choose text or json")]
pub struct UnknownFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownFormat;
    fn from_str(s: &str) -> Result<Self, UnknownFormat> {
        match s {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(UnknownFormat(other.chars().take(40).collect())),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// `None`: [`FILTER_VARIABLE`] when it is set, otherwise [`DEFAULT_FILTER`].
    pub filter: Option<String>,
    pub format: LogFormat,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(
        "'{filter}' is no log filter: write LEVEL or TARGET=LEVEL, separated by commas, for example info,cloudai_raft=debug"
    )]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("logging is set up already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets the process's logging up.
pub fn init(options: &LogOptions) -> Result<(), InitError> {
    let asked = options.filter.clone().or_else(|| std::env::var(FILTER_VARIABLE).ok().filter(|f| !f.trim().is_empty()));
    let asked = asked.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let filter =
        EnvFilter::try_new(complete(&asked)).map_err(|source| InitError::Filter { filter: asked.clone(), source })?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.with_ansi(false).fmt_fields(JsonFields::new()).event_format(JsonLines).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    subscriber.try_init().map_err(|e| InitError::Twice(Box::new(e)))?;
    Levels::new(asked, handle).install();
    Ok(())
}

/// The filter as it was asked for, with the noisy libraries turned down that it does not name.
pub(crate) fn complete(asked: &str) -> String {
    let target = |directive: &str| directive.split(['=', '[']).next().unwrap_or_default().trim().to_owned();
    let is_of = |name: &str, library: &str| name == library || name.starts_with(&format!("{library}::"));
    let is_free = |directive: &&str| !HELD.iter().any(|(library, _)| is_of(&target(directive), library));
    let kept: Vec<&str> = asked.split(',').filter(is_free).collect();
    let named: Vec<String> = kept.iter().map(|directive| target(directive)).collect();
    let is_named = |quiet: &str| named.iter().any(|n| is_of(n, quiet));
    let turned_down = QUIET.iter().filter(|(t, _)| !is_named(t)).chain(HELD);
    turned_down.fold(kept.join(","), |all, (t, level)| format!("{all},{t}={level}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noisy_libraries_are_quiet_unless_they_are_asked_for() {
        let all = complete("debug,h2=trace,rustls::conn=debug");
        assert!(all.contains("h2=trace") && !all.contains("h2=off"), "{all}");
        assert!(!all.contains(",rustls=off") && all.contains("tokio_rustls=off") && all.contains("hyper=off"), "{all}");
        for filter in ["info", "", &all] {
            EnvFilter::try_new(complete(filter)).unwrap();
        }
    }

    /// It logs what it sends to the engine, and so the variables of a container.
    #[test]
    fn no_filter_makes_the_engines_library_talk() {
        for filter in ["debug", "bollard=trace", "info,bollard::docker=debug", "trace, bollard[x]=trace,info"] {
            let all = complete(filter);
            assert!(!all.replace("bollard=warn", "").contains("bollard") && all.contains("bollard=warn"), "{all}");
            EnvFilter::try_new(&all).unwrap();
        }
    }

    #[test]
    fn a_bad_filter_or_format_is_an_error_that_shows_a_good_one() {
        let error = init(&LogOptions { filter: Some("info,x=loud".to_owned()), format: LogFormat::Text }).unwrap_err();
        assert!(matches!(error, InitError::Filter { .. }) && error.to_string().contains("for example"), "{error}");
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("yaml".parse::<LogFormat>().is_err());
    }
}
