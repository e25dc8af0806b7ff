//! Watching what workers use, through any number of masters. Comes in: whose. Goes out: frames, the newest of each worker, also when the stream
//! breaks and another master goes on with it; what came in between is missed, and the next frame says so.

use cloudai_proto::v1::{TelemetryFrame, WatchTelemetryRequest};
use cloudai_types::limits;

use crate::call::Tries;
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::resumed::{Resumed, Step};

/// See [`Client::watch_telemetry`].
pub struct TelemetryStream {
    client: Client,
    request: WatchTelemetryRequest,
    stream: Resumed<TelemetryFrame>,
    /// A master has taken the question, and its stream has not broken yet.
    is_open: bool,
    /// What earlier streams have said, and what this one says.
    dropped_before: u64,
    dropped: u64,
    /// A stream has broken since the last frame.
    broke: bool,
}

impl Client {
    /// Without an end. The first frames have the last known of each worker.
    pub fn watch_telemetry(&self, request: WatchTelemetryRequest) -> TelemetryStream {
        let (client, stream) = (self.clone(), Resumed::default());
        TelemetryStream { client, request, stream, is_open: false, dropped_before: 0, dropped: 0, broke: false }
    }
}

impl TelemetryStream {
    /// The next frame. `dropped` counts from the first one on, over all masters. An error means that no master could be asked for the whole of
    /// the client's retry time, or that there is no such worker.
    pub async fn next(&mut self) -> Result<TelemetryFrame, CallError> {
        let mut tries = Tries::new(self.client.shared.retry_for);
        loop {
            let ask = |mut control: Control| {
                let request = self.request.clone();
                async move { control.watch_telemetry(request).await }
            };
            let within = limits::CLIENT_CALL_TIMEOUT.as_duration().min(tries.within());
            match self.stream.step(&self.client, Some(within), ask).await {
                Step::Opened => self.is_open = true,
                Step::Message(frame) => return Ok(self.taken(frame)),
                Step::Broke(address, verdict) => {
                    self.broken();
                    self.client.after_failure(&mut tries, &address, verdict).await?;
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

    /// Where nothing was open there is no gap.
    fn broken(&mut self) {
        if std::mem::take(&mut self.is_open) {
            self.dropped_before += std::mem::take(&mut self.dropped);
            self.broke = true;
        }
    }
}
