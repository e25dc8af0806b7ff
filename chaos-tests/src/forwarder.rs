//! Passes connections on to another address, and counts what comes back. Comes in: an address to listen at, where to connect to. Goes out: the
//! address with its port. It ends with the process; its threads end with their connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::Context as _;

pub struct Forwarder {
    pub address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Forwarder {
    pub fn start(ip: &str, to: &str) -> anyhow::Result<Forwarder> {
        let listener = TcpListener::bind((ip, 0)).with_context(|| format!("cannot listen at {ip}"))?;
        let address = listener.local_addr().context("it has no address")?;
        let passed = Arc::new(AtomicU64::new(0));
        let (to, counter) = (to.to_owned(), passed.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { continue };
                thread::spawn(move || pass(from_client, server, &AtomicU64::new(0)));
                let counter = counter.clone();
                thread::spawn(move || pass(from_server, client, &counter));
            }
        });
        Ok(Forwarder { address, passed })
    }

    /// Bytes from the other side so far.
    pub fn passed(&self) -> u64 {
        self.passed.load(Relaxed)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
        passed.fetch_add(n as u64, Relaxed);
    }
    // Either may be closed already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_is_counted() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let forwarder = Forwarder::start("127.0.0.1", &server.local_addr().unwrap().to_string()).unwrap();
        let mut client = TcpStream::connect(forwarder.address).unwrap();
        client.write_all(b"ask").unwrap();
        let (mut inside, _) = server.accept().unwrap();
        let mut asked = [0; 3];
        inside.read_exact(&mut asked).unwrap();
        inside.write_all(b"an answer").unwrap();
        drop(inside);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!((&asked, answer.as_str(), forwarder.passed()), (b"ask", "an answer", 9));
    }
}
