//! What this worker writes to its own log. Comes in: a question of the leader's, which may ask for another filter for a while. Goes out: the filter that
//! holds, or why it is not the one that was asked for. Who may ask is the leader's to know.

use std::time::{Duration, Instant};

use cloudai_proto::v1 as pb;
use cloudai_telemetry::{Levels, levels};
use cloudai_types::{Millis, limits};

/// Inside a tokio runtime: the usual filter comes back by itself.
pub fn answer(question: pb::leader_message::SetLogLevel) -> pb::worker_message::LogLevel {
    let pb::leader_message::SetLogLevel { id, change, by } = question;
    let Some(levels) = levels() else {
        let refused = "another program than cloudai has set its log up".to_owned();
        return pb::worker_message::LogLevel { id, now: None, refused };
    };
    let changed = match change {
        None => Ok(()),
        Some(change) if change.filter.is_empty() => {
            levels.restore(&by);
            Ok(())
        }
        Some(change) => levels.change_for(&change.filter, &by, lasts(change.for_ms)),
    };
    let refused = changed.err().map_or(String::new(), |error| error.to_string());
    pb::worker_message::LogLevel { id, now: Some(told(levels)), refused }
}

/// The leader has looked at it; a newer one may allow more than this worker does.
fn lasts(for_ms: u64) -> Duration {
    let asked = if for_ms == 0 { limits::LOG_FILTER_FOR } else { Millis(for_ms) };
    asked.min(limits::LOG_FILTER_FOR_MAX).as_duration()
}

/// Without a name: the leader knows it.
fn told(levels: &Levels) -> pb::LogFilter {
    let standing = levels.standing(Instant::now());
    let (left_ms, changed_by) = standing.change.map_or((0, String::new()), |c| (c.left.as_millis() as u64, c.by));
    pb::LogFilter { node: String::new(), filter: standing.filter, usual: standing.usual, left_ms, changed_by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_leader_makes_it_talk_for_ever() {
        assert_eq!(lasts(0), limits::LOG_FILTER_FOR.as_duration());
        assert_eq!(lasts(60_000), Duration::from_secs(60));
        assert_eq!(lasts(u64::MAX), limits::LOG_FILTER_FOR_MAX.as_duration());
    }

    #[test]
    fn where_nobody_has_set_logging_up_the_answer_says_so() {
        let said = answer(pb::leader_message::SetLogLevel { id: 7, ..Default::default() });
        assert_eq!((said.id, said.now, said.refused.is_empty()), (7, None, false));
    }
}
