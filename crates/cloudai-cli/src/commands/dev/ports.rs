//! Ports that are free now and stay free while a child is down: below the range from which the kernel takes ports for outgoing
//! connections.

use std::net::{Ipv4Addr, TcpListener};

use crate::exit::Failure;

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// `count` different free ports. They are held together while they are looked for, so that none comes twice.
pub fn free(count: usize) -> Result<Vec<u16>, Failure> {
    let mut held = vec![];
    let mut port = rand::random_range(FIRST..LAST);
    for _ in FIRST..LAST {
        if held.len() == count {
            break;
        }
        if let Ok(l) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, l));
        }
        port = if port + 1 >= LAST { FIRST } else { port + 1 };
    }
    if held.len() < count {
        return Err(Failure::failed(format!(
            "only {} of {count} ports between {FIRST} and {LAST} are free",
            held.len()
        )));
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(20).unwrap();
        let different: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(different.len(), 20);
        assert!(ports.iter().all(|p| (FIRST..LAST).contains(p)));
        assert!(free(usize::from(LAST - FIRST) + 1).is_err());
    }
}
