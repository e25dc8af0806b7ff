//! How an answer was read: said to people on stderr when it is worth saying, never part of a list's JSON.

use cloudai_proto::v1::{Consistency, ReadInfo};

use crate::output::say;

/// A stale answer says how old it may be.
pub fn tell(read: Option<&ReadInfo>, consistency: Consistency) {
    if let Some(line) = read.and_then(|r| line(r, consistency)) {
        say(line);
    }
}

fn line(read: &ReadInfo, consistency: Consistency) -> Option<String> {
    // Also when something else was asked for: a cluster without a leader still tells how it is.
    if consistency == Consistency::Linearizable && !read.stale {
        return None;
    }
    let leader = if read.known_leader.is_empty() {
        "it knows no leader".to_owned()
    } else {
        format!("leader {}", read.known_leader)
    };
    let age = if read.leader { "it leads".to_owned() } else { format!("heard from a leader {} ms ago", read.age_ms) };
    Some(format!("stale read from {} at index {}: {age}; {leader}", read.master, read.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stale_read_tells_its_age() {
        let mut read =
            ReadInfo { index: 7, master: "m2".into(), age_ms: 40, known_leader: "m1".into(), ..ReadInfo::default() };
        assert_eq!(line(&read, Consistency::Linearizable), None);
        let said = line(&read, Consistency::Stale).unwrap();
        assert_eq!(said, "stale read from m2 at index 7: heard from a leader 40 ms ago; leader m1");
        read.stale = true;
        assert_eq!(line(&read, Consistency::Linearizable), Some(said));
    }
}
