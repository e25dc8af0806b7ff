//! The network: one namespace per machine, one more that holds the bridge between them. Comes in: names. Goes out: addresses. Nothing of
//! it is visible to the machine's own network, so rigs beside each other use the same addresses.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::ours::{Ours, quiet};

/// Holds the bridge and nothing else.
pub const SWITCH: &str = "sw";
pub const CLIENT: &str = "c";

/// The address of a machine: masters from .1, workers from .101, the client .200.
pub fn address(machine: &str) -> Ipv4Addr {
    let number: u8 = machine.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0);
    match machine.as_bytes().first() {
        Some(b'm') => Ipv4Addr::new(10, 77, 0, number),
        Some(b'w') => Ipv4Addr::new(10, 77, 0, 100 + number),
        _ => Ipv4Addr::new(10, 77, 0, 200),
    }
}

/// Makes it all.
pub fn lay(ours: &Ours, machines: &[String]) -> anyhow::Result<()> {
    let switch = ours.namespace(SWITCH);
    ip(&["netns", "add", &switch])?;
    ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
    ip(&["-n", &switch, "link", "set", "br0", "up"])?;
    for machine in machines {
        let (own, port) = (ours.namespace(machine), port(machine));
        ip(&["netns", "add", &own])?;
        ip(&["-n", &switch, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &own])?;
        ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
        ip(&["-n", &own, "addr", "add", &format!("{}/24", address(machine)), "dev", "eth0"])?;
        ip(&["-n", &own, "link", "set", "eth0", "up"])?;
        ip(&["-n", &own, "link", "set", "lo", "up"])?;
    }
    Ok(())
}

/// The machine's plug in the switch.
pub fn port(machine: &str) -> String {
    format!("p-{machine}")
}

pub fn switch(ours: &Ours) -> String {
    ours.namespace(SWITCH)
}

pub fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    Ok(quiet("ip", arguments)?.ok(&format!("ip {}", arguments.join(" ")))?.stdout)
}

/// A command inside a machine's network. Its mounts are the rig's own, unlike with `ip netns exec`: a namespace of mounts would hold a
/// disk that is to be unmounted.
pub fn inside(ours: &Ours, machine: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", ours.namespace(machine))).arg("--").arg(program);
    command
}

pub fn run_inside(ours: &Ours, machine: &str, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = inside(ours, machine, program);
    let done = crate::command::run(command.args(arguments), Duration::from_secs(20))?;
    Ok(done.ok(&format!("{program} {} in {machine}", arguments.join(" ")))?.stdout)
}

/// A thread's way into the client's namespace, and back.
pub struct Inside {
    home: File,
}

impl Inside {
    pub fn enter(ours: &Ours) -> anyhow::Result<Inside> {
        let home =
            File::open("/proc/thread-self/ns/net").context("this thread's network namespace cannot be opened")?;
        let path = format!("/run/netns/{}", ours.namespace(CLIENT));
        let there = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        super::kernel::enter_net(&there).context("the client's network namespace cannot be entered")?;
        Ok(Inside { home })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // It was ours a moment ago: only a kernel out of memory refuses.
        let _ = super::kernel::enter_net(&self.home);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_addresses_of_their_own() {
        let all = ["m1", "m3", "w1", "w12", CLIENT].map(|m| address(m).to_string());
        assert_eq!(all, ["10.77.0.1", "10.77.0.3", "10.77.0.101", "10.77.0.112", "10.77.0.200"]);
    }
}
