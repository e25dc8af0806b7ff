//! `chaos-tests load`: open-loop clients that write down everything. Comes in: masters, an identity, a pace. Goes out: a history file.
//! It runs until its stdin closes, then waits for the last answers. It judges nothing and heals nothing.
//!
//! Of every four clients three ask one master each, whatever becomes of it, with one try per operation: what one master says can be told
//! apart. The fourth uses the client library as users do, which goes from master to master.

mod ask;
mod judged;
mod recorder;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use cloudai_client::{Client, ClientOptions};
use cloudai_net::{ChannelFactory, ChannelOptions, IdentityFiles, ReloadingTls, Revoked};
use cloudai_types::JobSpec;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior};

use crate::history::{Call, REGISTERS};
use crate::rig::load::PROBE;
use ask::Door;
use recorder::Recorder;

/// No operation lasts longer; its outcome is unknown then.
pub const OPERATION: Duration = Duration::from_secs(5);
/// Operations that one client may have open; a due one beyond that is left out.
const OPEN_MAX: usize = 256;
/// One list among so many reads: it is the dearest of them.
const LIST_EVERY: u32 = 8;
const LIST_ROWS: u32 = 50;
/// A read of a job asks for one of the last so many that this client submitted.
const RECENT: usize = 64;

#[derive(Debug, Clone, clap::Args)]
pub struct LoadArguments {
    /// NAME=HOST:PORT of each master's gRPC port
    #[arg(long = "master", required = true)]
    masters: Vec<String>,
    #[arg(long)]
    identity: PathBuf,
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Submits per second of all clients together
    #[arg(long, default_value_t = 200)]
    submits: u32,
    /// Reads and register operations per second of all clients together
    #[arg(long, default_value_t = 40)]
    reads: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A further client that submits one by one, this long after each answer
    #[arg(long)]
    probe_us: Option<u64>,
    #[arg(long, default_value = "noop")]
    image: String,
    /// What each job runs
    #[arg(last = true)]
    command: Vec<String>,
}

pub fn run(arguments: &LoadArguments) -> anyhow::Result<()> {
    cloudai_net::install_crypto_provider();
    // One thread: it stamps and writes records in one order.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(drive(arguments))
}

async fn drive(arguments: &LoadArguments) -> anyhow::Result<()> {
    let tls = ReloadingTls::load(IdentityFiles::new(&arguments.identity), Revoked::default())
        .context("the identity cannot be read")?;
    let mut masters = vec![];
    for text in &arguments.masters {
        let (name, address) = text.split_once('=').with_context(|| format!("'{text}' is not NAME=HOST:PORT"))?;
        address.parse::<SocketAddr>().with_context(|| format!("'{address}' is no address"))?;
        masters.push((name.to_owned(), address.to_owned()));
    }
    let recorder = Arc::new(Recorder::open(&arguments.out)?);
    let spec = spec(arguments);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = vec![];
    for number in 0..arguments.clients {
        let door = if number % 4 == 3 {
            library(arguments, &masters, number as usize, OPERATION)?
        } else {
            let (name, address) = &masters[(number - number / 4) as usize % masters.len()];
            let channel = ChannelFactory::new(tls.clone()).channel(address, &ChannelOptions::calls());
            Door::one(name, channel.context("a channel cannot be made")?)
        };
        let one = OpenLoop {
            number,
            door,
            recorder: recorder.clone(),
            spec: spec.clone(),
            submits: f64::from(arguments.submits) / f64::from(arguments.clients),
            reads: f64::from(arguments.reads) / f64::from(arguments.clients),
            random: StdRng::seed_from_u64(arguments.seed.wrapping_mul(1_000).wrapping_add(u64::from(number))),
        };
        clients.push(tokio::spawn(one.run(stopped.clone())));
    }
    if let Some(pause) = arguments.probe_us {
        let door = library(arguments, &masters, 0, Duration::from_secs(30))?;
        let pause = Duration::from_micros(pause);
        clients.push(tokio::spawn(probe(door, recorder.clone(), spec.clone(), pause, stopped.clone())));
    }
    until_stdin_closes().await;
    stop.send_replace(true);
    for client in clients {
        client.await.context("a client panicked")?;
    }
    eprintln!("{} operations, {} left out because too many were open", recorder.operations(), recorder.left_out());
    recorder.close()
}

fn library(
    arguments: &LoadArguments,
    masters: &[(String, String)],
    first: usize,
    retry_for: Duration,
) -> anyhow::Result<Door> {
    let mut addresses: Vec<String> = masters.iter().map(|(_, address)| address.clone()).collect();
    addresses.rotate_left(first % masters.len());
    let options = ClientOptions { retry_for, ..ClientOptions::new(addresses, &arguments.identity) };
    Ok(Door::Any(Client::open(&options).context("there is no client")?))
}

fn spec(arguments: &LoadArguments) -> JobSpec {
    JobSpec {
        name: "drill".into(),
        image: arguments.image.clone(),
        command: arguments.command.clone(),
        resources: cloudai_types::Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Default::default() },
        count: 1,
        ..JobSpec::default()
    }
}

pub(super) async fn until_stdin_closes() {
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0u8; 64];
    while stdin.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
}

struct OpenLoop {
    number: u32,
    door: Door,
    recorder: Arc<Recorder>,
    spec: JobSpec,
    submits: f64,
    reads: f64,
    random: StdRng,
}

impl OpenLoop {
    async fn run(mut self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        let open = Arc::new(Semaphore::new(OPEN_MAX));
        let recent: Arc<std::sync::Mutex<Vec<u64>>> = Arc::default();
        let writes_open = Arc::new(AtomicUsize::new(0));
        let rate = (self.submits + self.reads).max(0.1);
        // Clients do not tick together.
        let first = Instant::now() + Duration::from_secs_f64(self.random.random::<f64>() / rate);
        let mut due = tokio::time::interval_at(first, Duration::from_secs_f64(1.0 / rate));
        // A pause of this process must not end in a burst.
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! { _ = due.tick() => {}, _ = stopped.changed() => break }
            let mut call = self.next(&recent);
            // A write whose outcome is unknown may count at any later time: with many of them no history says anything.
            if let Call::Write { key, .. } = &call
                && writes_open.load(Ordering::Relaxed) > 0
            {
                call = Call::Read { key: key.clone() };
            }
            let writing = matches!(call, Call::Write { .. });
            let Ok(permit) = open.clone().try_acquire_owned() else {
                self.recorder.leave_out();
                continue;
            };
            let (door, recorder, spec, recent) =
                (self.door.clone(), self.recorder.clone(), self.spec.clone(), recent.clone());
            let (number, writes_open) = (self.number, writes_open.clone());
            writes_open.fetch_add(usize::from(writing), Ordering::Relaxed);
            tokio::spawn(async move {
                if let Some(job) = ask::perform(&door, &recorder, number, call, spec, OPERATION).await {
                    let mut recent = recent.lock().expect("nothing panics while it is held");
                    if recent.len() >= RECENT {
                        recent.remove(0);
                    }
                    recent.push(job);
                }
                writes_open.fetch_sub(usize::from(writing), Ordering::Relaxed);
                drop(permit);
            });
        }
        // All permits back: every operation has had its outcome.
        let all = u32::try_from(OPEN_MAX).expect("it is a small constant");
        let _ = open.acquire_many(all).await;
    }

    fn next(&mut self, recent: &std::sync::Mutex<Vec<u64>>) -> Call {
        if self.random.random::<f64>() * (self.submits + self.reads) < self.submits {
            return Call::Submit { request_id: format!("{:032x}", self.random.random::<u128>()) };
        }
        let (key, values) = REGISTERS[self.random.random_range(0..REGISTERS.len())];
        let key = key.to_owned();
        match self.random.random_range(0..LIST_EVERY) {
            0 => Call::ListJobs { limit: LIST_ROWS },
            1 => Call::StaleRead { key },
            2 | 3 => Call::Write { key, value: self.random.random_range(0..values) },
            4 | 5 => Call::Read { key },
            _ => {
                let recent = recent.lock().expect("nothing panics while it is held");
                match recent.len() {
                    0 => Call::Read { key },
                    n => Call::GetJob { job: recent[self.random.random_range(0..n)] },
                }
            }
        }
    }
}

/// One job after the other, so that the time between two answers is the time of nothing but one call.
async fn probe(
    door: Door,
    recorder: Arc<Recorder>,
    spec: JobSpec,
    pause: Duration,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    while !*stopped.borrow_and_update() {
        let call = Call::Submit { request_id: cloudai_client::request_id() };
        ask::perform(&door, &recorder, PROBE, call, spec.clone(), Duration::from_secs(40)).await;
        tokio::select! { () = tokio::time::sleep(pause) => {}, _ = stopped.changed() => {} }
    }
}
