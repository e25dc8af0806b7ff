//! `job cancel`: what runs is stopped, what waits is dropped.

use std::io::{self, Write};

use cloudai_proto::v1::{CancelJobReply, CancelJobRequest};
use cloudai_types::JobId;
use serde::Serialize;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::{View, count, show};
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct CancelArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
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

pub async fn run(settings: &Settings, args: &CancelArgs) -> Result<(), Failure> {
    let request = CancelJobRequest { namespace: settings.namespace.clone(), job: reference::job(&args.job)? };
    let reply = settings.client()?.cancel_job(request).await?;
    show(settings.format, &CancelView::from(reply))
}
