//! Is this a schedule at all? Comes in: jobs and when each of them started. Goes out: the first rule that it breaks. It shares
//! nothing with the engine, so that a mistake there is seen here.

use crate::trace::Job;

/// A rule, and who broke it when. Jobs are named by their ids.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    #[error("job {job} started at {at_s} s, before it was submitted")]
    Early { job: u64, at_s: u64 },
    #[error("job {job} started at {at_s} s, before job {parent} had ended")]
    BeforeParent { job: u64, parent: u64, at_s: u64 },
    #[error("job {job} started at {at_s} s, when there was no room for it")]
    Overfull { job: u64, at_s: u64 },
    #[error("job {job} started or ended twice, at {at_s} s")]
    Twice { job: u64, at_s: u64 },
    #[error("job {job} never started")]
    Never { job: u64 },
}

/// Checks a finished schedule from the beginning.
///
/// # Errors
/// The earliest offence against capacity; others by the order of the jobs.
pub fn schedule(jobs: &[Job], capacity: u32, start_s: &[u64]) -> Result<(), Broken> {
    // (time, 0 for an ending and 1 for a start, place): what ends at an instant makes room for what starts at it.
    let mut events = Vec::with_capacity(2 * jobs.len());
    for (place, job) in jobs.iter().enumerate() {
        let Some(at_s) = start_s.get(place).copied() else { return Err(Broken::Never { job: job.id }) };
        if at_s < job.submit_s {
            return Err(Broken::Early { job: job.id, at_s });
        }
        for parent in &job.parents {
            let before = &jobs[*parent as usize];
            if start_s.get(*parent as usize).is_none_or(|parent_s| parent_s + before.run_s > at_s) {
                return Err(Broken::BeforeParent { job: job.id, parent: before.id, at_s });
            }
        }
        events.push((at_s, 1, place));
        events.push((at_s + job.run_s, 0, place));
    }
    events.sort_unstable();
    let mut used = 0u64;
    for (at_s, is_start, place) in events {
        let job = &jobs[place];
        if is_start == 0 {
            used -= u64::from(job.processors);
            continue;
        }
        used += u64::from(job.processors);
        if used > u64::from(capacity) {
            return Err(Broken::Overfull { job: job.id, at_s });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, submit_s: u64, processors: u32, parents: &[u32]) -> Job {
        Job {
            id,
            submit_s,
            run_s: 10,
            requested_s: 10,
            processors,
            user: 0,
            deadline_s: None,
            parents: parents.to_vec(),
        }
    }

    #[test]
    fn each_rule_is_seen_when_it_is_broken() {
        let jobs = [job(1, 0, 3, &[]), job(2, 5, 2, &[]), job(3, 0, 1, &[0])];
        for (starts, expected) in [
            (&[0, 10, 10][..], Ok(())),
            (&[0, 4, 10], Err(Broken::Early { job: 2, at_s: 4 })),
            (&[0, 9, 10], Err(Broken::Overfull { job: 2, at_s: 9 })),
            (&[0, 10, 9], Err(Broken::BeforeParent { job: 3, parent: 1, at_s: 9 })),
            (&[0, 10], Err(Broken::Never { job: 3 })),
        ] {
            assert_eq!(schedule(&jobs, 4, starts), expected, "{starts:?}");
        }
    }
}
