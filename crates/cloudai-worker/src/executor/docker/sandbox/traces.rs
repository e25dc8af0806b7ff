//! What a task has left in its network namespace. Comes in: a running sandbox as the engine shows it. Goes out: counters and files, to be
//! compared with those from before the task.
//!
//! A namespace that sent nothing holds no connection, no half-closed port, no neighbour and no translation of anybody's: its sockets
//! went with its processes, and to change addresses, routes or filters takes a capability that no task has. Besides, the engine gives
//! a task the sandbox's files of names and resolvers, and root in a container may write to them: so they are compared too. Their times
//! say nothing, because the engine sets their owner anew for each container.

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cloudai_types::limits;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Place {
    /// The first process of the sandbox, as this machine numbers it.
    process: PathBuf,
    /// The container's id, which the process's cgroup must name: a number alone may be another machine's.
    container: String,
    /// `hosts`, `resolv.conf` and `hostname`.
    files: Vec<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traces {
    /// IP packets that were sent, also to itself, of version 4 and of version 6.
    sent: [u64; 2],
    /// Rights and contents.
    files: Vec<(u32, Vec<u8>)>,
}

impl Place {
    pub fn new(pid: i64, container: &str, files: impl IntoIterator<Item = String>) -> Place {
        let files = files.into_iter().filter(|f| !f.is_empty()).map(PathBuf::from).collect();
        Place { process: Path::new("/proc").join(pid.to_string()), container: container.to_owned(), files }
    }

    /// An error where the engine's machine cannot be looked at from here: such a sandbox is used once.
    pub fn look(&self) -> io::Result<Traces> {
        let cgroup = fs::read_to_string(self.process.join("cgroup"))?;
        if !cgroup.contains(&self.container) {
            return Err(io::Error::new(ErrorKind::NotFound, "the sandbox's process is not on this machine"));
        }
        let invalid = || io::Error::new(ErrorKind::InvalidData, "the kernel does not count sent packets as expected");
        let version_4 = sent_4(&fs::read_to_string(self.process.join("net/snmp"))?).ok_or_else(invalid)?;
        let version_6 = match fs::read_to_string(self.process.join("net/snmp6")) {
            Ok(text) => sent_6(&text).ok_or_else(invalid)?,
            Err(e) if e.kind() == ErrorKind::NotFound => 0,
            Err(e) => return Err(e),
        };
        let files = self.files.iter().map(|path| read(path)).collect::<io::Result<_>>()?;
        Ok(Traces { sent: [version_4, version_6], files })
    }
}

fn read(path: &Path) -> io::Result<(u32, Vec<u8>)> {
    let file = fs::File::open(path)?;
    let mode = file.metadata()?.mode();
    let mut bytes = vec![];
    file.take(limits::NETWORK_SANDBOX_FILE_MAX).read_to_end(&mut bytes)?;
    Ok((mode, bytes))
}

/// A line of names and a line of values, both beginning with `Ip:`.
fn sent_4(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("Ip: "));
    let column = lines.next()?.split(' ').position(|name| name == "OutRequests")?;
    lines.next()?.split(' ').nth(column)?.parse().ok()
}

fn sent_6(text: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix("Ip6OutRequests"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counters_are_read() {
        let text =
            "Ip: Forwarding DefaultTTL InReceives OutRequests OutDiscards\nIp: 1 64 31 29 0\nIcmp: InMsgs\nIcmp: 2\n";
        assert_eq!(sent_4(text), Some(29));
        assert_eq!(sent_4("Ip: Forwarding\nIp: 1\n"), None);
        assert_eq!(sent_6("Ip6InReceives  \t4\nIp6OutRequests  \t12\n"), Some(12));
    }

    #[test]
    fn a_process_of_another_container_is_not_taken_for_the_sandbox() {
        let own = Place::new(i64::from(std::process::id()), "0123456789abcdef0123", []);
        assert_eq!(own.look().unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_packet_and_a_written_file_leave_traces() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        // Any cgroup names the empty container.
        let here = Place::new(i64::from(std::process::id()), "", [hosts.to_str().unwrap().to_owned()]);
        let before = here.look().unwrap();
        fs::write(&hosts, "127.0.0.2 localhost\n").unwrap();
        let written = here.look().unwrap();
        assert_ne!(before.files, written.files, "also with as many bytes");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert!(here.look().unwrap().sent[0] > written.sent[0], "also to itself");
    }
}
