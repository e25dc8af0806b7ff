//! Everything between masters' Raft ports arrives late: connections are redirected through proxies that hold back each piece. Proven by the
//! counters of the redirections, and by the proxies running to the end.

use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::rig::faults::partition::{counters, nft, unfilter};
use crate::rig::net;
use crate::rig::outcome::{Invalid, valid};
use crate::rig::standing::Rig;
use crate::rig::timeline::BandId;

const RAFT_PORT: u16 = 7602;
/// Proxies listen from here on, one per peer.
const PROXY_PORT: u16 = 17_000;
/// As long as connections of before are reset.
const RESET: Duration = Duration::from_millis(500);

#[must_use = "a delay lasts until it is lifted"]
pub struct Delay {
    proxies: Vec<Child>,
    at: Vec<String>,
    band: BandId,
}

impl Rig {
    /// Each direction of each connection between masters, each piece by its own time within these bounds.
    pub fn delay_masters(&mut self, min_ms: u64, max_ms: u64) -> anyhow::Result<Delay> {
        let band = self.timeline.begin(format!("{min_ms} to {max_ms} ms between masters"));
        let masters = self.masters();
        let own = super::super::load::driver()?;
        let mut delay = Delay { proxies: vec![], at: vec![], band };
        for master in &masters {
            let address = net::address(master);
            let number = u16::from(address.octets()[3]);
            // A second address: what the proxy sends is not redirected again.
            let beside = format!("10.77.0.{}", number + 50);
            net::ip(&["-n", &self.ours.namespace(master), "addr", "replace", &format!("{beside}/24"), "dev", "eth0"])?;
            let mut redirects = String::new();
            for peer in masters.iter().filter(|p| *p != master) {
                let to = net::address(peer);
                let port = PROXY_PORT + u16::from(to.octets()[3]);
                redirects +=
                    &format!("ip saddr {address} ip daddr {to} tcp dport {RAFT_PORT} counter redirect to :{port}\n");
                let mut command = net::inside(&self.ours, master, &own.display().to_string());
                command.args(["delay", "--listen", &format!("0.0.0.0:{port}"), "--to", &format!("{to}:{RAFT_PORT}")]);
                command.args(["--from", &format!("{beside}:0")]);
                command.args(["--min-ms", &min_ms.to_string(), "--max-ms", &max_ms.to_string()]);
                let proxy = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                delay.proxies.push(proxy.context("a proxy cannot be started")?);
            }
            let nat = format!("chain leaving {{\ntype nat hook output priority -100;\n{redirects}}}\n");
            let reset = format!(
                "chain severed {{\ntype filter hook output priority 0;\nip saddr {address} tcp dport {RAFT_PORT} reject with tcp reset\n}}\n"
            );
            self.faults.filtered.push(master.clone());
            delay.at.push(master.clone());
            nft(self, master, &format!("table ip rig {{\n{nat}{reset}}}\n"))?;
        }
        std::thread::sleep(RESET);
        for master in &masters {
            net::run_inside(&self.ours, master, "nft", &["delete", "chain", "ip", "rig", "severed"])?;
        }
        Ok(delay)
    }
}

impl Delay {
    /// Gives the number of connections that went through proxies.
    pub fn lift(mut self, rig: &mut Rig) -> anyhow::Result<u64> {
        let mut connections = 0;
        for master in std::mem::take(&mut self.at) {
            let listed = net::run_inside(&rig.ours, &master, "nft", &["list", "table", "ip", "rig"])?;
            connections += counters(&listed).iter().sum::<u64>();
            unfilter(rig, &master)?;
            rig.faults.filtered.retain(|m| *m != master);
        }
        for proxy in &mut self.proxies {
            if let Some(status) = proxy.try_wait().context("a proxy cannot be waited for")? {
                return Err(Invalid(format!("a delaying proxy ended by itself ({status})")).into());
            }
        }
        rig.timeline.end(self.band);
        rig.timeline.prove(self.band, format!("{connections} connections went through proxies"));
        valid(connections > 0, || "no connection went through a proxy".to_owned())?;
        Ok(connections)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        for proxy in &mut self.proxies {
            // Refusals mean that it has ended.
            let _ = proxy.kill();
            let _ = proxy.wait();
        }
    }
}
