//! `job events`: what happened to it as a whole, oldest first.

use cloudai_proto::v1::GetHistoryRequest;

use crate::exit::Failure;
use crate::input::reference;
use crate::output::show;
use crate::settings::Settings;
use crate::views::event::HistoryView;
use crate::views::read;

#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
}

pub async fn run(settings: &Settings, args: &EventsArgs) -> Result<(), Failure> {
    history(settings, reference::job(&args.job)?, None).await
}

/// All pages of it. `index`: of one of its tasks.
pub async fn history(settings: &Settings, job: String, index: Option<u32>) -> Result<(), Failure> {
    let client = settings.client()?;
    let mut request = GetHistoryRequest {
        namespace: settings.namespace.clone(),
        job,
        index,
        consistency: settings.consistency(),
        ..GetHistoryRequest::default()
    };
    let mut events = vec![];
    loop {
        let reply = client.get_history(request.clone()).await?;
        if request.from == 0 {
            read::tell(reply.read.as_ref(), settings.consistency);
        }
        events.extend(reply.events.into_iter().map(Into::into));
        if reply.next_from == 0 {
            return show(settings.format, &HistoryView(events));
        }
        request.from = reply.next_from;
    }
}
