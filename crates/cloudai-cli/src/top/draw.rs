//! The screen. Comes in: the model. Goes out: lines of text with their tones. The same model is always the same screen; nothing is remembered here.

use cloudai_proto::v1::MemberRole;
use cloudai_types::{Resources, limits};
use ratatui::Frame;
use ratatui::text::{Line, Span, Text};

use crate::output::{count, one_line};
use crate::times::{duration, rfc3339};
use crate::top::bars::{bar, bytes, cores, curve};
use crate::top::columns::{columns_of, fitted};
use crate::top::model::{Link, Mode, Model, Page, Point};
use crate::top::theme::Tone;
use crate::top::{details, keys, workers};
use crate::views::event::EventView;

/// Below this nothing can be read.
pub const WIDTH_MIN: u16 = 60;
pub const HEIGHT_MIN: u16 = 16;
/// Title, how it stands with the masters, and the keys.
const FRAME_LINES: usize = 3;
const NAME_WIDTH: usize = 9;
/// For so long a change of leader is worth a word.
const LEADER_NEWS_MS: u64 = 60_000;

pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    frame.render_widget(Text::from(screen(model, area.width, area.height)), area);
}

/// How many rows of the page's table there is room for.
pub fn rows_fitting(model: &Model) -> usize {
    let height = usize::from(model.size.1).saturating_sub(FRAME_LINES);
    match model.page {
        Page::Cluster => model.status.members.len().clamp(1, if height > 36 { 9 } else { 5 }),
        Page::Workers | Page::Tasks => height.saturating_sub(2),
        Page::Queue => height.saturating_sub(3),
    }
}

fn screen(model: &Model, width: u16, height: u16) -> Vec<Line<'static>> {
    if width < WIDTH_MIN || height < HEIGHT_MIN {
        let words = [
            format!("cloudai top needs {WIDTH_MIN}x{HEIGHT_MIN}"),
            format!("this terminal is {width}x{height}"),
            "make it larger, or q".to_owned(),
        ];
        return words.into_iter().map(Line::from).collect();
    }
    let (width, height) = (usize::from(width), usize::from(height));
    let body_height = height - FRAME_LINES;
    let paper = Paper { model, width };
    let mut body = match &model.mode {
        Mode::Help => keys::HELP.lines().map(|line| paper.fresh(Tone::Plain, line)).collect(),
        Mode::Details(key, top) => {
            let lines = details::lines(model, key);
            // Scrolled no further than to the last line.
            let top = (*top).min(lines.len().saturating_sub(1));
            lines.iter().skip(top).map(|line| paper.line(Tone::Plain, line)).collect()
        }
        Mode::Rows | Mode::Filter if model.link == Link::Connecting => vec![],
        Mode::Rows | Mode::Filter => match model.page {
            Page::Cluster => paper.cluster(body_height),
            Page::Workers => paper.workers(),
            Page::Queue => paper.queue(),
            Page::Tasks => paper.tasks(),
        },
    };
    body.resize(body_height, Line::default());
    let mut lines = vec![paper.title(), paper.link()];
    lines.append(&mut body);
    lines.push(paper.foot());
    lines
}

/// One screen in the making.
struct Paper<'a> {
    model: &'a Model,
    width: usize,
}

impl Paper<'_> {
    /// Of what masters said: grey where that is old.
    fn line(&self, tone: Tone, text: &str) -> Line<'static> {
        self.spans(&[(tone, text)], self.model.is_old())
    }

    /// Of what is so whatever masters say.
    fn fresh(&self, tone: Tone, text: &str) -> Line<'static> {
        self.spans(&[(tone, text)], false)
    }

    fn spans(&self, spans: &[(Tone, &str)], is_old: bool) -> Line<'static> {
        let mut left = self.width;
        let mut line = Line::default();
        for (tone, text) in spans {
            let text = one_line(text);
            let wide = columns_of(&text).min(left);
            left -= wide;
            line.push_span(Span::styled(fitted(&text, wide, false), self.model.setting.theme.style(*tone, is_old)));
        }
        line
    }

    fn title(&self) -> Line<'static> {
        let model = self.model;
        let mut spans = vec![(Tone::Title, "cloudai top ".to_owned())];
        for page in Page::ALL {
            let tone = if page == model.page { Tone::Selected } else { Tone::Plain };
            spans.push((tone, format!(" {} {} ", page.number() + 1, page.title())));
        }
        let leads = self.leads();
        let used: usize = spans.iter().map(|(_, text)| columns_of(text)).sum();
        let room = self.width.saturating_sub(used);
        spans.push((Tone::Title, fitted(&leads, room, true)));
        let spans: Vec<(Tone, &str)> = spans.iter().map(|(tone, text)| (*tone, text.as_str())).collect();
        self.spans(&spans, false)
    }

    fn leads(&self) -> String {
        let status = &self.model.status;
        match (&self.model.link, status.leader_id) {
            (Link::Connecting, _) => String::new(),
            (Link::Fine | Link::Lost { .. }, 0) => "nobody leads".to_owned(),
            (Link::Fine | Link::Lost { .. }, _) => format!("{} leads, term {}", status.leader, status.term),
        }
    }

    /// How it stands with the masters: the one line that is never grey.
    fn link(&self) -> Line<'static> {
        let model = self.model;
        match &model.link {
            Link::Connecting => self.fresh(Tone::Banner, &format!("connecting to {}", model.masters_text())),
            Link::Lost { since_ms, to, why } => {
                let since = model.now_ms.saturating_sub(*since_ms) / 1000;
                self.fresh(Tone::Banner, &format!("reconnecting to {to}, for {since}s: {why}"))
            }
            Link::Fine => {
                let master = model.status.read.as_ref().map_or("", |read| read.master.as_str());
                let of = match model.setting.namespace.as_str() {
                    "*" => "all namespaces".to_owned(),
                    one => format!("namespace {one}"),
                };
                let news = self.leader_news().map_or(String::new(), |news| format!("{news}; "));
                self.fresh(Tone::Faint, &format!("{news}{master} answers; {of}"))
            }
        }
    }

    fn leader_news(&self) -> Option<String> {
        let (name, at_ms) = self.model.led_before.as_ref()?;
        let ago = self.model.now_ms.saturating_sub(*at_ms);
        (ago < LEADER_NEWS_MS)
            .then(|| format!("{} leads for {}, before: {name}", self.model.status.leader, duration(ago)))
    }

    fn foot(&self) -> Line<'static> {
        let keys = match &self.model.mode {
            Mode::Filter => format!("/{}_   Enter: keep it   Esc: all rows", self.model.filter()),
            Mode::Help => "any key: back   q: end".to_owned(),
            Mode::Details(..) => "Esc: back   j k: scroll   q: end".to_owned(),
            Mode::Rows => {
                let filter = match self.model.filter() {
                    "" => "/: filter".to_owned(),
                    filter => format!("/{filter} (Esc: all)"),
                };
                let order = if self.model.page == Page::Workers { "s r: order  " } else { "" };
                format!("Tab 1-4: page  j k: row  Enter: details  {order}{filter}  ?: help  q: end")
            }
        };
        self.fresh(Tone::Faint, &keys)
    }

    /// Header and rows, as far as they fit, the chosen one marked.
    fn table(&self, lines: &mut Vec<Line<'static>>) {
        let table = self.model.table();
        let cursor = self.model.cursor();
        let text = table.lines(cursor.top, rows_fitting(self.model), self.width);
        for (number, line) in text.iter().enumerate() {
            let tone = match number.checked_sub(1).map(|row| row + cursor.top) {
                None => Tone::Title,
                Some(row) if row == cursor.at => Tone::Selected,
                Some(row) => table.rows[row].tone,
            };
            lines.push(self.line(tone, line));
        }
        if table.rows.is_empty() {
            let filter = self.model.filter();
            let none = if filter.is_empty() { "nothing".to_owned() } else { format!("nothing with '{filter}'") };
            lines.push(self.line(Tone::Faint, &none));
        }
    }

    fn workers(&self) -> Vec<Line<'static>> {
        let model = self.model;
        let status = &model.status;
        let lost = if status.workers_lost > 0 { format!(", {} lost", status.workers_lost) } else { String::new() };
        let order = format!("{}{}", model.sort.title(), if model.reversed { ", reversed" } else { "" });
        let head = format!("{} of {} ready{lost}; by {order}", status.workers_ready, status.workers_total);
        let mut lines = vec![self.line(Tone::Plain, &head)];
        self.table(&mut lines);
        lines
    }

    fn queue(&self) -> Vec<Line<'static>> {
        let queue = &self.model.queue;
        let oldest = match queue.oldest_ms {
            0 => String::new(),
            at => format!("; the oldest for {}", duration(self.model.now_ms.saturating_sub(at))),
        };
        let retrying = if queue.retrying > 0 { format!(" ({} for a retry)", queue.retrying) } else { String::new() };
        let more = match self.model.jobs.len() {
            limits::TOP_JOBS_MAX => format!("; of the newest {} jobs", limits::TOP_JOBS_MAX),
            _ => String::new(),
        };
        let head = format!("{} waiting{retrying}, {} active{oldest}{more}", queue.queued, queue.active);
        let wait = self.model.namespaces.iter().filter(|namespace| namespace.queued > 0 || namespace.tasks > 0);
        let each = wait.map(|n| format!("{}: {} waiting, {} active", n.namespace, n.queued, n.tasks));
        let each: Vec<String> = each.collect();
        let mut lines = vec![self.line(Tone::Plain, &head), self.line(Tone::Faint, &each.join(" | "))];
        self.table(&mut lines);
        lines
    }

    fn tasks(&self) -> Vec<Line<'static>> {
        let running = self.model.tasks.running();
        let active = self.model.status.tasks_active;
        let known = if running as u64 >= active { String::new() } else { format!(" ({running} of them known here)") };
        let mut lines = vec![self.line(Tone::Plain, &format!("{active} active{known}; those that ended last below"))];
        self.table(&mut lines);
        lines
    }

    fn cluster(&self, height: usize) -> Vec<Line<'static>> {
        let status = &self.model.status;
        let voters = status.members.iter().filter(|member| member.role() == MemberRole::Voter).count();
        let spare = match status.tolerates {
            0 => "none may fail".to_owned(),
            n => format!("{n} may fail"),
        };
        let head = format!(
            "{}, {spare}; applied {}, format {}; cluster {}",
            count(voters as u64, "voting master"),
            status.applied_index,
            status.version,
            status.cluster_id
        );
        let tone = if status.tolerates == 0 && voters > 1 { Tone::Warn } else { Tone::Plain };
        let mut lines = vec![self.line(tone, &head)];
        self.table(&mut lines);
        lines.push(Line::default());
        self.totals(&mut lines);
        lines.push(Line::default());
        self.events(&mut lines, height);
        lines
    }

    /// What there is, what is held of it, and what is used.
    fn totals(&self, lines: &mut Vec<Line<'static>>) {
        let model = self.model;
        let sum = |of: fn(&cloudai_proto::v1::WorkerInfo) -> Resources| {
            let takes_tasks = model.workers.iter().filter(|w| w.state() == cloudai_proto::v1::WorkerState::Ready);
            takes_tasks.map(of).fold(Resources::default(), |sum, r| Resources {
                cpu_milli: sum.cpu_milli.saturating_add(r.cpu_milli),
                memory_bytes: sum.memory_bytes.saturating_add(r.memory_bytes),
                storage_bytes: sum.storage_bytes.saturating_add(r.storage_bytes),
                gpus: sum.gpus.saturating_add(r.gpus),
            })
        };
        let (has, held) = (sum(workers::has), sum(workers::held));
        let machines = || model.workers.iter().filter_map(|worker| workers::machine(model, worker));
        let used = |of: fn(&cloudai_proto::v1::MachineUsage) -> Option<u64>, show: fn(u64) -> String| {
            let known: Vec<u64> = machines().filter_map(of).collect();
            if known.is_empty() { "-".to_owned() } else { show(known.iter().sum()) }
        };
        let used_cpu = used(|m| m.cpu_millicores.map(u64::from), cores);
        let used_memory = used(|m| m.memory_used_bytes, bytes);
        let amount = |part: u64, whole: u64, used: &str, show: fn(u64) -> String| {
            format!("{} of {} held, {used} used", show(part), show(whole))
        };
        let cpu = amount(held.cpu_milli, has.cpu_milli, &used_cpu, cores);
        lines.push(self.total("cpu", held.cpu_milli, has.cpu_milli, &cpu, Some(|p| p.cpu_milli)));
        let memory = amount(held.memory_bytes, has.memory_bytes, &used_memory, bytes);
        lines.push(self.total("memory", held.memory_bytes, has.memory_bytes, &memory, Some(|p| p.memory_bytes)));
        if has.storage_bytes > 0 {
            let text = format!("{} of {} held", bytes(held.storage_bytes), bytes(has.storage_bytes));
            lines.push(self.total("storage", held.storage_bytes, has.storage_bytes, &text, None));
        }
        if has.gpus > 0 {
            let text = format!("{} of {} held", held.gpus, has.gpus);
            lines.push(self.total("gpus", held.gpus.into(), has.gpus.into(), &text, None));
        }
        let status = &model.status;
        let lost = if status.workers_lost > 0 { format!(", {} lost", status.workers_lost) } else { String::new() };
        let text = format!("{} of {} ready{lost}", status.workers_ready, status.workers_total);
        lines.push(self.total("workers", status.workers_ready.into(), status.workers_total.into(), &text, None));
        for (name, n, of) in [
            ("active", status.tasks_active, (|p: &Point| p.active) as fn(&Point) -> u64),
            ("waiting", status.tasks_queued, |p: &Point| p.queued),
        ] {
            let width = self.width.saturating_sub(NAME_WIDTH + 12).min(limits::TOP_LOOKS_KEPT);
            let drawn = self.curve(of, width);
            lines.push(self.line(Tone::Plain, &format!("{name:NAME_WIDTH$}{n:>10}  {drawn}")));
        }
    }

    fn total(&self, name: &str, part: u64, whole: u64, text: &str, of: Option<fn(&Point) -> u64>) -> Line<'static> {
        let wide = self.width.saturating_sub(NAME_WIDTH + 2);
        let (bar_width, text_width) = (wide * 35 / 100, 36.min(wide * 45 / 100));
        let drawn = bar(part, whole, bar_width);
        let curve_width = wide.saturating_sub(bar_width + text_width + 2);
        let curve = of.map_or(String::new(), |of| self.curve(of, curve_width));
        self.line(Tone::Plain, &format!("{name:NAME_WIDTH$}{drawn}  {}  {curve}", fitted(text, text_width, false)))
    }

    fn curve(&self, of: fn(&Point) -> u64, width: usize) -> String {
        curve(self.model.history.iter().map(of), width, self.model.setting.glyphs)
    }

    /// The newest last, as many as there is room for.
    fn events(&self, lines: &mut Vec<Line<'static>>, height: usize) {
        let room = height.saturating_sub(lines.len() + 1);
        if room == 0 {
            return;
        }
        lines.push(self.line(Tone::Title, "EVENTS"));
        let events = &self.model.events;
        for event in events.iter().skip(events.len().saturating_sub(room)) {
            let time = rfc3339(event.time_ms / 1000 * 1000).and_then(|text| text.get(11..19).map(str::to_owned));
            let view = EventView::from(event.clone());
            let time = time.unwrap_or("-".to_owned());
            let text = format!("{time:<8}  {:<17}  {:<16}  {}", view.kind, view.subject(), view.detail);
            lines.push(self.line(Tone::Plain, text.trim_end()));
        }
        if events.is_empty() {
            lines.push(self.line(Tone::Faint, "none of masters or workers yet"));
        }
    }
}
