//! Watching what workers use, through any number of masters. Comes in: whose. Goes out: frames, the newest of each worker, also when the stream
//! breaks and another master goes on with it; what came in between is missed, and the next frame says so.

use cloudai_proto::v1::{TelemetryFrame, WatchTelemetryRequest};
use cloudai_types::limits;
use tonic::Streaming;

use crate::call::{Next, Repeat, Tries};
use crate::client::Client;
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// See [`Client::watch_telemetry`].
pub struct TelemetryStream {
    client: Client,
    request: WatchTelemetryRequest,
    open: Option<(String, Streaming<TelemetryFrame>)>,
    /// What earlier streams have said, and what this one says.
    dropped_before: u64,
    dropped: u64,
    /// A stream has broken since the last frame.
    broke: bool,
}

impl Client {
    /// Without an end. The first frames have the last known of each worker.
    pub fn watch_telemetry(&self, request: WatchTelemetryRequest) -> TelemetryStream {
        TelemetryStream { client: self.clone(), request, open: None, dropped_before: 0, dropped: 0, broke: false }
    }
}

impl TelemetryStream {
    /// The next frame. `dropped` counts from the first one on, over all masters. An error means that no master could be asked for the whole of
    /// the client's retry time, or that there is no such worker.
    pub async fn next(&mut self) -> Result<TelemetryFrame, CallError> {
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
                    Ok(Some(frame)) => {
                        self.client.shared.prefer(&address);
                        self.open = Some((address, stream));
                        return Ok(self.taken(frame));
                    }
                    Ok(None) => (address, self.broken(Verdict::Unknown("the master ended the stream".into()))),
                    Err(status) => (address, self.broken(judge(&status))),
                },
            };
            let next = tries.on_failure(&self.client, &address, Repeat::Safe, verdict);
            match next.map_err(|e| self.client.as_read(e))? {
                Next::Address(a) => self.client.shared.prefer(&a),
                Next::Pause(pause, a) => {
                    self.client.shared.prefer(&a);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn taken(&mut self, mut frame: TelemetryFrame) -> TelemetryFrame {
        self.dropped = frame.dropped;
        frame.dropped += self.dropped_before;
        frame.resumed |= std::mem::take(&mut self.broke);
        frame
    }

    fn broken(&mut self, verdict: Verdict) -> Verdict {
        self.dropped_before += std::mem::take(&mut self.dropped);
        self.broke = true;
        verdict
    }

    async fn connect(&self, address: &str, tries: &Tries) -> Result<Streaming<TelemetryFrame>, Verdict> {
        let mut control = self.client.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
        let limit =
            limits::CLIENT_CALL_TIMEOUT.as_duration().min(tries.left()).max(std::time::Duration::from_millis(1));
        match tokio::time::timeout(limit, control.watch_telemetry(self.request.clone())).await {
            Ok(Ok(stream)) => Ok(stream.into_inner()),
            Ok(Err(status)) => Err(judge(&status)),
            Err(_) => Err(Verdict::Unknown(format!("{address} did not answer"))),
        }
    }
}
