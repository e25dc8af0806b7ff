//! Whether the kernel killed a process of a container for memory. The engine usually says so, but it loses the news when the
//! container ends at the same moment. Readable by root only; without that right there is simply no answer.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// A record of the kernel's log is at most this long.
const RECORD_BYTES: usize = 8 << 10;
/// More records than any kernel's buffer holds.
const RECORDS_MAX: usize = 200_000;

/// Reads the kernel's buffer, some milliseconds: not on a thread of the runtime.
pub fn killed_for_memory(container: &str) -> bool {
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg") else {
        return false;
    };
    let mut record = vec![0; RECORD_BYTES];
    for _ in 0..RECORDS_MAX {
        match log.read(&mut record) {
            Ok(n) if is_kill(&String::from_utf8_lossy(&record[..n]), container) => return true,
            Ok(_) => {}
            // A record was overwritten while we read: the next one is there.
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {}
            // The end of what there is, or no right to read.
            Err(_) => return false,
        }
    }
    false
}

/// `oom-kill:constraint=…,task_memcg=/docker/CONTAINER,…` (with systemd's `docker-CONTAINER.scope` too).
fn is_kill(record: &str, container: &str) -> bool {
    let Some((_, said)) = record.split_once("oom-kill:") else { return false };
    container.len() >= 12
        && said.split(',').any(|part| part.strip_prefix("task_memcg=").is_some_and(|path| path.contains(container)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_names_its_container() {
        let id = "3304940821dba6d5b8a3eaa540774bae6e608f6be86e169b50a4dcccb4b0951b";
        let line = format!(
            "6,991,5858759672,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={id},mems_allowed=0,oom_memcg=/docker/{id},task_memcg=/docker/{id},task=tail,pid=17501,uid=0"
        );
        assert!(is_kill(&line, id));
        assert!(is_kill(&line.replace("/docker/", "/system.slice/docker-"), id));
        assert!(!is_kill(&line, "0000000021dba6d5"));
        assert!(!is_kill(&line, ""));
        assert!(!is_kill(&format!("6,1,1,-;{id} something else"), id));
        // On a machine without the right to read: no answer, and no error.
        assert!(!killed_for_memory("no-container-has-this-name"));
    }
}
