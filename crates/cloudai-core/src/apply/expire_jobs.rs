//! Ended jobs whose retention is over are removed. The leader names candidates; each is checked again.
//!
//! A large array goes in steps: its own rows leave first, so that nobody sees half of it, and an [`ExpiringRow`] says which tasks' rows are
//! still to go. Tasks are removed by number, without reading: only indexes below `next_fresh` ever had a row.
//!
//! Jobs of a workflow leave when all of it has ended for long enough: what lives may need the results of what has ended. The workflow's own rows
//! go with the first of its jobs, so that nobody sees half of it.

use cloudai_types::{JobId, NamespaceId, TaskId, limits};

use super::out::Out;
use super::workflow_record;
use crate::command::ExpireJobs;
use crate::reply::Reply;
use crate::rows::{ExpiringRow, Family, JobNotesRow, JobRow, job_key, task_key};

pub fn expire_jobs(out: &mut Out, command: ExpireJobs) -> Reply {
    let until_ms = command.ended_until_ms.min(out.clock_ms);
    let (mut jobs, mut room) = (0, limits::EXPIRE_ROWS_MAX);
    for candidate in command.jobs {
        if room == 0 {
            break;
        }
        let (namespace, job) = (NamespaceId(candidate.namespace), JobId(candidate.job));
        let key = job_key(namespace, job);
        // `true`: an earlier command has begun it.
        let (rest, begun) = match out.read::<JobRow>(Family::Job, &key) {
            Some(row)
                if row.ended_ms > 0
                    && row.ended_ms <= until_ms
                    && workflow_record::may_leave(out, namespace, row.workflow, until_ms) =>
            {
                out.delete(Family::Job, &key);
                out.delete(Family::JobSpec, &key);
                jobs += 1;
                room = room.saturating_sub(2);
                if out.read::<JobNotesRow>(Family::JobNotes, &key).is_some() {
                    out.delete(Family::JobNotes, &key);
                    room = room.saturating_sub(1);
                }
                (ExpiringRow { next: 0, end: row.next_fresh, some_dead: row.counts.dead > 0 }, false)
            }
            // It lives, or it ended a short time ago, or somebody of its workflow did.
            Some(_) => continue,
            None => match out.read::<ExpiringRow>(Family::Expiring, &key) {
                Some(rest) => (rest, true),
                None => continue,
            },
        };
        let removed = remove_tasks(out, namespace, job, rest, room);
        room = room.saturating_sub(removed);
        let next = rest.next.saturating_add(removed);
        if next < rest.end {
            out.put(Family::Expiring, &key, &ExpiringRow { next, ..rest });
        } else if begun {
            out.delete(Family::Expiring, &key);
        }
    }
    Reply::JobsExpired { jobs, rows: limits::EXPIRE_ROWS_MAX - room }
}

/// At most `room` of the rest; says how many.
fn remove_tasks(out: &mut Out, namespace: NamespaceId, job: JobId, rest: ExpiringRow, room: u32) -> u32 {
    let end = rest.end.min(rest.next.saturating_add(room));
    for index in rest.next..end {
        let key = task_key(namespace, TaskId { job, index });
        out.delete(Family::Task, &key);
        if rest.some_dead {
            out.delete(Family::Dead, &key);
        }
    }
    end.saturating_sub(rest.next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, ExpiringJob, Kind, Proposal};
    use crate::hot::Hot;
    use crate::memory::MemRows;
    use crate::rows::{JobSpecRow, TaskRow, Write};
    use prost::Message;

    const KEY: (NamespaceId, JobId) = (NamespaceId(1), JobId(7));

    /// A job that ended at 5, with a row per task.
    fn ended_job(tasks: u32) -> MemRows {
        let (namespace, job) = KEY;
        let mut rows = MemRows::default();
        let own = JobRow { next_fresh: tasks, ended_ms: 5, ..JobRow::default() };
        let mut writes = vec![
            Write { family: Family::Job, key: job_key(namespace, job).to_vec(), value: Some(own.encode_to_vec()) },
            Write {
                family: Family::JobSpec,
                key: job_key(namespace, job).to_vec(),
                value: Some(JobSpecRow::default().encode_to_vec()),
            },
        ];
        writes.extend((0..tasks).map(|index| Write {
            family: Family::Task,
            key: task_key(namespace, TaskId { job, index }).to_vec(),
            value: Some(TaskRow::default().encode_to_vec()),
        }));
        rows.write(writes);
        rows
    }

    /// One command at time 100; its reply and how many rows it wrote.
    fn expire(hot: &mut Hot, rows: &mut MemRows, ended_until_ms: u64) -> (Reply, usize) {
        let jobs = vec![ExpiringJob { namespace: KEY.0.0, job: KEY.1.0 }];
        let command = Command::new("leader", Kind::ExpireJobs(ExpireJobs { jobs, ended_until_ms }));
        let proposal = Proposal { version: command.since(), at_ms: 100, commands: vec![command] };
        let applied = crate::apply::apply(hot, rows, 1, proposal).expect("a known command");
        let written = applied.writes.len() - 1; // without the cluster's own row
        rows.write(applied.writes);
        (applied.replies[0].clone(), written)
    }

    #[test]
    fn a_large_array_goes_in_bounded_steps_and_is_hidden_at_once() {
        let max = limits::EXPIRE_ROWS_MAX;
        let (mut hot, mut rows) = (Hot::default(), ended_job(2 * max));
        let step = |jobs, rows| Reply::JobsExpired { jobs, rows };
        assert_eq!(expire(&mut hot, &mut rows, 5), (step(1, max), max as usize + 1));
        assert_eq!(rows.keys(Family::Job).count() + rows.keys(Family::JobSpec).count(), 0);
        assert_eq!(rows.keys(Family::Task).count(), max as usize + 2);
        assert_eq!(expire(&mut hot, &mut rows, 5).0, step(0, max));
        assert_eq!(expire(&mut hot, &mut rows, 5).0, step(0, 2));
        assert_eq!(rows.rows.len(), 1, "only the cluster's row is left: {:?}", rows.rows.keys());
        assert_eq!(expire(&mut hot, &mut rows, 5), (step(0, 0), 0));
    }

    #[test]
    fn what_ended_later_stays_whatever_the_command_says() {
        let (mut hot, mut rows) = (Hot::default(), ended_job(3));
        assert_eq!(expire(&mut hot, &mut rows, 4).0, Reply::JobsExpired { jobs: 0, rows: 0 });
        assert_eq!(rows.keys(Family::Task).count(), 3);
        assert_eq!(expire(&mut hot, &mut rows, u64::MAX).0, Reply::JobsExpired { jobs: 1, rows: 5 });
    }
}
