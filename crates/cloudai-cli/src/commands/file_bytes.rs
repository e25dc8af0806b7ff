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
        let answer = ask(http, &address, of.offset).await;
        if answer.is_none() {
            self.http = None;
        }
        answer
    }
}

/// What the address gives from this byte on.
async fn ask(http: &reqwest::Client, address: &str, from: u64) -> Option<Response> {
    // The address is in the error as well; nobody needs to see it.
    let answer = http.get(address).header(RANGE, format!("bytes={from}-")).send().await.ok()?;
    // Without the range: all of it, which is right only from the beginning.
    let is_good = answer.status() == StatusCode::PARTIAL_CONTENT || (answer.status() == StatusCode::OK && from == 0);
    is_good.then_some(answer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers one request so, and says what was asked.
    fn answer(with: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/a?signed", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(with.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..n]).to_ascii_lowercase()
        });
        (address, asked)
    }

    #[tokio::test]
    async fn only_an_answer_that_begins_where_it_was_asked_to_is_taken() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        const PART: &str = "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz";
        const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz";
        const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        for (with, from, is_taken) in
            [(PART, 7, true), (PART, 0, true), (WHOLE, 0, true), (WHOLE, 7, false), (REFUSED, 0, false)]
        {
            let (address, asked) = answer(with);
            let got = ask(&http, &address, from).await;
            assert_eq!(got.is_some(), is_taken, "{with} from {from}");
            if let Some(mut got) = got {
                assert_eq!(got.chunk().await.unwrap().as_deref(), Some(&b"xyz"[..]));
            }
            assert!(asked.join().unwrap().contains(&format!("range: bytes={from}-")));
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(&http, &format!("http://{nobody}/"), 0).await.is_none());
    }
}
