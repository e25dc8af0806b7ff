//! Watching one job until it ends, through any number of masters. Comes in: a job. Goes out: summaries, never older than the one
//! before.

use cloudai_proto::v1::{JobSummary, WaitJobRequest};

use crate::call::Tries;
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::resumed::{Resumed, Step};

/// See [`Client::wait_job`].
pub struct WaitStream {
    client: Client,
    request: WaitJobRequest,
    stream: Resumed<JobSummary>,
    index: u64,
    ended: bool,
}

impl Client {
    /// The job as it is now, then after each change, until it has ended.
    pub fn wait_job(&self, request: WaitJobRequest) -> WaitStream {
        WaitStream { client: self.clone(), request, stream: Resumed::default(), index: 0, ended: false }
    }
}

impl WaitStream {
    /// The next state of the job; `None` after the one in which it has ended. An error means that no master could be asked
    /// for the whole of the client's retry time.
    pub async fn next(&mut self) -> Result<Option<JobSummary>, CallError> {
        let mut tries = Tries::new(self.client.shared.retry_for);
        while !self.ended {
            let ask = |mut control: Control| {
                let request = self.request.clone();
                async move { control.wait_job(request).await }
            };
            match self.stream.step(&self.client, Some(tries.within()), ask).await {
                Step::Opened => {}
                // Another master, a little behind the one before.
                Step::Message(job) if job.index < self.index => {}
                Step::Message(job) => {
                    self.index = job.index;
                    self.ended = job.state().is_ended();
                    return Ok(Some(job));
                }
                Step::Broke(address, verdict) => self.client.after_failure(&mut tries, &address, verdict).await?,
            }
        }
        Ok(None)
    }
}
