//! Why a container ended. Comes in: what the engine said of its death, the last words of its init program, what its cgroup has counted. Goes
//! out: the reason of its attempt. Pure; that a task was over its storage is added by `storage`.

use cloudai_types::{EndReason, ReasonKind, signal};

use super::cgroups::Counters;
use super::endings::{Died, Outside};

/// `counted`: by its parent cgroup, where it has one. `processes`: how many it was allowed.
pub fn of(died: &Died, init_failure: Option<String>, counted: Option<Counters>, processes: u64) -> EndReason {
    let reached = counted.is_some_and(|c| {
        c.refused_process.unwrap_or(false) || c.usage.processes_max.is_some_and(|most| most >= processes)
    });
    let reason = kind_of(died, init_failure).with_usage(counted.map(|c| c.usage));
    let is_its_own = matches!(reason.kind(), ReasonKind::ExitCode | ReasonKind::Signal) && !reason.is_success();
    if !(reached && is_its_own) {
        return reason;
    }
    // Few programs say clearly that they did not get a process.
    let said = if reason.detail.is_empty() { String::new() } else { format!("{}; ", reason.detail) };
    EndReason { detail: format!("{said}it had reached the limit of {processes} processes"), ..reason }
}

fn kind_of(died: &Died, init_failure: Option<String>) -> EndReason {
    let Some(code) = died.exit_code else {
        return EndReason::new(ReasonKind::EngineError, "the container has vanished: somebody removed it");
    };
    // A program that survives the loss of a child and says 0 has succeeded.
    if died.out_of_memory && code != 0 {
        let text = "a process was killed because the container reached its memory limit";
        return EndReason::new(ReasonKind::OutOfMemory, text).with_exit_code(code);
    }
    if let Some(why) = ended_from_outside(died) {
        return EndReason::new(ReasonKind::EngineError, why).with_exit_code(code);
    }
    match (code, init_failure) {
        (126 | 127, Some(said)) => EndReason::new(ReasonKind::StartFailed, said).with_exit_code(code),
        (129..=159, _) => EndReason::new(ReasonKind::Signal, format!("signal {}", code - 128)).with_exit_code(code),
        (_, _) => EndReason::exit(code),
    }
}

/// Whatever it said then, it did not end by itself: a program that says 0 when it is told to stop has not done its work.
fn ended_from_outside(died: &Died) -> Option<&'static str> {
    match died.outside? {
        Outside::Signal(n) => {
            let is_meant_to_end = [signal::INT, signal::QUIT, signal::KILL, signal::TERM].contains(&n);
            let ended_it = died.exit_code.is_some_and(|code| i64::from(code) == 128 + i64::from(n));
            (is_meant_to_end || ended_it)
                .then_some("it was told to stop through the engine, and not by CloudAI: the engine was stopped, or somebody stopped the container")
        }
        Outside::EngineAway => Some("the container engine was stopped while it ran, and took it along"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{Timestamp, Usage};

    #[test]
    fn what_was_ended_from_outside_is_no_ending_of_its_own_whatever_it_says() {
        let of = |code, outside| {
            let died = Died { exit_code: Some(code), out_of_memory: false, at: Timestamp(1), outside };
            of(&died, None, None, 4096).kind()
        };
        for code in [0, 1, 137, 143] {
            assert_eq!(of(code, Some(Outside::EngineAway)), ReasonKind::EngineError);
            assert_eq!(of(code, Some(Outside::Signal(signal::TERM))), ReasonKind::EngineError);
        }
        assert_eq!(of(0, Some(Outside::Signal(10))), ReasonKind::ExitCode, "SIGUSR1 was not its end");
        assert_eq!(of(138, Some(Outside::Signal(10))), ReasonKind::EngineError, "it was");
        assert_eq!(of(137, None), ReasonKind::Signal);
        let oom =
            Died { exit_code: Some(137), out_of_memory: true, at: Timestamp(1), outside: Some(Outside::EngineAway) };
        assert_eq!(super::of(&oom, None, None, 4096).kind(), ReasonKind::OutOfMemory, "the kernel knows");
    }

    #[test]
    fn endings_have_reasons() {
        let died = |code| Died { exit_code: code, out_of_memory: false, at: Timestamp(1), outside: None };
        let kind = |d: &Died, init: Option<&str>| {
            let r = of(d, init.map(str::to_owned), None, 4096);
            (r.kind(), r.exit_code)
        };
        assert_eq!(kind(&died(Some(0)), None), (ReasonKind::ExitCode, Some(0)));
        assert_eq!(kind(&died(Some(3)), None), (ReasonKind::ExitCode, Some(3)));
        assert_eq!(kind(&died(Some(127)), None), (ReasonKind::ExitCode, Some(127)), "the program itself said so");
        assert_eq!(kind(&died(Some(127)), Some("[FATAL tini]")), (ReasonKind::StartFailed, Some(127)));
        assert_eq!(kind(&died(Some(137)), None), (ReasonKind::Signal, Some(137)));
        let oom = Died { out_of_memory: true, ..died(Some(137)) };
        assert_eq!(kind(&oom, None), (ReasonKind::OutOfMemory, Some(137)));
        assert_eq!(kind(&Died { exit_code: Some(0), ..oom }, None), (ReasonKind::ExitCode, Some(0)));
        assert_eq!(kind(&died(None), None), (ReasonKind::EngineError, None));
    }

    #[test]
    fn an_ending_says_what_was_used_and_which_limit_was_reached() {
        let died = |code| Died { exit_code: Some(code), out_of_memory: false, at: Timestamp(1), outside: None };
        let usage = Usage { cpu_micros: Some(5), processes_max: Some(64), ..Usage::default() };
        let counted = Some(Counters { usage, ..Counters::default() });
        let r = of(&died(2), None, counted, 64);
        assert_eq!(r.to_string(), "exit_code 2: it had reached the limit of 64 processes");
        assert_eq!(r.usage, Some(usage));
        let r = of(&died(134), None, counted, 64);
        assert_eq!(r.to_string(), "signal 134: signal 6; it had reached the limit of 64 processes");
        let plain = |code, counted, limit| of(&died(code), None, counted, limit).detail;
        assert_eq!(plain(0, counted, 64), "", "it succeeded all the same");
        assert_eq!(plain(2, counted, 65), "", "there was room for one more");
        assert_eq!(plain(2, None, 64), "", "nobody knows");
        let refused = Some(Counters { refused_process: Some(true), ..Counters::default() });
        assert_eq!(plain(2, refused, 64), "it had reached the limit of 64 processes");
    }
}
