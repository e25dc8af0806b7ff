//! The counters of cgroup version 1. Comes in: the texts of a parent's files. Goes out: [`Counters`]. Pure.
//!
//! Not everything is told to a parent: kills for memory and refused processes are counted in the container's own cgroup only, which is
//! gone. And not everything is counted: what a task writes is mostly written later, by the kernel, for nobody; Linux 6.18 counts reads
//! only of disks that somebody has put under a limit. What may be wrong is left out.

use cloudai_types::Usage;

use super::{Counters, Now, number};

/// Whose hierarchies are read.
pub const CONTROLLERS: [&str; 4] = ["memory", "cpuacct", "pids", "blkio"];
/// Whether a parent's memory counts what is below it.
pub const USE_HIERARCHY: &str = "memory.use_hierarchy";

const NANOSECONDS_PER_MICROSECOND: u64 = 1_000;

/// `read`: a file of a controller, `None` where there is none. `is_stacked`: whether a disk (`MAJOR:MINOR`) is made of others, which
/// count the same bytes again.
pub fn counters(read: impl Fn(&str, &str) -> Option<String>, is_stacked: impl Fn(&str) -> bool) -> Counters {
    let one = |controller: &str, file: &str| read(controller, file).as_deref().and_then(number);
    let counts_upwards = one("memory", USE_HIERARCHY) != Some(0);
    let usage = Usage {
        cpu_micros: one("cpuacct", "cpuacct.usage").map(|ns| ns / NANOSECONDS_PER_MICROSECOND),
        memory_peak_bytes: one("memory", "memory.max_usage_in_bytes").filter(|_| counts_upwards),
        read_bytes: read("blkio", "blkio.throttle.io_service_bytes_recursive")
            .and_then(|text| bytes_read(&text, is_stacked)),
        written_bytes: None,
        processes_max: one("pids", "pids.peak"),
    };
    Counters { usage, killed_for_memory: None, refused_process: None }
}

/// What is used now. A kernel that does not count upwards says 0 of a parent's memory.
pub fn now(read: impl Fn(&str, &str) -> Option<String>) -> Now {
    let one = |controller: &str, file: &str| read(controller, file).as_deref().and_then(number);
    Now {
        cpu_micros: one("cpuacct", "cpuacct.usage").map(|ns| ns / NANOSECONDS_PER_MICROSECOND),
        memory_bytes: one("memory", "memory.usage_in_bytes"),
    }
}

/// `254:0 Read 8388608`, a line for each disk and kind. No disk, or nothing but zeros: nobody counted, or nothing was read.
fn bytes_read(text: &str, is_stacked: impl Fn(&str) -> bool) -> Option<u64> {
    let disks = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let device = words.next().filter(|d| d.contains(':'))?;
        (words.next() == Some("Read")).then_some(())?;
        Some((device, number(words.next()?)?))
    });
    let sum = disks.filter(|(device, _)| !is_stacked(device)).fold(0u64, |sum, (_, n)| sum.saturating_add(n));
    (sum > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Counters {
        let read = |_: &str, file: &str| files.iter().find(|(f, _)| *f == file).map(|(_, text)| (*text).to_owned());
        counters(read, |device| device.starts_with("253:"))
    }

    #[test]
    fn a_parents_files_become_numbers() {
        let all = of(&[
            ("cpuacct.usage", "1500999123\n"),
            ("memory.max_usage_in_bytes", "33816576\n"),
            ("memory.use_hierarchy", "1\n"),
            ("pids.peak", "7\n"),
            (
                "blkio.throttle.io_service_bytes_recursive",
                "254:0 Read 8388608\n254:0 Write 4096\n254:0 Total 8392704\n253:0 Read 77\n8:16 Read 1000\nTotal 8393704\n",
            ),
        ]);
        let usage = Usage {
            cpu_micros: Some(1_500_999),
            memory_peak_bytes: Some(33_816_576),
            read_bytes: Some(8_389_608),
            written_bytes: None,
            processes_max: Some(7),
        };
        assert_eq!(all, Counters { usage, killed_for_memory: None, refused_process: None });
    }

    #[test]
    fn what_is_used_now() {
        let read = |controller: &str, file: &str| match (controller, file) {
            ("cpuacct", "cpuacct.usage") => Some("2000999\n".to_owned()),
            ("memory", "memory.usage_in_bytes") => Some("4096\n".to_owned()),
            _ => None,
        };
        assert_eq!(now(read), Now { cpu_micros: Some(2_000), memory_bytes: Some(4_096) });
        assert_eq!(now(|_, _| None), Now::default());
    }

    #[test]
    fn what_may_be_wrong_is_not_known() {
        assert_eq!(of(&[]), Counters::default());
        let flat = of(&[("memory.use_hierarchy", "0\n"), ("memory.max_usage_in_bytes", "4096\n")]);
        assert_eq!(flat.usage.memory_peak_bytes, None, "only of its own processes, and it has none");
        for nothing in ["Total 0\n", "254:0 Read 0\n254:0 Write 0\nTotal 0\n", "", "garbage\n254:0 Read\n"] {
            let counted = of(&[("blkio.throttle.io_service_bytes_recursive", nothing)]);
            assert_eq!(counted.usage.read_bytes, None, "{nothing:?}");
        }
        assert!(of(&[("cpuacct.usage", "x\n"), ("pids.peak", "max\n")]).usage.is_unknown());
    }
}
