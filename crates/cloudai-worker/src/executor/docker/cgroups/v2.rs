//! The counters of cgroup version 2. Comes in: the texts of a parent's files. Goes out: [`Counters`]. Pure.

use cloudai_types::Usage;

use super::{Counters, Now, number, number_of};

/// `read`: a file, `None` where there is none, as on an older kernel. `is_stacked`: whether a disk (`MAJOR:MINOR`) is made of others,
/// which count the same bytes again.
pub fn counters(read: impl Fn(&str) -> Option<String>, is_stacked: impl Fn(&str) -> bool) -> Counters {
    let one = |file: &str| read(file).as_deref().and_then(number);
    let io = read("io.stat");
    let bytes = |key: &str| io.as_deref().map(|text| sum(text, key, &is_stacked));
    let usage = Usage {
        cpu_micros: read("cpu.stat").and_then(|text| number_of(&text, "usage_usec")),
        memory_peak_bytes: one("memory.peak"),
        read_bytes: bytes("rbytes="),
        written_bytes: bytes("wbytes="),
        processes_max: one("pids.peak"),
    };
    // `oom`: a limit was reached. Without it, a kill was the whole machine's, and no fault of the task.
    let killed = |text: String| Some(number_of(&text, "oom")? > 0 && number_of(&text, "oom_kill")? > 0);
    Counters {
        usage,
        killed_for_memory: read("memory.events").and_then(killed),
        refused_process: read("pids.events").and_then(|text| Some(number_of(&text, "max")? > 0)),
    }
}

/// What is used now.
pub fn now(read: impl Fn(&str) -> Option<String>) -> Now {
    Now {
        cpu_micros: read("cpu.stat").and_then(|text| number_of(&text, "usage_usec")),
        memory_bytes: read("memory.current").as_deref().and_then(number),
    }
}

/// `254:0 rbytes=1459200 wbytes=314773504 rios=192 …`, a line for each disk.
fn sum(text: &str, key: &str, is_stacked: &impl Fn(&str) -> bool) -> u64 {
    let counted = text.lines().filter(|line| !line.split(' ').next().is_some_and(is_stacked));
    let numbers = counted.filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix(key)).and_then(number));
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Counters {
        let read = |file: &str| files.iter().find(|(f, _)| *f == file).map(|(_, text)| (*text).to_owned());
        counters(read, |device| device.starts_with("253:"))
    }

    #[test]
    fn a_parents_files_become_numbers() {
        let all = of(&[
            ("cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 0\n"),
            ("memory.peak", "52428800\n"),
            ("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n"),
            ("pids.peak", "64\n"),
            ("pids.events", "max 3\n"),
            (
                "io.stat",
                "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=4096 wbytes=8192 rios=1\n259:1 rbytes=1 wbytes=2\n8:0 \n",
            ),
        ]);
        let usage = Usage {
            cpu_micros: Some(2_500_000),
            memory_peak_bytes: Some(50 << 20),
            read_bytes: Some(4_097),
            written_bytes: Some(8_194),
            processes_max: Some(64),
        };
        assert_eq!(all, Counters { usage, killed_for_memory: Some(true), refused_process: Some(true) });
    }

    #[test]
    fn what_is_used_now() {
        let read = |file: &str| match file {
            "cpu.stat" => Some("usage_usec 2500000\nuser_usec 2000000\n".to_owned()),
            "memory.current" => Some("4096\n".to_owned()),
            _ => None,
        };
        assert_eq!(now(read), Now { cpu_micros: Some(2_500_000), memory_bytes: Some(4_096) });
        assert_eq!(now(|_| None), Now::default());
    }

    #[test]
    fn nothing_used_and_nothing_known_are_two_things() {
        assert_eq!(of(&[]), Counters::default());
        let idle = of(&[("io.stat", ""), ("pids.events", "max 0\n"), ("memory.events", "oom 0\noom_kill 1\n")]);
        assert_eq!((idle.usage.read_bytes, idle.usage.written_bytes), (Some(0), Some(0)));
        assert_eq!(idle.refused_process, Some(false));
        assert_eq!(idle.killed_for_memory, Some(false), "the whole machine was short of memory");
        assert_eq!(of(&[("memory.events", "low 0\n")]).killed_for_memory, None);
    }
}
