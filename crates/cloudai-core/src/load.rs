//! Hot state from rows (I9). Comes in: scans of what is alive. Goes out: the same [`Hot`] that [`crate::apply`] had when it
//! wrote these rows. It reads no history: ended jobs are neither scanned nor read.

use std::cmp::Ordering;
use std::io;

use cloudai_types::{HourlyPrice, JobId, NamespaceId, WorkerId};
use prost::Message;

use crate::apply::new_job;
use crate::bits::Bits;
use crate::command::AttemptState;
use crate::hot::{ActiveAttempt, Hot, Waiting, Worker, raised};
use crate::rows::{
    AliveRow, AttemptRow, CLUSTER_KEY, ClusterRow, Family, GateRow, HoldRow, JobRow, MasterRow, MemberRow,
    NamespaceRow, RowScan, ScheduleRow, SecretRow, TemplateRow, WaitingRow, WorkerRow, WorkerState, job_key,
    name_of_key, task_of_key,
};
use crate::tenants::Tenant;
use crate::workflows::Hold;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the state's rows cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(
        "the state's row {family:?} {key:02x?} is damaged ({problem}): this master's disk cannot be trusted, remove the node and join a new one"
    )]
    Damaged { family: Family, key: Vec<u8>, problem: String },
}

/// Rebuilds hot state. Without any row: the state before the first log entry.
pub fn load(rows: &impl RowScan) -> Result<Hot, LoadError> {
    let mut hot = Hot::default();
    each_row(rows, Family::Cluster, |key, row: ClusterRow| {
        if key != CLUSTER_KEY {
            return Err("an unknown key".to_owned());
        }
        set_cluster(&mut hot, row);
        Ok(())
    })?;
    each_row(rows, Family::Namespace, |key, row: NamespaceRow| {
        let id = NamespaceId(u32::from_be_bytes(number(key)?));
        hot.namespaces.insert(row.name.clone(), id);
        hot.tenants.insert(id, Tenant::load(row)?);
        Ok(())
    })?;
    each_row(rows, Family::Worker, |key, row: WorkerRow| {
        add_worker(&mut hot, WorkerId(u32::from_be_bytes(number(key)?)), row)
    })?;
    // Before the jobs: one that waits for others has nothing fresh.
    each_row(rows, Family::Hold, |key, row: HoldRow| add_hold(&mut hot, key, &row))?;
    each_row(rows, Family::Gate, |key, row: GateRow| {
        let id = JobId(u64::from_be_bytes(number(key)?));
        hot.workflows.settle_one_by_one(id, Bits::from_bytes(row.count, &row.settled));
        Ok(())
    })?;
    let mut touched = vec![];
    each_row(rows, Family::Alive, |key, row: AliveRow| {
        let id = JobId(u64::from_be_bytes(number(key)?));
        let job = new_job(&mut hot, id, row);
        if job.untouched {
            hot.backlog.moved(job.priority, job.shape, i64::from(job.counts.queued), 0);
            hot.tenants.waits(job.namespace, job.user, job.counts.queued.into());
            hot.queue.insert(&job, job.shape, id);
        } else {
            touched.push((job.namespace, id));
        }
        hot.jobs.insert(id, job);
        Ok(())
    })?;
    touched.sort_unstable();
    let keys: Vec<_> = touched.iter().map(|(namespace, id)| job_key(*namespace, *id)).collect();
    each_wanted(rows, Family::Job, &keys, |key, row: JobRow| {
        let (_, id) = key.split_first_chunk::<4>().ok_or("its key is no job's")?;
        set_progress(&mut hot, JobId(u64::from_be_bytes(number(id)?)), row)
    })?;
    each_row(rows, Family::Waiting, |key, row: WaitingRow| add_waiting(&mut hot, key, row))?;
    each_row(rows, Family::Attempt, |key, row: AttemptRow| add_attempt(&mut hot, key, row))?;
    each_row(rows, Family::Member, |key, row: MemberRow| {
        let (role, name) = key.split_first().ok_or("an empty key")?;
        if row.revoked {
            hot.revoked.insert((*role, std::str::from_utf8(name).map_err(|e| e.to_string())?.to_owned()));
        }
        Ok(())
    })?;
    each_row(rows, Family::Master, |key, row: MasterRow| {
        hot.masters.insert(u64::from_be_bytes(number(key)?), row);
        Ok(())
    })?;
    each_row(rows, Family::Secret, |key, _: SecretRow| {
        let (namespace, _) = key.split_first_chunk::<4>().ok_or("its key has no namespace")?;
        *hot.secrets.entry(NamespaceId(u32::from_be_bytes(*namespace))).or_default() += 1;
        Ok(())
    })?;
    each_row(rows, Family::Schedule, |key, row: ScheduleRow| {
        let (namespace, name) = name_of_key(key).ok_or("its key has no namespace and name")?;
        hot.schedules.set(namespace, name, &row);
        Ok(())
    })?;
    each_row(rows, Family::Template, |key, _: TemplateRow| {
        let (namespace, _) = name_of_key(key).ok_or("its key has no namespace and name")?;
        *hot.templates.entry(namespace).or_default() += 1;
        Ok(())
    })?;
    for (_, id) in touched {
        if let Some(job) = hot.jobs.get(&id).filter(|job| job.has_ready()) {
            hot.queue.insert(job, job.shape, id);
        }
    }
    Ok(hot)
}

/// Decodes each row of a family; stops at the first that is damaged.
fn each_row<M: Message + Default>(
    rows: &impl RowScan,
    family: Family,
    mut each: impl FnMut(&[u8], M) -> Result<(), String>,
) -> Result<(), LoadError> {
    let mut damage = None;
    rows.scan(family, &[], &mut |key, value| {
        damage = taken(family, key, value, &mut each).err();
        damage.is_none()
    })?;
    damage.map_or(Ok(()), Err)
}

fn taken<M: Message + Default>(
    family: Family,
    key: &[u8],
    value: &[u8],
    each: &mut impl FnMut(&[u8], M) -> Result<(), String>,
) -> Result<(), LoadError> {
    let done = M::decode(value).map_err(|e| e.to_string()).and_then(|row| each(key, row));
    done.map_err(|problem| LoadError::Damaged { family, key: key.to_vec(), problem })
}

/// So many rows that nobody asked for are walked over before it is cheaper to look for the next one from the top.
const WALK_MAX: u32 = 32;

/// Decodes the rows with these keys, which are in order and must all be there. Most neighbours of a wanted row are wanted too: it
/// walks from one to the next, which costs a tenth of a look-up, and jumps where many others lie between.
fn each_wanted<const N: usize, M: Message + Default>(
    rows: &impl RowScan,
    family: Family,
    wanted: &[[u8; N]],
    mut each: impl FnMut(&[u8], M) -> Result<(), String>,
) -> Result<(), LoadError> {
    let missing = |key: &[u8]| LoadError::Damaged {
        family,
        key: key.to_vec(),
        problem: "it is not there, but others need it".to_owned(),
    };
    let mut left = wanted;
    while let Some(first) = left.first() {
        let (mut damage, mut between) = (None, 0);
        let before = left.len();
        rows.scan(family, first, &mut |key, value| {
            let Some((next, rest)) = left.split_first() else { return false };
            match key.cmp(next) {
                Ordering::Less => between += 1,
                Ordering::Equal => {
                    (left, between) = (rest, 0);
                    damage = taken(family, key, value, &mut each).err();
                }
                Ordering::Greater => damage = Some(missing(next)),
            }
            damage.is_none() && between <= WALK_MAX
        })?;
        if let Some(damage) = damage {
            return Err(damage);
        }
        if left.len() == before {
            return Err(missing(first));
        }
    }
    Ok(())
}

fn number<const N: usize>(key: &[u8]) -> Result<[u8; N], String> {
    key.try_into().map_err(|_| format!("its key has {} bytes, not {N}", key.len()))
}

fn set_cluster(hot: &mut Hot, row: ClusterRow) {
    let ClusterRow {
        cluster,
        incarnation,
        clock_ms,
        next_job,
        next_worker,
        next_node,
        next_namespace,
        version,
        config,
        digest,
        next_session,
    } = row;
    hot.cluster = cluster;
    hot.incarnation = incarnation;
    hot.clock_ms = clock_ms;
    hot.next_job = next_job;
    hot.next_worker = next_worker;
    hot.next_node = next_node;
    hot.next_namespace = next_namespace;
    hot.version = version;
    hot.config = config;
    hot.digest = digest;
    hot.next_session = next_session;
}

fn add_worker(hot: &mut Hot, id: WorkerId, row: WorkerRow) -> Result<(), String> {
    let state = WorkerState::try_from(row.state).map_err(|e| e.to_string())?;
    hot.worker_names.insert(row.name.clone(), id);
    let worker = Worker {
        name: row.name,
        state,
        draining: row.draining,
        capacity: row.capacity,
        drain_deadline_ms: row.drain_deadline_ms,
        evicting: row.evicting,
        leaving: row.leaving,
        metrics_addr: row.metrics_addr,
        reserved: row.reserved,
        price: HourlyPrice(row.price_micros),
        used: Default::default(),
        labels: row.labels,
        assigned_labels: row.assigned_labels,
        taints: row.taints,
        session: row.session,
        registered_ms: row.registered_ms,
        software: row.software,
        active: Default::default(),
    };
    hot.drains.extend(worker.evicts_at_ms().map(|at_ms| (at_ms, id)));
    hot.workers.insert(id, worker);
    Ok(())
}

/// How far a live job has come that is not as its submit made it.
fn set_progress(hot: &mut Hot, id: JobId, row: JobRow) -> Result<(), String> {
    let job = hot.jobs.get_mut(&id).ok_or("its job is not alive")?;
    job.counts = row.counts;
    let (queued, active) = (i64::from(job.counts.queued), i64::from(job.counts.active));
    hot.backlog.moved(job.priority, job.shape, queued, active);
    hot.tenants.waits(job.namespace, job.user, queued + i64::from(row.blocked));
    job.started_ms = row.started_ms;
    job.cancel_requested = row.cancel_requested;
    job.fresh.start = row.next_fresh;
    if let Some(member) = hot.workflows.member_mut(id) {
        (member.released_ms, member.unmet) = (row.released_ms, row.unmet);
    }
    if let Some(fall) = row.fall {
        hot.gangs.begin_fall(id, fall);
    }
    if row.released_ms > 0 {
        hot.queue_limits.begin(id, row.released_ms);
    }
    if row.cancel_requested {
        // What was fresh then was cancelled without rows.
        job.fresh.end = row.next_fresh;
    }
    if row.queue_expired_ms > 0 {
        // What was fresh then has failed without rows.
        job.fresh.end = row.next_fresh;
        hot.queue_limits.expire(id, row.queue_expired_ms);
    }
    if job.fresh.is_empty() {
        hot.queue_limits.settle(id);
    }
    Ok(())
}

fn add_hold(hot: &mut Hot, key: &[u8], row: &HoldRow) -> Result<(), String> {
    let key: [u8; 16] = number(key)?;
    let (job, waits_for) = key.split_at(8);
    let id = |bytes: &[u8]| Ok::<_, String>(JobId(u64::from_be_bytes(number(bytes)?)));
    let hold = Hold::from_row(row).ok_or("it waits for nothing that is known")?;
    hot.workflows.hold(id(job)?, id(waits_for)?, hold);
    Ok(())
}

fn attempts(n: u32) -> Result<u16, String> {
    u16::try_from(n).map_err(|_| format!("it has {n} attempts"))
}

fn losses(n: u32) -> Result<u8, String> {
    u8::try_from(n).map_err(|_| format!("it has {n} losses"))
}

fn add_waiting(hot: &mut Hot, key: &[u8], row: WaitingRow) -> Result<(), String> {
    let (_, task) = task_of_key(key).ok_or("its key is no task's")?;
    let job = hot.jobs.get(&task.job).ok_or("its job is not alive")?;
    // It is counted with its job's queued tasks already; it may belong to another shape.
    hot.backlog.moved(job.priority, job.shape, -1, 0);
    let waiting = Waiting {
        not_before_ms: row.not_before_ms,
        next_number: row.next_number,
        memory_mib: row.memory_mib,
        attempts_used: attempts(row.attempts_used)?,
        losses: losses(row.losses)?,
        ..Waiting::default()
    };
    hot.add_waiting(task, waiting.avoiding(&row.never_workers, row.avoid_worker));
    Ok(())
}

fn add_attempt(hot: &mut Hot, key: &[u8], row: AttemptRow) -> Result<(), String> {
    let (_, task) = task_of_key(key).ok_or("its key is no task's")?;
    let job = hot.jobs.get_mut(&task.job).ok_or("its job is not alive")?;
    let AttemptRow {
        number,
        worker,
        state,
        assigned_index,
        assigned_ms,
        started_ms,
        attempts_used,
        losses,
        memory_mib,
        released,
        preempted,
    } = row;
    let state = AttemptState::try_from(state).map_err(|e| e.to_string())?;
    let worker = WorkerId(worker);
    let host = hot.workers.get_mut(&worker).ok_or("its worker is not known")?;
    if let Some(shape) = hot.shapes.get(job.shape)
        && !released
    {
        let needs = raised(&shape.resources, memory_mib);
        host.used = host.used.plus(&needs);
        let tenant = hot.tenants.get_mut(job.namespace).ok_or("its namespace is not known")?;
        tenant.take(job.user, &needs, None);
    }
    host.active.insert(task);
    let attempt = ActiveAttempt {
        number,
        worker,
        state,
        assigned_index,
        assigned_ms,
        started_ms,
        attempts_used: attempts(attempts_used)?,
        losses: self::losses(losses)?,
        memory_mib,
        released,
        preempted,
    };
    job.active.insert(task.index, attempt);
    let is_keeper = hot.shapes.get(job.shape).is_some_and(|shape| shape.keeps_others_away());
    hot.job_labels.begin(job.namespace, task.job, is_keeper);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemRows;
    use crate::rows::{Write, alive_key};

    /// Rows 0, 2, 4, … 998; what `wanted` comes to: the rows found, or the key that is missing.
    fn found(wanted: &[u16]) -> Result<Vec<u32>, Vec<u8>> {
        let mut rows = MemRows::default();
        let row = |n: u16| JobRow { next_fresh: n.into(), ..JobRow::default() }.encode_to_vec();
        let write = |n: u16| Write { family: Family::Job, key: n.to_be_bytes().to_vec(), value: Some(row(n)) };
        rows.write((0..1_000).step_by(2).map(write).collect());
        let keys: Vec<[u8; 2]> = wanted.iter().map(|n| n.to_be_bytes()).collect();
        let mut seen = vec![];
        let walked = each_wanted(&rows, Family::Job, &keys, |_, row: JobRow| {
            seen.push(row.next_fresh);
            Ok(())
        });
        match walked {
            Ok(()) => Ok(seen),
            Err(LoadError::Damaged { key, .. }) => Err(key),
            Err(LoadError::Io(e)) => panic!("{e}"),
        }
    }

    #[test]
    fn a_start_reads_no_progress_of_a_job_that_is_untouched() {
        let loaded = |untouched| {
            let mut rows = MemRows::default();
            let row = AliveRow { namespace: 1, count: 3, priority: 5, untouched, ..AliveRow::default() };
            let key = alive_key(JobId(1)).to_vec();
            rows.write(vec![Write { family: Family::Alive, key, value: Some(row.encode_to_vec()) }]);
            load(&rows)
        };
        let hot = loaded(true).expect("the row of the job itself is not needed");
        let job = &hot.jobs[&JobId(1)];
        assert_eq!((job.counts.queued, hot.backlog.queued(), job.fresh.clone()), (3, 3, 0..3));
        assert!(matches!(loaded(false), Err(LoadError::Damaged { family: Family::Job, .. })));
    }

    #[test]
    fn wanted_rows_are_found_near_and_far() {
        assert_eq!(found(&[]), Ok(vec![]));
        assert_eq!(found(&[0, 2, 4, 20, 500, 502, 998]), Ok(vec![0, 2, 4, 20, 500, 502, 998]));
        assert_eq!(found(&(0..1_000).step_by(2).collect::<Vec<_>>()).map(|all| all.len()), Ok(500));
    }

    #[test]
    fn a_wanted_row_that_is_not_there_is_named() {
        for missing in [1, 3, 501, 999] {
            let mut wanted = vec![0, 4, missing];
            wanted.sort_unstable();
            assert_eq!(found(&wanted), Err(missing.to_be_bytes().to_vec()));
        }
    }
}
