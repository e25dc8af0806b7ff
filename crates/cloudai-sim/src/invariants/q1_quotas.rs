//! Q1: after an entry that places something of a namespace, its attempts hold no more than its caps allow. A cap may be lowered under what runs:
//! nothing is said of entries that place nothing.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::rows::{AttemptRow, Family, JobSpecRow, NamespaceRow};
use cloudai_types::{JobId, NamespaceId, Quota, TaskId};

use super::{Invariant, Verdict};
use crate::history::Entry;

#[derive(Default)]
pub struct Quotas {
    quotas: BTreeMap<NamespaceId, Quota>,
    /// Milli-CPUs of one task.
    asks: BTreeMap<JobId, u64>,
    /// Attempts that hold something, by number.
    held: BTreeMap<NamespaceId, BTreeMap<TaskId, u32>>,
}

impl Invariant for Quotas {
    fn name(&self) -> &'static str {
        "Q1"
    }

    fn on_entry(&mut self, entry: &Entry) -> Verdict {
        for (_, job, row) in entry.job_rows::<JobSpecRow>(Family::JobSpec) {
            self.asks.insert(JobId(job), row.spec.resources.cpu_milli);
        }
        let before = self.quotas.clone();
        for (key, row) in entry.rows::<NamespaceRow>(Family::Namespace) {
            let id = NamespaceId(key.first_chunk::<4>().map_or(0, |key| u32::from_be_bytes(*key)));
            self.quotas.insert(id, row.and_then(|row| row.quota).unwrap_or_default());
        }
        let mut placed = BTreeSet::new();
        for (ns, task, row) in entry.task_rows::<AttemptRow>(Family::Attempt) {
            let held = self.held.entry(ns).or_default();
            match row.filter(|row| !row.released) {
                None => _ = held.remove(&task),
                Some(row) => {
                    if held.insert(task, row.number) != Some(row.number) {
                        placed.insert(ns);
                    }
                }
            }
        }
        placed.into_iter().try_for_each(|ns| self.within(ns, &before))
    }
}

impl Quotas {
    /// Which of an entry's commands came first is not known: of two quotas the wider one counts.
    fn within(&self, ns: NamespaceId, before: &BTreeMap<NamespaceId, Quota>) -> Verdict {
        let quotas = [before.get(&ns), self.quotas.get(&ns)].map(|quota| quota.copied().unwrap_or_default());
        let widest = |cap: fn(&Quota) -> Option<u64>| {
            let caps: Option<Vec<u64>> = quotas.iter().map(cap).collect();
            caps.and_then(|caps| caps.into_iter().max())
        };
        let held = self.held.get(&ns).cloned().unwrap_or_default();
        let cpu: u64 = held.keys().filter_map(|task| self.asks.get(&task.job)).sum();
        let of_cap = [
            ("tasks", held.len() as u64, widest(|quota| quota.tasks_max.map(u64::from))),
            ("milli-CPUs", cpu, widest(|quota| quota.cpu_milli_max)),
        ];
        for (what, holds, cap) in of_cap {
            if cap.is_some_and(|cap| holds > cap) {
                return Err(format!("{ns:?} was given more and holds {holds} {what}, its cap is {cap:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cloudai_core::rows::{Write, namespace_key};
    use cloudai_types::JobSpec;

    use super::super::told::{NS, attempt, ended, job, judge, only_the_last_is_wrong, put, task};
    use super::*;

    fn quota(tasks_max: Option<u32>, cpu_milli_max: Option<u64>) -> Write {
        let quota = Some(Quota { tasks_max, cpu_milli_max, ..Quota::default() });
        put(Family::Namespace, &namespace_key(NS), &NamespaceRow { quota, ..NamespaceRow::default() })
    }

    fn one(index: u32) -> Write {
        attempt(task(1, index), 1, 7)
    }

    #[test]
    fn a_task_too_many_is_seen() {
        let first = vec![job(1, JobSpec::default()), quota(Some(2), None)];
        let entries = [first.clone(), vec![one(0), one(1)], vec![ended(task(1, 0)), one(2)], vec![one(3)]];
        only_the_last_is_wrong(&mut Quotas::default(), &entries, "holds 3 tasks");
        let by_cpu = [vec![job(1, JobSpec::default()), quota(None, Some(600))], vec![one(0), one(1)], vec![one(2)]];
        only_the_last_is_wrong(&mut Quotas::default(), &by_cpu, "holds 750 milli-CPUs");
    }

    #[test]
    fn a_cap_may_be_lowered_under_what_runs() {
        let first = vec![job(1, JobSpec::default()), quota(Some(3), None)];
        let entries = [
            first,
            vec![one(0), one(1)],
            // Placed, and lowered after that, in one entry.
            vec![quota(Some(1), None), one(2)],
            vec![ended(task(1, 0))],
        ];
        assert!(judge(&mut Quotas::default(), &entries).iter().all(Result::is_ok));
    }
}
