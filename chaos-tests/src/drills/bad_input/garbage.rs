//! Garbage bytes on every port: random, almost TLS, plain HTTP, nothing at all, and a connection that is cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::other_work_goes_on;
use crate::cluster::Cluster;
use crate::transcript::say;

pub fn run(cluster: &Cluster) -> anyhow::Result<()> {
    let mut addresses = vec![];
    for member in cluster.status()?.members {
        addresses.extend([member.grpc, member.raft, member.http]);
    }
    for process in cluster.processes()? {
        let urls = [process.http, process.grpc].into_iter().flatten();
        addresses.extend(urls.filter_map(|url| url.split("://").last().map(|a| a.trim_end_matches('/').to_owned())));
    }
    addresses.sort();
    addresses.dedup();
    addresses.retain(|a| a.contains(':'));
    ensure!(addresses.len() >= 9, "three masters have nine ports, and only {addresses:?} are known");
    let mut noise = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    };
    for address in &addresses {
        let bytes: Vec<u8> = (0..8192).flat_map(|_| random()).collect();
        for garbage in [
            bytes.as_slice(),
            // The head of a TLS record that announces more than comes.
            &[0x16, 3, 1, 0xff, 0xff, 1, 0, 0],
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff",
            b"",
        ] {
            send(address, garbage)?;
        }
    }
    say(format!("garbage on {} ports", addresses.len()));
    other_work_goes_on(cluster)?;
    let running = cluster.processes()?.iter().filter(|p| p.pid().is_some()).count();
    ensure!(running >= 4, "only {running} processes of four survived the garbage");
    cluster.nobody_panicked()
}

fn send(address: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("{address} does not accept"))?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).context("no time-out can be set")?;
    // The server may hang up at the first wrong byte, and has nothing to say: both are right.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 64]);
    Ok(())
}
