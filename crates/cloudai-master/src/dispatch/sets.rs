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

    /// What no worker has begun yet, as far as the state knows: at most as much of each job as has spans.
    pub fn unsent(&self) -> Vec<AttemptId> {
        let assigned = self.add.iter().filter(|(key, _)| key.3 == AttemptState::Assigned as i32);
        let attempts = assigned.flat_map(|((job, number, ..), indexes)| {
            let traced = indexes.iter().filter(|index| **index < limits::TRACED_TASKS_OF_JOB);
            traced.map(|index| AttemptId::new(*job, *index, *number))
        });
        attempts.collect()
    }

    /// Attempts that must end, and why. One that lives, of a job that is not cancelled and no gang that falls, on a worker that is not evicted
    /// (any more), need not.
    pub fn withdrawn(&mut self, hot: &Hot, attempts: &[AttemptId]) {
        use pb::stop_group::Why;
        for a in attempts {
            let job = hot.jobs.get(&a.task.job);
            let live = job.and_then(|job| Some((job, job.active.get(&a.task.index)?)));
            let why = match live.filter(|(_, attempt)| attempt.number == a.number) {
                None => Why::Lost,
                Some((job, _)) if job.cancel_requested => Why::Cancelled,
                Some((_, attempt)) if hot.workers.get(&attempt.worker).is_some_and(|w| w.evicting) => Why::Preempted,
                Some((_, attempt)) if attempt.preempted || hot.gangs.fall(a.task.job).is_some() => Why::Preempted,
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
            let makes_room = w.evicting || a.preempted || hot.gangs.fall(task.job).is_some();
            if job.cancel_requested || (makes_room && a.state < AttemptState::Storing) {
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

    /// A worker with two attempts of one job: one runs, one stores its results.
    fn evicted(evicting: bool) -> Hot {
        use cloudai_core::command::*;
        use cloudai_core::memory::MemRows;
        use cloudai_types::{JobSpec, Resources};
        let (mut hot, mut rows) = (Hot::default(), MemRows::default());
        let capacity = Resources { cpu_milli: 8_000, ..Resources::default() };
        let spec = JobSpec { image: "busybox".into(), count: 2, ..JobSpec::default() };
        let (name, namespace) = ("w1".to_owned(), "default".to_owned());
        let authorize = Authorize { role: 0, name: name.clone(), secret_hash: vec![0; 32], labels: Default::default() };
        let report = |index, state: AttemptState| {
            let report = cloudai_core::command::AttemptReport {
                job: 1,
                index,
                number: 1,
                state: state as i32,
                ..Default::default()
            };
            Kind::ReportAttempts(ReportAttempts { worker: 1, session: 1, reports: vec![report] })
        };
        let groups = vec![PlaceGroup { job: 1, worker: 1, indexes: vec![0, 1] }];
        let kinds = [
            Kind::RaiseVersion(RaiseVersion { version: VERSION }),
            Kind::Authorize(authorize),
            Kind::RegisterWorker(RegisterWorker { worker: 1, capacity, ..RegisterWorker::default() }),
            Kind::SubmitJob(SubmitJob { namespace, spec, ..SubmitJob::default() }),
            Kind::PlaceTasks(PlaceTasks { groups }),
            report(0, AttemptState::Running),
            report(1, AttemptState::Storing),
            Kind::SetDrain(SetDrain { name, draining: true, deadline_ms: if evicting { 1_000 } else { 0 } }),
        ];
        let commands = kinds.into_iter().map(|kind| cloudai_core::Command::new("test", kind)).collect();
        let proposal = cloudai_core::Proposal { version: VERSION, at_ms: 1_000, commands };
        let applied = cloudai_core::apply(&mut hot, &rows, 1, proposal).expect("known commands");
        rows.write(applied.writes);
        hot
    }

    #[test]
    fn an_evicted_worker_is_told_to_stop_what_runs_and_to_keep_what_stores() {
        use pb::stop_group::Why;
        let told = |groups: Groups| {
            let (add, stop) = groups.into_messages();
            let add: Vec<u32> = add.into_iter().flat_map(|g| g.indexes).collect();
            let stop: Vec<(i32, Vec<u32>)> = stop.into_iter().map(|g| (g.why, g.indexes)).collect();
            (add, stop)
        };
        let both = [AttemptId::new(JobId(1), 0, 1), AttemptId::new(JobId(1), 1, 1)];
        let withdrawn = |hot: &Hot, attempts: &[AttemptId]| {
            let mut groups = Groups::default();
            groups.withdrawn(hot, attempts);
            told(groups).1
        };
        let hot = evicted(true);
        assert_eq!(told(Groups::all_of(&hot, WorkerId(1))), (vec![1], vec![(Why::Preempted as i32, vec![0])]));
        assert_eq!(withdrawn(&hot, &both[..1]), [(Why::Preempted as i32, vec![0])]);
        // It was resumed before the news of its eviction was sent: nothing that lives is stopped.
        let hot = evicted(false);
        assert_eq!(told(Groups::all_of(&hot, WorkerId(1))), (vec![0, 1], vec![]));
        assert_eq!(withdrawn(&hot, &both), []);
        assert_eq!(withdrawn(&hot, &[AttemptId::new(JobId(1), 0, 9)]), [(Why::Lost as i32, vec![0])]);
    }
}
