//! What a leader does at the times of schedules. Comes in: which are due, as the replicated state has it. Goes out: a logged command for each time,
//! with what the leader alone knows: the calendar, and what the image's tag means now. Whether a job comes of it, `apply` decides; it also
//! refuses a time that another leader was quicker with.

use std::collections::BTreeSet;
use std::time::Duration;

use cloudai_core::command::{Kind, RunSchedule};
use cloudai_core::rows::ScheduleRow;
use cloudai_core::{Command, Reply};
use cloudai_scheduler::calendar::{Timetable, due};
use cloudai_telemetry::trace::OpenSpan;
use cloudai_types::{NamespaceId, RunOutcome, ScheduleSpec, limits};
use tokio_util::sync::CancellationToken;

use crate::control::{pinning, schedules::rows};
use crate::node::Node;
use crate::state_store::StateStore;

/// The precision of a schedule's times.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A schedule as it is due: its namespace, its name, and the hash of its words.
type Key = (NamespaceId, String, u64);

/// Runs while this master leads.
pub async fn run<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Those that this build cannot read: told once, and left to a leader that can.
    let mut unreadable: BTreeSet<Key> = BTreeSet::new();
    loop {
        tokio::select! {
            () = leading.cancelled() => return,
            _ = look.tick() => {}
        }
        while !leading.is_cancelled() {
            let due = due_now(node, &unreadable);
            if due.is_empty() {
                break;
            }
            let decisions = due.into_iter().map(|key| async move { (decide(node, &key).await, key) });
            let ends = futures::future::join_all(decisions).await;
            let has_trouble = ends.iter().any(|(end, _)| matches!(end, End::NoOutcome));
            unreadable.extend(ends.into_iter().filter(|(end, _)| matches!(end, End::Unreadable)).map(|(_, key)| key));
            if has_trouble {
                break;
            }
        }
    }
}

/// As many as are begun at a time of those whose time has come, the earliest first. A round decides one time of each.
fn due_now<S: StateStore>(node: &Node<S>, unreadable: &BTreeSet<Key>) -> Vec<Key> {
    let now_ms = node.log_clock.now_ms();
    let state = node.shared.read();
    let keys = state.hot.schedules.due(now_ms).map(|(ns, name, found)| (ns, name.to_owned(), found.spec_hash));
    keys.filter(|key| !unreadable.contains(key)).take(limits::SCHEDULE_RUNS_AT_ONCE).collect()
}

enum End {
    Decided,
    /// The next look tries again.
    NoOutcome,
    Unreadable,
}

/// The first time of a schedule that is not decided.
async fn decide<S: StateStore>(node: &Node<S>, key: &Key) -> End {
    let (ns, name, _) = key;
    let read = {
        let state = node.shared.read();
        let namespace = state.hot.tenants.get(*ns).map(|tenant| tenant.name.clone()).unwrap_or_default();
        rows(node, &state, *ns, &namespace, name).map(|(row, spec)| (namespace, row, spec))
    };
    let (namespace, row, spec) = match read {
        Ok(read) => read,
        // It was deleted since.
        Err(status) if status.code() == tonic::Code::NotFound => return End::NoOutcome,
        Err(error) => {
            tracing::error!(error = error.message(), schedule = name, "a schedule cannot be read");
            return End::Unreadable;
        }
    };
    let table = match Timetable::parse(&spec.cron, &spec.zone) {
        Ok(table) => table,
        Err(error) => {
            let (cron, zone) = (&spec.cron, &spec.zone);
            tracing::error!(%error, namespace, schedule = name, cron, zone, "this build does not know the times of a schedule: it does not run while this master leads");
            return End::Unreadable;
        }
    };
    let mut run = proposal(*ns, name, &row, &spec, &table, node.log_clock.now_ms());
    if run.due_ms > 0 && !run.is_missed {
        match pinning::digest_now(node, &namespace, &spec.job).await {
            Ok(digest) => run.image_digest = digest,
            // Fewer tries: the image of this moment is what a run means. The next time asks again.
            Err(info) => run.refused = info.sentence(),
        }
    }
    propose(node, &namespace, run).await
}

/// What the calendar says of a schedule that is due.
fn proposal(
    ns: NamespaceId,
    name: &str,
    row: &ScheduleRow,
    spec: &ScheduleSpec,
    table: &Timetable,
    now_ms: u64,
) -> RunSchedule {
    let plain =
        RunSchedule { namespace: ns.0, name: name.to_owned(), spec_hash: row.spec_hash, ..RunSchedule::default() };
    match due(table, row.last_due_ms, now_ms, spec.missed()) {
        Some(due) => RunSchedule {
            due_ms: due.due_ms,
            next_due_ms: due.next_ms,
            missed: due.missed,
            missed_last_ms: due.missed_last_ms,
            is_missed: due.is_missed,
            ..plain
        },
        // The leader that reckoned it had another calendar.
        None => RunSchedule { next_due_ms: table.next(now_ms).unwrap_or(0), ..plain },
    }
}

async fn propose<S: StateStore>(node: &Node<S>, namespace: &str, run: RunSchedule) -> End {
    let (name, due_ms) = (run.name.clone(), run.due_ms);
    let submit = node.traces.tracer.begin_trace("submit");
    let trace = submit.as_ref().map(OpenSpan::context);
    match node.propose_in(trace.as_ref(), Command::new("leader", Kind::RunSchedule(run))).await {
        Ok((_, Reply::ScheduleRan { run, .. })) => {
            let outcome = run.outcome();
            if due_ms > 0 {
                node.metrics.leader.schedule_runs.with_label_values(&[outcome.name()]).inc();
            }
            if outcome == RunOutcome::Refused {
                tracing::warn!(namespace, schedule = name, due_ms, why = run.why, "a scheduled job was not accepted");
            } else {
                tracing::debug!(namespace, schedule = name, due_ms, outcome = outcome.name(), "a time of a schedule");
            }
            End::Decided
        }
        // Somebody changed it, or another leader was quicker: the state says what is due now.
        Ok((_, reply)) => {
            tracing::debug!(namespace, schedule = name, due_ms, ?reply, "a time of a schedule was not to be decided");
            End::NoOutcome
        }
        Err(error) => {
            tracing::debug!(%error, namespace, schedule = name, "a time of a schedule has no outcome yet; the next look tries again");
            End::NoOutcome
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Missed;

    const HOUR: u64 = 3_600_000;
    /// 2026-11-30T00:00:00Z
    const T0: u64 = 1_795_996_800_000;

    #[test]
    fn a_time_is_proposed_with_what_the_calendar_says() {
        let table = Timetable::parse("0 * * * *", "UTC").unwrap();
        let row = ScheduleRow { spec_hash: 7, last_due_ms: T0, next_due_ms: T0 + HOUR, ..ScheduleRow::default() };
        let spec = ScheduleSpec { missed: Missed::Skip as i32, ..ScheduleSpec::default() };
        let of = |row: &ScheduleRow, now_ms| proposal(NamespaceId(1), "s", row, &spec, &table, now_ms);
        let on_time = of(&row, T0 + HOUR + 50);
        assert_eq!((on_time.spec_hash, on_time.due_ms, on_time.next_due_ms), (7, T0 + HOUR, T0 + 2 * HOUR));
        assert!(!on_time.is_missed && on_time.missed == 0);
        let late = of(&row, T0 + 3 * HOUR + HOUR / 2);
        assert_eq!((late.due_ms, late.missed, late.is_missed), (T0 + 3 * HOUR, 2, true));
        assert_eq!((late.missed_last_ms, late.next_due_ms), (T0 + 2 * HOUR, T0 + 4 * HOUR));
        let other_calendar = of(&ScheduleRow { next_due_ms: T0 + 60_000, ..row }, T0 + 90_000);
        assert_eq!((other_calendar.due_ms, other_calendar.next_due_ms), (0, T0 + HOUR));
    }
}
