//! Screens and keys as transcripts: inputs, then what is on the screen, or what is asked. `CLOUDAI_WRITE_GOLDENS=1` writes the screens anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cloudai_proto::v1::*;
use cloudai_types::{EndReason, EventKind, Resources, limits};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Modifier;

use super::bars::Glyphs;
use super::draw::draw;
use super::input::{Answer, DetailsOf, Effect, Input, JobRef, Look, Question};
use super::model::{Link, Mode, Model, Page, Setting};
use super::theme::Theme;
use super::workers::Sort;
use crate::views::sample::T0;

const GIB: u64 = 1 << 30;

fn model(width: u16, height: u16) -> Model {
    let setting = Setting {
        namespace: "*".into(),
        addresses: vec!["a:7601".into(), "b:7601".into()],
        theme: Theme { colour: true },
        glyphs: Glyphs::Blocks,
    };
    Model::new(setting, (width, height), T0)
}

fn status(leader_id: u64, term: u64) -> ClusterStatusReply {
    let member = |node_id: u64, lag| Member {
        node_id,
        name: format!("m{node_id}"),
        role: MemberRole::Voter as i32,
        leader: node_id == leader_id,
        grpc: format!("10.0.0.{node_id}:7601"),
        http: format!("10.0.0.{node_id}:7600"),
        raft: format!("10.0.0.{node_id}:7602"),
        lag_entries: Some(lag),
        heard_ms_ago: None,
    };
    ClusterStatusReply {
        read: Some(ReadInfo { master: "m2".into(), leader: leader_id == 2, age_ms: 40, ..ReadInfo::default() }),
        cluster_id: "00ff00ff00ff00ff".into(),
        leader_id,
        leader: if leader_id > 0 { format!("m{leader_id}") } else { String::new() },
        term,
        applied_index: 4_711,
        version: 7,
        members: vec![member(1, 0), member(2, 3), member(3, 12_000)],
        tolerates: 1,
        workers_ready: 2,
        workers_lost: 1,
        workers_total: 3,
        tasks_queued: 300,
        tasks_active: 12,
        jobs: 4,
        ..ClusterStatusReply::default()
    }
}

fn worker(name: &str, state: WorkerState, cpu: u64, memory: u64) -> WorkerInfo {
    WorkerInfo {
        name: name.into(),
        state: state as i32,
        capacity: Some(Resources { cpu_milli: 64_000, memory_bytes: 256 * GIB, storage_bytes: 0, gpus: 4 }),
        allocated: Some(Resources { cpu_milli: cpu, memory_bytes: memory, storage_bytes: 0, gpus: 1 }),
        attempts_running: (cpu / 1_000) as u32,
        labels: BTreeMap::from([("zone".to_owned(), "eu".to_owned())]),
        connected: state == WorkerState::Ready,
        heard_ms_ago: 250,
        ..WorkerInfo::default()
    }
}

fn job(id: u64, priority: i32, queued: u32, active: u32) -> JobSummary {
    JobSummary {
        id,
        name: format!("sweep-{id}"),
        namespace: "lab".into(),
        state: if active > 0 { JobState::Running } else { JobState::Queued } as i32,
        counts: Some(TaskCounts { queued, active, ..TaskCounts::default() }),
        count: queued + active,
        priority,
        submitted_ms: T0 - id * 10_000,
        image: "busybox".into(),
        ..JobSummary::default()
    }
}

fn look() -> Look {
    let draining = WorkerInfo { draining: true, ..worker("w2", WorkerState::Ready, 64_000, 200 * GIB) };
    let read = ReadInfo { leader: true, ..ReadInfo::default() };
    Look {
        status: status(1, 4),
        workers: Some(ListWorkersReply {
            read: Some(read),
            workers: vec![
                worker("w1", WorkerState::Ready, 12_500, 32 * GIB),
                draining,
                worker("w3", WorkerState::Lost, 0, 0),
            ],
        }),
        queue: QueueReply {
            queued: 300,
            active: 12,
            retrying: 2,
            jobs: 4,
            oldest_ms: T0 - 90_000,
            ..QueueReply::default()
        },
        namespaces: vec![
            NamespaceInfo { namespace: "default".into(), tasks: 4, ..NamespaceInfo::default() },
            NamespaceInfo { namespace: "lab".into(), tasks: 8, queued: 300, ..NamespaceInfo::default() },
        ],
        jobs: vec![job(9, 0, 120, 0), job(7, 5, 80, 0), job(5, 0, 100, 2)],
        ..Look::default()
    }
}

fn usage(cpu: u32, memory: u64) -> UsageSample {
    let machine = MachineUsage {
        cpu_millicores: Some(cpu),
        cpu_total_millicores: Some(64_000),
        memory_used_bytes: Some(memory),
        memory_total_bytes: Some(256 * GIB),
        storage_free_bytes: Some(900 * GIB),
        storage_total_bytes: Some(1_000 * GIB),
    };
    let attempt = AttemptUsage {
        job: 5,
        index: 0,
        number: 1,
        cpu_millicores: Some(1_500),
        memory_bytes: Some(640 << 20),
        storage_bytes: None,
    };
    UsageSample { at_ms: T0, machine: Some(machine), attempts: vec![attempt], ..UsageSample::default() }
}

fn event(index: u64, kind: EventKind) -> Event {
    Event {
        at: Some(EventPosition { index, number: 0 }),
        time_ms: T0 - 60_000 + index * 1_000,
        kind: kind as i32,
        ..Event::default()
    }
}

fn of_task(index: u64, kind: EventKind, first: u32, tasks: u32) -> Event {
    let worker = "w1".to_owned();
    Event {
        namespace: "lab".into(),
        job_id: 5,
        first_index: Some(first),
        tasks,
        attempt: 1,
        worker,
        ..event(index, kind)
    }
}

fn events() -> Vec<Event> {
    vec![
        Event { worker: "w3".into(), attempts: 2, ..event(1, EventKind::WorkerLost) },
        of_task(2, EventKind::Placed, 0, 3),
        of_task(3, EventKind::Started, 0, 3),
        Event { reason: Some(EndReason::exit(0)), ..of_task(20, EventKind::Ended, 1, 1) },
        Event { reason: Some(EndReason::exit(3)), ..of_task(21, EventKind::Ended, 2, 1) },
        Event { master: "m1".into(), term: 4, ..event(22, EventKind::LeaderChanged) },
    ]
}

/// As it looks after a look, with events and usage.
fn full(width: u16, height: u16) -> Model {
    let mut model = model(width, height);
    for _ in 0..2 {
        model.update(Input::Looked(Ok(Box::new(look()))));
    }
    model.update(Input::Events(events()));
    model.update(Input::Usage(vec![("w1".into(), usage(20_000, 64 * GIB)), ("w2".into(), usage(60_000, 128 * GIB))]));
    model
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let mut effects = vec![];
    for word in keys.split(' ') {
        let code = match word {
            "Tab" => KeyCode::Tab,
            "Enter" => KeyCode::Enter,
            "Esc" => KeyCode::Esc,
            "Down" => KeyCode::Down,
            "Up" => KeyCode::Up,
            "PgDn" => KeyCode::PageDown,
            "PgUp" => KeyCode::PageUp,
            "Backspace" => KeyCode::Backspace,
            letter => KeyCode::Char(letter.chars().next().expect("one key a word")),
        };
        effects.extend(model.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE))));
    }
    effects
}

fn drawn(model: &Model) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| draw(model, frame)).unwrap();
    terminal
}

fn screen(model: &Model) -> String {
    let terminal = drawn(model);
    let buffer = terminal.backend().buffer();
    let lines = (0..buffer.area.height).map(|y| {
        let line: String = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

fn golden(name: &str, model: &Model) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/golden").join(format!("{name}.txt"));
    let screen = screen(model);
    if std::env::var_os("CLOUDAI_WRITE_GOLDENS").is_some() {
        fs::write(&path, &screen).unwrap();
    }
    let expected =
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}; it would be\n{screen}", path.display()));
    assert_eq!(screen, expected, "{name} is\n{screen}");
}

#[test]
fn each_page_in_80_columns() {
    let mut model = full(80, 24);
    golden("cluster_80x24", &model);
    press(&mut model, "2");
    golden("workers_80x24", &model);
    press(&mut model, "3");
    model.update(Input::Looked(Ok(Box::new(Look { why: Some((7, "no worker has 4 free GPUs".into())), ..look() }))));
    golden("queue_80x24", &model);
    press(&mut model, "4");
    golden("tasks_80x24", &model);
    press(&mut model, "?");
    golden("help_80x24", &model);
}

#[test]
fn a_large_terminal_shows_more_and_a_small_one_says_so() {
    let mut model = full(200, 50);
    golden("cluster_200x50", &model);
    press(&mut model, "Tab");
    golden("workers_200x50", &model);
    model.update(Input::Resized(60, 15));
    golden("too_small_60x15", &model);
    model.update(Input::Resized(60, 16));
    assert!(screen(&model).contains("2 of 3 ready"), "60x16 is enough:\n{}", screen(&model));
    model.update(Input::Resized(0, 0));
    drawn(&model);
}

#[test]
fn an_empty_cluster_and_one_that_nobody_has_answered_for() {
    let mut model = model(80, 24);
    golden("connecting_80x24", &model);
    let status = ClusterStatusReply {
        workers_ready: 0,
        workers_lost: 0,
        workers_total: 0,
        tasks_queued: 0,
        tasks_active: 0,
        ..status(1, 1)
    };
    model.update(Input::Looked(Ok(Box::new(Look {
        status,
        workers: Some(ListWorkersReply::default()),
        ..Look::default()
    }))));
    golden("empty_80x24", &model);
    for page in ["2", "3", "4"] {
        press(&mut model, page);
        assert!(screen(&model).contains("nothing"), "{}", screen(&model));
        press(&mut model, "j G Enter k");
        assert_eq!(model.mode, Mode::Rows, "there is no row to be shown");
    }
}

#[test]
fn while_the_leader_changes_the_last_picture_stays_in_grey() {
    let mut model = full(80, 24);
    assert_eq!(model.link, Link::Fine);
    let away = Look { leader_away: Some("connection refused".into()), ..look() };
    model.update(Input::Looked(Ok(Box::new(away))));
    assert!(screen(&model).contains("reconnecting to m1, which led, for 0s: connection refused"));
    model.update(Input::Time(T0 + 3_500));
    model.update(Input::Looked(Err("no master answered within 2 s".into())));
    golden("reconnecting_80x24", &model);
    let terminal = drawn(&model);
    let is_grey = |y: u16| terminal.backend().buffer()[(0, y)].modifier.contains(Modifier::DIM);
    assert!((2..7).all(is_grey) && !is_grey(1), "what is old is grey, the banner is not");
    // Between two leaders there is none.
    model.update(Input::Looked(Ok(Box::new(Look { status: status(0, 4), ..look() }))));
    let shown = screen(&model);
    assert!(
        shown.contains("reconnecting to a leader, for 3s: m2 knows none") && shown.contains("nobody leads\n"),
        "{shown}"
    );
    model.update(Input::Looked(Ok(Box::new(Look { status: status(3, 5), ..look() }))));
    model.update(Input::Time(T0 + 8_500));
    golden("new_leader_80x24", &model);
    model.update(Input::Time(T0 + 90_000));
    assert!(!screen(&model).contains("before"), "after a minute that is no news");
}

#[test]
fn a_thousand_workers_scroll_and_the_chosen_one_stays_in_sight() {
    let workers: Vec<WorkerInfo> = (0..1_000)
        .map(|n| worker(&format!("worker-{n:04}"), WorkerState::Ready, n * 64, (999 - n) * (GIB >> 2)))
        .collect();
    let many = |workers: Vec<WorkerInfo>| {
        let mut look = Look { workers: Some(ListWorkersReply { workers, read: None }), ..look() };
        (look.status.workers_ready, look.status.workers_lost, look.status.workers_total) = (1_000, 0, 1_000);
        Input::Looked(Ok(Box::new(look)))
    };
    let mut model = model(80, 24);
    model.update(many(workers.clone()));
    press(&mut model, "2");
    let at = |model: &Model| (model.chosen().to_owned(), model.cursor().top);
    assert_eq!(at(&model), ("worker-0000".into(), 0));
    press(&mut model, "j j Down k");
    assert_eq!(at(&model), ("worker-0002".into(), 0));
    press(&mut model, "PgDn");
    assert_eq!(at(&model), ("worker-0021".into(), 3));
    press(&mut model, "G");
    assert_eq!(at(&model), ("worker-0999".into(), 981));
    press(&mut model, "j PgDn");
    assert_eq!(at(&model), ("worker-0999".into(), 981), "below the last there is nothing");
    golden("thousand_80x24", &model);
    press(&mut model, "k k");
    // The first hundred leave: it is still the same worker.
    model.update(many(workers[100..].to_vec()));
    assert_eq!(at(&model), ("worker-0997".into(), 881));
    model.update(many(workers[..10].to_vec()));
    assert_eq!(at(&model), ("worker-0009".into(), 0), "it is gone: the last one that there is");
    press(&mut model, "g");
    assert_eq!(model.chosen(), "worker-0000");
}

#[test]
fn rows_are_sorted_and_filtered_and_the_chosen_one_is_kept() {
    let mut model = full(120, 24);
    press(&mut model, "2 j");
    assert_eq!(model.chosen(), "w2");
    let order = |model: &Model| model.table().rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>().join(" ");
    press(&mut model, "s s");
    assert_eq!((model.sort, order(&model), model.chosen()), (Sort::Cpu, "w2 w1 w3".into(), "w2"));
    assert_eq!(model.cursor().at, 0);
    press(&mut model, "r");
    assert_eq!((order(&model), model.cursor().at), ("w3 w1 w2".into(), 2));
    press(&mut model, "s s s s s");
    assert_eq!((model.sort, order(&model)), (Sort::UsedMemory, "w3 w1 w2".into()));
    press(&mut model, "s r");
    assert_eq!((model.sort, order(&model)), (Sort::Name, "w1 w2 w3".into()));
    press(&mut model, "/ D R a i n");
    assert_eq!((order(&model), model.filter()), ("w2".into(), "DRain"));
    assert!(screen(&model).contains("/DRain_"));
    press(&mut model, "Backspace Enter q");
    press(&mut model, "3");
    assert_eq!(model.filter(), "", "each page has its own");
    press(&mut model, "2");
    assert_eq!(model.filter(), "DRai");
    press(&mut model, "Esc");
    assert_eq!(order(&model), "w1 w2 w3");
    press(&mut model, "/ x q Esc");
    assert_eq!((model.filter(), model.mode.clone()), ("", Mode::Rows), "Esc takes it back, and a q in it is a letter");
}

#[test]
fn keys_go_where_they_say() {
    let mut model = full(80, 24);
    let mut pages = vec![];
    for key in ["Tab", "Tab", "Tab", "Tab", "3", "1", "4", "2"] {
        press(&mut model, key);
        pages.push(model.page);
    }
    use Page::*;
    assert_eq!(pages, [Workers, Queue, Tasks, Cluster, Queue, Cluster, Tasks, Workers]);
    press(&mut model, "?");
    assert_eq!(model.mode, Mode::Help);
    press(&mut model, "x");
    assert_eq!((model.mode.clone(), model.page), (Mode::Rows, Workers));
    press(&mut model, "Enter");
    assert_eq!(model.mode, Mode::Details("w1".into(), 0));
    press(&mut model, "j j k");
    assert_eq!(model.mode, Mode::Details("w1".into(), 1));
    press(&mut model, "3");
    assert_eq!((model.mode.clone(), model.page), (Mode::Rows, Queue));
    assert_eq!(press(&mut model, "q"), [Effect::Quit]);
    assert_eq!(model.update(Input::Stop), [Effect::Quit]);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut model, "/");
    assert_eq!(model.update(Input::Key(interrupt)), [Effect::Quit], "also in the middle of a filter");
}

#[test]
fn it_looks_once_a_second_and_asks_for_what_is_in_sight() {
    let mut model = model(80, 24);
    let at = |model: &mut Model, ms: u64| model.update(Input::Time(T0 + ms));
    let all = Question { workers: true, ..Question::default() };
    assert_eq!(at(&mut model, 0), [Effect::Ask(all.clone())]);
    assert_eq!(at(&mut model, 5_000), [], "one look at a time");
    assert_eq!(model.update(Input::Looked(Ok(Box::new(look())))), [Effect::Ask(all.clone())], "that one took long");
    assert_eq!(model.update(Input::Looked(Ok(Box::new(look())))), []);
    assert_eq!(at(&mut model, 5_999), []);
    // The queue: why the first one waits, then the next.
    press(&mut model, "3");
    let asked = |id| Effect::Ask(Question { why: Some(JobRef { id, namespace: "lab".into() }), ..all.clone() });
    assert_eq!(at(&mut model, 6_000), [asked(7)]);
    let why = Look { why: Some((7, "no room".into())), ..look() };
    assert_eq!(model.update(Input::Looked(Ok(Box::new(why)))), []);
    assert_eq!(at(&mut model, 7_000), [asked(5)]);
    model.update(Input::Looked(Ok(Box::new(Look { why: Some((5, "no room".into())), ..look() }))));
    assert_eq!(at(&mut model, 8_000), [asked(9)]);
    model.update(Input::Looked(Ok(Box::new(Look { why: Some((9, "no room".into())), ..look() }))));
    assert_eq!(at(&mut model, 9_000), [Effect::Ask(all.clone())], "all is known");
    model.update(Input::Looked(Err("nobody is there".into())));
    // The tasks: of the jobs that run, in turns. Details of the row that is open.
    model.update(Input::Events(events()));
    press(&mut model, "4 Enter");
    let of = JobRef { id: 5, namespace: "lab".into() };
    let details = Some(DetailsOf::Task(of.clone(), 0));
    let effects = at(&mut model, 10_000);
    assert_eq!(effects, [Effect::Ask(Question { tasks_of: Some(of), details, ..all.clone() })]);
}

#[test]
fn a_look_stays_within_its_calls_and_many_workers_are_asked_for_less_often() {
    let job = JobRef { id: 5, namespace: "lab".into() };
    let most = Question {
        workers: true,
        why: Some(job.clone()),
        tasks_of: Some(job),
        details: Some(DetailsOf::Worker("w1".into())),
    };
    assert_eq!(most.calls(), limits::TOP_CALLS_PER_LOOK);
    let many =
        (0..limits::TOP_WORKERS_PER_LOOK * 2).map(|n| worker(&format!("w{n}"), WorkerState::Ready, 0, 0)).collect();
    let mut model = model(80, 24);
    model.update(Input::Time(T0));
    model.update(Input::Looked(Ok(Box::new(Look {
        workers: Some(ListWorkersReply { workers: many, read: None }),
        ..look()
    }))));
    let mut asked = vec![];
    for second in 1..=6 {
        for effect in model.update(Input::Time(T0 + second * 1_000)) {
            let Effect::Ask(question) = effect else { panic!("{effect:?}") };
            asked.push(question.workers);
        }
        model.update(Input::Looked(Ok(Box::new(Look { workers: None, ..look() }))));
    }
    assert_eq!(asked, [false, false, true, false, false, true]);
}

#[test]
fn details_say_all_of_a_row() {
    let mut model = full(80, 24);
    press(&mut model, "j Enter");
    golden("details_master_80x24", &model);
    press(&mut model, "3 Enter");
    golden("details_job_80x24", &model);
    press(&mut model, "2 Enter");
    assert!(screen(&model).contains("asking the masters"));
    let reply = GetWorkerReply {
        worker: Some(worker("w1", WorkerState::Ready, 12_500, 32 * GIB)),
        ..GetWorkerReply::default()
    };
    model.update(Input::Looked(Ok(Box::new(Look { details: Some(Answer::Worker(Box::new(reply))), ..look() }))));
    let shown = screen(&model);
    assert!(shown.contains("worker:") && shown.contains("20 of 64 (31%)"), "{shown}");
    model.update(Input::Looked(Ok(Box::new(Look {
        details: Some(Answer::Nothing("there is no worker 'w1'".into())),
        ..look()
    }))));
    assert!(screen(&model).contains("nothing can be said of w1: there is no worker 'w1'"));
}

#[test]
fn events_that_come_twice_count_once_and_tasks_are_bounded() {
    let mut model = full(80, 24);
    let rows = |model: &Model| model.tasks.running();
    assert_eq!((rows(&model), model.events.len()), (1, 2));
    model.update(Input::Events(events()));
    assert_eq!((rows(&model), model.events.len()), (1, 2), "the stream began anew");
    // A list is what is active: the first is not, whatever became of it.
    let of = JobRef { id: 5, namespace: "lab".into() };
    model.update(Input::Looked(Ok(Box::new(Look { tasks: Some((of, vec![], true)), ..look() }))));
    assert_eq!(rows(&model), 0);
    for index in 100..160 {
        model.update(Input::Events(vec![of_task(index, EventKind::Started, index as u32 * 100, 100)]));
    }
    press(&mut model, "4");
    assert!(model.table().rows.len() <= limits::TOP_TASKS_MAX * 5 / 4, "{}", model.table().rows.len());
    assert_eq!(model.table().rows[0].key, "4affhbak/15900.1", "the newest stay");
}

#[test]
fn another_namespaces_tasks_are_not_shown() {
    let mut model = model(80, 24);
    model.setting.namespace = "default".into();
    model.update(Input::Events(events()));
    assert_eq!((model.tasks.running(), model.events.len()), (0, 2), "workers and masters are everybody's");
}

#[test]
fn without_colour_none_is_drawn() {
    let mut model = full(80, 24);
    model.setting.theme = Theme { colour: false };
    press(&mut model, "2");
    let terminal = drawn(&model);
    let cells = terminal.backend().buffer().content();
    assert!(
        cells.iter().all(|cell| cell.fg == ratatui::style::Color::Reset && cell.bg == ratatui::style::Color::Reset)
    );
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the chosen row is seen all the same");
}
