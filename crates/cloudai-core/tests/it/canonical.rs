//! Hot state as text that two equal states share: shapes by value, since their numbers are local to a process.

use std::collections::BTreeSet;
use std::fmt::Write;

use cloudai_core::Hot;

pub fn canonical(hot: &Hot) -> String {
    let mut out = String::new();
    let Hot {
        cluster,
        incarnation,
        clock_ms,
        next_job,
        next_worker,
        next_node,
        next_namespace,
        next_session,
        version,
        config,
        digest,
        namespaces,
        tenants,
        jobs,
        queue,
        delayed,
        workers,
        worker_names,
        revoked,
        masters,
        shapes,
        backlog,
        apart,
        retry,
        only,
        secrets,
        queue_limits,
        time_limits,
        job_labels,
        preemptible,
        drains,
        workflows,
        gangs,
        schedules,
        templates,
    } = hot;
    let mut line = |text: std::fmt::Arguments| writeln!(out, "{text}").expect("a string takes it");
    line(format_args!("{cluster} {incarnation} {clock_ms} {next_job} {next_worker} {next_node} {next_namespace}"));
    line(format_args!("{next_session} {version} {config:?} {digest:016x}"));
    line(format_args!("{namespaces:?} {tenants:?}"));
    for (id, job) in jobs {
        let user = hot.user_name(job);
        let mut job = job.clone();
        let shape = std::mem::replace(&mut job.shape, cloudai_core::hot::ShapeId(0));
        job.user = cloudai_core::users::UserId::NOBODY;
        line(format_args!("{id:?} {user:?} {:?} {job:?}", shapes.get(shape)));
    }
    let mut queued: Vec<String> = vec![];
    for (namespace, levels) in queue.namespaces() {
        for (priority, level) in levels.iter() {
            for (shape, line) in level.lines() {
                let tasks = backlog.queued_of(priority, shape);
                let jobs: BTreeSet<_> = line.users().flat_map(|(_, jobs)| jobs).collect();
                queued.push(format!("{namespace:?} {priority} {:?} {tasks} {jobs:?}", shapes.get(shape)));
            }
        }
    }
    queued.sort();
    line(format_args!("{queued:#?}"));
    line(format_args!("{delayed:?}\n{workers:#?}\n{worker_names:?}\n{revoked:?}\n{masters:?}"));
    let mut users: Vec<_> = shapes.by_id.values().collect();
    users.sort();
    line(format_args!("{users:?}"));
    line(format_args!("{} {}", backlog.queued(), backlog.active()));
    for (job, memory_mib, group) in apart.iter() {
        let shape = shapes.get(group.shape);
        line(format_args!("{job:?} {memory_mib} {shape:?} {} {:?}", group.waiting, group.ready));
    }
    line(format_args!(
        "{retry:?} {only:?} {secrets:?} {queue_limits:?} {time_limits:?} {preemptible:?} {drains:?}\n{workflows:?} {gangs:?}"
    ));
    line(format_args!("{schedules:?} {templates:?} {job_labels:?}"));
    out
}
