//! What `top` knows, and what follows from each input. Comes in: [`Input`]s. Goes out: [`Effect`]s. Everything that is drawn is in here; it does not
//! know who asks the masters, or how a screen is drawn.

use std::collections::{BTreeMap, VecDeque};

use cloudai_proto::v1::{ClusterStatusReply, Event, JobSummary, NamespaceInfo, QueueReply, UsageSample, WorkerInfo};
use cloudai_types::{EventKind, limits};

use crate::top::bars::Glyphs;
use crate::top::columns::Table;
use crate::top::input::{Answer, DetailsOf, Effect, Input, JobRef, Look, Question};
use crate::top::tasks::Tasks;
use crate::top::theme::Theme;
use crate::top::{draw, keys, masters, tasks, waiting, workers};

/// What fills the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Cluster,
    Workers,
    Queue,
    Tasks,
}

impl Page {
    pub const ALL: [Page; 4] = [Page::Cluster, Page::Workers, Page::Queue, Page::Tasks];

    pub fn title(self) -> &'static str {
        match self {
            Page::Cluster => "cluster",
            Page::Workers => "workers",
            Page::Queue => "queue",
            Page::Tasks => "tasks",
        }
    }

    /// Its place in [`Page::ALL`].
    pub fn number(self) -> usize {
        Page::ALL.iter().position(|page| *page == self).unwrap_or(0)
    }
}

/// What keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Rows,
    /// They are written into the page's filter.
    Filter,
    Help,
    /// Of the row with this key; scrolled down by so many lines.
    Details(String, usize),
}

/// How it stands with the masters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Nothing was answered yet.
    Connecting,
    Fine,
    /// What is shown is what was.
    Lost {
        since_ms: u64,
        /// Whom it tries to reach.
        to: String,
        why: String,
    },
}

/// The chosen row. It stays with its key when others come, go, or change places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    pub at: usize,
    /// The first row that is shown.
    pub top: usize,
    key: String,
}

/// One look, for the small curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub queued: u64,
    pub active: u64,
    pub cpu_milli: u64,
    pub memory_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct Setting {
    /// Of the jobs that are shown; `*`: all.
    pub namespace: String,
    /// Where masters may be.
    pub addresses: Vec<String>,
    pub theme: Theme,
    pub glyphs: Glyphs,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub setting: Setting,
    pub now_ms: u64,
    pub size: (u16, u16),
    pub page: Page,
    pub mode: Mode,
    pub cursors: [Cursor; 4],
    pub filters: [String; 4],
    pub sort: workers::Sort,
    pub reversed: bool,
    pub link: Link,
    pub status: ClusterStatusReply,
    /// Who led before, and when that was seen to change.
    pub led_before: Option<(String, u64)>,
    pub workers: Vec<WorkerInfo>,
    /// The leader has said so: it alone knows whom it hears.
    pub workers_by_leader: bool,
    pub queue: QueueReply,
    pub namespaces: Vec<NamespaceInfo>,
    pub jobs: Vec<JobSummary>,
    /// Why jobs wait, and when that was answered.
    pub whys: BTreeMap<u64, (String, u64)>,
    pub tasks: Tasks,
    /// Of masters and workers, and what went wrong with tasks; the newest last.
    pub events: VecDeque<Event>,
    pub usage: BTreeMap<String, UsageSample>,
    pub history: VecDeque<Point>,
    pub details: Option<Answer>,
    last_event: Option<(u64, u32)>,
    /// A look is under way; and when the last one began.
    asking: bool,
    asked_ms: u64,
    workers_asked_ms: u64,
    /// The running job whose tasks were asked for last.
    tasks_asked: u64,
}

impl Model {
    pub fn new(setting: Setting, size: (u16, u16), now_ms: u64) -> Model {
        Model {
            setting,
            now_ms,
            size,
            page: Page::Cluster,
            mode: Mode::Rows,
            cursors: Default::default(),
            filters: Default::default(),
            sort: workers::Sort::Name,
            reversed: false,
            link: Link::Connecting,
            status: ClusterStatusReply::default(),
            led_before: None,
            workers: vec![],
            workers_by_leader: false,
            queue: QueueReply::default(),
            namespaces: vec![],
            jobs: vec![],
            whys: BTreeMap::new(),
            tasks: Tasks::default(),
            events: VecDeque::new(),
            usage: BTreeMap::new(),
            history: VecDeque::new(),
            details: None,
            last_event: None,
            asking: false,
            asked_ms: 0,
            workers_asked_ms: 0,
            tasks_asked: 0,
        }
    }

    pub fn update(&mut self, input: Input) -> Vec<Effect> {
        // Time alone moves no rows.
        let may_move_rows = !matches!(input, Input::Time(_));
        let mut effects = match input {
            Input::Time(now_ms) => {
                self.now_ms = now_ms;
                vec![]
            }
            Input::Key(key) => keys::on_key(self, key),
            Input::Resized(width, height) => {
                self.size = (width, height);
                vec![]
            }
            Input::Looked(answer) => {
                self.on_looked(answer);
                vec![]
            }
            Input::Events(events) => {
                events.iter().for_each(|event| self.on_event(event));
                vec![]
            }
            Input::Usage(samples) => {
                self.usage.extend(samples);
                vec![]
            }
            Input::Stop => vec![Effect::Quit],
        };
        if may_move_rows {
            self.keep_cursor();
        }
        if !effects.contains(&Effect::Quit) {
            effects.extend(self.ask());
        }
        effects
    }

    /// The rows of the page, as filter and order want them.
    pub fn table(&self) -> Table {
        let mut table = match self.page {
            Page::Cluster => masters::table(self),
            Page::Workers => workers::table(self),
            Page::Queue => waiting::table(self),
            Page::Tasks => tasks::table(self),
        };
        table.retain(self.filter());
        table
    }

    pub fn filter(&self) -> &str {
        &self.filters[self.page.number()]
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursors[self.page.number()]
    }

    /// The key of the chosen row; empty: there is none.
    pub fn chosen(&self) -> &str {
        &self.cursor().key
    }

    /// Nobody knows whether it is still so.
    pub fn is_old(&self) -> bool {
        self.link != Link::Fine
    }

    /// Down by so many rows, or up.
    pub fn move_cursor(&mut self, by: isize) {
        let table = self.table();
        let last = table.rows.len().saturating_sub(1);
        let cursor = &mut self.cursors[self.page.number()];
        cursor.at = cursor.at.saturating_add_signed(by).min(last);
        cursor.key = table.rows.get(cursor.at).map(|row| row.key.clone()).unwrap_or_default();
    }

    /// Where its row is now, and in sight.
    fn keep_cursor(&mut self) {
        let table = self.table();
        let fitting = draw::rows_fitting(self);
        let cursor = &mut self.cursors[self.page.number()];
        match table.rows.iter().position(|row| row.key == cursor.key) {
            Some(at) => cursor.at = at,
            None => {
                cursor.at = cursor.at.min(table.rows.len().saturating_sub(1));
                cursor.key = table.rows.get(cursor.at).map(|row| row.key.clone()).unwrap_or_default();
            }
        }
        let lowest_top = (cursor.at + 1).saturating_sub(fitting);
        let highest_top = table.rows.len().saturating_sub(fitting);
        cursor.top = cursor.top.min(highest_top).clamp(lowest_top, cursor.at.max(lowest_top));
    }

    fn on_looked(&mut self, answer: Result<Box<Look>, String>) {
        self.asking = false;
        let look = match answer {
            Ok(look) => *look,
            Err(why) => return self.lose(self.masters_text(), why),
        };
        let before = std::mem::replace(&mut self.status, look.status);
        let read = self.status.read.clone().unwrap_or_default();
        // Between two leaders there is none for a while: the name of the last one stays.
        if self.status.leader.is_empty() {
            self.status.leader = before.leader;
        } else if !before.leader.is_empty() && before.leader != self.status.leader {
            self.led_before = Some((before.leader, self.now_ms));
        }
        match look.leader_away {
            _ if self.status.leader_id == 0 => self.lose("a leader".to_owned(), format!("{} knows none", read.master)),
            Some(why) => self.lose(format!("{}, which led", self.status.leader), why),
            None => self.link = Link::Fine,
        }
        if let Some(reply) = look.workers {
            self.workers_by_leader = reply.read.is_some_and(|read| read.leader);
            self.workers = reply.workers;
            let there = |name: &String| self.workers.iter().any(|worker| worker.name == *name);
            if self.usage.len() > self.workers.len() {
                self.usage = std::mem::take(&mut self.usage).into_iter().filter(|(name, _)| there(name)).collect();
            }
        }
        (self.queue, self.namespaces, self.jobs) = (look.queue, look.namespaces, look.jobs);
        if let Some((job, why)) = look.why {
            self.whys.insert(job, (why, self.now_ms));
        }
        let waits = |job: &u64| self.jobs.iter().any(|j| j.id == *job && waiting::waits(j));
        self.whys = std::mem::take(&mut self.whys).into_iter().filter(|(job, _)| waits(job)).collect();
        if let Some((job, infos, complete)) = look.tasks {
            self.tasks.on_list(&job, &infos, complete);
        }
        if let Some(details) = look.details {
            self.details = Some(details);
        }
        self.remember();
    }

    /// `10.0.0.1:7601 and 2 more`
    pub fn masters_text(&self) -> String {
        match self.setting.addresses.as_slice() {
            [first, others @ ..] if !others.is_empty() => format!("{first} and {} more", others.len()),
            addresses => addresses.concat(),
        }
    }

    fn lose(&mut self, to: String, why: String) {
        let since_ms = match self.link {
            Link::Lost { since_ms, .. } => since_ms,
            Link::Connecting | Link::Fine => self.now_ms,
        };
        self.link = Link::Lost { since_ms, to, why };
    }

    fn remember(&mut self) {
        let allocated = self.workers.iter().filter_map(|worker| worker.allocated);
        let (cpu_milli, memory_bytes) = allocated
            .map(|held| (held.cpu_milli, held.memory_bytes))
            .fold((0u64, 0u64), |sum, held| (sum.0.saturating_add(held.0), sum.1.saturating_add(held.1)));
        let (queued, active) = (self.status.tasks_queued, self.status.tasks_active);
        self.history.push_back(Point { queued, active, cpu_milli, memory_bytes });
        if self.history.len() > limits::TOP_LOOKS_KEPT {
            self.history.pop_front();
        }
    }

    /// A stream that was opened anew begins with what was there already.
    fn on_event(&mut self, event: &Event) {
        let at = event.at.map(|at| (at.index, at.number));
        if at.is_some() && at <= self.last_event {
            return;
        }
        self.last_event = at.max(self.last_event);
        let wanted = self.setting.namespace.as_str();
        if wanted != "*" && !event.namespace.is_empty() && event.namespace != wanted {
            return;
        }
        self.tasks.on_event(event);
        if is_notable(event.kind()) {
            self.events.push_back(event.clone());
            if self.events.len() > limits::TOP_EVENTS_MAX {
                self.events.pop_front();
            }
        }
    }

    /// The next look, where it is time for one.
    fn ask(&mut self) -> Option<Effect> {
        let is_due = self.asked_ms == 0 || self.now_ms.saturating_sub(self.asked_ms) >= limits::TOP_LOOK_EVERY.0;
        if self.asking || !is_due {
            return None;
        }
        self.asking = true;
        self.asked_ms = self.now_ms;
        let pause = limits::TOP_LOOK_EVERY.0 * (1 + self.workers.len() as u64 / limits::TOP_WORKERS_PER_LOOK);
        let workers = self.workers_asked_ms == 0 || self.now_ms.saturating_sub(self.workers_asked_ms) >= pause;
        if workers {
            self.workers_asked_ms = self.now_ms;
        }
        let tasks_of = if self.page == Page::Tasks { self.next_running() } else { None };
        self.tasks_asked = tasks_of.as_ref().map_or(self.tasks_asked, |job| job.id);
        let why = if self.page == Page::Queue { waiting::to_explain(self) } else { None };
        Some(Effect::Ask(Question { workers, why, tasks_of, details: self.wanted_details() }))
    }

    /// Running jobs take turns.
    fn next_running(&self) -> Option<JobRef> {
        let running = || self.jobs.iter().filter(|job| job.counts.is_some_and(|counts| counts.active > 0));
        let next = running().find(|job| job.id < self.tasks_asked).or(running().next())?;
        Some(JobRef { id: next.id, namespace: next.namespace.clone() })
    }

    fn wanted_details(&self) -> Option<DetailsOf> {
        let Mode::Details(key, _) = &self.mode else { return None };
        match self.page {
            Page::Workers => Some(DetailsOf::Worker(key.clone())),
            Page::Tasks => self
                .tasks
                .named(key)
                .map(|(id, row)| DetailsOf::Task(JobRef { id: id.job, namespace: row.namespace.clone() }, id.index)),
            // All that there is to say of these is known already.
            Page::Cluster | Page::Queue => None,
        }
    }
}

/// What an operator wants to see by the way: not the daily life of tasks.
fn is_notable(kind: EventKind) -> bool {
    match kind {
        EventKind::Submitted
        | EventKind::Blocked
        | EventKind::Released
        | EventKind::Placed
        | EventKind::Started
        | EventKind::Ended
        | EventKind::Waits
        | EventKind::Retries
        | EventKind::MemoryRaised
        | EventKind::Finished
        | EventKind::Unspecified => false,
        EventKind::Lost
        | EventKind::Preempted
        | EventKind::Dead
        | EventKind::Replayed
        | EventKind::Expired
        | EventKind::Cancelled
        | EventKind::WorkerAuthorized
        | EventKind::WorkerRegistered
        | EventKind::WorkerLost
        | EventKind::WorkerDrained
        | EventKind::WorkerResumed
        | EventKind::WorkerEvicted
        | EventKind::WorkerLeaves
        | EventKind::WorkerTainted
        | EventKind::WorkerUntainted
        | EventKind::WorkerRevoked
        | EventKind::LeaderChanged
        | EventKind::MasterChanged
        | EventKind::MasterRemoved
        | EventKind::ConfigChanged
        | EventKind::QuotaChanged
        | EventKind::FormatRaised => true,
    }
}
