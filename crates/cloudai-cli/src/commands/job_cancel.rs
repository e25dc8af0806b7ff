//! `job cancel`: what runs is stopped, what waits is dropped. Of one job, or of all that fit.

use std::io::{self, Write};

use cloudai_client::Client;
use cloudai_proto::v1::{CancelJobReply, CancelJobRequest};
use cloudai_types::{JobId, limits};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::commands::job_selection::SelectionArgs;
use crate::exit::Failure;
use crate::input::reference;
use crate::output::{View, count, show};
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct CancelArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB", conflicts_with_all = ["all", "name", "state"])]
    job: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct CancelView {
    id: String,
    /// Running tasks that have to stop before the job is `Cancelled`.
    stopping: u32,
    already_ended: bool,
}

impl View for CancelView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        match (self.already_ended, self.stopping) {
            (true, _) => writeln!(out, "job {} had ended before; nothing was changed", self.id),
            (false, 0) => writeln!(out, "job {} is cancelled", self.id),
            (false, n) => {
                writeln!(out, "job {} is being cancelled: {} to stop first", self.id, count(n, "running task"))
            }
        }
    }
}

impl From<CancelJobReply> for CancelView {
    fn from(r: CancelJobReply) -> Self {
        CancelView { id: JobId(r.job_id).to_string(), stopping: r.stopping, already_ended: r.already_ended }
    }
}

/// What became of many.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct CancelledView {
    /// Jobs that were cancelled; some of them have tasks that stop first.
    cancelled: u32,
    /// Running tasks that have to stop first.
    stopping: u64,
    /// They ended before it was their turn.
    already_ended: u32,
}

impl CancelledView {
    fn plus(mut self, reply: &CancelJobReply) -> Self {
        if reply.already_ended {
            self.already_ended += 1;
        } else {
            self.cancelled += 1;
            self.stopping += u64::from(reply.stopping);
        }
        self
    }
}

impl View for CancelledView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        if *self == CancelledView::default() {
            return writeln!(out, "no job fits; nothing was changed");
        }
        let stopping = match self.stopping {
            0 => String::new(),
            n => format!("; {} to stop first", count(n, "running task")),
        };
        let ended = match self.already_ended {
            0 => String::new(),
            n => format!("; {} had ended before", count(n, "job")),
        };
        writeln!(out, "{} cancelled{stopping}{ended}", count(self.cancelled, "job"))
    }
}

pub async fn run(settings: &Settings, args: &CancelArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    match &args.job {
        Some(job) => {
            let reply = cancel(settings, &client, reference::job(job)?).await?;
            show(settings.format, &CancelView::from(reply))
        }
        None if args.selection.is_given() => {
            let jobs = args.selection.find(settings, &client).await?;
            args.selection.confirm("cancel", &jobs).await?;
            // Several at a time: the masters put what waits into one entry.
            let replies = futures::stream::iter(jobs)
                .map(|job| cancel(settings, &client, JobId(job.id).to_string()))
                .buffer_unordered(limits::CLIENT_CALLS_AT_ONCE);
            let done = replies
                .try_fold(CancelledView::default(), |view, reply| std::future::ready(Ok(view.plus(&reply))))
                .await?;
            show(settings.format, &done)
        }
        None => Err(Failure::invalid("no job is named")
            .next("write JOB, --name GLOB or --state STATE, or --all for all of the namespace")),
    }
}

async fn cancel(settings: &Settings, client: &Client, job: String) -> Result<CancelJobReply, Failure> {
    let request = CancelJobRequest { namespace: settings.namespace.clone(), job };
    Ok(client.cancel_job(request).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted() {
        let text = |view: &CancelledView| {
            let mut out = vec![];
            view.table(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let none = CancelledView::default();
        assert_eq!(text(&none), "no job fits; nothing was changed\n");
        let reply = |stopping, already_ended| CancelJobReply { stopping, already_ended, ..Default::default() };
        let one = none.plus(&reply(0, false));
        assert_eq!(text(&one), "1 job cancelled\n");
        let many = one.plus(&reply(3, false)).plus(&reply(0, true));
        assert_eq!(text(&many), "2 jobs cancelled; 3 running tasks to stop first; 1 job had ended before\n");
    }
}
