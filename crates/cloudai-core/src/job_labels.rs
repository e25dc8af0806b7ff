//! What live jobs are known by to the rules of other jobs. Comes in: each job with labels that begins or ceases to live, and each job that begins or
//! ceases to have attempts. Goes out: its labels, and which jobs of a namespace have attempts that a rule may be about. Which rules there are, and
//! where those attempts are, is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudai_types::{JobId, NamespaceId};

pub type Labels = BTreeMap<String, String>;

/// Those of all jobs. Empty but for jobs that have labels, or stay apart from others. Written by `apply` and `load` only.
#[derive(Clone, Debug, Default)]
pub struct JobLabels {
    /// Equal labels are kept once, with the number of jobs that have them.
    sets: BTreeMap<Arc<Labels>, u32>,
    of: BTreeMap<JobId, Arc<Labels>>,
    /// Of those with labels, the ones with a live attempt.
    placed: BTreeSet<(NamespaceId, JobId)>,
    /// Those with a live attempt whose rules keep other jobs away, with labels or without.
    keepers: BTreeSet<(NamespaceId, JobId)>,
}

impl JobLabels {
    /// `None`: it has none, or does not live.
    pub fn get(&self, job: JobId) -> Option<&Labels> {
        self.of.get(&job).map(Arc::as_ref)
    }

    /// True when no live job has labels: no rule can be about any.
    pub fn are_none(&self) -> bool {
        self.of.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (JobId, &Labels)> {
        self.of.iter().map(|(job, labels)| (*job, labels.as_ref()))
    }

    /// Jobs with labels that have a live attempt.
    pub fn placed(&self, namespace: NamespaceId) -> impl Iterator<Item = JobId> {
        within(&self.placed, namespace)
    }

    /// Jobs with a live attempt whose rules keep other jobs away.
    pub fn keepers(&self, namespace: NamespaceId) -> impl Iterator<Item = JobId> {
        within(&self.keepers, namespace)
    }

    /// Without labels: nothing.
    pub(crate) fn insert(&mut self, job: JobId, labels: Labels) {
        if labels.is_empty() {
            return;
        }
        let known = self.sets.get_key_value(&labels).map(|(known, _)| known.clone());
        let labels = known.unwrap_or_else(|| Arc::new(labels));
        *self.sets.entry(labels.clone()).or_default() += 1;
        self.of.insert(job, labels);
    }

    /// It lives no more. The last of its labels takes them with it.
    pub(crate) fn remove(&mut self, job: JobId) {
        let Some(labels) = self.of.remove(&job) else { return };
        let Some(users) = self.sets.get_mut(&labels) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.sets.remove(&labels);
        }
    }

    /// It has a live attempt. `is_keeper`: its rules keep other jobs away.
    pub(crate) fn begin(&mut self, namespace: NamespaceId, job: JobId, is_keeper: bool) {
        if self.of.contains_key(&job) {
            self.placed.insert((namespace, job));
        }
        if is_keeper {
            self.keepers.insert((namespace, job));
        }
    }

    /// It has none any more.
    pub(crate) fn end(&mut self, namespace: NamespaceId, job: JobId) {
        self.placed.remove(&(namespace, job));
        self.keepers.remove(&(namespace, job));
    }

    /// What is kept beside the labels of each job, for the invariants: how many have each set, who is placed, who keeps others away.
    pub(crate) fn kept(&self) -> Kept<'_> {
        (self.sets.iter().map(|(set, users)| (set.as_ref(), *users)).collect(), &self.placed, &self.keepers)
    }
}

pub(crate) type Kept<'a> =
    (BTreeMap<&'a Labels, u32>, &'a BTreeSet<(NamespaceId, JobId)>, &'a BTreeSet<(NamespaceId, JobId)>);

fn within(jobs: &BTreeSet<(NamespaceId, JobId)>, namespace: NamespaceId) -> impl Iterator<Item = JobId> {
    jobs.range((namespace, JobId(0))..=(namespace, JobId(u64::MAX))).map(|(_, job)| *job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(app: &str) -> Labels {
        BTreeMap::from([("app".to_owned(), app.to_owned())])
    }

    #[test]
    fn equal_labels_are_kept_once_while_a_job_has_them() {
        let mut known = JobLabels::default();
        for (job, app) in [(1, "db"), (2, "db"), (3, "web")] {
            known.insert(JobId(job), labels(app));
        }
        known.insert(JobId(4), Labels::new());
        assert!(std::ptr::eq(known.get(JobId(1)).unwrap(), known.get(JobId(2)).unwrap()));
        assert_eq!((known.sets.len(), known.get(JobId(4))), (2, None));
        known.remove(JobId(1));
        known.remove(JobId(1));
        assert_eq!(known.sets.values().copied().collect::<Vec<_>>(), [1, 1]);
        known.remove(JobId(2));
        known.remove(JobId(3));
        assert!(known.are_none() && known.sets.is_empty());
    }

    #[test]
    fn who_has_attempts_is_known_by_namespace() {
        let (ours, theirs) = (NamespaceId(1), NamespaceId(2));
        let mut known = JobLabels::default();
        known.insert(JobId(1), labels("db"));
        known.insert(JobId(2), labels("db"));
        known.begin(ours, JobId(1), false);
        known.begin(theirs, JobId(2), true);
        known.begin(ours, JobId(3), true);
        known.begin(ours, JobId(4), false);
        let of =
            |namespace| (known.placed(namespace).collect::<Vec<_>>(), known.keepers(namespace).collect::<Vec<_>>());
        assert_eq!(of(ours), (vec![JobId(1)], vec![JobId(3)]));
        assert_eq!(of(theirs), (vec![JobId(2)], vec![JobId(2)]));
        known.end(theirs, JobId(2));
        assert_eq!(known.placed(theirs).chain(known.keepers(theirs)).count(), 0);
    }
}
