//! What strangers send to the three ports before anybody knows who they are. The accept loops must survive it, and answer the
//! next one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::master::master;

/// Long enough for a refusal of what is no handshake; who only waits is hung up by the handshake's own limit.
const PATIENCE: Duration = Duration::from_millis(2);

pub fn run(data: &[u8]) {
    let Some((port, bytes)) = data.split_first() else { return };
    let address = &master().ports[usize::from(*port) % 3];
    let mut stream = TcpStream::connect(address).expect("the listener lives");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // The master may hang up at any byte.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 64];
    let _ = stream.read(&mut answer);
}
