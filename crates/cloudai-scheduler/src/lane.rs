//! One namespace's side of a pass: its queue, its share and its quota. Comes in: what waits of it, what it holds. Goes out: the job whose
//! turn it is, and how many of its tasks may be placed. A job whose user has as much as a user may have is passed over, and keeps nobody
//! behind it from starting. Workers are not known here.

mod users;

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set};
use std::iter::Peekable;

use cloudai_core::Hot;
use cloudai_core::hot::{Job, ShapeId};
use cloudai_core::job_table;
use cloudai_core::queue::{Level, Levels};
use cloudai_core::tenants::Tenant;
use cloudai_core::users::UserId;
use cloudai_types::{JobId, QueueOrder, Quota, Resources, ScorePolicy, limits};

use crate::fair::{Account, Share, Whole};
use crate::index::Room;
use crate::rank::is_overdue;
use crate::roster::Ask;
use users::UserCaps;

pub(crate) struct Lane<'a> {
    levels: Box<dyn Iterator<Item = (i16, &'a Level)> + 'a>,
    /// Those that have waited for too long, before all levels; `None`: their turn has come, and is over.
    overdue: Option<Overdue>,
    /// All of them.
    were_overdue: BTreeSet<JobId>,
    /// Lines of the level at hand whose turn has not come: most of them, where a pass ends early.
    upcoming: Peekable<Upcoming<'a>>,
    /// Those whose turn has come, and that may have somewhere to go.
    lines: Vec<Line<'a>>,
    /// The first job of each line that is left, in the order of submission.
    heads: BinaryHeap<Reverse<(JobId, usize)>>,
    pub jobs: JobWalk<'a>,
    account: Account,
    quota: Quota,
    used: Resources,
    holding: u32,
    users: UserCaps<'a>,
    /// Of the job at hand, what earlier turns of this pass have placed.
    pub progress: Progress,
}

/// The waiting jobs of one shape and user in one priority level.
struct Line<'a> {
    shape: ShapeId,
    user: UserId,
    ask: Ask,
    jobs: Jobs<'a>,
}

type Overdue = BTreeMap<(ShapeId, UserId), Vec<JobId>>;

/// Jobs of one shape and user, in the order of their submission.
pub(crate) enum Jobs<'a> {
    All(btree_set::Iter<'a, JobId>),
    Overdue(std::vec::IntoIter<JobId>),
}

/// A line whose turn comes, with its first job.
pub(crate) struct Next<'a> {
    first: JobId,
    pub shape: ShapeId,
    pub user: UserId,
    pub jobs: Jobs<'a>,
}

/// In the order of their first jobs.
type Upcoming<'a> = Box<dyn Iterator<Item = Next<'a>> + 'a>;

/// The job whose turn it is, in one of its lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub job: JobId,
    pub user: UserId,
    pub shape: ShapeId,
    pub ask: Ask,
}

/// Since the view does not change in a pass, whoever comes back to a job has to know what is placed already.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Indexes with a past.
    pub due: BTreeSet<u32>,
    /// So many from the front of the fresh ones.
    pub fresh: u32,
}

/// Whether so many tasks may start at once, by the quota of their namespace and what each user of it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    Now,
    /// When what the namespace runs has ended.
    Later,
    /// When what their user runs has ended.
    LaterForUser,
    Never,
}

impl<'a> Lane<'a> {
    pub fn new(view: &'a Hot, tenant: &'a Tenant, levels: &'a Levels) -> Self {
        let users = UserCaps::of(tenant);
        let overdue = overdue(view, &tenant.quota, &users, levels);
        Lane {
            levels: Box::new(levels.iter()),
            were_overdue: overdue.values().flatten().copied().collect(),
            overdue: Some(overdue),
            upcoming: in_order(std::iter::empty()).peekable(),
            lines: vec![],
            heads: BinaryHeap::new(),
            jobs: JobWalk::new(view),
            account: Account::of(tenant, view.clock_ms),
            quota: tenant.quota,
            used: tenant.used,
            holding: tenant.holding,
            users,
            progress: Progress::default(),
        }
    }

    /// Goes on to those that have waited for too long; then to the next priority level, or to all of them where priorities do not count.
    pub fn next_level(&mut self) -> Option<()> {
        self.lines.clear();
        let upcoming = match self.overdue.take().filter(|overdue| !overdue.is_empty()) {
            Some(overdue) => {
                let next = |((shape, user), jobs): (_, Vec<JobId>)| {
                    let first = *jobs.first()?;
                    Some(Next { first, shape, user, jobs: Jobs::Overdue(jobs.into_iter()) })
                };
                in_order(overdue.into_iter().filter_map(next))
            }
            None => {
                let (_, first) = self.levels.next()?;
                match self.quota.order() {
                    QueueOrder::Priority => Box::new(firsts(first)),
                    QueueOrder::Fifo => {
                        let rest = std::mem::replace(&mut self.levels, Box::new(std::iter::empty()));
                        in_order(firsts(first).chain(rest.flat_map(|(_, level)| firsts(level))))
                    }
                }
            }
        };
        self.upcoming = upcoming.peekable();
        Some(())
    }

    /// The next line of that level, if its turn comes before those at hand.
    pub fn next_line(&mut self) -> Option<Next<'a>> {
        let at_hand = self.heads.peek().map(|Reverse((job, _))| *job);
        self.upcoming.next_if(|next| at_hand.is_none_or(|job| next.first < job))
    }

    /// What its shape asks for is `ask`.
    pub fn add_line(&mut self, next: Next<'a>, ask: Ask) {
        let Next { shape, user, mut jobs, .. } = next;
        if self.users.is_full(user) {
            return;
        }
        if let Some(first) = jobs.next_but(&self.were_overdue) {
            self.heads.push(Reverse((first, self.lines.len())));
            self.lines.push(Line { shape, user, ask, jobs });
        }
    }

    /// The first of it whose turn has not been, if its user may start something.
    pub fn first(&self, next: Next<'a>) -> Option<JobId> {
        let Next { user, mut jobs, .. } = next;
        if self.users.is_full(user) { None } else { jobs.next_but(&self.were_overdue) }
    }

    /// Drops the lines at hand of users who have as much as they may by what was placed since.
    pub fn drop_full(&mut self) {
        while let Some(Reverse((_, at))) = self.heads.peek()
            && self.lines.get(*at).is_some_and(|line| self.users.is_full(line.user))
        {
            self.drop_line();
        }
    }

    pub fn head(&self) -> Option<Head> {
        let Reverse((job, at)) = *self.heads.peek()?;
        let line = self.lines.get(at)?;
        Some(Head { job, user: line.user, shape: line.shape, ask: line.ask })
    }

    /// Nothing of the job at hand is left to place: its line goes on with the next one.
    pub fn next_job(&mut self) {
        self.progress = Progress::default();
        let Some(mut head) = self.heads.peek_mut() else { return };
        let Reverse((_, at)) = *head;
        match self.lines[at].jobs.next_but(&self.were_overdue) {
            Some(next) => *head = Reverse((next, at)),
            None => {
                PeekMut::pop(head);
            }
        }
    }

    /// Nothing of the line at hand can be placed in this pass.
    pub fn drop_line(&mut self) {
        self.progress = Progress::default();
        self.heads.pop();
    }

    /// How a worker is chosen for its tasks; `None`: as the cluster says.
    pub fn policy(&self) -> Option<ScorePolicy> {
        self.quota.policy()
    }

    pub fn share(&self, whole: &Whole) -> Share {
        self.account.share(whole)
    }

    /// How many tasks like the job's may be placed, by both its quotas, and until its share is above `other`. `None`: there is no other.
    pub fn grant(&self, head: &Head, other: Option<Share>, whole: &Whole) -> u32 {
        let turn = other.map_or(u32::MAX, |other| self.account.tasks_until_above(other, head.ask.room(), whole));
        self.room(&head.ask).min(self.users.room(head.user)).min(turn)
    }

    /// How many tasks that ask for this may be placed by the quota of the namespace.
    pub fn room(&self, ask: &Ask) -> u32 {
        if self.quota.is_capped() {
            self.quota.room_for(&resources(ask.room()), self.holding, &self.used, u32::MAX)
        } else {
            u32::MAX
        }
    }

    /// Whether tasks of this user that ask for these may all start together.
    pub fn allows<'r>(&self, user: UserId, asks: impl Iterator<Item = &'r Room>) -> Leave {
        let (mut tasks, mut sum) = (0u32, Resources::default());
        for ask in asks {
            (tasks, sum) = (tasks.saturating_add(1), sum.plus(&resources(ask)));
        }
        let fits = |holding: u32, used: &Resources| {
            self.quota.tasks_max.is_none_or(|max| max.saturating_sub(holding) >= tasks)
                && Quota { tasks_max: None, ..self.quota }.room_for(&sum, holding, used, 1) == 1
        };
        if self.users.room_at_most(user) < tasks || !fits(0, &Resources::default()) {
            Leave::Never
        } else if self.users.room(user) < tasks {
            Leave::LaterForUser
        } else if fits(self.holding, &self.used) {
            Leave::Now
        } else {
            Leave::Later
        }
    }

    /// How many more tasks this user may start by the cap on each.
    pub fn user_room(&self, user: UserId) -> u32 {
        self.users.room(user)
    }

    /// Nothing more of this user starts in this pass: one of its gangs waits for what it runs.
    pub fn close(&mut self, user: UserId) {
        self.users.close(user);
    }

    pub fn charge(&mut self, user: UserId, ask: &Ask, tasks: u32) {
        self.users.charge(user, tasks);
        self.account.charge(ask.room(), tasks);
        if self.quota.is_capped() {
            let each = resources(ask.room());
            let times = u64::from(tasks);
            self.holding = self.holding.saturating_add(tasks);
            self.used = self.used.plus(&Resources {
                cpu_milli: each.cpu_milli.saturating_mul(times),
                memory_bytes: each.memory_bytes.saturating_mul(times),
                storage_bytes: each.storage_bytes.saturating_mul(times),
                gpus: each.gpus.saturating_mul(tasks),
            });
        }
    }
}

impl Jobs<'_> {
    /// Those that were overdue have had their turn.
    fn next_but(&mut self, were_overdue: &BTreeSet<JobId>) -> Option<JobId> {
        match self {
            Jobs::All(jobs) => jobs.find(|job| !were_overdue.contains(job)).copied(),
            Jobs::Overdue(jobs) => jobs.next(),
        }
    }
}

/// Those that have waited for longer than they should; so many as one pass may place, and of each user so many as it may start.
fn overdue(view: &Hot, quota: &Quota, users: &UserCaps<'_>, levels: &Levels) -> Overdue {
    let mut overdue = Overdue::new();
    let Some(max_ms) = quota.wait_max_ms else { return overdue };
    let mut left = limits::PASS_PLACEMENTS_MAX as usize;
    let lines = levels.iter().flat_map(|(_, level)| level.lines());
    for (shape, user, jobs) in lines.flat_map(|(shape, line)| line.users().map(move |(user, jobs)| (shape, user, jobs)))
    {
        // Later ones were submitted later; of workflows some were released later than that.
        let old = |job: &&JobId| {
            view.jobs.get(job).is_some_and(|job| job.submitted_ms.saturating_add(max_ms) <= view.clock_ms)
        };
        let most = left.min(users.room(user) as usize);
        let old = jobs.iter().take_while(old).filter(|job| is_overdue(view, quota, **job)).take(most);
        let jobs = overdue.entry((shape, user)).or_default();
        let before = jobs.len();
        jobs.extend(old);
        left -= jobs.len() - before;
    }
    // One shape of one user in two levels.
    overdue.values_mut().for_each(|jobs| jobs.sort_unstable());
    overdue.retain(|_, jobs| !jobs.is_empty());
    overdue
}

fn firsts(level: &Level) -> impl Iterator<Item = Next<'_>> {
    let next = |(first, shape, user)| Next { first, shape, user, jobs: Jobs::All(level.jobs_of(shape, user)) };
    level.firsts().map(next)
}

fn in_order<'a>(lines: impl Iterator<Item = Next<'a>>) -> Upcoming<'a> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|next| (next.first, next.shape, next.user));
    Box::new(lines.into_iter())
}

fn resources(room: &Room) -> Resources {
    let [cpu_milli, memory_bytes, storage_bytes, gpus, _] = *room;
    Resources { cpu_milli, memory_bytes, storage_bytes, gpus: u32::try_from(gpus).unwrap_or(u32::MAX) }
}

/// Looks up jobs in mostly ascending order: a few steps along the map are cheaper than a search from its root.
pub(crate) struct JobWalk<'a> {
    view: &'a Hot,
    at: Peekable<job_table::Iter<'a, Job>>,
}

impl<'a> JobWalk<'a> {
    const STEPS_MAX: usize = 8;

    fn new(view: &'a Hot) -> Self {
        JobWalk { view, at: view.jobs.range(JobId(0)..).peekable() }
    }

    pub fn get(&mut self, wanted: JobId) -> Option<&'a Job> {
        for _ in 0..Self::STEPS_MAX {
            match self.at.peek() {
                Some((id, _)) if **id < wanted => self.at.next(),
                Some((id, job)) if **id == wanted => return Some(job),
                Some(_) | None => break,
            };
        }
        self.at = self.view.jobs.range(wanted..).peekable();
        self.at.peek().filter(|(id, _)| **id == wanted).map(|(_, job)| *job)
    }
}
