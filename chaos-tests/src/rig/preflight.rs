//! Can this machine inject a fault at all? Comes in: what a drill needs. Goes out: the reason why not. Asked before a rig is built, so that a
//! missing tool is NOT RUN and never a quiet pass.

use std::process::Command;
use std::time::Duration;

use super::ours::quiet;

/// The library that gives one process another wall clock.
pub const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Network namespaces, mounts: every rig needs them.
    Root,
    /// Packet filters.
    Nft,
    /// Loop devices with ext4: every rig needs them.
    LoopDisks,
    /// `fsfreeze`.
    Freeze,
    /// Traffic shaping by a token bucket.
    Tbf,
    /// A Docker engine that answers.
    Docker,
    /// System calls that fail on demand.
    Strace,
    /// Calls of the C library that fail on demand, switched while the process runs.
    Fiu,
    /// A wall clock that is wrong for one process.
    FakeTime,
    /// A terminal that nobody sits at.
    Tmux,
}

impl Need {
    /// None: there it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Need::Root => (!rustix::process::geteuid().is_root())
                .then(|| "network namespaces and mounts need root".to_owned())
                .or_else(|| tool("ip", "iproute2"))
                .or_else(|| tool("nsenter", "util-linux"))
                .or_else(can_make_namespaces),
            Need::Nft => tool("nft", "nftables"),
            Need::LoopDisks => tool("mkfs.ext4", "e2fsprogs").or_else(|| tool("mount", "mount")).or_else(has_loop),
            Need::Freeze => tool("fsfreeze", "util-linux"),
            Need::Tbf => tool("tc", "iproute2"),
            Need::Docker => crate::engine::why_not().map(|why| format!("no Docker engine answers ({why})")),
            Need::Strace => tool("strace", "strace"),
            Need::Fiu => tool("fiu-ctrl", "fiu-utils"),
            Need::Tmux => tool("tmux", "tmux"),
            Need::FakeTime => (!std::path::Path::new(FAKETIME).exists())
                .then(|| format!("there is no {FAKETIME} (Debian package libfaketime; `make setup` installs it)")),
        }
    }
}

/// What is missing of what every rig needs and of these.
pub fn missing(needs: &[Need]) -> Vec<String> {
    [Need::Root, Need::LoopDisks].iter().chain(needs).filter_map(|need| need.missing()).collect()
}

fn tool(name: &str, package: &str) -> Option<String> {
    let found =
        crate::command::run(Command::new("sh").args(["-c", &format!("command -v {name}")]), Duration::from_secs(10));
    let there = found.is_ok_and(|done| done.code == 0);
    (!there).then(|| format!("there is no '{name}' (Debian package {package}; `make setup` installs it)"))
}

fn can_make_namespaces() -> Option<String> {
    let name = format!("cairig-{}-probe", std::process::id());
    let made = quiet("ip", &["netns", "add", &name]);
    let _ = quiet("ip", &["netns", "del", &name]);
    match made {
        Ok(done) if done.code == 0 => None,
        Ok(done) => Some(format!("no network namespace can be made: {}", done.stderr.trim())),
        Err(error) => Some(format!("no network namespace can be made: {error:#}")),
    }
}

fn has_loop() -> Option<String> {
    let there = std::path::Path::new("/dev/loop-control").exists();
    (!there).then(|| "this kernel has no loop devices".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let said = tool("no-such-tool-anywhere", "some-package").expect("nobody has it");
        assert!(said.contains("no-such-tool-anywhere") && said.contains("some-package"), "{said}");
        assert_eq!(tool("sh", "dash"), None);
    }
}
