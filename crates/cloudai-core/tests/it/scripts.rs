//! Golden scripts: long stories as text, command → replies and events. A line that begins with `> ` is one log entry, with
//! commands separated by ` ; `; what follows it is what came out. `UPDATE_GOLDEN=1` rewrites the outcomes; read the difference.
//!
//! Every entry is also checked for the invariants, and that its rows load back.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use cloudai_core::command::*;
use cloudai_core::rows::{Counts, DeadRow, Family, MemberRow, SecretRow, Unmet, WorkflowRow, member_key, task_of_key};
use cloudai_core::{Applied, Event, Reply};
use cloudai_types::quota::NO_CAP;
use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::{
    AttemptId, ClusterConfig, Condition, Dependency, EndReason, JobId, JobSpec, NamespaceId, QuotaChange, ReasonKind,
    Resources, RetryAction, RetryRule, RetryRules, ScorePolicy, SecretKind, TaskId, WorkflowNode, WorkflowSpec,
};

use crate::world::World;

// The environment asks a test to write its files; no decision reads it.
#[allow(clippy::disallowed_methods)]
fn run(name: &str) {
    let path = Path::new("tests/scripts").join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).expect("the script is there");
    let mut story = Story::default();
    let mut out = String::new();
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix("> ") {
            writeln!(out, "{line}").expect("a string takes it");
            story.entry(entry, &mut out);
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(out, "{line}").expect("a string takes it");
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, out).expect("the script is written");
    } else {
        assert_eq!(out, text, "{name} tells another story; UPDATE_GOLDEN=1 rewrites it");
    }
}

macro_rules! scripts {
    ($($name:ident),*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*

        /// A script that nobody runs tells nothing.
        #[test]
        fn every_script_is_run() {
            let dir = Path::new("tests/scripts");
            let mut files: Vec<String> = std::fs::read_dir(dir).expect("the scripts' folder")
                .map(|f| f.expect("an entry").file_name().into_string().expect("a plain name")).collect();
            files.sort();
            let mut run = vec![$(concat!(stringify!($name), ".txt")),*];
            run.sort();
            assert_eq!(files, run);
        }
    };
}

scripts!(
    life_of_a_job,
    retries,
    retry_rules,
    dead_letters,
    losses,
    cancel,
    request_ids,
    placement,
    quotas,
    users,
    retention,
    stale_reports,
    queue_timeouts,
    draining,
    joining,
    masters,
    secrets,
    workflows,
    workflows_index_by_index,
    workflow_retries,
    gangs,
    preemption
);

#[derive(Default)]
struct Story {
    world: World,
    now: u64,
}

impl Story {
    fn entry(&mut self, line: &str, out: &mut String) {
        let mut commands = vec![];
        for command in line.split(" ; ") {
            let mut words = Words::new(command);
            match words.verb {
                "at" => self.now = words.number("time"),
                "show" => self.show(out),
                "task" => self.show_task(words.plain[0].parse().expect("JOB/INDEX"), out),
                "users" => self.show_users(out),
                "rows" => self.show_rows(out),
                "dead" => self.show_dead(out),
                "secrets" => self.show_secrets(out),
                "member" => self.show_member(&mut words, out),
                _ => {
                    let by = words.named.remove("by").unwrap_or("test".to_owned());
                    commands.push(Command::new(format!("admin/{by}"), kind(&mut words)));
                }
            }
            assert!(words.named.is_empty(), "nobody reads {:?} of '{command}'", words.named);
        }
        if commands.is_empty() {
            return;
        }
        let asked = commands.len();
        let proposal = Proposal { version: VERSION, at_ms: self.now, commands };
        let Applied { replies, events, .. } = self.world.proposal(proposal);
        assert_eq!(replies.len(), asked, "one reply per command");
        self.world.check();
        for reply in replies {
            let text = match reply {
                Reply::Refused(refusal) => format!("refused: {refusal}"),
                other => plain(&other),
            };
            writeln!(out, "{text}").expect("a string takes it");
        }
        for event in events {
            writeln!(out, "  {}", event_text(&event)).expect("a string takes it");
        }
    }

    fn show(&self, out: &mut String) {
        let hot = &self.world.hot;
        let mut lines = vec![];
        for (id, job) in &hot.jobs {
            let waiting = job.waiting.iter().flat_map(|w| w.iter()).map(|(index, w)| {
                let memory = if w.memory_mib > 0 { format!(", {} MiB", w.memory_mib) } else { String::new() };
                let never = if w.never().is_empty() { String::new() } else { format!(", not on {:?}", w.never()) };
                format!(
                    "{index} (try {} at {}, used {}, lost {}{memory}{never})",
                    w.next_number, w.not_before_ms, w.attempts_used, w.losses
                )
            });
            let waiting = waiting.collect::<Vec<_>>().join(", ");
            let blocked = hot.workflows.blocked(*id, job.count);
            let counts = counts(&job.counts, blocked);
            lines.push(format!(
                "job {} {:?} {counts} fresh {:?} waiting [{waiting}]",
                id.0,
                job.state(blocked),
                job.fresh
            ));
            if let Some(gate) = hot.workflows.gate(*id) {
                let holds = gate.holds.iter().map(|(of, hold)| match &hold.met {
                    None => format!("{} {}", of.0, hold.on.name()),
                    Some(met) => format!("{} {} of {:?}", of.0, hold.on.name(), met.zeros().collect::<Vec<_>>()),
                });
                lines.push(format!("  waits for {}", holds.collect::<Vec<_>>().join(", ")));
            }
            for (index, a) in &job.active {
                lines.push(format!("  {index}.{} {:?} on {} fence {}", a.number, a.state, a.worker, a.assigned_index));
            }
        }
        for (id, w) in &hot.workers {
            let drain = match (w.draining, w.drain_deadline_ms, w.evicting) {
                (false, ..) => String::new(),
                (true, 0, _) => " draining".to_owned(),
                (true, until, false) => format!(" draining until {until}"),
                (true, until, true) => format!(" evicting since {until}"),
            };
            let drain = if w.leaving { format!("{drain} leaving") } else { drain };
            let labels = w.labels.iter().map(|(k, v)| format!(" {k}={v}")).collect::<String>();
            lines.push(format!(
                "{id} {} {:?}{drain} session {} uses {} of {}{labels}",
                w.name, w.state, w.session, w.used, w.capacity
            ));
        }
        for (node, m) in &hot.masters {
            let removed = if m.removed { " removed" } else { "" };
            lines.push(format!("node {node} {} disk {} at {}{removed}", m.name, m.disk, m.raft_addr));
        }
        for (id, limit) in hot.queue_limits.iter() {
            let over = if limit.expired_ms > 0 { format!(", expired at {}", limit.expired_ms) } else { String::new() };
            let due = if hot.queue_limits.is_due(id) { "waits" } else { "waited" };
            lines.push(format!("job {} {due} until {}{over}", id.0, limit.due_ms));
        }
        for (id, t) in hot.tenants.iter().filter(|(_, t)| t.quota != cloudai_types::Quota::default()) {
            let caps = t.quota.caps().map(|cap| cap.map_or("-".to_owned(), |cap| cap.to_string())).join("/");
            let tasks = t.quota.tasks_max.map_or("-".to_owned(), |max| max.to_string());
            let (weight, holding, used) = (t.quota.weight(), t.holding, t.used);
            let held = t.average_held(hot.clock_ms)[0] / cloudai_core::tenants::AVERAGE_PARTS;
            lines.push(format!(
                "namespace {} {} weight {weight} tasks {holding} of {tasks}, {used} of {caps}, {held} cpu_milli on average",
                id.0, t.name
            ));
        }
        let levels = hot.queue.namespaces().flat_map(|(_, levels)| levels.iter());
        let jobs =
            levels.flat_map(|(p, level)| level.lines().flat_map(move |(_, line)| line.users().map(move |u| (p, u.1))));
        let queue = jobs.flat_map(|(p, jobs)| jobs.iter().map(move |id| format!("{p}:{}", id.0)));
        lines.push(format!("queue {:?} delayed {}", queue.collect::<Vec<_>>(), hot.delayed.len()));
        lines.iter().for_each(|line| writeln!(out, "  {line}").expect("a string takes it"));
    }

    fn show_task(&self, task: Numbered, out: &mut String) {
        let task = TaskId { job: JobId(task.job), index: task.index };
        let Some(row) = self.world.task_row(NamespaceId(1), task) else {
            return writeln!(out, "  no row").expect("a string takes it");
        };
        let attempts =
            row.attempts.iter().map(|a| format!("{} {:?} on w{}: {}", a.number, a.state(), a.worker, a.reason));
        let attempts = attempts.collect::<Vec<_>>().join("; ");
        let unmet = row.unmet.map_or(String::new(), unmet);
        writeln!(out, "  {:?} at {} [{attempts}]{unmet}", row.state(), row.ended_ms).expect("a string takes it");
    }

    /// Who has what, of each namespace.
    fn show_users(&self, out: &mut String) {
        for (_, t) in self.world.hot.tenants.iter() {
            writeln!(out, "  {}: {} wait, {} hold", t.name, t.waiting, t.holding).expect("a string takes it");
            for user in t.users.iter() {
                let (name, jobs, waiting, holding) = (&user.name, user.jobs, user.waiting, user.holding);
                writeln!(out, "    {name}: {jobs} jobs, {waiting} wait, {holding} hold").expect("a string takes it");
            }
        }
    }

    /// How many rows there are, and each ended or live job's own.
    fn show_rows(&self, out: &mut String) {
        for family in Family::ALL {
            let n = self.world.rows.keys(family).count();
            if n > 0 {
                writeln!(out, "  {family:?} {n}").expect("a string takes it");
            }
        }
        for id in 1..self.world.hot.next_job {
            if let Some(row) = self.world.job_row(NamespaceId(1), JobId(id)) {
                let (counts, from, to) = (counts(&row.counts, row.blocked), row.started_ms, row.ended_ms);
                let unmet = row.unmet.map_or(String::new(), unmet);
                writeln!(out, "  job {id} {:?} {counts} from {from} to {to}{unmet}", row.state())
                    .expect("a string takes it");
            }
        }
        for key in self.world.rows.keys(Family::Workflow) {
            let row: WorkflowRow = self.world.row(Family::Workflow, key).expect("it is there");
            let (name, jobs, ended_ms, e) = (row.name, row.jobs, row.ended_ms, row.ended);
            let ended = format!("{} {} {} {}", e.succeeded, e.failed, e.cancelled, e.skipped);
            writeln!(out, "  workflow {} {name} of {jobs}, ended {ended} at {ended_ms}", key[11])
                .expect("a string takes it");
        }
    }

    /// The dead-letter queue.
    fn show_dead(&self, out: &mut String) {
        for key in self.world.rows.keys(Family::Dead) {
            let (_, task) = task_of_key(key).expect("a task's key");
            let row: DeadRow = self.world.row(Family::Dead, key).expect("it is there");
            let (job, kind) = (task.job.0, row.reason().name());
            writeln!(
                out,
                "  {job}/{} {kind} {:?} after {} at {}",
                task.index, row.exit_code, row.attempts, row.dead_ms
            )
            .expect("a string takes it");
        }
    }

    /// Namespace, kind, name, and what is told of it.
    fn show_secrets(&self, out: &mut String) {
        for key in self.world.rows.keys(Family::Secret) {
            let row: SecretRow = self.world.row(Family::Secret, key).expect("it is there");
            let (namespace, kind, name) = (key[3], key[4], String::from_utf8_lossy(&key[5..]).into_owned());
            let SecretRow { sealed, created_ms, updated_ms, actor, version } = row;
            let (bytes, times) = (sealed.len(), format!("made {created_ms} set {updated_ms}"));
            writeln!(out, "  {namespace} {kind} {name} version {version} {times} by {actor}, {bytes} bytes")
                .expect("a string takes it");
        }
    }

    fn show_member(&self, words: &mut Words, out: &mut String) {
        let key = member_key(words.role(), &words.name());
        let row: Option<MemberRow> = self.world.row(Family::Member, &key);
        let text = row.map_or("none".to_owned(), |m| {
            let used = if m.key_hash.is_empty() { "unused" } else { "used" };
            format!("worker {} node {} token {used}{}", m.worker, m.node, if m.revoked { " revoked" } else { "" })
        });
        writeln!(out, "  {text}").expect("a string takes it");
    }
}

fn kind(words: &mut Words) -> Kind {
    match words.verb {
        "submit" => Kind::SubmitJob(SubmitJob {
            namespace: words.named.remove("ns").unwrap_or("default".into()),
            request_id: words.named.remove("req").unwrap_or_default(),
            request_hash: words.named.remove("hash").unwrap_or_default().into_bytes(),
            spec: JobSpec {
                image: words.named.remove("image").unwrap_or("busybox".into()),
                count: words.count("count"),
                max_attempts: words.count("attempts"),
                priority: words.named.remove("priority").map_or(0, |p| p.parse().expect("a priority")),
                resources: words.resources(),
                require: words.labels("require"),
                retry: words.retry(),
                secrets: words.secrets(),
                queue_timeout_ms: words.count("waits").into(),
                gang: words.named.remove("gang").is_some(),
                preemptible: words.named.remove("preemptible").is_some(),
                ..Default::default()
            },
            replay_of: words.named.remove("of").map(|task| {
                let task: Numbered = task.parse().expect("JOB/INDEX");
                TaskKey { job: task.job, index: task.index }
            }),
        }),
        "workflow" => Kind::SubmitWorkflow(SubmitWorkflow {
            namespace: "default".into(),
            request_id: words.named.remove("req").unwrap_or_default(),
            request_hash: words.named.remove("hash").unwrap_or_default().into_bytes(),
            workflow: WorkflowSpec { name: "w".into(), nodes: words.nodes() },
        }),
        "cancelworkflow" => {
            Kind::CancelWorkflow(CancelWorkflow { namespace: 1, workflow: words.plain[0].parse().expect("a workflow") })
        }
        "retryworkflow" => Kind::RetryWorkflow(RetryWorkflow {
            namespace: 1,
            workflow: words.plain[0].parse().expect("a workflow"),
            from: words.named.remove("from").unwrap_or_default(),
        }),
        "cancel" => Kind::CancelJob(CancelJob { job: words.plain[0].parse().expect("a job") }),
        "place" => Kind::PlaceTasks(PlaceTasks {
            groups: vec![PlaceGroup {
                job: words.plain[0].parse().expect("a job"),
                worker: words.number("on") as u32,
                indexes: words.plain[1..].iter().map(|i| i.parse().expect("an index")).collect(),
            }],
        }),
        // `together 1 0@1 1@2`: a group for each, in one command.
        "together" => Kind::PlaceTasks(PlaceTasks {
            groups: words.plain[1..]
                .iter()
                .map(|text| {
                    let (index, worker) = text.split_once('@').expect("INDEX@WORKER");
                    PlaceGroup {
                        job: words.plain[0].parse().expect("a job"),
                        worker: worker.parse().expect("a worker"),
                        indexes: vec![index.parse().expect("an index")],
                    }
                })
                .collect(),
        }),
        "report" => {
            let (worker, session) = (words.number("from") as u32, words.number("session"));
            let reason = words.named.remove("exit").map(|code| EndReason::exit(code.parse().expect("a code")));
            let named = words.named.remove("reason").map(|name| {
                let kind = ReasonKind::ALL.into_iter().find(|k| k.name() == name).expect("a reason");
                EndReason::new(kind, "")
            });
            let state = words.plain.pop().expect("a state");
            let reports = words.plain.iter().map(|attempt| {
                let at: Numbered = attempt.parse().expect("JOB/INDEX.N");
                AttemptReport {
                    job: at.job,
                    index: at.index,
                    number: at.number,
                    state: attempt_state(&state) as i32,
                    reason: reason.clone().or(named.clone()),
                    started_ms: 0,
                    ended_ms: 0,
                }
            });
            Kind::ReportAttempts(ReportAttempts { worker, session, reports: reports.collect() })
        }
        "register" => Kind::RegisterWorker(RegisterWorker {
            worker: words.plain[0].parse().expect("a worker"),
            capacity: words.resources(),
            labels: words.labels("label"),
            software: "0.1.0".into(),
            reserved: None,
            leaving: words.count("leaving") > 0,
            price_micros: words.count("price").into(),
            metrics_addr: String::new(),
        }),
        "leaves" => Kind::WorkerLeaves(WorkerLeaves {
            worker: words.plain[0].parse().expect("a worker"),
            session: words.number("session"),
        }),
        // `preempt 2 1/0.1 1/1.1`: for a job, which attempts.
        "preempt" => Kind::PreemptTasks(PreemptTasks {
            job: words.plain[0].parse().expect("a job"),
            victims: words.plain[1..]
                .iter()
                .map(|text| {
                    let (task, number) = text.split_once('.').expect("JOB/INDEX.NUMBER");
                    let task: Numbered = task.parse().expect("JOB/INDEX");
                    AttemptKey { job: task.job, index: task.index, number: number.parse().expect("a number") }
                })
                .collect(),
        }),
        "evict" => Kind::EvictWorkers(EvictWorkers {}),
        "quota" => Kind::SetQuota(SetQuota { namespace: words.plain[0].clone(), change: words.quota() }),
        "expirequeued" => Kind::ExpireQueued(ExpireQueued {}),
        "lose" => Kind::LoseWorker(LoseWorker {
            worker: words.plain[0].parse().expect("a worker"),
            session: words.number("session"),
        }),
        "authorize" => Kind::Authorize(Authorize {
            role: words.role() as i32,
            name: words.name(),
            secret_hash: words.hash("token"),
            labels: words.labels("label"),
        }),
        "redeem" => Kind::RedeemToken(RedeemToken {
            role: words.role() as i32,
            name: words.name(),
            secret_hash: words.hash("token"),
            key_hash: words.hash("key"),
        }),
        "revoke" => Kind::Revoke(Revoke { role: words.role() as i32, name: words.name() }),
        "drain" => Kind::SetDrain(SetDrain {
            name: words.plain[0].clone(),
            draining: true,
            deadline_ms: words.count("until").into(),
        }),
        "resume" => Kind::SetDrain(SetDrain { name: words.plain[0].clone(), draining: false, deadline_ms: 0 }),
        "master" => Kind::RegisterMaster(RegisterMaster {
            node: words.number("node"),
            name: words.plain[0].clone(),
            disk: words.named.remove("disk").expect("disk="),
            raft_addr: words.named.remove("addr").expect("addr="),
            version: 1,
            ..Default::default()
        }),
        "forget" => Kind::ForgetMaster(ForgetMaster { node: words.number("node") }),
        "policy" => {
            let policy: ScorePolicy = words.plain[0].parse().expect("a policy");
            Kind::SetConfig(SetConfig { config: ClusterConfig { score_policy: policy as i32 } })
        }
        "expire" => Kind::ExpireRequests(ExpireRequests {
            keys: words.plain.iter().map(|key| key.clone().into_bytes()).collect(),
        }),
        "remove" => {
            let ended_until_ms = words.named.remove("until").expect("until=").parse().expect("a time");
            let jobs = words.plain.iter().map(|id| ExpiringJob { namespace: 1, job: id.parse().expect("a job") });
            Kind::ExpireJobs(ExpireJobs { jobs: jobs.collect(), ended_until_ms })
        }
        "replay" => Kind::ReplayDead(ReplayDead { groups: words.dead_groups() }),
        "drop" => Kind::DropDead(DropDead { groups: words.dead_groups() }),
        "set" => Kind::SetSecret(SetSecret {
            namespace: words.named.remove("ns").unwrap_or("default".into()),
            kind: words.secret_kind(),
            name: words.name(),
            sealed: vec![7; words.count("bytes") as usize],
        }),
        "unset" => Kind::RemoveSecret(RemoveSecret {
            namespace: words.named.remove("ns").unwrap_or("default".into()),
            kind: words.secret_kind(),
            name: words.name(),
        }),
        "tick" => Kind::AdvanceClock(AdvanceClock {}),
        "raise" => Kind::RaiseVersion(RaiseVersion { version: words.plain[0].parse().expect("a version") }),
        "incarnation" => Kind::StartIncarnation(StartIncarnation {}),
        "found" => {
            Kind::FoundCluster(FoundCluster { cluster: words.plain[0].clone(), founders: words.number("founders") })
        }
        other => panic!("no command '{other}'"),
    }
}

/// A verb, plain words and `key=value` words.
struct Words<'a> {
    verb: &'a str,
    plain: Vec<String>,
    named: BTreeMap<String, String>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().expect("a verb");
        let (mut plain, mut named) = (vec![], BTreeMap::new());
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => {
                    let earlier = named.insert(key.to_owned(), value.to_owned());
                    assert!(earlier.is_none(), "{key} twice in '{line}'");
                }
                None => plain.push(word.to_owned()),
            }
        }
        Words { verb, plain, named }
    }

    fn number(&mut self, key: &str) -> u64 {
        match self.named.remove(key) {
            Some(value) => value.parse().expect("a number"),
            None => self.plain.remove(0).parse().unwrap_or_else(|_| panic!("{key} is missing")),
        }
    }

    fn count(&mut self, key: &str) -> u32 {
        self.named.remove(key).map_or(0, |n| n.parse().expect("a count"))
    }

    fn resources(&mut self) -> Resources {
        Resources {
            cpu_milli: self.named.remove("cpu").map_or(0, |t| parse_cpu(&t).expect("cpu")),
            memory_bytes: self.named.remove("mem").map_or(0, |t| parse_size(&t).expect("mem")),
            storage_bytes: 0,
            gpus: self.count("gpu"),
        }
    }

    /// `on=signal:elsewhere,exit_code:fail delay=400 growth=150 memory=150 upto=1g`
    fn retry(&mut self) -> Option<RetryRules> {
        let on = self.labels("on");
        let rules = on.iter().map(|(reason, action)| {
            let reason = ReasonKind::ALL.into_iter().find(|k| k.name() == reason).expect("a reason") as i32;
            let action = RetryAction::ALL.into_iter().find(|a| a.name() == action).expect("an action") as i32;
            RetryRule { reason, action }
        });
        let rules = RetryRules {
            rules: rules.collect(),
            delay_ms: self.count("delay").into(),
            delay_factor_percent: self.count("growth"),
            memory_factor_percent: self.count("memory"),
            memory_max_bytes: self.named.remove("upto").map_or(0, |t| parse_size(&t).expect("a size")),
            ..RetryRules::default()
        };
        (rules != RetryRules::default()).then_some(rules)
    }

    /// `weight=3 tasks=2 cpu=4 mem=none`
    fn quota(&mut self) -> QuotaChange {
        let mut cap = |key: &str, parse: &dyn Fn(&str) -> u64| {
            let text = self.named.remove(key)?;
            Some(if text == "none" { NO_CAP } else { parse(&text) })
        };
        let number = |text: &str| text.parse().expect("a number");
        QuotaChange {
            tasks_max: cap("tasks", &number),
            cpu_milli_max: cap("cpu", &|text| parse_cpu(text).expect("cpu")),
            memory_bytes_max: cap("mem", &|text| parse_size(text).expect("mem")),
            storage_bytes_max: None,
            gpus_max: cap("gpu", &number),
            wait_max_ms: cap("waits", &number),
            queued_max: cap("queued", &number),
            user_tasks_max: cap("own-tasks", &number),
            user_queued_max: cap("own-queued", &number),
            weight: self.named.remove("weight").map(|text| text.parse().expect("a weight")),
            preempt: self.named.remove("preempt").map(|text| text == "on"),
            order: self.named.remove("order").map(|text| i32::from(text == "fifo")),
            score_policy: None,
        }
    }

    /// `a:2 b:2<a* c<a:failure,b in=c:@b`: jobs, how many tasks each has, and for whom it waits; `*`: index by index. All of them have the
    /// same attempts and queue time-out.
    fn nodes(&mut self) -> Vec<WorkflowNode> {
        let (max_attempts, queue_timeout_ms) = (self.count("attempts"), self.count("waits").into());
        let inputs = self.labels("in");
        let node = |word: String| {
            let (own, others) = word.split_once('<').unwrap_or((&word, ""));
            let (name, count) = own.split_once(':').unwrap_or((own, "1"));
            let dependency = |text: &str| {
                let (text, each) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
                let (node, on) = text.split_once(':').unwrap_or((text, "success"));
                let on = Condition::ALL.into_iter().find(|c| c.name() == on).expect("a condition") as i32;
                Dependency { node: node.into(), on, each }
            };
            WorkflowNode {
                name: name.into(),
                spec: JobSpec {
                    image: "busybox".into(),
                    count: count.parse().expect("a count"),
                    max_attempts,
                    queue_timeout_ms,
                    inputs: inputs.get(name).map(|from| ("in".to_owned(), from.clone())).into_iter().collect(),
                    ..JobSpec::default()
                },
                depends_on: others.split(',').filter(|text| !text.is_empty()).map(dependency).collect(),
            }
        };
        std::mem::take(&mut self.plain).into_iter().map(node).collect()
    }

    /// `1/0 1/7 2/0`, all of the namespace 1.
    fn dead_groups(&mut self) -> Vec<DeadGroup> {
        let tasks = std::mem::take(&mut self.plain).into_iter().map(|task| {
            let task: Numbered = task.parse().expect("JOB/INDEX");
            DeadGroup { namespace: 1, job: task.job, indexes: vec![task.index] }
        });
        tasks.collect()
    }

    /// `label=zone:eu,disk:nvme`
    fn labels(&mut self, key: &str) -> BTreeMap<String, String> {
        let text = self.named.remove(key).unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once(':'));
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// `secret=a,b:A`: a file, and a variable.
    fn secrets(&mut self) -> Vec<cloudai_types::SecretUse> {
        let text = self.named.remove("secret").unwrap_or_default();
        let uses = text.split(',').filter(|word| !word.is_empty()).map(|word| match word.split_once(':') {
            Some((name, variable)) => format!("{name}=env:{variable}"),
            None => word.to_owned(),
        });
        uses.map(|text| text.parse().expect("a secret")).collect()
    }

    fn secret_kind(&self) -> i32 {
        match self.plain[0].as_str() {
            "value" => SecretKind::Value as i32,
            "login" => SecretKind::RegistryLogin as i32,
            other => panic!("no kind '{other}'"),
        }
    }

    fn role(&self) -> MemberRole {
        match self.plain[0].as_str() {
            "worker" => MemberRole::Worker,
            "master" => MemberRole::Master,
            other => panic!("no role '{other}'"),
        }
    }

    fn name(&self) -> String {
        self.plain.get(1).cloned().unwrap_or_default()
    }

    /// 32 bytes that begin with the word.
    fn hash(&mut self, key: &str) -> Vec<u8> {
        let mut hash = self.named.remove(key).unwrap_or_else(|| panic!("{key} is missing")).into_bytes();
        hash.resize(32, b'.');
        hash
    }
}

/// `JOB/INDEX` or `JOB/INDEX.N` with the job's number, which is shorter to read than its printed id.
struct Numbered {
    job: u64,
    index: u32,
    number: u32,
}

impl std::str::FromStr for Numbered {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (job, rest) = text.split_once('/').unwrap_or((text, "0"));
        let (index, number) = rest.split_once('.').unwrap_or((rest, "0"));
        Ok(Numbered { job: job.parse()?, index: index.parse()?, number: number.parse()? })
    }
}

fn attempt_state(text: &str) -> AttemptState {
    match text {
        "preparing" => AttemptState::Preparing,
        "running" => AttemptState::Running,
        "stopping" => AttemptState::Stopping,
        "storing" => AttemptState::Storing,
        "exited" => AttemptState::Exited,
        "lost" => AttemptState::Lost,
        "assigned" => AttemptState::Assigned,
        other => panic!("no attempt state '{other}'"),
    }
}

fn counts(c: &Counts, blocked: u32) -> String {
    let named = [
        ("queued", c.queued),
        ("active", c.active),
        ("succeeded", c.succeeded),
        ("failed", c.failed),
        ("cancelled", c.cancelled),
        ("dead", c.dead),
        ("blocked", blocked),
    ];
    named.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
}

fn unmet(unmet: Unmet) -> String {
    let how = if unmet.skipped { "skipped" } else { "in vain" };
    format!(", {how}: {} of {}", unmet.on().name(), unmet.job)
}

fn event_text(event: &Event) -> String {
    let list = |attempts: &[AttemptId]| {
        let text = |a: &AttemptId| format!("{}/{}.{}", a.task.job.0, a.task.index, a.number);
        attempts.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    match event {
        Event::Assigned { worker, attempts } => format!("Assigned {worker}: {}", list(attempts)),
        Event::Withdrawn { worker, attempts } => format!("Withdrawn {worker}: {}", list(attempts)),
        Event::JobSubmitted { .. }
        | Event::JobChanged { .. }
        | Event::JobEnded { .. }
        | Event::CapacityChanged
        | Event::TasksReady
        | Event::WorkerChanged { .. }
        | Event::WorkerLost { .. }
        | Event::Revoked { .. }
        | Event::MasterChanged { .. }
        | Event::ConfigChanged => plain(event),
    }
}

/// `Debug` with ids as bare numbers.
fn plain(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
        .replace("JobId(", "")
        .replace("WorkerId(", "")
        .replace("WorkflowId(", "")
        .replace("Some(", "")
        .replace(')', "")
}
