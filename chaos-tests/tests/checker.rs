//! The checkers themselves are proven here: histories that a correct cluster can produce are accepted, and each way of breaking one is
//! rejected by the check that is there for it. A checker that accepts everything would make every drill pass.

use std::collections::BTreeSet;
use std::time::Duration;

use chaos_tests::checker::facts::{Asked, Digest, Heal, Job, Log, Op, Seen, Told};
use chaos_tests::checker::{Check, Execution, Facts, Until, Violation, check_all};
use cloudai_proto::v1::{AttemptInfo, AttemptPhase, JobState, TaskInfo, TaskState};
use cloudai_types::{AttemptId, EndReason, JobId};

const SEEDS: u64 = 40;
const MS: u64 = 1_000_000;

/// xorshift64*: the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A correct cluster in miniature: a log, and clients whose operations take effect at one moment between call and return.
struct Model {
    random: Random,
    now: u64,
    index: u64,
    /// The last entry holds submits, and nothing was read since.
    open: bool,
    facts: Facts,
    register: u64,
    registers: Vec<(u64, u64)>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let facts = Facts { clocks_agree: true, ..Facts::default() };
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Model { random, now: 1_000 * MS, index: 10, open: false, facts, register: 0, registers: vec![(0, 0)] }
    }

    /// The moment of the effect; call and return lie around it, at random distances, so that operations overlap.
    fn around(&mut self) -> (u64, u64) {
        self.now += (1 + self.random.below(5)) * MS;
        (self.now - self.random.below(20 * MS), self.now + 1 + self.random.below(20 * MS))
    }

    fn push(&mut self, call: u64, back: u64, asked: Asked, told: Told) {
        let client = self.random.below(8) as u32;
        self.facts.ops.push(Op { client, call, back, asked, told });
    }

    fn submit(&mut self, number: u64) {
        let (call, back) = self.around();
        let request = format!("r{number}");
        let asked = Asked::Submit { request: request.clone() };
        if self.random.chance(5) {
            return self.push(call, back, asked, Told::Failed);
        }
        let is_unknown = self.random.chance(10);
        if is_unknown && self.random.chance(50) {
            return self.push(call, back, asked, Told::Unknown);
        }
        // It may share the entry of the submit before it, as long as nobody has read up to there: an entry is applied as one.
        if !self.open || self.random.chance(70) {
            self.index += 1;
        }
        self.open = true;
        let job = JobId(self.facts.jobs.len() as u64 + 1);
        let told = Told::Submitted { job, index: self.index, duplicate: false };
        self.push(call, back, asked, if is_unknown { Told::Unknown } else { told });
        self.run(job, request);
    }

    /// The job's one task: perhaps a lost attempt that runs on as a zombie, then one that succeeds.
    fn run(&mut self, job: JobId, request: String) {
        let start = self.now + 10 * MS;
        let mut attempts = vec![];
        let mut number = 1;
        let mut begin = start;
        if self.random.chance(20) {
            let lost = start + 1_000 * MS;
            attempts.push(AttemptInfo {
                number,
                worker: "w1".into(),
                phase: AttemptPhase::Lost as i32,
                assigned_ms: start / MS,
                ended_ms: lost / MS,
                ..AttemptInfo::default()
            });
            let zombie = self.random.below(200 * MS);
            self.execution(job, number, "w1", start, lost + zombie);
            (number, begin) = (2, lost + MS);
        }
        let end = begin + 50 * MS;
        self.execution(job, number, "w2", begin, end);
        attempts.push(AttemptInfo {
            number,
            worker: "w2".into(),
            phase: AttemptPhase::Exited as i32,
            reason: Some(EndReason::exit(0)),
            assigned_ms: begin / MS,
            started_ms: begin / MS,
            ended_ms: end / MS,
            ..AttemptInfo::default()
        });
        let state = TaskState::Succeeded as i32;
        let task = TaskInfo { job_id: job.0, state, attempts, ended_ms: end / MS, ..TaskInfo::default() };
        self.facts.jobs.push(Job { id: job, request, state: JobState::Succeeded, count: 1, tasks: vec![task] });
    }

    fn execution(&mut self, job: JobId, number: u32, worker: &str, start: u64, end: u64) {
        self.facts.executions.push(Execution {
            attempt: AttemptId::new(job, 0, number),
            worker: worker.into(),
            start,
            until: Until::Ended(end),
            start_wall_ms: start / MS,
        });
    }

    fn read(&mut self) {
        self.open = false;
        let (call, back) = self.around();
        let there = self.facts.jobs.len() as u64;
        match self.random.below(4) {
            0 if there > 0 => {
                let job = JobId(1 + self.random.below(there + 2));
                let found = self.facts.jobs.get(job.0 as usize - 1).cloned();
                // It has ended when its last attempt has.
                let ended = found.as_ref().map(|j| j.tasks[0].clone()).filter(|t| t.ended_ms * MS < self.now);
                let state = if ended.is_some() { JobState::Succeeded } else { JobState::Running };
                let job_seen = found.map(|_| Seen { state, ended: ended.into_iter().collect() });
                self.push(call, back, Asked::Get { job }, Told::Job { index: self.index, job: job_seen });
            }
            0 | 1 => {
                let from = if self.random.chance(50) { there.saturating_sub(20) } else { 0 };
                let jobs: BTreeSet<JobId> = (from.max(1)..=there).map(JobId).collect();
                self.push(call, back, Asked::List, Told::Jobs { index: self.index, jobs, from: JobId(from) });
            }
            2 => {
                let key = "policy".to_owned();
                let told = Told::Value { value: self.register, index: self.index };
                self.push(call, back, Asked::Read { key }, told);
            }
            _ => {
                let (index, value) = self.registers[self.random.below(self.registers.len() as u64) as usize];
                let key = "policy".to_owned();
                self.push(call, back, Asked::StaleRead { key }, Told::Value { value, index });
            }
        }
    }

    fn write(&mut self) {
        self.open = false;
        let (call, back) = self.around();
        let value = self.random.below(4);
        let asked = Asked::Write { key: "policy".to_owned(), value };
        match self.random.below(10) {
            0 => self.push(call, back, asked, Told::Failed),
            1 => self.push(call, back, asked, Told::Unknown),
            _ => {
                self.index += 1;
                self.register = value;
                self.registers.push((self.index, value));
                self.push(call, back, asked, Told::Written { index: self.index });
            }
        }
    }
}

/// What a correct cluster of this seed leaves behind.
fn legal(seed: u64) -> Facts {
    let mut model = Model::new(seed);
    for number in 0..150 {
        match model.random.below(10) {
            0..5 => model.submit(number),
            5..8 => model.read(),
            _ => model.write(),
        }
    }
    let mut facts = model.facts;
    let masters = ["m1", "m2", "m3"];
    facts.digests = masters.map(|m| Digest { master: m.into(), applied: 99, digest: 7 }).to_vec();
    facts.heal = Heal {
        views: masters.map(|m| (m.into(), 4, "m2".into())).to_vec(),
        voters: masters.map(|m| (m.into(), Some(0))).to_vec(),
        clients: (0..8).map(|c| (c, Some(Duration::from_millis(40)))).collect(),
    };
    facts.logs = masters.map(|m| Log { process: m.into(), text: "INFO all is well\n".into() }).to_vec();
    facts
}

/// How to break a history. False: this one has nothing that could be broken so.
type Mutation = fn(&mut Facts, &mut Random) -> bool;

fn acknowledged(facts: &Facts) -> Vec<(usize, JobId)> {
    let ops = facts.ops.iter().enumerate();
    ops.filter_map(|(at, op)| match op.told {
        Told::Submitted { job, .. } => Some((at, job)),
        _ => None,
    })
    .collect()
}

fn pick<T: Clone>(all: &[T], random: &mut Random) -> Option<T> {
    (!all.is_empty()).then(|| all[random.below(all.len() as u64) as usize].clone())
}

fn find(facts: &mut Facts, random: &mut Random, wanted: impl Fn(&Op) -> bool) -> Option<usize> {
    let all: Vec<usize> = (0..facts.ops.len()).filter(|at| wanted(&facts.ops[*at])).collect();
    pick(&all, random)
}

fn job_of(facts: &mut Facts, id: JobId) -> Option<&mut Job> {
    facts.jobs.iter_mut().find(|j| j.id == id)
}

/// A task with a lost attempt before the good one.
fn with_a_loss(facts: &Facts) -> Option<usize> {
    facts.jobs.iter().position(|j| j.tasks[0].attempts.len() == 2)
}

/// A new operation after everything else.
fn append(facts: &mut Facts, asked: Asked, told: Told) {
    let last = facts.ops.iter().map(|op| op.back).max().unwrap_or(0);
    facts.ops.push(Op { client: 0, call: last + MS, back: last + 2 * MS, asked, told });
}

fn highest_index(facts: &Facts) -> u64 {
    let indices = facts.ops.iter().map(|op| match op.told {
        Told::Submitted { index, .. }
        | Told::Job { index, .. }
        | Told::Jobs { index, .. }
        | Told::Written { index }
        | Told::Value { index, .. } => index,
        Told::Failed | Told::Unknown => 0,
    });
    indices.max().unwrap_or(0)
}

const MUTATIONS: &[(&str, Check, Mutation)] = &[
    ("an acknowledged job is missing in the end", Check::A1, |f, r| {
        let Some((_, job)) = pick(&acknowledged(f), r) else { return false };
        f.jobs.retain(|j| j.id != job);
        true
    }),
    ("one request made two jobs", Check::A1, |f, r| {
        let Some(mut job) = pick(&f.jobs, r) else { return false };
        job.id = JobId(9_999);
        f.jobs.push(job);
        true
    }),
    ("two requests were given one job", Check::A1, |f, _| {
        let all = acknowledged(f);
        let (Some((_, job)), Some((at, _))) = (all.first(), all.last()) else { return false };
        let before = f.ops[*at].told.clone();
        f.ops[*at].told = Told::Submitted { job: *job, index: 1_000_000, duplicate: false };
        all.len() > 1 && before != f.ops[*at].told
    }),
    ("a refused submit is there", Check::A1, |f, r| {
        let Some(at) = find(f, r, |op| op.told == Told::Failed && matches!(op.asked, Asked::Submit { .. })) else {
            return false;
        };
        let Asked::Submit { request } = f.ops[at].asked.clone() else { return false };
        f.jobs.push(Job { id: JobId(8_888), request, ..Job::default() });
        true
    }),
    ("a job lost one of its tasks", Check::A1, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        job_of(f, job.id).is_some_and(|j| j.tasks.pop().is_some())
    }),
    ("a read result is lost", Check::A2, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        append(f, Asked::Get { job: job.id }, seen(f, &job));
        job_of(f, job.id).is_some_and(|j| {
            j.tasks[0].state = TaskState::Active as i32;
            j.state = JobState::Running;
            true
        })
    }),
    ("a read result became another one", Check::A2, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        append(f, Asked::Get { job: job.id }, seen(f, &job));
        job_of(f, job.id).is_some_and(|j| {
            j.tasks[0].ended_ms += 5;
            true
        })
    }),
    ("two readers read two results", Check::A2, |f, r| {
        let Some(mut job) = pick(&f.jobs, r) else { return false };
        append(f, Asked::Get { job: job.id }, seen(f, &job));
        job.state = JobState::Failed;
        append(f, Asked::Get { job: job.id }, seen(f, &job));
        true
    }),
    ("two results of one task were accepted", Check::A3, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        job_of(f, job.id).is_some_and(|j| {
            let mut again = j.tasks[0].attempts.last().cloned().unwrap_or_default();
            again.number += 1;
            j.tasks[0].attempts.push(again);
            true
        })
    }),
    ("attempt numbers go back", Check::A3, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        f.jobs[at].tasks[0].attempts[0].number = 3;
        true
    }),
    ("a success that no attempt had", Check::A3, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        job_of(f, job.id).is_some_and(|j| j.tasks[0].attempts.pop().is_some())
    }),
    ("a result without an execution", Check::A3, |f, r| {
        let Some(job) = pick(&f.jobs, r) else { return false };
        f.executions.retain(|e| e.task().job != job.id);
        !f.executions.is_empty()
    }),
    ("two live attempts", Check::A3, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        f.jobs[at].tasks[0].attempts[0].phase = AttemptPhase::Running as i32;
        true
    }),
    ("the second attempt ran before the first was lost", Check::A4, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        let id = f.jobs[at].id;
        let run = f.executions.iter_mut().find(|e| e.task().job == id && e.attempt.number == 2);
        run.is_some_and(|e| {
            (e.start, e.start_wall_ms) = (e.start - 500 * MS, e.start_wall_ms - 500);
            true
        })
    }),
    ("the second attempt was assigned before the first was lost", Check::A4, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        f.jobs[at].tasks[0].attempts[1].assigned_ms -= 500;
        let id = f.jobs[at].id;
        f.executions.iter_mut().filter(|e| e.task().job == id).for_each(|e| e.until = Until::Running);
        true
    }),
    ("an attempt overlaps one that was never lost", Check::A4, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        let (id, attempts) = (f.jobs[at].id, &mut f.jobs[at].tasks[0].attempts);
        attempts[0].phase = AttemptPhase::Exited as i32;
        f.executions.iter_mut().filter(|e| e.task().job == id).for_each(|e| e.until = Until::Running);
        true
    }),
    ("two attempts of a 'stop' task overlap by a millisecond", Check::A4, |f, _| {
        let Some(at) = with_a_loss(f) else { return false };
        let id = f.jobs[at].id;
        f.stop_jobs.insert(id);
        let Some(second) = f.executions.iter().find(|e| e.task().job == id && e.attempt.number == 2) else {
            return false;
        };
        let until = Until::Ended(second.start + MS);
        f.executions.iter_mut().filter(|e| e.task().job == id && e.attempt.number == 1).for_each(|e| e.until = until);
        true
    }),
    ("one attempt runs on two workers", Check::A4, |f, r| {
        let Some(mut run) = pick(&f.executions, r) else { return false };
        run.worker = "w9".into();
        f.executions.push(run);
        true
    }),
    ("an acknowledged job is not read", Check::A5, |f, r| {
        let Some((_, job)) = pick(&acknowledged(f), r) else { return false };
        let index = highest_index(f);
        append(f, Asked::Get { job }, Told::Job { index, job: None });
        true
    }),
    ("an acknowledged job is not listed", Check::A5, |f, r| {
        let Some((_, job)) = pick(&acknowledged(f), r) else { return false };
        let jobs = f.jobs.iter().map(|j| j.id).filter(|id| *id != job).collect();
        let index = highest_index(f);
        append(f, Asked::List, Told::Jobs { index, jobs, from: JobId(0) });
        true
    }),
    ("a job is listed before it was submitted", Check::A5, |f, _| {
        let Some((at, job)) = acknowledged(f).last().copied() else { return false };
        let call = f.ops[at].call;
        let told = Told::Jobs { index: 1, jobs: BTreeSet::from([job]), from: job };
        f.ops.push(Op { client: 3, call: call - 100 * MS, back: call - 99 * MS, asked: Asked::List, told });
        true
    }),
    ("a list holds a job that nobody submitted", Check::A5, |f, r| {
        let Some(at) = find(f, r, |op| matches!(op.told, Told::Jobs { .. })) else { return false };
        let Told::Jobs { jobs, .. } = &mut f.ops[at].told else { return false };
        jobs.insert(JobId(7_777))
    }),
    ("a list has a hole", Check::A5, |f, r| {
        let sure: BTreeSet<JobId> = acknowledged(f).into_iter().map(|(_, job)| job).collect();
        let has = |op: &Op| matches!(&op.told, Told::Jobs { jobs, .. } if jobs.iter().any(|j| sure.contains(j)));
        let Some(at) = find(f, r, has) else { return false };
        let Told::Jobs { jobs, .. } = &mut f.ops[at].told else { return false };
        let Some(first) = jobs.iter().copied().find(|j| sure.contains(j)) else { return false };
        jobs.remove(&first)
    }),
    ("a linearizable read is older than an answer before it", Check::A5, |f, _| {
        let index = highest_index(f) - 1;
        append(f, Asked::List, Told::Jobs { index, jobs: BTreeSet::new(), from: JobId(u64::MAX) });
        true
    }),
    ("a register goes back to an older value", Check::A5, |f, _| {
        let index = highest_index(f) + 1;
        let key = || "other".to_owned();
        append(f, Asked::Write { key: key(), value: 1 }, Told::Written { index });
        append(f, Asked::Write { key: key(), value: 2 }, Told::Written { index: index + 1 });
        append(f, Asked::Read { key: key() }, Told::Value { value: 1, index: index + 1 });
        true
    }),
    ("an acknowledged write is forgotten", Check::A5, |f, _| {
        let index = highest_index(f) + 1;
        let key = || "other".to_owned();
        append(f, Asked::Read { key: key() }, Told::Value { value: 0, index: index - 1 });
        append(f, Asked::Write { key: key(), value: 1 }, Told::Written { index });
        append(f, Asked::Read { key: key() }, Told::Value { value: 0, index: index + 1 });
        true
    }),
    ("a refused write is read", Check::A5, |f, _| {
        let index = highest_index(f) + 1;
        let key = || "other".to_owned();
        append(f, Asked::Write { key: key(), value: 1 }, Told::Written { index });
        append(f, Asked::Write { key: key(), value: 3 }, Told::Failed);
        append(f, Asked::Read { key: key() }, Told::Value { value: 3, index });
        true
    }),
    ("an unknown write is read, then gone", Check::A5, |f, _| {
        let index = highest_index(f) + 1;
        let key = || "other".to_owned();
        append(f, Asked::Write { key: key(), value: 1 }, Told::Written { index });
        append(f, Asked::Write { key: key(), value: 3 }, Told::Unknown);
        append(f, Asked::Read { key: key() }, Told::Value { value: 3, index: index + 1 });
        append(f, Asked::Read { key: key() }, Told::Value { value: 1, index: index + 1 });
        true
    }),
    ("a stale read invents a value", Check::A5, |f, _| {
        let index = highest_index(f) + 1;
        let key = || "other".to_owned();
        append(f, Asked::Write { key: key(), value: 1 }, Told::Written { index });
        append(f, Asked::StaleRead { key: key() }, Told::Value { value: 2, index });
        true
    }),
    ("one master's state differs", Check::A7, |f, _| {
        f.digests[1].digest += 1;
        true
    }),
    ("no states were compared", Check::A7, |f, _| {
        for (n, digest) in f.digests.iter_mut().enumerate() {
            digest.applied += n as u64;
        }
        true
    }),
    ("two leaders after the heal", Check::A9, |f, _| {
        f.heal.views[0].2 = "m1".into();
        true
    }),
    ("a voter does not catch up", Check::A9, |f, _| {
        f.heal.voters[2].1 = Some(100_000);
        true
    }),
    ("a client stays without service", Check::A9, |f, _| {
        f.heal.clients[5].1 = None;
        true
    }),
    ("a master panicked", Check::A9, |f, _| {
        f.logs[0].text += "thread 'main' panicked at src/lib.rs:1:1:\n";
        true
    }),
];

/// What a reader sees of a job that stands as it does in the end.
fn seen(facts: &Facts, job: &Job) -> Told {
    let seen = Seen { state: job.state, ended: job.tasks.clone() };
    Told::Job { index: highest_index(facts), job: Some(seen) }
}

fn shown(found: &[Violation]) -> String {
    found.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n  ")
}

#[test]
fn what_a_correct_cluster_does_is_accepted() {
    for seed in 0..SEEDS {
        let facts = legal(seed);
        assert!(facts.ops.iter().any(|op| op.told == Told::Unknown), "seed {seed} has no unknown outcome");
        let found = check_all(&facts);
        assert!(found.is_empty(), "seed {seed} is legal and was rejected:\n  {}", shown(&found));
    }
}

#[test]
fn each_way_of_breaking_it_is_rejected_by_its_own_check() {
    assert!(MUTATIONS.len() >= 20);
    for (name, check, mutate) in MUTATIONS {
        let mut broken = 0;
        for seed in 0..SEEDS {
            let mut facts = legal(seed);
            if !mutate(&mut facts, &mut Random(seed + 1)) {
                continue;
            }
            broken += 1;
            let found = check_all(&facts);
            let own = found.iter().any(|v| v.check == *check);
            assert!(own, "'{name}' (seed {seed}) was not rejected by {check:?}; found:\n  {}", shown(&found));
        }
        assert!(broken >= 10, "'{name}' could be done in {broken} of {SEEDS} histories only: it proves too little");
    }
}
