//! An independent eye on a history of one command per entry: what it may do to tasks, attempts, workers and request ids. It
//! knows the rules from the design and shares no code with `apply`, except for the table of transitions that it tests.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_core::command::{AttemptState, DEAD_SINCE, Kind, ReportAttempts};
use cloudai_core::rows::{
    AliveRow, DeadRow, EndedAttempt, Family, JobState, TaskRow, TaskState, WorkerState, WorkflowNodesRow, alive_key,
    task_key, workflow_key,
};
use cloudai_core::transitions::{self, Owner, Transition, is_allowed};
use cloudai_core::{Applied, Event, Hot, Refusal, Reply, Worker};
use cloudai_types::{
    AttemptId, Condition, Domain, JobId, NamespaceId, Near, NearRule, Placement, RunOutcome, Spot, Spread, TaskId,
    WorkerId, limits,
};

use crate::canonical::canonical;
use crate::world::World;

#[derive(Default)]
pub struct Watcher {
    /// The highest attempt number that a task ever had.
    numbers: BTreeMap<TaskId, u32>,
    /// Request id → (hash, job, forgotten at).
    requests: BTreeMap<String, (Vec<u8>, JobId, u64)>,
    submitted: BTreeSet<JobId>,
    ended: BTreeSet<JobId>,
    /// What was last seen of each task.
    last: BTreeMap<TaskId, TaskState>,
    pub seen: Seen,
}

/// Every move that a history made: from, to, by whom.
#[derive(Default)]
pub struct Seen {
    pub tasks: BTreeSet<(Option<TaskState>, TaskState, Owner)>,
    pub attempts: BTreeSet<(Option<AttemptState>, AttemptState, Owner)>,
    pub workers: BTreeSet<(Option<WorkerState>, WorkerState, Owner)>,
    /// Rules about other jobs by which some task was placed.
    pub near: BTreeSet<&'static str>,
}

/// Panics unless the table has it.
fn moves<S: Copy + Ord + std::fmt::Debug>(
    table: &[Transition<S>],
    seen: &mut BTreeSet<(Option<S>, S, Owner)>,
    who: impl std::fmt::Display,
    (from, to, owner): (Option<S>, S, Option<Owner>),
) {
    assert!(is_allowed(table, from, to, owner), "{who}: {from:?} → {to:?} by {owner:?}");
    if from != Some(to) {
        seen.insert((from, to, owner.expect("a move that is allowed has an owner")));
    }
}

impl Watcher {
    /// `before` is the state in which the command met `world`.
    pub fn saw(&mut self, before: &Hot, kind: &Kind, applied: &Applied, world: &World) {
        let owner = Owner::of(kind);
        let reply = &applied.replies[0];
        self.refusals_change_nothing(before, reply, applied, world);
        self.tasks_move_by_the_table(before, owner, world);
        self.attempts_move_forward(before, owner, world);
        self.workers_move_by_the_table(before, owner, world);
        if let Kind::ReportAttempts(report) = kind {
            stale_reports_change_nothing(before, report, reply, world);
        }
        placements_fit(before, kind, reply, applied, world);
        self.seen.near.extend(rules_of_the_placed(applied, world));
        self.one_request_one_job(kind, reply, world);
        self.jobs_end_once_and_add_up(before, applied, world);
    }

    fn refusals_change_nothing(&self, before: &Hot, reply: &Reply, applied: &Applied, world: &World) {
        if let Reply::Refused(_) = reply {
            assert_eq!(applied.writes.len(), 1, "a refusal writes only the cluster's row: {applied:?}");
            assert_eq!(without_time(&world.hot), without_time(before), "a refusal changes nothing");
        }
    }

    fn tasks_move_by_the_table(&mut self, before: &Hot, owner: Option<Owner>, world: &World) {
        let ids: BTreeSet<JobId> = before.jobs.keys().chain(world.hot.jobs.keys()).copied().collect();
        for id in ids {
            let (lived, had_ended) = (before.jobs.contains_key(&id), self.ended.contains(&id));
            let job = world.hot.jobs.get(&id).or_else(|| before.jobs.get(&id)).expect("it is in one of both");
            let only = world.hot.only.get(&id).or_else(|| before.only.get(&id)).copied();
            // A garbage array of a million fresh tasks is watched at its ends.
            let ends = (0..job.count.min(20)).chain(job.count.saturating_sub(2)..job.count);
            for index in ends.filter(|index| only.is_none_or(|only| only == *index)) {
                let task = TaskId { job: id, index };
                let to = task_state(&world.hot, world, job.namespace, task, true);
                let from = if lived {
                    Some(task_state(before, world, job.namespace, task, false))
                } else if had_ended {
                    // The job lives again.
                    Some(self.last.get(&task).copied().unwrap_or(to))
                } else {
                    None
                };
                if from.is_none_or(is_live) || from != Some(to) {
                    moves(transitions::TASK, &mut self.seen.tasks, task, (from, to, owner));
                }
                if from == Some(TaskState::Blocked) && to == TaskState::Queued {
                    has_waited_for_everybody(task, job.namespace, world);
                }
                self.last.insert(task, to);
            }
        }
    }

    fn attempts_move_forward(&mut self, before: &Hot, owner: Option<Owner>, world: &World) {
        let (old, new) = (attempts(before), attempts(&world.hot));
        for (id, state) in &old {
            let to = match new.get(id) {
                Some(to) => *to,
                None => {
                    let namespace = before.jobs[&id.task.job].namespace;
                    let row = world.task_row(namespace, id.task).expect("an ended attempt has a row");
                    let ended = row.attempts.last().expect("it lists the attempt");
                    assert_eq!(ended.number, id.number);
                    let numbers: Vec<u32> = row.attempts.iter().map(|a| a.number).collect();
                    assert_eq!(numbers, (1..=id.number).collect::<Vec<u32>>(), "{}: every attempt is kept", id.task);
                    let most = u32::from(before.jobs[&id.task.job].max_attempts) + limits::LOSSES_MAX;
                    let of_budget = row.of_budget().len() as u32;
                    assert!(of_budget < most, "{}: nothing retries for ever", id.task);
                    dead_is_who_spent_the_budget(&before.jobs[&id.task.job], id.task, &row, world);
                    ended.state()
                }
            };
            moves(transitions::ATTEMPT, &mut self.seen.attempts, id, (Some(*state), to, owner));
        }
        let tasks: BTreeSet<TaskId> = new.keys().map(|id| id.task).collect();
        assert_eq!(tasks.len(), new.len(), "I3: at most one live attempt per task");
        for (id, state) in new.iter().filter(|(id, _)| !old.contains_key(id)) {
            moves(transitions::ATTEMPT, &mut self.seen.attempts, id, (None, *state, owner));
            let highest = self.numbers.entry(id.task).or_default();
            assert_eq!(id.number, *highest + 1, "I3: {id}: numbers only grow");
            *highest = id.number;
        }
    }

    fn workers_move_by_the_table(&mut self, before: &Hot, owner: Option<Owner>, world: &World) {
        for (id, worker) in &world.hot.workers {
            let from = before.workers.get(id).map(|w| w.state);
            moves(transitions::WORKER, &mut self.seen.workers, id, (from, worker.state, owner));
            let session = before.workers.get(id).map_or(0, |w| w.session);
            assert!(worker.session >= session, "{id}: sessions only grow");
        }
        assert!(before.workers.keys().all(|id| world.hot.workers.contains_key(id)), "a worker keeps its record");
    }

    fn one_request_one_job(&mut self, kind: &Kind, reply: &Reply, world: &World) {
        let (request_id, request_hash) = match kind {
            Kind::SubmitJob(submit) => (&submit.request_id, &submit.request_hash),
            Kind::SubmitWorkflow(submit) => (&submit.request_id, &submit.request_hash),
            Kind::TriggerSchedule(trigger) => (&trigger.request_id, &trigger.request_hash),
            Kind::RunSchedule(run) => (&format!("schedule-{}-{}-{}", run.namespace, run.name, run.due_ms), &vec![]),
            _ => return,
        };
        let now = world.hot.clock_ms;
        let submitted = match reply {
            Reply::Submitted { job, duplicate } => Some((*job, *duplicate)),
            Reply::ScheduleRan { run, duplicate } if run.job > 0 && run.outcome() == RunOutcome::Ran => {
                Some((JobId(run.job), *duplicate))
            }
            _ => None,
        };
        let known = self.requests.get(request_id).filter(|(_, _, until)| *until > now).cloned();
        match reply {
            // A time of a schedule of which no job came.
            Reply::ScheduleRan { .. } if submitted.is_none() => {}
            Reply::WorkflowSubmitted { workflow, duplicate: true, .. } => {
                assert_eq!(
                    known.map(|(hash, first, _)| (hash, first.0)),
                    Some((request_hash.clone(), workflow.0)),
                    "I6"
                );
            }
            Reply::WorkflowSubmitted { workflow, jobs, duplicate: false } => {
                assert!(known.is_none(), "I6");
                for id in workflow.0..workflow.0 + u64::from(*jobs) {
                    assert!(self.submitted.insert(JobId(id)), "a job id is given once");
                }
                if !request_id.is_empty() {
                    let until = now + limits::REQUEST_RETENTION.0;
                    self.requests.insert(request_id.clone(), (request_hash.clone(), JobId(workflow.0), until));
                }
            }
            Reply::Submitted { .. } | Reply::ScheduleRan { .. } => {
                let (job, duplicate) = submitted.expect("it names the job");
                assert_eq!(duplicate, known.is_some(), "I6");
                if let Some((hash, first, _)) = known {
                    assert_eq!((&hash, first), (request_hash, job), "I6: the same job again");
                } else {
                    assert!(self.submitted.insert(job), "a job id is given once");
                    let until = now + limits::REQUEST_RETENTION.0;
                    if !request_id.is_empty() {
                        self.requests.insert(request_id.clone(), (request_hash.clone(), job, until));
                    }
                }
            }
            Reply::Refused(Refusal::RequestIdReused(_)) => {
                // Or one asks for a job and the other for a workflow: their hashes differ, unless a test makes them alike.
                assert!(known.is_some(), "I6: only a known id is reused");
            }
            other => {
                assert!(matches!(other, Reply::Refused(_)), "{other:?}");
            }
        }
    }

    fn jobs_end_once_and_add_up(&mut self, before: &Hot, applied: &Applied, world: &World) {
        if matches!(applied.replies[0], Reply::DeadReplayed { .. } | Reply::WorkflowRetried { .. }) {
            // A job may live again; it ends once more.
            self.ended.retain(|id| !world.hot.jobs.contains_key(id));
        }
        for id in &self.submitted {
            assert_ne!(
                world.hot.jobs.contains_key(id),
                self.ended.contains(id) || ends(applied, *id),
                "{id} is lost or came back"
            );
        }
        for (id, job) in before.jobs.iter().filter(|(id, _)| ends(applied, **id)) {
            assert!(self.ended.insert(*id), "{id} ends once");
            let row = world.job_row(job.namespace, *id).expect("an ended job keeps its row");
            assert!(row.state().is_ended() && row.ended_ms == world.hot.clock_ms, "{id}: {row:?}");
            if job.count > 100 {
                continue;
            }
            let only = before.only.get(id).copied();
            let indexes = only.map_or(0..job.count, |only| only..only + 1);
            let tasks = indexes.len() as u32;
            let mut states: BTreeMap<TaskState, u32> = BTreeMap::new();
            for index in indexes {
                let task = TaskId { job: *id, index };
                *states.entry(task_state(&world.hot, world, job.namespace, task, true)).or_default() += 1;
            }
            let count = |state| states.get(&state).copied().unwrap_or_default();
            let c = row.counts;
            assert_eq!((c.queued, c.active, row.blocked), (0, 0, 0));
            assert_eq!(c.succeeded, count(TaskState::Succeeded), "{id}");
            assert_eq!(c.failed, count(TaskState::Failed), "{id}");
            assert_eq!(c.cancelled, count(TaskState::Cancelled), "{id}");
            assert_eq!(c.dead, count(TaskState::Dead), "{id}");
            assert_eq!(row.state() == JobState::Succeeded, c.succeeded == tasks, "{id}");
        }
    }
}

/// With an arithmetic of its own. `row`: of a task whose attempt has just ended.
fn dead_is_who_spent_the_budget(job: &cloudai_core::Job, task: TaskId, row: &TaskRow, world: &World) {
    let is_loss = |a: &&EndedAttempt| a.state() == AttemptState::Lost || a.reason.kind().is_infrastructure();
    let losses = row.of_budget().iter().filter(is_loss).count() as u32;
    let used = row.of_budget().len() as u32 - losses;
    let is_spent = losses >= limits::LOSSES_MAX || (job.max_attempts > 1 && used >= u32::from(job.max_attempts));
    match row.state() {
        TaskState::Dead => assert!(is_spent, "{task}: dead with {used} attempts and {losses} losses"),
        TaskState::Queued => assert!(!is_spent, "{task}: waits with {used} attempts and {losses} losses"),
        TaskState::Blocked | TaskState::Active | TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => {}
    }
    let is_listed = world.row::<DeadRow>(Family::Dead, &task_key(job.namespace, task)).is_some();
    let is_dead = row.state() == TaskState::Dead && world.hot.version >= DEAD_SINCE;
    assert_eq!(is_listed, is_dead, "{task}: the dead-letter queue lists exactly the dead");
}

fn ends(applied: &Applied, job: JobId) -> bool {
    applied.events.contains(&Event::JobEnded { job })
}

fn is_live(state: TaskState) -> bool {
    matches!(state, TaskState::Blocked | TaskState::Queued | TaskState::Active)
}

/// From hot state, or from rows once it has ended. Rows are as of after the command; `before` a command, an ended task of a
/// live job has the row that it will keep.
fn task_state(hot: &Hot, world: &World, namespace: NamespaceId, task: TaskId, after: bool) -> TaskState {
    if let Some(state) = hot.live_task_state(task) {
        return state;
    }
    match world.task_row(namespace, task) {
        // Before the command it did not live, and now it waits: it was dead.
        Some(row) if !after && row.state() == TaskState::Queued => TaskState::Dead,
        Some(row) => {
            assert!(!is_live(row.state()) || !after, "{task} ended and its row says {:?}", row.state());
            row.state()
        }
        // Never placed: what its job's row says of those.
        None if world.job_row(namespace, task.job).is_some_and(|row| row.queue_expired_ms > 0) => TaskState::Failed,
        None => TaskState::Cancelled,
    }
}

/// With an arithmetic of its own, from the rows: nobody whom a released task waits for lives, and all of them ended as it asks.
fn has_waited_for_everybody(task: TaskId, namespace: NamespaceId, world: &World) {
    let workflow = world.hot.workflows.member(task.job).expect("only jobs of workflows are blocked").workflow;
    let nodes: WorkflowNodesRow =
        world.row(Family::WorkflowNodes, &workflow_key(namespace, workflow)).expect("it lives");
    for edge in &nodes.nodes[(task.job.0 - workflow.0) as usize].waits_for {
        let parent = JobId(workflow.0 + u64::from(edge.node));
        let ended = |state: TaskState| !is_live(state);
        let succeeded = if edge.each {
            let state = task_state(&world.hot, world, namespace, TaskId { job: parent, index: task.index }, true);
            assert!(ended(state), "{task}: runs before {parent}/{}, which is {state:?}", task.index);
            state == TaskState::Succeeded
        } else {
            assert!(!world.hot.jobs.contains_key(&parent), "{task}: runs before {parent}");
            world.job_row(namespace, parent).expect("it has ended").state() == JobState::Succeeded
        };
        match edge.on() {
            Condition::Success => assert!(succeeded, "{task}: runs without {parent}"),
            Condition::Completion => {}
            Condition::Failure => assert!(!succeeded, "{task}: runs, and {parent} did not fail"),
        }
    }
}

fn attempts(hot: &Hot) -> BTreeMap<AttemptId, AttemptState> {
    let of_job = |(id, job): (&JobId, &cloudai_core::Job)| {
        let id = *id;
        job.active.iter().map(move |(index, a)| (AttemptId::new(id, *index, a.number), a.state)).collect::<Vec<_>>()
    };
    hot.jobs.iter().flat_map(of_job).collect()
}

/// I5, with a staleness of its own.
fn stale_reports_change_nothing(before: &Hot, command: &ReportAttempts, reply: &Reply, world: &World) {
    let worker = WorkerId(command.worker);
    let current = before.workers.get(&worker);
    if !current.is_some_and(|w| w.state == WorkerState::Ready && w.session == command.session) {
        assert_eq!(*reply, Reply::Refused(Refusal::StaleSession));
        return;
    }
    let mut live = attempts(before);
    live.retain(|id, _| before.attempt(id.task).is_some_and(|a| a.worker == worker));
    let mut accepted = 0;
    for report in &command.reports {
        let id = AttemptId::new(JobId(report.job), report.index, report.number);
        let Some(state) = live.get_mut(&id) else { continue };
        let fits = (1..=5).contains(&report.state) && report.state > *state as i32;
        if fits {
            accepted += 1;
            *state = AttemptState::try_from(report.state).expect("1 to 5 are states");
        }
    }
    let stale = command.reports.len() as u32 - accepted;
    assert_eq!(*reply, Reply::Reported { accepted, stale });
    if accepted == 0 {
        assert_eq!(without_time(&world.hot), without_time(before), "I5");
    }
    for (id, state) in live.into_iter().filter(|(_, state)| *state < AttemptState::Exited) {
        let now = world.hot.attempt(id.task).expect("what did not end lives");
        assert_eq!((now.number, now.state), (id.number, state), "{id}");
    }
}

/// I4 at the moment of placement, and only where the filters allow.
fn placements_fit(before: &Hot, kind: &Kind, reply: &Reply, applied: &Applied, world: &World) {
    let assigned: Vec<(WorkerId, AttemptId)> = applied
        .events
        .iter()
        .filter_map(
            |event| if let Event::Assigned { worker, attempts } = event { Some((*worker, attempts)) } else { None },
        )
        .flat_map(|(worker, attempts)| attempts.iter().map(move |attempt| (worker, *attempt)))
        .collect();
    let Kind::PlaceTasks(place) = kind else {
        assert!(assigned.is_empty(), "only placements assign");
        return;
    };
    let asked: usize = place.groups.iter().map(|g| g.indexes.len()).sum();
    let accepted = assigned.len() as u32;
    assert_eq!(*reply, Reply::Placed { accepted, refused: asked as u32 - accepted });
    for (worker, attempt) in assigned {
        let (w, job) = (&world.hot.workers[&worker], &world.hot.jobs[&attempt.task.job]);
        let shape = world.hot.shapes.get(job.shape).expect("a live job has its shape");
        assert!(shape.accepts(w) && w.is_schedulable() && !job.cancel_requested);
        siblings_leave_room(&world.hot, attempt.task, w);
        others_leave_room(world, attempt.task.job, worker);
        let over = |used: u64, capacity: u64, asked: u64| asked > 0 && used > capacity;
        let memory_mib = world.hot.attempt(attempt.task).map_or(0, |a| a.memory_mib);
        let needs = world.hot.needs(job, memory_mib).dimensions();
        let dimensions = w.used.dimensions().into_iter().zip(w.capacity.dimensions()).zip(needs);
        assert!(!dimensions.into_iter().any(|((used, capacity), asked)| over(used, capacity, asked)), "I4: {w:?}");
        assert_eq!(world.hot.attempt(attempt.task).map(|a| (a.number, a.worker)), Some((attempt.number, worker)));
        let past = before.jobs[&attempt.task.job].waiting.as_ref().and_then(|w| w.get(&attempt.task.index));
        assert!(past.is_none_or(|w| w.not_before_ms <= world.hot.clock_ms), "{attempt} came before its time");
        assert!(past.is_none_or(|w| !w.never().contains(&worker.0)), "{attempt} went where its rules forbid");
        assert_eq!(memory_mib, past.map_or(0, |w| w.memory_mib), "{attempt} got what it asked for");
    }
}

fn rules_of_the_placed(applied: &Applied, world: &World) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for event in &applied.events {
        let Event::Assigned { attempts, .. } = event else { continue };
        let jobs = attempts.iter().filter_map(|attempt| world.hot.jobs.get(&attempt.task.job));
        for rules in jobs.filter_map(|job| world.hot.shapes.get(job.shape)?.rules.as_deref()) {
            names.extend((!rules.apart_from.is_empty()).then_some("apart_from"));
            names.extend((!rules.together_with.is_empty()).then_some("together_with"));
        }
    }
    names
}

/// Labels do not change in the entry that places, so what held at each placement can be seen at its end: fewer than then are nowhere.
fn siblings_leave_room(hot: &Hot, task: TaskId, w: &Worker) {
    let job = &hot.jobs[&task.job];
    let shape = hot.shapes.get(job.shape).expect("a live job has its shape");
    let Some(rules) = shape.rules.as_deref() else { return };
    let in_spot = |domain: &Domain, spot: &Spot| {
        let spots = job.active.values().map(|a| domain.spot(a.worker, &hot.workers[&a.worker].labels));
        spots.filter(|other| other.as_ref() == Some(spot)).count() as u32
    };
    let own = |domain: &Domain| {
        let id = hot.worker_names[&w.name];
        domain.spot(id, &w.labels).unwrap_or_else(|| panic!("{task} is nowhere by {domain}"))
    };
    if let Some(domain) = &rules.apart {
        assert_eq!(in_spot(domain, &own(domain)), 1, "{task} is apart");
    }
    if let Some(Spread { over, max_skew }) = rules.spread.as_ref().filter(|spread| spread.max_skew > 0) {
        let could = hot.workers.iter().filter(|(_, w)| w.is_schedulable() && shape.accepts(w));
        let spots = could.filter_map(|(id, w)| over.spot(*id, &w.labels));
        let fewest = spots.map(|spot| in_spot(over, &spot)).min().unwrap_or(0);
        assert!(in_spot(over, &own(over)) <= fewest + max_skew, "{task} is spread");
    }
}

/// With an arithmetic of its own, from the rows: the same of other jobs, by this one's rules and by theirs about it.
fn others_leave_room(world: &World, id: JobId, worker: WorkerId) {
    let hot = &world.hot;
    let near_of = |job: JobId, which: fn(&Placement) -> &Vec<NearRule>| {
        let alive: AliveRow = world.row(Family::Alive, &alive_key(job)).expect("it is alive");
        let texts = alive.placement.as_ref().map(which).cloned().unwrap_or_default();
        let near = |rule: NearRule| Near {
            jobs: rule.jobs.parse().expect("it was checked"),
            over: rule.over.parse().expect("it was checked"),
        };
        (alive.labels, texts.into_iter().map(near).collect::<Vec<Near>>())
    };
    let (labels, apart_from) = near_of(id, |placement| &placement.apart_from);
    let (_, together_with) = near_of(id, |placement| &placement.together_with);
    let spot = |near: &Near, at: WorkerId| near.over.spot(at, &hot.workers[&at].labels);
    let meets = |near: &Near, labels: &BTreeMap<String, String>| !labels.is_empty() && near.jobs.is_met_by(labels);
    let ours = hot.jobs.iter().filter(|(other, job)| **other != id && job.namespace == hot.jobs[&id].namespace);
    let mut alone: Vec<Near> = together_with;
    for near in &apart_from {
        assert!(spot(near, worker).is_some(), "{id} is nowhere by {near}");
    }
    for (other, job) in ours {
        let (their_labels, theirs) = near_of(*other, |placement| &placement.apart_from);
        for attempt in job.active.values() {
            let is_near =
                |near: &Near| spot(near, worker).is_some() && spot(near, worker) == spot(near, attempt.worker);
            let is_bad = |near: &&Near| meets(near, &their_labels) && is_near(near);
            assert_eq!(apart_from.iter().find(is_bad), None, "{id} is near {other}");
            let is_bad = |near: &&Near| meets(near, &labels) && is_near(near);
            assert_eq!(theirs.iter().find(is_bad), None, "{id} is near {other}, which stays apart from it");
            alone.retain(|near| !(meets(near, &their_labels) && is_near(near)));
        }
    }
    assert_eq!(alone, [], "{id} is alone");
}

/// Time moves with every entry, refused or not, and makes delayed indexes ready.
fn without_time(hot: &Hot) -> String {
    let mut hot = hot.clone();
    hot.digest = 0;
    hot.clock_ms = 0;
    hot.delayed.clear();
    hot.queue = Default::default();
    hot.apart = Default::default();
    hot.jobs.values_mut().for_each(|job| (job.delayed, job.apart_ready) = (0, 0));
    canonical(&hot)
}
