//! Assignment sets of one worker's session. Comes in: hot state and session events. Goes out: `FullSet` and `Delta` messages, with
//! each job's spec the first time the session needs it. Knows no channel and no clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloudai_core::Hot;
use cloudai_core::command::AttemptState;
use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, JobId, TaskId, WorkerId, limits};

/// What one session's worker remembers of specs: the last so many, in the order of sending. Both sides count alike.
#[derive(Default)]
pub struct SentSpecs {
    order: VecDeque<JobId>,
    known: BTreeSet<JobId>,
}

impl SentSpecs {
    /// True when the spec must be sent now; it is then remembered as sent.
    pub fn must_send(&mut self, job: JobId) -> bool {
        if !self.known.insert(job) {
            return false;
        }
        self.order.push_back(job);
        if self.order.len() > limits::SESSION_SPECS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// Job, attempt number, assignment index, phase, memory where it is more than the spec says.
type GroupKey = (JobId, u32, u64, i32, u32);

/// Collects attempts into the groups that travel.
#[derive(Default)]
pub struct Groups {
    add: BTreeMap<GroupKey, Vec<u32>>,
    stop: BTreeMap<(JobId, u32, i32), Vec<u32>>,
}

impl Groups {
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.stop.is_empty()
    }

    /// A new assignment, made at `index`.
    pub fn assigned(&mut self, index: u64, attempts: &[AttemptId]) {
        for a in attempts {
            self.add.entry((a.task.job, a.number, index, 0, 0)).or_default().push(a.task.index);
        }
    }

    /// Attempts that must end, and why. One that lives, of a job that is not cancelled, on a worker that is not evicted (any more), need not.
    pub fn withdrawn(&mut self, hot: &Hot, attempts: &[AttemptId]) {
        use pb::stop_group::Why;
        for a in attempts {
            let job = hot.jobs.get(&a.task.job);
            let live = job.and_then(|job| Some((job, job.active.get(&a.task.index)?)));
            let why = match live.filter(|(_, attempt)| attempt.number == a.number) {
                None => Why::Lost,
                Some((job, _)) if job.cancel_requested => Why::Cancelled,
                Some((_, attempt)) if hot.workers.get(&attempt.worker).is_some_and(|w| w.evicting) => Why::Preempted,
                Some(_) => continue,
            };
            self.stop.entry((a.task.job, a.number, why as i32)).or_default().push(a.task.index);
        }
    }

    /// Everything live on `worker`.
    pub fn all_of(hot: &Hot, worker: WorkerId) -> Groups {
        let mut groups = Groups::default();
        let Some(w) = hot.workers.get(&worker) else { return groups };
        for task in &w.active {
            let Some(job) = hot.jobs.get(&task.job) else { continue };
            let Some(a) = job.active.get(&task.index) else { continue };
            // What only stores its results holds nothing, and may go on.
            if job.cancel_requested || (w.evicting && a.state < AttemptState::Storing) {
                groups.withdrawn(hot, &[AttemptId { task: *task, number: a.number }]);
            } else {
                let key = (task.job, a.number, a.assigned_index, a.state as i32, 0);
                groups.add.entry(key).or_default().push(task.index);
            }
        }
        groups
    }

    /// Takes out assignments of jobs that are no longer alive, and tells apart those that were given more memory than their spec says.
    pub fn settle(&mut self, hot: &Hot) {
        self.add.retain(|key, _| hot.jobs.contains_key(&key.0));
        let with_rules: Vec<GroupKey> = self.add.keys().filter(|key| hot.retry.contains_key(&key.0)).copied().collect();
        for key in with_rules {
            let (job, number, index, phase, _) = key;
            for task in self.add.remove(&key).unwrap_or_default() {
                let attempt = hot.attempt(TaskId { job, index: task }).filter(|attempt| attempt.number == number);
                let memory_mib = attempt.map_or(0, |attempt| attempt.memory_mib);
                self.add.entry((job, number, index, phase, memory_mib)).or_default().push(task);
            }
        }
    }

    /// The jobs whose specs the worker needs and was not sent yet. Each of them must be sent.
    pub fn new_specs(&self, sent: &mut SentSpecs) -> Vec<JobId> {
        let mut jobs: Vec<JobId> = self.add.keys().map(|k| k.0).collect();
        jobs.dedup();
        jobs.retain(|job| sent.must_send(*job));
        jobs
    }

    pub fn into_messages(self) -> (Vec<pb::AssignmentGroup>, Vec<pb::StopGroup>) {
        let group = |((job, number, assigned_index, phase, memory_mib), indexes): (GroupKey, Vec<u32>)| {
            pb::AssignmentGroup { job: job.0, number, indexes, assigned_index, phase, memory_mib }
        };
        let add = self.add.into_iter().map(group);
        let stop = self.stop.into_iter().map(|((job, number, why), indexes)| pb::StopGroup {
            job: job.0,
            number,
            indexes,
            why,
        });
        (add.collect(), stop.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_sent_once_until_the_worker_has_forgotten_it() {
        let mut sent = SentSpecs::default();
        assert!(sent.must_send(JobId(1)));
        assert!(!sent.must_send(JobId(1)));
        for n in 2..=limits::SESSION_SPECS_MAX as u64 + 1 {
            assert!(sent.must_send(JobId(n)));
        }
        assert!(sent.must_send(JobId(1)), "it was the oldest and has been forgotten");
    }

    #[test]
    fn indexes_of_one_job_share_a_group() {
        let mut groups = Groups::default();
        groups.assigned(9, &[AttemptId::new(JobId(1), 4, 1), AttemptId::new(JobId(1), 5, 1)]);
        groups.assigned(9, &[AttemptId::new(JobId(2), 0, 3)]);
        assert_eq!(groups.new_specs(&mut SentSpecs::default()), [JobId(1), JobId(2)]);
        let (add, stop) = groups.into_messages();
        assert!(stop.is_empty());
        let shape: Vec<_> = add.iter().map(|g| (g.job, g.number, g.indexes.clone(), g.assigned_index)).collect();
        assert_eq!(shape, [(1, 1, vec![4, 5], 9), (2, 3, vec![0], 9)]);
    }
}
