//! `cluster log-level`: what masters and workers write to their logs, and another filter for a while. Each master is asked by itself, so that it also
//! works when nobody leads; a worker is asked by the leader.

use std::time::Duration;

use cloudai_client::Client;
use cloudai_proto::v1::{
    ClusterStatusRequest, LogFilter, LogFilterChange, MasterLogFilterRequest, MemberRole, WorkerLogFilterRequest,
};
use cloudai_types::limits;
use futures::future::join_all;

use crate::exit::{Code, Failure};
use crate::output::show;
use crate::settings::Settings;
use crate::times::parse_duration;
use crate::views::log_filter::{LogFilterView, LogFiltersView};

/// In the place of a filter: back to the one that the process began with.
const USUAL: &str = "usual";

#[derive(Debug, Clone, clap::Args)]
pub struct LogLevelArgs {
    /// What is logged for a while, for example debug or info,cloudai_raft=debug; usual: as it was. Without: it is shown
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
    /// Only this master
    #[arg(long, value_name = "NAME", group = "whose")]
    master: Option<String>,
    /// This worker
    #[arg(long, value_name = "NAME", group = "whose")]
    worker: Option<String>,
    /// All masters
    #[arg(long, group = "whose")]
    all: bool,
    /// How long it holds, at most 24h; default 15m
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration, requires = "filter")]
    lasts: Option<Duration>,
}

pub async fn run(settings: &Settings, args: &LogLevelArgs) -> Result<(), Failure> {
    let change = change(args)?;
    let client = settings.client()?;
    if let Some(worker) = &args.worker {
        let request = WorkerLogFilterRequest { worker: worker.clone(), change };
        let filter = client.worker_log_filter(request).await?;
        return show(settings.format, &LogFiltersView(vec![LogFilterView::new("worker", filter)]));
    }
    let masters = masters(&client, args.master.as_deref()).await?;
    let asked = masters.iter().map(|(name, address)| ask(&client, name, address, change.clone()));
    let (told, failed): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().partition(Result::is_ok);
    let told: Vec<LogFilterView> = told.into_iter().flatten().map(|f| LogFilterView::new("master", f)).collect();
    if !told.is_empty() {
        show(settings.format, &LogFiltersView(told))?;
    }
    failed.into_iter().find_map(Result::err).map_or(Ok(()), Err)
}

/// What is asked for; `None`: only to be told.
fn change(args: &LogLevelArgs) -> Result<Option<LogFilterChange>, Failure> {
    let Some(filter) = &args.filter else { return Ok(None) };
    if args.master.is_none() && args.worker.is_none() && !args.all {
        return Err(Failure::invalid("nobody is named whose log is to change")
            .next("add --master NAME, --worker NAME, or --all for all masters"));
    }
    // The masters say what is wrong with one that is no filter.
    let filter = if filter == USUAL { String::new() } else { filter.clone() };
    let for_ms = args.lasts.map_or(Ok(0), |lasts| match u64::try_from(lasts.as_millis()) {
        Ok(0) => Err(Failure::invalid("--for: less than a millisecond is no time").next("leave it out for 15 minutes")),
        Ok(ms) => Ok(ms),
        Err(_) => Ok(u64::MAX),
    })?;
    Ok(Some(LogFilterChange { filter, for_ms }))
}

/// Names and addresses: of all masters, or of one.
async fn masters(client: &Client, only: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    // What any one of them knows will do: one that leads is not needed for this.
    let stale = ClusterStatusRequest { consistency: cloudai_proto::v1::Consistency::Stale as i32 };
    let members = client.cluster_status(stale).await?.members;
    let known = members.into_iter().filter(|m| m.role() != MemberRole::Outside).map(|m| (m.name, m.grpc));
    let masters: Vec<_> = known.filter(|(name, _)| only.is_none_or(|only| only == name)).collect();
    match only {
        Some(only) if masters.is_empty() => {
            Err(Failure::new(Code::NotFound, "not_found", format!("no master is called '{only}'"))
                .next("`cloudai cluster members` lists them; of a worker: --worker NAME"))
        }
        _ => Ok(masters),
    }
}

async fn ask(
    client: &Client,
    name: &str,
    address: &str,
    change: Option<LogFilterChange>,
) -> Result<LogFilter, Failure> {
    let only = client.only(address, limits::LOG_FILTER_ANSWER_WITHIN.as_duration());
    let only = only.map_err(|e| Failure::failed(format!("master {name} cannot be asked")).why(e))?;
    only.master_log_filter(MasterLogFilterRequest { change }).await.map_err(|e| {
        let failure = Failure::from(e);
        Failure { what: format!("master {name}: {}", failure.what), ..failure }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: LogLevelArgs,
    }

    fn asked(words: &str) -> Result<Option<LogFilterChange>, String> {
        let parsed = Alone::try_parse_from(std::iter::once("x").chain(words.split_whitespace()));
        change(&parsed.map_err(|e| e.kind().to_string())?.args).map_err(|failure| failure.text())
    }

    #[test]
    fn a_change_names_whose_log_it_is() {
        let says = |filter: &str, for_ms| Ok(Some(LogFilterChange { filter: filter.to_owned(), for_ms }));
        assert_eq!(asked(""), Ok(None));
        assert_eq!(asked("--worker w1"), Ok(None));
        assert_eq!(asked("debug --all"), says("debug", 0));
        assert_eq!(asked("info,cloudai_raft=debug --master m1 --for 10m"), says("info,cloudai_raft=debug", 600_000));
        assert_eq!(asked("usual --worker w1"), says("", 0));
        let error = asked("debug").expect_err("whose?");
        assert_eq!(
            error,
            "error: nobody is named whose log is to change\nnext:  add --master NAME, --worker NAME, or --all for all masters"
        );
        assert!(asked("debug --all --worker w1").expect_err("one of them").contains("cannot be used"));
        assert!(asked("debug --all --for 0").expect_err("no time").contains("no time"));
        asked("--all --for 10m").expect_err("nothing holds for so long");
    }
}
