//! Reading one attempt's log, through any number of masters. Comes in: a task. Goes out: frames, each once and in order, also when
//! the stream breaks and another master sends it again from the beginning.

use std::time::Duration;

use cloudai_proto::v1::{LogFrame, LogsReply, LogsRequest};

use crate::call::Tries;
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::resumed::{Resumed, Step};

/// A log that is not followed begins to come within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// See [`Client::logs`].
pub struct LogStream {
    client: Client,
    request: LogsRequest,
    stream: Resumed<LogsReply>,
    seen: Seen,
    complete: bool,
}

/// What was given out, so that a repetition is recognised.
#[derive(Default)]
struct Seen {
    /// Bytes of all frames, counted from the log's beginning; meaningful without `tail_lines`.
    bytes: u64,
    /// Of these, how many the stream at hand has yet to repeat.
    skip: u64,
    /// With `tail_lines` a repetition begins elsewhere: frames up to this time are skipped instead.
    time_ms: u64,
    by_time: bool,
}

impl Client {
    /// The log of one attempt. With `follow`, until the attempt has ended.
    pub fn logs(&self, request: LogsRequest) -> LogStream {
        let seen = Seen { by_time: false, ..Default::default() };
        LogStream { client: self.clone(), request, stream: Resumed::default(), seen, complete: false }
    }
}

impl LogStream {
    /// The next frames; `None` after everything was sent. A worker that cannot be reached is an error at once, a master that
    /// cannot is one only after the client's retry time.
    pub async fn next(&mut self) -> Result<Option<LogsReply>, CallError> {
        let mut tries = Tries::new(self.client.shared.retry_for);
        // With `follow` there may be no attempt for a long time. A master that has gone is noticed by the connection's own pings.
        let within = (!self.request.follow).then_some(ANSWER_WITHIN);
        while !self.complete {
            let ask = |mut control: Control| {
                let request = self.request.clone();
                async move { control.logs(request).await }
            };
            match self.stream.step(&self.client, within, ask).await {
                Step::Opened => self.seen.begin_again(self.request.tail_lines > 0),
                Step::Message(mut reply) => {
                    if reply.attempt != 0 {
                        // A repetition must be of the same attempt, also when a newer one has begun.
                        self.request.attempt = reply.attempt;
                    }
                    reply.frames = self.seen.fresh(std::mem::take(&mut reply.frames));
                    self.complete = reply.complete;
                    return Ok(Some(reply));
                }
                Step::Broke(address, verdict) => self.client.after_failure(&mut tries, &address, verdict).await?,
            }
        }
        Ok(None)
    }
}

impl Seen {
    fn begin_again(&mut self, tail: bool) {
        self.by_time = tail && self.bytes > 0;
        self.skip = if tail { 0 } else { self.bytes };
    }

    /// Without what was given out before.
    fn fresh(&mut self, frames: Vec<LogFrame>) -> Vec<LogFrame> {
        let mut out = vec![];
        for mut f in frames {
            if self.by_time && f.time_ms <= self.time_ms {
                continue;
            }
            let len = f.data.len() as u64;
            if self.skip >= len && self.skip > 0 {
                self.skip -= len;
                continue;
            }
            if self.skip > 0 {
                let cut = usize::try_from(self.skip).expect("less than the frame's length");
                f.data = f.data.slice(cut..);
                self.skip = 0;
            }
            self.bytes += f.data.len() as u64;
            self.time_ms = self.time_ms.max(f.time_ms);
            out.push(f);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(time_ms: u64, data: &'static str) -> LogFrame {
        LogFrame { time_ms, source: 1, data: data.as_bytes().to_vec().into() }
    }

    fn text(frames: Vec<LogFrame>) -> String {
        frames.iter().map(|f| String::from_utf8_lossy(&f.data).into_owned()).collect()
    }

    #[test]
    fn a_repetition_is_cut_where_the_first_stream_broke_however_it_is_framed() {
        let mut seen = Seen::default();
        assert_eq!(text(seen.fresh(vec![frame(1, "hello "), frame(2, "wor")])), "hello wor");
        seen.begin_again(false);
        assert_eq!(text(seen.fresh(vec![frame(1, "hello world"), frame(3, "!")])), "ld!");
        seen.begin_again(false);
        assert_eq!(text(seen.fresh(vec![frame(1, "hello world!")])), "");
        assert_eq!(text(seen.fresh(vec![frame(4, "?")])), "?");
    }

    #[test]
    fn a_repeated_tail_is_cut_by_time() {
        let mut seen = Seen::default();
        seen.begin_again(true);
        assert_eq!(text(seen.fresh(vec![frame(5, "a"), frame(6, "b")])), "ab");
        seen.begin_again(true);
        assert_eq!(text(seen.fresh(vec![frame(6, "b"), frame(7, "c")])), "c");
    }
}
