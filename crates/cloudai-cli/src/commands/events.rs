//! `events`: what happens in the cluster, in the order of the log.

use std::io::Write;
use std::str::FromStr;

use cloudai_proto::v1::{EventPosition, WatchEventsRequest};
use cloudai_types::EventKind;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{Format, show};
use crate::settings::Settings;
use crate::views::event::{EventList, EventView};

#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// Go on with what comes
    #[arg(long, short = 'f')]
    follow: bool,
    /// What came after this event, as its SEQ says; without it the last ones are shown
    #[arg(long, value_name = "SEQ", conflicts_with = "tail")]
    since: Option<Since>,
    /// So many of the last events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tail: Option<u32>,
    /// Only of this job; -n NAMESPACE: only of its jobs
    #[arg(long)]
    job: Option<String>,
    /// Only of this worker
    #[arg(long)]
    worker: Option<String>,
    /// Only of this kind, for example ended, lost or worker_lost; may be repeated
    #[arg(long, value_parser = kind)]
    kind: Vec<EventKind>,
}

/// `812.3`: an event; `812`: the last one of this entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since(EventPosition);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (index, number) = text.split_once('.').map_or((text, None), |(index, number)| (index, Some(number)));
        let number = number.map_or(Ok(u32::MAX), str::parse);
        match (index.parse(), number) {
            (Ok(index), Ok(number)) => Ok(Since(EventPosition { index, number })),
            _ => Err(format!("'{text}' is no SEQ: write it as an event shows it, for example 812.3")),
        }
    }
}

fn kind(text: &str) -> Result<EventKind, String> {
    EventKind::named(text).ok_or_else(|| {
        let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("there is no kind '{text}': {}", known.join(", "))
    })
}

pub async fn run(settings: &Settings, args: &EventsArgs) -> Result<(), Failure> {
    if args.follow && matches!(settings.format, Format::Yaml | Format::Csv) {
        return Err(Failure::invalid("events that go on have no end, as YAML and CSV have one")
            .next("use -o jsonl (one object a line), or no -o"));
    }
    let request = WatchEventsRequest {
        after: args.since.map(|since| since.0),
        tail: args.tail.unwrap_or_default(),
        follow: args.follow,
        namespace: settings.namespace.clone(),
        job: args.job.as_deref().map(reference::job).transpose()?.unwrap_or_default(),
        worker: args.worker.clone().unwrap_or_default(),
        kinds: args.kind.iter().map(|kind| *kind as i32).collect(),
    };
    let mut stream = settings.client()?.watch_events(request);
    let mut list = vec![];
    if args.follow && settings.format == Format::Table {
        writeln!(std::io::stdout(), "{}", EventView::header())?;
    }
    while let Some(reply) = stream.next().await? {
        let events = reply.events.into_iter().map(EventView::from);
        if !args.follow {
            list.extend(events);
            continue;
        }
        let mut out = std::io::stdout().lock();
        for event in events {
            if settings.format == Format::Table {
                writeln!(out, "{}", event.line())?;
            } else {
                writeln!(out, "{}", serde_json::to_string(&event).map_err(std::io::Error::from)?)?;
            }
        }
        out.flush()?;
    }
    if args.follow { Ok(()) } else { show(settings.format, &EventList(list)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_an_event_or_all_of_an_entry() {
        let at = |index, number| Ok(Since(EventPosition { index, number }));
        assert_eq!("812.3".parse(), at(812, 3));
        assert_eq!("812".parse(), at(812, u32::MAX));
        for bad in ["", ".", "812.", ".3", "x", "812.3.4", "-1"] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
        assert!(kind("worker_lost").is_ok());
        assert!(kind("sadness").unwrap_err().contains("submitted, blocked"));
    }
}
