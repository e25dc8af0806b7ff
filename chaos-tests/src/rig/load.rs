//! The load on a rig: a process of this same binary in the client's namespace, so that no fault and no pause of the rig touches its clock.
//! Comes in: a plan. Goes out: the history, also while it still grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use cloudai_proto::v1::AuthorizeWorkerRequest;

use super::clock;
use super::net::{self, CLIENT};
use super::options::{GATE_RATE, GATE_RATE_SHORT, GATE_SPAN, GATE_SPAN_SHORT, Pace};
use super::outcome::valid;
use super::standing::Rig;
use crate::history::{Answer, Event, History, REGISTERS, Record};
use crate::rig_drills::Size;

/// After the last operation's own limit nothing may still be open.
const END: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct LoadPlan {
    pub pace: Pace,
    /// A ninth client that submits one job after the other, this long after each answer: it measures gaps of milliseconds. Its client
    /// number is [`PROBE`].
    pub probe: Option<Duration>,
    /// What each job runs: `noop` plays it, anything else is an image.
    pub image: String,
    pub command: Vec<String>,
    pub seed: u64,
}

/// The client number of the closed-loop probe.
pub const PROBE: u32 = 100;

impl LoadPlan {
    pub fn standard(seed: u64) -> Self {
        LoadPlan { pace: Pace::standard(), probe: None, image: "noop".into(), command: vec!["true".into()], seed }
    }
}

/// Runs until it is finished or dropped.
pub struct Load {
    child: Child,
    path: PathBuf,
    at: u64,
    /// Bytes of a line that is not whole yet.
    rest: Vec<u8>,
    history: History,
    /// When submits were acknowledged, growing: one thread stamps and writes them.
    acknowledged: Vec<u64>,
}

impl Load {
    pub fn start(rig: &Rig, plan: &LoadPlan) -> anyhow::Result<Load> {
        let client = rig.client(END)?;
        for (name, _) in REGISTERS.iter().filter(|(name, _)| *name != "policy") {
            let request = AuthorizeWorkerRequest { name: (*name).to_owned(), labels: Default::default() };
            rig.wait(client.authorize_worker(request)).context("a register cannot be made")?;
        }
        let path = rig.ours.dir.join(format!("history-{}.jsonl", clock::now_ns()));
        File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let own = driver()?;
        let mut command = net::inside(&rig.ours, CLIENT, &own.display().to_string());
        command.arg("load").arg("--out").arg(&path).arg("--identity").arg(rig.ours.dir.join("admin"));
        for name in rig.masters() {
            command.arg("--master").arg(format!("{name}={}", rig.machines[&name].grpc()));
        }
        command.args(["--clients", &plan.pace.clients.to_string(), "--submits", &plan.pace.submits.to_string()]);
        command.args(["--reads", &plan.pace.reads.to_string(), "--seed", &plan.seed.to_string()]);
        if let Some(every) = plan.probe {
            command.args(["--probe-us", &every.as_micros().to_string()]);
        }
        command.args(["--image", &plan.image, "--"]).args(&plan.command);
        let log = File::create(rig.ours.dir.join("load.log")).context("the load's log cannot be made")?;
        // It ends when this pipe closes: by itself, should this process be killed.
        let child = command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {} load", own.display()))?;
        Ok(Load { child, path, at: 0, rest: vec![], history: History::default(), acknowledged: vec![] })
    }

    /// Everything that was recorded so far.
    pub fn so_far(&mut self) -> anyhow::Result<&History> {
        let mut file = File::open(&self.path).context("the history cannot be opened")?;
        file.seek(SeekFrom::Start(self.at)).context("the history cannot be read on")?;
        let mut bytes = std::mem::take(&mut self.rest);
        self.at += file.read_to_end(&mut bytes).context("the history cannot be read")? as u64;
        let mut lines = bytes.split_inclusive(|b| *b == b'\n').peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() && !line.ends_with(b"\n") {
                self.rest = line.to_vec();
                break;
            }
            let record: Record = serde_json::from_slice(line).context("the history has a line that is no record")?;
            if matches!(&record.event, Event::Ok { answer: Answer::Submitted { .. } }) {
                self.acknowledged.push(record.at_ns);
            }
            self.history.records.push(record);
        }
        Ok(&self.history)
    }

    /// When submits were acknowledged after that moment.
    pub fn acknowledged_since(&mut self, from_ns: u64) -> anyhow::Result<&[u64]> {
        self.so_far()?;
        let first = self.acknowledged.partition_point(|at| *at <= from_ns);
        Ok(&self.acknowledged[first..])
    }

    /// Waits until the traffic is as it must be before a fault counts, or says that the run is invalid.
    pub fn gate(&mut self, size: Size) -> anyhow::Result<f64> {
        let (span, rate) = if size == Size::Full { (GATE_SPAN, GATE_RATE) } else { (GATE_SPAN_SHORT, GATE_RATE_SHORT) };
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                bail!("the load generator ended by itself ({status}): see load.log");
            }
            let now = clock::now_ns();
            let since = self.acknowledged_since(now.saturating_sub(span.as_nanos() as u64))?;
            let seen = since.len() as f64 / span.as_secs_f64();
            let enough = seen >= rate;
            if enough && began.elapsed() >= span {
                return Ok(seen);
            }
            valid(began.elapsed() < span * 4, || {
                format!("only {seen:.0} submits/s were acknowledged before the fault; it takes {rate:.0}")
            })?;
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until this many submits were acknowledged after that moment; gives the time of the first one after it.
    pub fn acknowledged_after(&mut self, from_ns: u64, count: usize, limit: Duration) -> anyhow::Result<u64> {
        let began = Instant::now();
        loop {
            let after = self.acknowledged_since(from_ns)?;
            if after.len() >= count.max(1) {
                return Ok(after[0]);
            }
            if began.elapsed() > limit {
                bail!("{count} submits were not acknowledged again within {} s", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops asking, waits for the last answers, and gives everything.
    pub fn finish(mut self) -> anyhow::Result<History> {
        drop(self.child.stdin.take());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("the load generator cannot be waited for")? {
                if !status.success() {
                    bail!("the load generator ended with {status}: see load.log");
                }
                break;
            }
            if began.elapsed() > END {
                bail!("the load generator did not end within {} s", END.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.so_far()?;
        Ok(std::mem::take(&mut self.history))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Refusals mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This binary, or the one beside this test.
pub(super) fn driver() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this process does not know its own path")?;
    if own.file_name().is_some_and(|n| n == "chaos-tests") {
        return Ok(own);
    }
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join("chaos-tests")).find(|p| p.is_file());
    found.context("there is no 'chaos-tests' beside this test: cargo build --workspace --bin chaos-tests")
}
