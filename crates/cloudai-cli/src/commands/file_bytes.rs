//! The bytes of one stored file, from wherever they can be had: from the store itself, where a master gives an address of it, and through a
//! master otherwise. Comes in: which file, and how much of it is there. Goes out: the rest, in order, each byte once. What is wrong
//! with the direct way is no error: the other one takes over where it ended.

use bytes::Bytes;
use cloudai_client::{CallError, Client, FileStream};
use cloudai_proto::v1::{LocateResultRequest, ReadResultRequest};
use cloudai_types::limits;
use reqwest::header::RANGE;
use reqwest::{Response, StatusCode};

pub struct Source {
    client: Client,
    /// For the store itself; `None`: it cannot be read directly, as far as this command has seen.
    http: Option<reqwest::Client>,
}

impl Source {
    pub fn new(client: Client) -> Source {
        // An error says that there is a provider already (ADR 0003).
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(limits::RESULT_ADDRESS_CONNECT.as_duration())
            .read_timeout(limits::RESULT_ADDRESS_SILENCE.as_duration())
            .build();
        Source { client, http: http.ok() }
    }

    /// Of a file of `size` bytes, from `request.offset` on.
    pub async fn file(&mut self, request: ReadResultRequest, size: u64) -> FileBytes {
        let direct = self.open(&request, size).await;
        FileBytes { client: self.client.clone(), request, size, direct, through: None }
    }

    /// The rest of the file, as the store answers it. `None`: it does not, and is not asked again where it cannot be reached.
    async fn open(&mut self, of: &ReadResultRequest, size: u64) -> Option<Response> {
        let http = self.http.as_ref()?;
        if size.saturating_sub(of.offset) < limits::RESULT_ADDRESS_FROM {
            return None;
        }
        let request = LocateResultRequest {
            namespace: of.namespace.clone(),
            job: of.job.clone(),
            index: of.index,
            attempt: of.attempt,
            path: of.path.clone(),
        };
        let address = self.client.locate_result(request).await.map(|reply| reply.address).unwrap_or_default();
        if address.is_empty() {
            self.http = None;
            return None;
        }
        let answer = http.get(address).header(RANGE, format!("bytes={}-", of.offset)).send().await;
        match answer {
            // Without the range: all of it, which is right only from the beginning.
            Ok(answer) if answer.status() == StatusCode::PARTIAL_CONTENT => Some(answer),
            Ok(answer) if answer.status() == StatusCode::OK && of.offset == 0 => Some(answer),
            // The address is in the error; nobody needs to see it.
            Ok(_) | Err(_) => {
                self.http = None;
                None
            }
        }
    }
}

pub struct FileBytes {
    client: Client,
    request: ReadResultRequest,
    size: u64,
    direct: Option<Response>,
    through: Option<FileStream>,
}

impl FileBytes {
    /// `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(direct) = &mut self.direct {
            let left = self.size.saturating_sub(self.request.offset);
            match direct.chunk().await {
                Ok(Some(mut bytes)) if left > 0 => {
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    self.request.offset += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                // It is over, or broke off, or has too much: what is missing comes the other way.
                Ok(_) | Err(_) => self.direct = None,
            }
        }
        let (client, request, size) = (&self.client, &self.request, self.size);
        self.through.get_or_insert_with(|| client.read_result(request.clone(), size)).next().await
    }
}
