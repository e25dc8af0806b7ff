//! I9: everything can be rebuilt from the rows: what a restart would load is what the master has.

use std::collections::BTreeSet;
use std::fmt::Write;

use cloudai_core::Hot;
use cloudai_core::hot::ShapeId;
use cloudai_core::invariants::Violation as CoreFault;
use cloudai_core::users::UserId;

use super::{Invariant, MasterView, Verdict};

#[derive(Default)]
pub struct Rebuild;

impl Invariant for Rebuild {
    fn name(&self) -> &'static str {
        "I9"
    }

    fn on_state(&mut self, master: &MasterView, hot: &Hot, _: &[CoreFault]) -> Verdict {
        let loaded = cloudai_core::load::load(&master.rows.rows()).map_err(|e| format!("the rows do not load: {e}"))?;
        let (has, would_have) = (text(hot), text(&loaded));
        match has.lines().zip(would_have.lines()).find(|(a, b)| a != b) {
            None if has.len() == would_have.len() => Ok(()),
            None => Err(format!("m{}: a restart would load another state", master.host)),
            Some((a, b)) => Err(format!("m{}: has '{a}', a restart would load '{b}'", master.host)),
        }
    }
}

/// Two equal states share it: shapes by value, since their numbers are a process's own.
fn text(hot: &Hot) -> String {
    let mut out = String::new();
    let mut line = |what: std::fmt::Arguments| writeln!(out, "{what}").expect("a string takes it");
    line(format_args!("{} {} {} {:016x}", hot.cluster, hot.incarnation, hot.clock_ms, hot.digest));
    line(format_args!("{} {} {} {}", hot.next_job, hot.next_worker, hot.next_node, hot.next_session));
    for (id, job) in &hot.jobs {
        let user = hot.user_name(job);
        let mut job = job.clone();
        let shape = std::mem::replace(&mut job.shape, ShapeId(0));
        job.user = UserId::NOBODY;
        line(format_args!("{id:?} {user:?} {:?} {job:?}", hot.shapes.get(shape)));
    }
    let mut queued = vec![];
    for (namespace, levels) in hot.queue.namespaces() {
        for (priority, level) in levels.iter() {
            for (shape, line) in level.lines() {
                let jobs: BTreeSet<_> = line.users().flat_map(|(_, jobs)| jobs).collect();
                queued.push(format!("{namespace:?} {priority} {:?} {jobs:?}", hot.shapes.get(shape)));
            }
        }
    }
    queued.sort();
    line(format_args!("{queued:?}"));
    line(format_args!("{:?} {:?} {:?} {:?}", hot.delayed, hot.retry, hot.only, hot.tenants));
    for (job, memory_mib, group) in hot.apart.iter() {
        line(format_args!(
            "{job:?} {memory_mib} {:?} {} {:?}",
            hot.shapes.get(group.shape),
            group.waiting,
            group.ready
        ));
    }
    for worker in &hot.workers {
        line(format_args!("{worker:?}"));
    }
    line(format_args!("{:?} {:?} {:?}", hot.worker_names, hot.revoked, hot.masters));
    line(format_args!("{:?}", hot.workflows));
    line(format_args!("{:?} {:?}", hot.gangs, hot.preemptible));
    line(format_args!("{:?} {:?}", hot.schedules, hot.templates));
    line(format_args!("{:?} {:?} {:?}", hot.queue_limits, hot.time_limits, hot.drains));
    out
}
