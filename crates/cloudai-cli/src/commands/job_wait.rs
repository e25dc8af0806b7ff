//! `job wait`: until the job has ended; ends with its exit code.

use std::io::IsTerminal;
use std::time::Duration;

use cloudai_proto::v1::{JobSummary, WaitJobRequest};

use crate::commands::verdict;
use crate::exit::{Code, Failure};
use crate::input::reference;
use crate::output::{Format, say, show};
use crate::settings::Settings;
use crate::times::parse_duration;
use crate::views::job::{CountsView, JobView};

#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Its id, or a unique beginning of it
    #[arg(value_name = "JOB")]
    job: String,
    /// Give up waiting (exit code 124) after this long; the job goes on
    #[arg(long, value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub async fn run(settings: &Settings, args: &WaitArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let job = reference::job(&args.job)?;
    let request = WaitJobRequest { namespace: settings.namespace.clone(), job: job.clone() };
    let ended = async {
        let mut stream = client.wait_job(request);
        let bar = Bar::new();
        let mut last: Option<JobSummary> = None;
        while let Some(job) = stream.next().await? {
            bar.show(&job);
            last = Some(job);
        }
        bar.clear();
        last.ok_or_else(|| Failure::failed("the masters said nothing about the job"))
    };
    let ended = match args.timeout {
        None => ended.await?,
        Some(limit) => match tokio::time::timeout(limit, ended).await {
            Ok(ended) => ended?,
            Err(_) => return Err(not_ended(&job, limit)),
        },
    };
    let code = verdict::of_job(&client, &ended).await?;
    let view = JobView::from(ended);
    if settings.format == Format::Table {
        say(format!("job {} ended: {}", view.id, view.state));
    } else {
        show(settings.format, &view)?;
    }
    if code == Code::Ok { Ok(()) } else { Err(Failure::silent(code)) }
}

/// Exit code 124. `job`: one, or several with spaces between.
pub fn not_ended(job: &str, limit: Duration) -> Failure {
    let what = format!("job {job} has not ended within {} s", limit.as_secs_f64());
    let first = job.split(' ').next().unwrap_or_default();
    Failure::new(Code::WaitTimeout, "wait_timeout", what).next(format!(
        "it goes on; `cloudai job wait {first}` waits again, `cloudai task explain {first}/0` says what it waits for"
    ))
}

/// Progress on a terminal's stderr; nothing elsewhere.
pub struct Bar(Option<indicatif::ProgressBar>);

impl Bar {
    pub fn new() -> Self {
        let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        let bar = std::io::stderr().is_terminal().then(|| indicatif::ProgressBar::new(1));
        Bar(bar.zip(style.ok()).map(|(bar, style)| bar.with_style(style)))
    }

    pub fn show(&self, job: &JobSummary) {
        if let Some(bar) = &self.0 {
            let counts = CountsView::from(job.counts.unwrap_or_default());
            bar.set_length(u64::from(job.count));
            bar.set_position(u64::from(counts.ended()));
            bar.set_message(counts.text());
        }
    }

    pub fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
