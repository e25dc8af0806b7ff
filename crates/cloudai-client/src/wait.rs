//! Watching one job until it ends, through any number of masters. Comes in: a job. Goes out: summaries, never older than the one
//! before.

use std::time::Duration;

use cloudai_proto::v1::{JobSummary, WaitJobRequest};
use tonic::Streaming;

use crate::call::{Next, Repeat, Tries};
use crate::client::Client;
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// See [`Client::wait_job`].
pub struct WaitStream {
    client: Client,
    request: WaitJobRequest,
    open: Option<(String, Streaming<JobSummary>)>,
    index: u64,
    ended: bool,
}

impl Client {
    /// The job as it is now, then after each change, until it has ended.
    pub fn wait_job(&self, request: WaitJobRequest) -> WaitStream {
        WaitStream { client: self.clone(), request, open: None, index: 0, ended: false }
    }
}

impl WaitStream {
    /// The next state of the job; `None` after the one in which it has ended. An error means that no master could be asked
    /// for the whole of the client's retry time.
    pub async fn next(&mut self) -> Result<Option<JobSummary>, CallError> {
        if self.ended {
            return Ok(None);
        }
        let mut tries = Tries::new(self.client.shared.retry_for);
        loop {
            let (address, verdict) = match self.open.take() {
                None => {
                    let address = self.client.shared.preferred();
                    match self.connect(&address, &tries).await {
                        Ok(stream) => {
                            self.open = Some((address, stream));
                            continue;
                        }
                        Err(verdict) => (address, verdict),
                    }
                }
                Some((address, mut stream)) => match stream.message().await {
                    Ok(Some(job)) => {
                        self.client.shared.prefer(&address);
                        self.open = Some((address, stream));
                        if job.index < self.index {
                            // Another master, a little behind the one before.
                            continue;
                        }
                        self.index = job.index;
                        self.ended = job.state().is_ended();
                        return Ok(Some(job));
                    }
                    Ok(None) => {
                        (address, Verdict::Unknown("the master ended the stream before the job had ended".into()))
                    }
                    Err(status) => (address, judge(&status)),
                },
            };
            let next =
                tries.on_failure(&self.client, &address, Repeat::Safe, verdict).map_err(|e| self.client.as_read(e))?;
            match next {
                Next::Address(a) => self.client.shared.prefer(&a),
                Next::Pause(pause, a) => {
                    self.client.shared.prefer(&a);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn connect(&self, address: &str, tries: &Tries) -> Result<Streaming<JobSummary>, Verdict> {
        let mut control = self.client.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
        let limit = tries.left().max(Duration::from_millis(1));
        match tokio::time::timeout(limit, control.wait_job(self.request.clone())).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(judge(&status)),
            Err(_) => Err(Verdict::Unknown(format!("{address} did not answer"))),
        }
    }
}
