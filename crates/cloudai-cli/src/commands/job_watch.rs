//! `job watch`: how far jobs are, until all of them have ended; ends with an exit code as `job wait` does. On a terminal a bar for each; in a pipe
//! a line when something has changed, at most every few seconds.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use cloudai_client::Client;
use cloudai_proto::v1::{JobSummary, WaitJobRequest};
use cloudai_types::{JobId, limits};
use futures::StreamExt;
use futures::stream::{select_all, unfold};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};

use crate::commands::job_pace::Pace;
use crate::commands::job_wait::not_ended;
use crate::commands::{verdict, why_waits};
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::{Format, one_line, say, show};
use crate::settings::Settings;
use crate::times::{duration, now_ms, parse_duration};
use crate::views::job::{CountsView, JobList, JobView};

#[derive(Debug, Clone, clap::Args)]
pub struct WatchArgs {
    /// Their ids, or unique beginnings of them
    #[arg(value_name = "JOB", required = true, num_args = 1..=limits::WATCHED_JOBS_MAX)]
    jobs: Vec<String>,
    /// Give up watching (exit code 124) after this long; the jobs go on
    #[arg(long, value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub async fn run(settings: &Settings, args: &WatchArgs) -> Result<(), Failure> {
    if settings.format == Format::Csv {
        return Err(Failure::invalid("this command has no CSV form").next("use -o jsonl (one object a line), or none"));
    }
    let names = args.jobs.iter().map(|job| reference::job(job)).collect::<Result<Vec<_>, _>>()?;
    let client = settings.client()?;
    let deadline = args.timeout.map(|limit| Instant::now() + limit);
    let ended = watch(settings, &client, &names, deadline).await?;
    let Some(ended) = ended else {
        return Err(not_ended(&names.join(" "), args.timeout.unwrap_or_default()));
    };
    let mut code = Code::Ok;
    for job in &ended {
        let own = verdict::of_job(&client, job).await?;
        code = if ended.len() == 1 { own } else { together(code, own) };
    }
    let mut views: Vec<JobView> = ended.into_iter().map(JobView::from).collect();
    match settings.format {
        Format::Table => views.iter().for_each(|view| say(format!("job {} ended: {}", view.id, view.state))),
        // Its lines have said it.
        Format::Jsonl => {}
        Format::Json | Format::Yaml | Format::Csv if views.len() == 1 => show(settings.format, &views.remove(0))?,
        Format::Json | Format::Yaml | Format::Csv => show(settings.format, &JobList(views))?,
    }
    if code == Code::Ok { Ok(()) } else { Err(Failure::silent(code)) }
}

/// Of several jobs: 0 when all is well, 130 when the worst of it is that some were cancelled, 1 otherwise.
fn together(so_far: Code, next: Code) -> Code {
    match (so_far, next) {
        (code, Code::Ok) => code,
        (Code::Ok | Code::Interrupted, Code::Interrupted) => Code::Interrupted,
        _ => Code::Failed,
    }
}

/// The jobs as they ended; nothing when the time was up before.
async fn watch(
    settings: &Settings,
    client: &Client,
    names: &[String],
    deadline: Option<Instant>,
) -> Result<Option<Vec<JobSummary>>, Failure> {
    let streams = names.iter().enumerate().map(|(number, job)| {
        let request = WaitJobRequest { namespace: settings.namespace.clone(), job: job.clone() };
        let news = unfold(Some(client.wait_job(request)), move |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(job)) => Some(((number, Ok(job)), Some(stream))),
                Ok(None) => None,
                Err(e) => Some(((number, Err(e)), None)),
            }
        });
        Box::pin(news)
    });
    let mut news = select_all(streams);
    let shown = Shown::new(settings.format, names.len());
    let mut watched: Vec<Watched> = names.iter().map(|_| Watched::default()).collect();
    let mut look = interval(limits::CLIENT_LOOK_EVERY.as_duration());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            tokio::select! {
                next = news.next() => next.map(Some),
                _ = look.tick() => Some(None),
            }
        };
        let next = match deadline {
            Some(deadline) => match timeout_at(deadline, next).await {
                Ok(next) => next,
                Err(_) => return Ok(None),
            },
            None => next.await,
        };
        match next {
            Some(Some((number, job))) => {
                watched[number].on(job?, now_ms());
                shown.show(number, &mut watched[number], now_ms())?;
            }
            Some(None) => {
                for (number, one) in watched.iter_mut().enumerate() {
                    if one.asks_why(now_ms()) {
                        one.why = why(client, one).await;
                    }
                    shown.show(number, one, now_ms())?;
                }
            }
            None => break,
        }
    }
    shown.clear();
    let ended: Option<Vec<JobSummary>> = watched.into_iter().map(|one| one.job).collect();
    ended.map(Some).ok_or_else(|| Failure::failed("the masters said nothing about a job"))
}

/// Nobody waits for long to be told it: a leader that cannot answer now is asked again a little later.
async fn why(client: &Client, of: &Watched) -> Option<String> {
    let job = of.job.as_ref()?;
    let id = JobId(job.id).to_string();
    let asked = why_waits::of_job(client, &job.namespace, &id);
    timeout(limits::TOP_ANSWER_WITHIN.as_duration(), asked).await.ok()?.ok()?
}

/// What is known of one job.
#[derive(Debug, Default)]
struct Watched {
    job: Option<JobSummary>,
    pace: Pace,
    why: Option<String>,
    asked_ms: u64,
    /// What the last line said, and when.
    told: Option<(String, u64)>,
}

impl Watched {
    fn on(&mut self, job: JobSummary, now_ms: u64) {
        self.pace.on(now_ms, counts(&job).ended());
        if counts(&job).queued == 0 {
            self.why = None;
        }
        self.job = Some(job);
    }

    fn asks_why(&mut self, now_ms: u64) -> bool {
        let waits = self.job.as_ref().is_some_and(|job| !job.state().is_ended() && counts(job).queued > 0);
        let asks = waits && now_ms.saturating_sub(self.asked_ms) >= limits::WATCHED_JOB_ASKED_EVERY.0;
        if asks {
            self.asked_ms = now_ms;
        }
        asks
    }

    /// `28 succeeded, 4 active, 66 queued; 2.1/s, 33.0s left; waits: …`
    fn text(&self, now_ms: u64) -> String {
        let Some(job) = &self.job else { return String::new() };
        let counts = counts(job);
        let mut text = counts.text();
        if job.state().is_ended() {
            return text;
        }
        if let Some(pace) = self.pace.per_second(now_ms) {
            text += &format!("; {}/s", if pace < 1.0 { format!("{pace:.2}") } else { format!("{pace:.1}") });
        }
        if let Some(left) = self.pace.left_ms(now_ms, job.count.saturating_sub(counts.ended())) {
            text += &format!(", {} left", duration(left.max(1_000)));
        }
        if let Some(why) = &self.why {
            text += &format!("; waits: {why}");
        }
        one_line(&text)
    }

    /// In a pipe. The pace changes all the time; the line is for what has happened.
    fn line(&mut self, now_ms: u64) -> Option<String> {
        let job = self.job.as_ref()?;
        let counts = counts(job);
        let subject = format!("{} {}/{} ", JobId(job.id), counts.ended(), job.count);
        let what = format!("{subject}{} {}", counts.text(), self.why.as_deref().unwrap_or_default());
        let is_new = match &self.told {
            None => true,
            Some((told, _)) if *told == what => false,
            Some((_, at)) => job.state().is_ended() || now_ms.saturating_sub(*at) >= limits::WATCHED_JOB_TOLD_EVERY.0,
        };
        if !is_new {
            return None;
        }
        self.told = Some((what, now_ms));
        Some(format!("{subject}{}", self.text(now_ms)))
    }
}

fn counts(job: &JobSummary) -> CountsView {
    job.counts.unwrap_or_default().into()
}

/// Where it is shown.
enum Shown {
    Bars(Vec<indicatif::ProgressBar>),
    Lines,
    Documents,
    /// The end says it all.
    Nothing,
}

impl Shown {
    fn new(format: Format, jobs: usize) -> Shown {
        match format {
            Format::Table if io::stdout().is_terminal() && io::stderr().is_terminal() => {
                let bars = indicatif::MultiProgress::new();
                let style = indicatif::ProgressStyle::with_template("{prefix} [{bar:20}] {pos}/{len} {wide_msg}")
                    .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
                    .progress_chars("#>-");
                let one = |_| bars.add(indicatif::ProgressBar::new(1).with_style(style.clone()));
                Shown::Bars((0..jobs).map(one).collect())
            }
            Format::Table => Shown::Lines,
            Format::Jsonl => Shown::Documents,
            Format::Json | Format::Yaml | Format::Csv => Shown::Nothing,
        }
    }

    fn show(&self, number: usize, watched: &mut Watched, now_ms: u64) -> Result<(), Failure> {
        match self {
            Shown::Bars(bars) => {
                if let Some(job) = &watched.job {
                    let bar = &bars[number];
                    bar.set_prefix(JobId(job.id).to_string());
                    bar.set_length(u64::from(job.count));
                    bar.set_position(u64::from(counts(job).ended()));
                    bar.set_message(watched.text(now_ms));
                }
            }
            Shown::Lines => {
                if let Some(line) = watched.line(now_ms) {
                    told(&line)?;
                }
            }
            Shown::Documents => {
                if watched.line(now_ms).is_some() {
                    let view = watched.job.clone().map(JobView::from);
                    told(&serde_json::to_string(&view).map_err(io::Error::from)?)?;
                }
            }
            Shown::Nothing => {}
        }
        Ok(())
    }

    /// The last of them stays on the screen: how it ended is worth reading.
    fn clear(&self) {
        if let Shown::Bars(bars) = self {
            bars.iter().for_each(indicatif::ProgressBar::abandon);
        }
    }
}

fn told(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::{JobState, TaskCounts};

    fn job(state: JobState, counts: TaskCounts) -> JobSummary {
        JobSummary { id: 5, state: state as i32, counts: Some(counts), count: 10, ..JobSummary::default() }
    }

    #[test]
    fn a_line_when_something_has_changed_and_not_too_often() {
        let mut watched = Watched::default();
        assert_eq!(watched.line(0), None);
        watched.on(job(JobState::Queued, TaskCounts { queued: 10, ..TaskCounts::default() }), 0);
        assert_eq!(watched.line(0).as_deref(), Some("4affhbak 0/10 10 queued"));
        assert_eq!(watched.line(60_000), None, "nothing has changed");
        assert!(watched.asks_why(60_000) && !watched.asks_why(62_000), "not at every look");
        watched.why = Some("no worker has room".into());
        assert_eq!(watched.line(60_000).as_deref(), Some("4affhbak 0/10 10 queued; waits: no worker has room"));
        watched.on(
            job(JobState::Running, TaskCounts { queued: 4, active: 2, succeeded: 4, ..TaskCounts::default() }),
            61_000,
        );
        assert_eq!(watched.line(61_000), None, "too soon");
        assert_eq!(
            watched.line(64_000).as_deref(),
            Some("4affhbak 4/10 4 queued, 2 active, 4 succeeded; 0.06/s, 1m36s left; waits: no worker has room")
        );
        watched.on(job(JobState::Failed, TaskCounts { succeeded: 9, failed: 1, ..TaskCounts::default() }), 64_100);
        assert_eq!(
            watched.line(64_100).as_deref(),
            Some("4affhbak 10/10 9 succeeded, 1 failed"),
            "an end is told at once"
        );
        assert!(!watched.asks_why(99_000));
    }

    #[test]
    fn several_jobs_have_a_code_together() {
        let code = |codes: &[Code]| codes.iter().fold(Code::Ok, |sum, next| together(sum, *next)).number();
        assert_eq!(code(&[Code::Ok, Code::Ok]), 0);
        assert_eq!(code(&[Code::Ok, Code::Interrupted, Code::Ok]), 130);
        assert_eq!(code(&[Code::Interrupted, Code::Task(3)]), 1);
        assert_eq!(code(&[Code::Task(3), Code::Interrupted]), 1);
    }
}
