//! Free space where masters keep the log and the state, and workers logs and results.

use cloudai_types::limits;
use cloudai_types::resources::Bytes;

use super::{Facts, Report};

pub(super) fn look(facts: &Facts, report: &mut Report) {
    let known = || facts.conditions().filter(|(_, c)| c.disk_bytes > 0);
    let percent = |free: u64, all: u64| u128::from(free) * 100 / u128::from(all.max(1));
    let Some((name, least)) = known().min_by_key(|(_, c)| percent(c.disk_free_bytes, c.disk_bytes)) else { return };
    let free = Bytes(least.disk_free_bytes);
    report.saw("disks", format!("least free: {} %, {free} ({name})", percent(least.disk_free_bytes, least.disk_bytes)));
    for (name, condition) in known() {
        let left = percent(condition.disk_free_bytes, condition.disk_bytes);
        let what = format!("the disk of {name} has {left} % free ({})", Bytes(condition.disk_free_bytes));
        let (why, next) = match name.starts_with("master") {
            true => (
                "a master whose log cannot grow stops, so that no acknowledged change is lost",
                "free space, or move its data directory to a larger disk (docs/operations.md); its log is trimmed by itself",
            ),
            false => (
                "without room tasks cannot write logs and results, and images cannot be fetched",
                "remove what is not CloudAI's, or set a smaller `cache_bytes` for images; `cloudai worker drain` keeps tasks away meanwhile",
            ),
        };
        if left < u128::from(limits::DISK_FULL_PERCENT) {
            report.problem("disk_full", what, why, next);
        } else if left < u128::from(limits::DISK_LOW_PERCENT) {
            report.warning("disk_low", what, why, next);
        }
    }
}
