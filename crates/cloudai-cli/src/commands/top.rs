//! `top`: the thin shell around [`crate::top`]. It owns the terminal and the channel of inputs; what it draws and asks the model decides. Where
//! nobody looks at a terminal it prints what it knows once.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use cloudai_proto::v1::{ClusterStatusRequest, Consistency, ListJobsRequest, ListWorkersRequest, QueueRequest};
use cloudai_types::limits;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::commands::top_asker::{Asker, live_states, tell_events, tell_usage};
use crate::commands::top_keyboard::Keyboard;
use crate::exit::{Code, Failure};
use crate::output::{Format, show};
use crate::settings::Settings;
use crate::times::now_ms;
use crate::top::bars::Glyphs;
use crate::top::draw::draw;
use crate::top::input::{Effect, Input, Question};
use crate::top::model::{Model, Setting};
use crate::top::theme::Theme;
use crate::views::top::TopView;

/// Ages on the screen move on; only what has changed is written.
const DRAWN_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Default, clap::Args)]
pub struct TopArgs {
    /// Print one picture and end
    #[arg(long)]
    once: bool,
}

pub async fn run(settings: &Settings, args: &TopArgs) -> Result<(), Failure> {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    if args.once || is_dumb || settings.format != Format::Table || !io::stdout().is_terminal() {
        return once(settings).await;
    }
    let namespace = if settings.namespace.is_empty() { "*".to_owned() } else { settings.namespace.clone() };
    let asker = Asker::new(settings.client_for(limits::TOP_ANSWER_WITHIN.as_duration())?, namespace.clone());
    // Whoever cannot be asked at all is told so as by any other command.
    let first = asker.look(Question { workers: true, ..Question::default() }).await?;
    let env = |name| std::env::var(name).ok();
    let setting = Setting {
        namespace,
        addresses: settings.client()?.addresses().to_vec(),
        theme: Theme { colour: env("NO_COLOR").is_none_or(|text| text.is_empty()) },
        glyphs: Glyphs::of_locale(env("LC_ALL").as_deref(), env("LC_CTYPE").as_deref(), env("LANG").as_deref()),
    };
    let mut terminal = Screen::open()?;
    let size = terminal.0.size().map_or((80, 24), |size| (size.width, size.height));
    let mut model = Model::new(setting, size, now_ms());
    let (inputs, heard) = mpsc::channel(limits::TOP_INPUTS_MAX);
    // There is room: it is the first.
    let _ = inputs.try_send(Input::Looked(Ok(Box::new(first))));
    let events = tokio::spawn(tell_events(settings.client()?, inputs.clone()));
    let usage = tokio::spawn(tell_usage(settings.client()?, inputs.clone()));
    let keyboard = Keyboard::listen(inputs.clone());
    let ended = drive(&mut terminal.0, &mut model, &asker, inputs, heard).await;
    events.abort();
    usage.abort();
    // In this order: once the shell's screen is back, what is typed is for the shell.
    drop(keyboard);
    drop(terminal);
    ended
}

/// The terminal as it was is given back, whatever happens: also by the hook of a panic, which ratatui installs.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> Result<Screen, Failure> {
        let failed = |e: io::Error| {
            Failure::failed("this terminal cannot be drawn on").why(e).next("`cloudai top --once` needs none")
        };
        ratatui::try_init().map(Screen).map_err(failed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn drive(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    asker: &Asker,
    inputs: mpsc::Sender<Input>,
    mut heard: mpsc::Receiver<Input>,
) -> Result<(), Failure> {
    let listens = |kind| signal(kind).map_err(|e| Failure::failed("signals cannot be listened for").why(e));
    let mut interrupted = listens(SignalKind::interrupt())?;
    let mut terminated = listens(SignalKind::terminate())?;
    let mut hung_up = listens(SignalKind::hangup())?;
    let mut ticks = interval(DRAWN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (first, was_told_to_end) = tokio::select! {
            input = heard.recv() => (input.unwrap_or(Input::Stop), false),
            _ = ticks.tick() => (Input::Time(now_ms()), false),
            _ = interrupted.recv() => (Input::Stop, true),
            _ = terminated.recv() => (Input::Stop, true),
            _ = hung_up.recv() => (Input::Stop, true),
        };
        let mut effects = model.update(first);
        // What has come meanwhile is one picture.
        while let Ok(input) = heard.try_recv() {
            effects.extend(model.update(input));
        }
        for effect in effects {
            match effect {
                Effect::Quit if was_told_to_end => return Err(Failure::silent(Code::Interrupted)),
                Effect::Quit => return Ok(()),
                Effect::Ask(question) => {
                    let (asker, inputs) = (asker.clone(), inputs.clone());
                    tokio::spawn(async move {
                        let answer = asker.look(question).await.map(Box::new).map_err(|e| e.to_string());
                        // Nobody hears it any more: the program ends.
                        let _ = inputs.send(Input::Looked(answer)).await;
                    });
                }
            }
        }
        terminal.draw(|frame| draw(model, frame))?;
    }
}

/// For pipes, programs, and terminals that cannot move their cursor.
async fn once(settings: &Settings) -> Result<(), Failure> {
    let client = settings.client()?;
    let consistency = Consistency::Stale as i32;
    let namespace = if settings.namespace.is_empty() { "*".to_owned() } else { settings.namespace.clone() };
    let limit = limits::TOP_JOBS_MAX as u32;
    let jobs = ListJobsRequest { namespace, limit, states: live_states(), consistency, ..ListJobsRequest::default() };
    let (status, workers, queue, jobs) = tokio::try_join!(
        client.cluster_status(ClusterStatusRequest { consistency }),
        client.list_workers(ListWorkersRequest { consistency }),
        client.queue(QueueRequest { consistency }),
        client.list_jobs(jobs),
    )?;
    show(settings.format, &TopView::new(status, workers, queue, jobs))?;
    io::stdout().flush()?;
    Ok(())
}
