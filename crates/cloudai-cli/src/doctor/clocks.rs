//! Wall clocks. Each master's is compared with the middle one of all masters, a worker's with its leader's, this machine's with the masters'.

use cloudai_types::limits;

use super::{Facts, Report};
use crate::times::duration;

const NEXT: &str = "let it follow a time server: `timedatectl status` there, and chrony or systemd-timesyncd";

pub(super) fn look(facts: &Facts, report: &mut Report) {
    let mut ahead: Vec<i64> = facts.answers().map(|(_, a)| a.clock_ahead_ms).collect();
    ahead.sort_unstable();
    // Of two the later: a clock that stands still is the commoner fault.
    let Some(middle) = ahead.get(ahead.len() / 2).copied() else { return };
    let mut worst = 0;
    for (master, answer) in facts.answers() {
        let apart = apart(answer.clock_ahead_ms, middle, answer.uncertain_ms);
        worst = worst.max(apart.unsigned_abs());
        judge(&format!("the clock of {}", master.called()), apart, "those of the other masters", report);
    }
    // The leader's own distance is added, so that one wrong leader does not make all workers wrong.
    let leader = facts.status.as_ref().map_or(0, |status| status.leader_id);
    let leader_ahead =
        facts.answers().find(|(_, a)| a.check.node_id == leader).map_or(0, |(_, a)| a.clock_ahead_ms - middle);
    for worker in facts.workers.iter().flatten().filter(|worker| worker.condition.is_some()) {
        let apart = worker.clock_ahead_ms.saturating_add(leader_ahead);
        worst = worst.max(apart.unsigned_abs());
        judge(&format!("the clock of worker {}", worker.name), apart, "the masters'", report);
    }
    let uncertain = facts.answers().map(|(_, a)| a.uncertain_ms).max().unwrap_or(0);
    judge("this machine's clock", apart(0, middle, uncertain), "the masters'", report);
    report.saw("clocks", format!("at most {} apart", duration(worst)));
}

/// As far as the way of the answer lets it be known.
fn apart(ahead: i64, middle: i64, uncertain_ms: u64) -> i64 {
    let apart = ahead.saturating_sub(middle);
    apart.signum() * apart.unsigned_abs().saturating_sub(uncertain_ms).cast_signed()
}

fn judge(whose: &str, apart_ms: i64, than: &str, report: &mut Report) {
    if apart_ms.unsigned_abs() > limits::CLOCKS_APART_MAX.0 {
        let side = if apart_ms > 0 { "ahead of" } else { "behind" };
        report.problem(
            "clock",
            format!("{whose} is {} {side} {than}", duration(apart_ms.unsigned_abs())),
            "certificates, schedules and every time that people read depend on it; leases do not",
            NEXT,
        );
    }
}
