//! What becomes of a task whose attempt has ended: it ends, or it waits for another try. Comes in: the ending, what the task's budget has
//! paid for so far, the job's own rules. Goes out: one decision. It changes nothing; randomness is a hash of the attempt's name.
//!
//! Two budgets: the user's attempts pay for the task's own faults, and infrastructure losses have a cap of their own. A task that spends
//! either is dead; one that a rule forbids another try has failed. A job with one attempt has no budget to spend: its task fails.

use cloudai_types::{ReasonKind, RetryAction, RetryRules, TaskId, limits};
use xxhash_rust::xxh3::xxh3_64;

use super::ending::Ending;
use crate::command::AttemptState;
use crate::hot::{ActiveAttempt, Waiting};
use crate::rows::{EndedAttempt, TaskState};

/// What becomes of the task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Ends(TaskState),
    Waits(Waiting),
}

/// What the decision looks at beside the attempt and its ending.
pub(super) struct Terms<'a> {
    pub task: TaskId,
    pub cancel_requested: bool,
    pub max_attempts: u32,
    /// The job's own; most have none.
    pub rules: Option<&'a RetryRules>,
    /// What the attempt was given.
    pub memory_bytes: u64,
    /// Attempts of this budget that ended before it.
    pub earlier: &'a [EndedAttempt],
    /// Replicated time.
    pub clock_ms: u64,
}

pub(super) fn next(terms: &Terms, attempt: &ActiveAttempt, ending: &Ending) -> Next {
    let lost = ending.state == AttemptState::Lost;
    if !lost && ending.reason.is_success() {
        return Next::Ends(TaskState::Succeeded);
    }
    if terms.cancel_requested {
        return Next::Ends(TaskState::Cancelled);
    }
    let kind = ending.reason.kind();
    let action = terms.rules.and_then(|rules| rules.action(kind));
    if action == Some(RetryAction::Fail) {
        return Next::Ends(TaskState::Failed);
    }
    if attempt.preempted && kind == ReasonKind::Preempted {
        // It made room for another: nobody's fault, and no reason to keep it from anywhere.
        return Next::Waits(Waiting {
            not_before_ms: terms.clock_ms,
            next_number: attempt.number.saturating_add(1),
            memory_mib: attempt.memory_mib,
            attempts_used: attempt.attempts_used,
            losses: attempt.losses,
            ..Waiting::default()
        });
    }
    let (mut attempts_used, mut losses) = (u32::from(attempt.attempts_used), u32::from(attempt.losses));
    let failures = if lost || kind.is_infrastructure() {
        losses = losses.saturating_add(1);
        if losses >= limits::LOSSES_MAX {
            return Next::Ends(TaskState::Dead);
        }
        // A worker that died takes nothing else with it: the first time, its task waits for nobody.
        if lost { losses - 1 } else { losses }
    } else {
        if action.is_none() && kind.forbids_retry() {
            return Next::Ends(TaskState::Failed);
        }
        attempts_used = attempts_used.saturating_add(1);
        if attempts_used >= terms.max_attempts {
            return Next::Ends(if terms.max_attempts <= 1 { TaskState::Failed } else { TaskState::Dead });
        }
        attempts_used
    };
    let usual = RetryRules::default();
    let rules = terms.rules.unwrap_or(&usual);
    let more =
        if kind == ReasonKind::OutOfMemory && !lost { rules.raised_memory_mib(terms.memory_bytes) } else { None };
    let waiting = Waiting {
        not_before_ms: terms.clock_ms.saturating_add(rules.pause_ms(failures, dice(terms.task, attempt.number))),
        next_number: attempt.number.saturating_add(1),
        memory_mib: more.unwrap_or(attempt.memory_mib),
        attempts_used: u16::try_from(attempts_used).unwrap_or(u16::MAX),
        losses: u8::try_from(losses).unwrap_or(u8::MAX),
        ..Waiting::default()
    };
    let never = terms.rules.map_or(vec![], |rules| sent_away_by(rules, attempt, ending, terms.earlier));
    Next::Waits(waiting.avoiding(&never, attempt.worker.0))
}

/// Workers on which an attempt of this budget ended in a way that the rules send elsewhere, the latest first.
fn sent_away_by(rules: &RetryRules, attempt: &ActiveAttempt, ending: &Ending, earlier: &[EndedAttempt]) -> Vec<u32> {
    let before = earlier.iter().rev().map(|a| (a.reason.kind(), a.worker));
    let mut workers = vec![];
    for (kind, worker) in std::iter::once((ending.reason.kind(), attempt.worker.0)).chain(before) {
        if workers.len() == limits::RETRY_AVOIDED_MAX {
            break;
        }
        if rules.action(kind) == Some(RetryAction::Elsewhere) && !workers.contains(&worker) {
            workers.push(worker);
        }
    }
    workers
}

/// The same on every master, another for each attempt.
fn dice(task: TaskId, number: u32) -> u64 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&task.job.0.to_be_bytes());
    name[8..12].copy_from_slice(&task.index.to_be_bytes());
    name[12..].copy_from_slice(&number.to_be_bytes());
    xxh3_64(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{EndReason, JobId, RetryRule, WorkerId};

    fn attempt(attempts_used: u16, losses: u8) -> ActiveAttempt {
        ActiveAttempt {
            number: 1 + u32::from(attempts_used) + u32::from(losses),
            worker: WorkerId(7),
            state: AttemptState::Running,
            assigned_index: 1,
            assigned_ms: 0,
            started_ms: 0,
            attempts_used,
            losses,
            memory_mib: 0,
            released: false,
            preempted: false,
        }
    }

    fn exited(reason: EndReason) -> Ending {
        Ending { state: AttemptState::Exited, reason, started_ms: 0, ended_ms: 0 }
    }

    fn of(kind: ReasonKind) -> Ending {
        exited(EndReason::new(kind, ""))
    }

    fn lost() -> Ending {
        Ending { state: AttemptState::Lost, ..of(ReasonKind::WorkerLost) }
    }

    fn terms(max_attempts: u32, rules: Option<&RetryRules>) -> Terms<'_> {
        let task = TaskId { job: JobId(1), index: 0 };
        Terms { task, cancel_requested: false, max_attempts, rules, memory_bytes: 32 << 20, earlier: &[], clock_ms: 50 }
    }

    /// Without rules.
    fn usual(max_attempts: u32, attempt: &ActiveAttempt, ending: &Ending) -> Next {
        next(&terms(max_attempts, None), attempt, ending)
    }

    fn waits(next: Next) -> Waiting {
        match next {
            Next::Waits(w) => w,
            Next::Ends(state) => panic!("ends as {state:?}"),
        }
    }

    fn numbers(next: Next) -> (u64, u32, u16, u8) {
        let w = waits(next);
        (w.not_before_ms, w.next_number, w.attempts_used, w.losses)
    }

    fn rules(of: &[(ReasonKind, RetryAction)]) -> RetryRules {
        let rules = of.iter().map(|(kind, action)| RetryRule { reason: *kind as i32, action: *action as i32 });
        RetryRules { rules: rules.collect(), ..RetryRules::default() }
    }

    #[test]
    fn a_success_is_honest_even_when_a_cancel_was_asked() {
        let cancelled =
            |n, ending: &Ending| next(&Terms { cancel_requested: true, ..terms(n, None) }, &attempt(0, 0), ending);
        assert_eq!(cancelled(1, &exited(EndReason::exit(0))), Next::Ends(TaskState::Succeeded));
        assert_eq!(cancelled(9, &exited(EndReason::exit(1))), Next::Ends(TaskState::Cancelled));
        assert_eq!(cancelled(9, &lost()), Next::Ends(TaskState::Cancelled));
    }

    #[test]
    fn the_users_budget_is_failed_with_one_try_and_dead_with_more() {
        let failure = exited(EndReason::exit(3));
        assert_eq!(usual(1, &attempt(0, 0), &failure), Next::Ends(TaskState::Failed));
        assert_eq!(numbers(usual(3, &attempt(0, 0), &failure)), (1_050, 2, 1, 0));
        assert_eq!(numbers(usual(3, &attempt(1, 0), &failure)), (2_050, 3, 2, 0));
        assert_eq!(usual(3, &attempt(2, 0), &failure), Next::Ends(TaskState::Dead));
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        for kind in ReasonKind::ALL {
            let got = usual(9, &attempt(0, 0), &of(kind));
            assert_eq!(got == Next::Ends(TaskState::Failed), kind.forbids_retry(), "{kind:?}");
        }
    }

    #[test]
    fn who_makes_room_pays_nothing() {
        let made_room = ActiveAttempt { preempted: true, ..attempt(1, 4) };
        assert_eq!(numbers(usual(2, &made_room, &of(ReasonKind::Preempted))), (50, 7, 1, 4));
        let failed = usual(2, &made_room, &exited(EndReason::exit(3)));
        assert_eq!(failed, Next::Ends(TaskState::Dead), "its own failure is its own");
        let no_more = rules(&[(ReasonKind::Preempted, RetryAction::Fail)]);
        let ended = next(&terms(2, Some(&no_more)), &made_room, &of(ReasonKind::Preempted));
        assert_eq!(ended, Next::Ends(TaskState::Failed), "who forbids another try has none");
    }

    #[test]
    fn losses_cost_no_attempt_and_have_their_own_cap() {
        assert_eq!(numbers(usual(1, &attempt(0, 0), &lost())), (50, 2, 0, 1));
        assert_eq!(numbers(usual(1, &attempt(0, 1), &lost())), (1_050, 3, 0, 2));
        assert_eq!(numbers(usual(1, &attempt(0, 0), &of(ReasonKind::EngineError))), (1_050, 2, 0, 1));
        let all_but_one = u8::try_from(limits::LOSSES_MAX - 1).unwrap();
        assert_eq!(usual(9, &attempt(0, all_but_one), &lost()), Next::Ends(TaskState::Dead));
    }

    #[test]
    fn a_worker_that_failed_it_is_avoided_while_another_fits_and_no_longer() {
        let w = waits(usual(9, &attempt(0, 0), &lost()));
        assert_eq!((w.avoid_worker(), w.never().is_empty(), w.is_apart()), (7, true, false));
    }

    #[test]
    fn a_rule_may_forbid_allow_or_send_elsewhere() {
        let own = rules(&[
            (ReasonKind::ExitCode, RetryAction::Fail),
            (ReasonKind::WorkerLost, RetryAction::Fail),
            (ReasonKind::StartFailed, RetryAction::Retry),
            (ReasonKind::Signal, RetryAction::Elsewhere),
        ]);
        let after = |ending: &Ending| next(&terms(2, Some(&own)), &attempt(0, 0), ending);
        assert_eq!(after(&exited(EndReason::exit(1))), Next::Ends(TaskState::Failed));
        assert_eq!(after(&exited(EndReason::exit(0))), Next::Ends(TaskState::Succeeded));
        assert_eq!(after(&lost()), Next::Ends(TaskState::Failed), "a loss too");
        assert_eq!(numbers(after(&of(ReasonKind::StartFailed))), (1_050, 2, 1, 0));
        assert_eq!(after(&of(ReasonKind::ImageNotFound)), Next::Ends(TaskState::Failed), "no rule: as ever");
        let sent = waits(after(&of(ReasonKind::Signal)));
        assert_eq!((sent.never(), sent.avoid_worker()), ([7].as_slice(), 0));
        let spent = next(&terms(2, Some(&own)), &attempt(1, 0), &of(ReasonKind::Signal));
        assert_eq!(spent, Next::Ends(TaskState::Dead), "no rule gives a budget");
    }

    #[test]
    fn workers_that_sent_it_away_before_stay_forbidden_the_latest_first() {
        let own = rules(&[(ReasonKind::Signal, RetryAction::Elsewhere)]);
        let ended = |worker, kind| EndedAttempt { worker, reason: EndReason::new(kind, ""), ..Default::default() };
        let earlier = [
            ended(1, ReasonKind::Signal),
            ended(2, ReasonKind::Signal),
            ended(3, ReasonKind::Timeout),
            ended(7, ReasonKind::Signal),
            ended(4, ReasonKind::Signal),
        ];
        let after = |kind| waits(next(&Terms { earlier: &earlier, ..terms(9, Some(&own)) }, &attempt(5, 0), &of(kind)));
        assert_eq!(after(ReasonKind::Signal).never(), [7, 4, 2], "the last three");
        let w = after(ReasonKind::Timeout);
        assert_eq!((w.never(), w.avoid_worker()), ([4, 7, 2].as_slice(), 0));
    }

    #[test]
    fn out_of_memory_asks_for_more_and_keeps_it() {
        let own = RetryRules { memory_factor_percent: 150, memory_max_bytes: 64 << 20, ..RetryRules::default() };
        let after = |had_mib: u32, kind| {
            let memory_bytes = u64::from(had_mib) << 20;
            let had = ActiveAttempt { memory_mib: if had_mib == 32 { 0 } else { had_mib }, ..attempt(0, 0) };
            waits(next(&Terms { memory_bytes, ..terms(9, Some(&own)) }, &had, &of(kind))).memory_mib
        };
        assert_eq!(after(32, ReasonKind::OutOfMemory), 48);
        assert_eq!(after(48, ReasonKind::Timeout), 48, "what it was given once it keeps");
        assert_eq!(after(48, ReasonKind::OutOfMemory), 64, "the bound");
        assert_eq!(after(64, ReasonKind::OutOfMemory), 64);
        assert_eq!(after(32, ReasonKind::ExitCode), 0);
    }

    #[test]
    fn pauses_are_the_rules_own_and_differ_between_tasks_only_by_jitter() {
        let own = RetryRules { delay_ms: 10_000, jitter_percent: 50, ..RetryRules::default() };
        let pause = |index| {
            let task = TaskId { job: JobId(1), index };
            let terms = Terms { task, clock_ms: 0, ..terms(9, Some(&own)) };
            waits(next(&terms, &attempt(0, 0), &of(ReasonKind::Timeout))).not_before_ms
        };
        let all: Vec<u64> = (0..20).map(pause).collect();
        assert!(all.iter().all(|ms| (5_000..=10_000).contains(ms)), "{all:?}");
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() > 15, "{all:?}");
        assert_eq!(all, (0..20).map(pause).collect::<Vec<_>>(), "the same on every master");
        let first_loss = waits(next(&terms(9, Some(&own)), &attempt(0, 0), &lost()));
        assert_eq!(first_loss.not_before_ms, 50, "a dead worker's task waits for nobody, the first time");
    }
}
