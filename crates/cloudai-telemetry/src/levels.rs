//! The filter of this process's log lines, which may be another one for a while. Comes in: a filter that somebody asks for, and until when. Goes out:
//! which filter holds, or what is wrong with the one that was asked for. Nothing of it is kept: the next start begins with the usual filter, and other
//! processes have their own.
//!
//! Decided by times that arrive as arguments; only [`Levels::change_for`] looks at a clock.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use cloudai_types::limits::LOG_FILTER_BYTES_MAX;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::init::complete;

/// Why a filter is not taken while the process runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "'{0}' is no level: write error, warn, info, debug, trace or off, or TARGET=LEVEL for a part, with commas between, for example info,cloudai_raft=debug"
    )]
    Level(String),
    #[error(
        "'{0}' is no target: a crate or a module of one, such as cloudai_master or cloudai_raft::network, is written before '='"
    )]
    Target(String),
    #[error("the filter is longer than {LOG_FILTER_BYTES_MAX} bytes")]
    TooLong,
}

/// The filter that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub filter: String,
    /// What this process began with, and goes back to.
    pub usual: String,
    pub change: Option<Change>,
}

/// A filter that holds for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `role/name` of who wanted it.
    pub by: String,
    pub left: Duration,
}

/// A change that was made. A later one makes it void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the usual filter comes back when somebody takes the change back"]
pub struct Ticket(u64);

struct Held {
    filter: String,
    by: String,
    until: Instant,
}

#[derive(Default)]
struct Now {
    held: Option<Held>,
    /// Changes so far.
    changes: u64,
}

/// Of one process.
pub struct Levels {
    usual: String,
    handle: reload::Handle<EnvFilter, Registry>,
    now: Mutex<Now>,
}

const UNPOISONED: &str = "nothing panics under this lock";
static OF_PROCESS: OnceLock<Levels> = OnceLock::new();

/// This process's; `None` where [`crate::init()`] was not called: tests, and programs of others.
pub fn levels() -> Option<&'static Levels> {
    OF_PROCESS.get()
}

/// Tells without changing anything whether [`Levels::change`] would take it.
pub fn check(filter: &str) -> Result<(), FilterError> {
    if filter.len() > LOG_FILTER_BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    filter.split(',').map(str::trim).try_for_each(|directive| {
        let (target, level) = match directive.split_once('=') {
            None => (None, directive),
            Some((target, level)) => (Some(target.trim()), level.trim()),
        };
        // Whatever is no level would be taken for a target, all of whose lines are wanted: a slip would make a flood.
        let is_level = level.starts_with(|c: char| c.is_ascii_alphabetic()) && level.parse::<LevelFilter>().is_ok();
        if !is_level {
            return Err(FilterError::Level(shortened(level)));
        }
        let is_target = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
        target.filter(|t| !is_target(t)).map_or(Ok(()), |t| Err(FilterError::Target(shortened(t))))
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Levels {
    pub(crate) fn new(usual: String, handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Levels { usual, handle, now: Mutex::default() }
    }

    /// Once, by whoever has set the process's logging up.
    pub(crate) fn install(self) {
        // A second one has no logging to change: its subscriber was refused.
        let _ = OF_PROCESS.set(self);
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let held = &self.now.lock().expect(UNPOISONED).held;
        let change =
            held.as_ref().map(|held| Change { by: held.by.clone(), left: held.until.saturating_duration_since(now) });
        let filter = held.as_ref().map_or(&self.usual, |held| &held.filter).clone();
        Standing { filter, usual: self.usual.clone(), change }
    }

    /// Another filter, for so long or until the next change. `by`: `role/name`. Inside a tokio runtime, and gone with it.
    pub fn change_for(&'static self, filter: &str, by: &str, lasts: Duration) -> Result<(), FilterError> {
        let ticket = self.change(filter, by, Instant::now() + lasts)?;
        tokio::spawn(async move {
            tokio::time::sleep(lasts).await;
            self.take_back(ticket);
        });
        Ok(())
    }

    /// Another filter, until `until` or the next change. `by`: `role/name`.
    pub fn change(&self, filter: &str, by: &str, until: Instant) -> Result<Ticket, FilterError> {
        check(filter)?;
        let parsed = EnvFilter::try_new(complete(filter)).map_err(|_| FilterError::Level(shortened(filter)))?;
        // Before it holds: a change that silences the log is seen all the same.
        tracing::warn!(by, filter, "the log filter is changed, for a while");
        let mut now = self.now.lock().expect(UNPOISONED);
        now.held = Some(Held { filter: filter.to_owned(), by: by.to_owned(), until });
        now.changes += 1;
        let ticket = Ticket(now.changes);
        self.apply(parsed);
        Ok(ticket)
    }

    /// The time of this change is over. Nothing happens where another one came after it.
    pub fn take_back(&self, ticket: Ticket) {
        self.end("nobody: its time is over", Some(ticket));
    }

    /// The usual filter holds again. `by`: `role/name`.
    pub fn restore(&self, by: &str) {
        self.end(by, None);
    }

    fn end(&self, by: &str, only: Option<Ticket>) {
        let usual = EnvFilter::try_new(complete(&self.usual)).expect("the process began with it");
        {
            let mut now = self.now.lock().expect(UNPOISONED);
            if only.is_some_and(|ticket| ticket.0 != now.changes) || now.held.take().is_none() {
                return;
            }
            self.apply(usual);
        }
        tracing::warn!(by, filter = self.usual, "the usual log filter holds again");
    }

    /// Under the lock, so that what is told and what holds are never of two changes.
    fn apply(&self, filter: EnvFilter) {
        // Only a subscriber that is gone refuses, and with it all lines.
        let _ = self.handle.reload(filter);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::{Layer, layer::SubscriberExt};

    use super::*;

    /// Lines in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;
        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn a_filter_holds_until_its_time_is_over_and_a_later_one_outlives_it() {
        let (filter, handle) = reload::Layer::new(EnvFilter::try_new(complete("info")).unwrap());
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().without_time().with_ansi(false).with_writer(lines.clone());
        let levels = Levels::new("info".to_owned(), handle);
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_filter(filter)), || {
            let says = || {
                tracing::debug!("small");
                tracing::info!("large");
                lines.take().lines().filter_map(|l| l.split_whitespace().last().map(str::to_owned)).collect::<Vec<_>>()
            };
            assert_eq!(says(), ["large"]);

            let first = levels.change("debug", "admin/ann", after(60)).unwrap();
            assert!(lines.take().contains("by=\"admin/ann\" filter=\"debug\""), "who did it is in the log");
            assert_eq!(says(), ["small", "large"]);
            let change = Some(Change { by: "admin/ann".to_owned(), left: Duration::from_secs(50) });
            let standing = Standing { filter: "debug".to_owned(), usual: "info".to_owned(), change };
            assert_eq!(levels.standing(after(10)), standing);

            let second = levels.change("off", "admin/bob", after(30)).unwrap();
            assert!(lines.take().contains("admin/bob"), "also who silenced it");
            assert_eq!(says(), [""; 0]);
            levels.take_back(first);
            assert_eq!(says(), [""; 0], "the first change was void");
            levels.take_back(second);
            assert!(lines.take().contains("the usual log filter holds again"));
            assert_eq!((says(), levels.standing(start).change), (vec!["large".to_owned()], None));

            levels.restore("admin/ann");
            assert_eq!(lines.take(), "", "nothing had been changed");
            assert_eq!(levels.change("loud", "admin/ann", after(9)), Err(FilterError::Level("loud".to_owned())));
            assert_eq!((says(), levels.standing(start).filter.as_str()), (vec!["large".to_owned()], "info"));
        });
    }

    #[test]
    fn a_filter_names_levels_and_targets_and_nothing_else() {
        for good in ["debug", "info,cloudai_raft=debug", " warn , h2=trace", "OFF", "cloudai_raft::network=trace"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let level = |text: &str| Err(FilterError::Level(text.to_owned()));
        // The library takes the first three for targets, and would say everything about them.
        for (bad, is) in [
            ("debgu", level("debgu")),
            ("cloudai_raft", level("cloudai_raft")),
            ("", level("")),
            ("info,", level("")),
            ("3", level("3")),
            ("info,x=loud", level("loud")),
            ("x[span]=debug", Err(FilterError::Target("x[span]".to_owned()))),
            ("=debug", Err(FilterError::Target(String::new()))),
            (&"info,".repeat(300), Err(FilterError::TooLong)),
        ] {
            assert_eq!(check(bad), is, "{bad}");
        }
        let said = check("debgu").unwrap_err().to_string();
        assert!(said.contains("error, warn, info, debug, trace or off"), "{said}");
    }
}
