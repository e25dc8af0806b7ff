//! What a task left, through any number of masters. Comes in: a task, or one of its files. Goes out: the whole list, or the bytes of
//! the file in order, each once, also when the stream breaks and another master goes on with it.

use std::time::Duration;

use cloudai_proto::v1::{ListResultsReply, ListResultsRequest, ReadResultReply, ReadResultRequest};

use crate::call::Tries;
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::judge::{Verdict, judge};
use crate::resumed::{Resumed, Step};

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// See [`Client::read_result`].
pub struct FileStream {
    client: Client,
    request: ReadResultRequest,
    /// Where the file ends.
    size: u64,
    stream: Resumed<ReadResultReply>,
}

impl Client {
    /// Every piece of the list of what an attempt stored; the first one has the totals.
    pub async fn list_results(&self, request: ListResultsRequest) -> Result<Vec<ListResultsReply>, CallError> {
        let mut tries = Tries::new(self.shared.retry_for);
        loop {
            let address = self.shared.preferred();
            let verdict = match self.list_once(&address, request.clone()).await {
                Ok(pieces) => {
                    self.shared.prefer(&address);
                    return Ok(pieces);
                }
                Err(verdict) => verdict,
            };
            self.after_failure(&mut tries, &address, verdict).await?;
        }
    }

    async fn list_once(&self, address: &str, request: ListResultsRequest) -> Result<Vec<ListResultsReply>, Verdict> {
        let mut control = self.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
        let late = |_| Verdict::Unknown(format!("{address} did not answer within {} s", ANSWER_WITHIN.as_secs()));
        let asked = tokio::time::timeout(ANSWER_WITHIN, control.list_results(request));
        let mut stream = asked.await.map_err(late)?.map_err(|s| judge(&s))?.into_inner();
        let mut pieces = vec![];
        while let Some(piece) = stream.message().await.map_err(|s| judge(&s))? {
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// The bytes of one stored file of `size` bytes, from `request.offset` on. `request.length` is not used.
    pub fn read_result(&self, request: ReadResultRequest, size: u64) -> FileStream {
        let request = ReadResultRequest { length: 0, ..request };
        FileStream { client: self.clone(), request, size, stream: Resumed::default() }
    }
}

impl FileStream {
    /// The next bytes; `None` after the last. A master that cannot be reached is an error only after the client's retry time without
    /// any progress.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, CallError> {
        let mut tries = Tries::new(self.client.shared.retry_for);
        while self.request.offset < self.size {
            let ask = |mut control: Control| {
                let request = self.request.clone();
                async move { control.read_result(request).await }
            };
            match self.stream.step(&self.client, Some(ANSWER_WITHIN), ask).await {
                Step::Opened => {}
                Step::Message(reply) => {
                    self.request.offset += reply.data.len() as u64;
                    return Ok(Some(reply.data));
                }
                Step::Broke(address, verdict) => self.client.after_failure(&mut tries, &address, verdict).await?,
            }
        }
        Ok(None)
    }
}
