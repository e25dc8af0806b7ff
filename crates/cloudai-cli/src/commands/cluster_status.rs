//! `cluster status`: once, or again and again. On a terminal what is new takes the place of what was there; in a pipe one follows the other.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use cloudai_client::Client;
use cloudai_proto::v1::{ClusterStatusReply, ClusterStatusRequest};
use cloudai_types::limits;
use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType, size};
use tokio::time::{MissedTickBehavior, interval};

use crate::exit::Failure;
use crate::output::{Format, show, write_view};
use crate::settings::Settings;
use crate::times::{now_ms, parse_duration, rfc3339};
use crate::views::cluster::StatusView;
use crate::views::read;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct StatusArgs {
    /// Again and again, every 2 s or so often, until it is interrupted; on a terminal in place
    #[arg(long, short = 'w', value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = pause)]
    watch: Option<Duration>,
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = parse_duration(text)?;
    let least = limits::STATUS_WATCH_EVERY_MIN.as_duration();
    if pause < least {
        return Err(format!("'{text}' is less than {} ms: the masters have other work", least.as_millis()));
    }
    Ok(pause)
}

pub async fn run(settings: &Settings, args: &StatusArgs) -> Result<(), Failure> {
    match args.watch {
        None => {
            let reply = ask(settings, &settings.client()?).await?;
            read::tell(reply.read.as_ref(), settings.consistency);
            show(settings.format, &StatusView::from(reply))
        }
        Some(_) if settings.format == Format::Csv => {
            Err(Failure::invalid("this command has no CSV form").next("use -o jsonl (one object a line), or none"))
        }
        Some(pause) => watch(settings, pause).await,
    }
}

async fn ask(settings: &Settings, client: &Client) -> Result<ClusterStatusReply, Failure> {
    Ok(client.cluster_status(ClusterStatusRequest { consistency: settings.consistency() }).await?)
}

async fn watch(settings: &Settings, pause: Duration) -> Result<(), Failure> {
    // Whoever looks again anyway need not wait for long.
    let client = settings.client_for(limits::TOP_ANSWER_WITHIN.as_duration())?;
    let in_place = settings.format == Format::Table && io::stdout().is_terminal();
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<String> = None;
    loop {
        ticks.tick().await;
        let now = rfc3339(now_ms() / 1_000 * 1_000).unwrap_or_default();
        let (head, body) = match ask(settings, &client).await {
            Ok(reply) => {
                let body = text(settings.format, StatusView::from(reply))?;
                last = Some(body.clone());
                (now, Some(body))
            }
            // The first answer shows whether there is such a cluster at all.
            Err(failure) if last.is_none() || !failure.may_pass() => return Err(failure),
            Err(failure) => (format!("{now}  reconnecting: {}", failure.what), None),
        };
        let mut out = io::stdout().lock();
        if in_place {
            let body = body.or(last.clone()).unwrap_or_default();
            draw(&mut out, &format!("{head}\n\n{body}"))?;
        } else {
            append(&mut out, settings.format, &head, body.as_deref())?;
        }
        out.flush()?;
    }
}

fn text(format: Format, view: StatusView) -> Result<String, Failure> {
    let mut out = vec![];
    write_view(format, &view, &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Over what was there, in one piece: a screen that is cleared first flickers.
fn draw(out: &mut impl Write, text: &str) -> io::Result<()> {
    let (width, height) = size().unwrap_or((80, 24));
    queue!(out, MoveTo(0, 0))?;
    let lines: Vec<&str> = text.lines().collect();
    let fitting = lines.len().min(usize::from(height).saturating_sub(1));
    for line in &lines[..fitting] {
        let line: String = line.chars().take(usize::from(width)).collect();
        queue!(out, Clear(ClearType::CurrentLine))?;
        write!(out, "{line}\r\n")?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))
}

/// Documents of YAML have a mark between them, those of JSON need none; what people read has a line with the time.
fn append(out: &mut impl Write, format: Format, head: &str, body: Option<&str>) -> io::Result<()> {
    let mut text = String::new();
    match (format, body) {
        (Format::Table | Format::Csv, body) => {
            let _ = writeln!(text, "---- {head}");
            let _ = writeln!(text, "{}", body.unwrap_or_default());
        }
        (Format::Yaml, Some(body)) => {
            let _ = write!(text, "---\n{body}");
        }
        (Format::Json | Format::Jsonl, Some(body)) => text.push_str(body),
        (Format::Yaml | Format::Json | Format::Jsonl, None) => crate::output::say(head),
    }
    out.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(format: Format, body: Option<&str>) -> String {
        let mut out = vec![];
        append(&mut out, format, "12:00", body).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn in_a_pipe_snapshots_are_kept_apart() {
        assert_eq!(appended(Format::Table, Some("leader: m1\n")), "---- 12:00\nleader: m1\n\n");
        assert_eq!(appended(Format::Table, None), "---- 12:00\n\n");
        assert_eq!(appended(Format::Yaml, Some("a: 1\n")), "---\na: 1\n");
        assert_eq!(appended(Format::Jsonl, Some("{}\n")), "{}\n");
        assert_eq!(appended(Format::Json, None), "", "nothing that is no document");
    }

    #[test]
    fn on_a_terminal_it_begins_at_the_top_and_clears_what_is_left_below() {
        let mut out = vec![];
        draw(&mut out, "leader: m1\nterm: 4").unwrap();
        let drawn = String::from_utf8(out).unwrap();
        assert_eq!(drawn, "\x1b[1;1H\x1b[2Kleader: m1\r\n\x1b[2Kterm: 4\r\n\x1b[J");
    }

    #[test]
    fn a_pause_that_would_hurt_is_refused() {
        assert_eq!(pause("2"), Ok(Duration::from_secs(2)));
        assert!(pause("10ms").unwrap_err().contains("500 ms"));
        assert!(pause("often").is_err());
    }
}
