//! What one seed means: how many of everybody, what is asked of them, and what goes wrong when. Comes in: dice. Goes out: a plan, all of
//! it fixed before anything runs. Knows nobody's state: a fault that names "the leader" finds out who that is when its time comes.

pub mod quotas;
pub mod rules;
pub mod schedules;
pub mod workflows;

use std::fmt;

use cloudai_types::spec::OnDisconnect;
use cloudai_types::{
    JobSpec, QuotaChange, ReasonKind, Resources, RetryAction, RetryRule, RetryRules, ScheduleSpec, limits,
};

use crate::dice::Dice;
use crate::network::Weather;
use workflows::WorkflowOrder;

#[derive(Clone, Debug)]
pub struct Plan {
    pub masters: u8,
    /// What each worker has.
    pub workers: Vec<Resources>,
    /// Disk sync times of the masters.
    pub sync_ms: (u64, u64),
    pub weather: Weather,
    pub snapshot_every_entries: u64,
    pub orders: Vec<Order>,
    pub workflows: Vec<WorkflowOrder>,
    pub drains: Vec<Drain>,
    /// What operators do: each of them one thing after the other.
    pub acts: Vec<Vec<Act>>,
    pub faults: Vec<(u64, Fault)>,
    /// Faults happen until here, then everything is mended.
    pub safety_ms: u64,
}

/// One user's wish, at its time.
#[derive(Clone, Debug)]
pub struct Order {
    pub at_ms: u64,
    /// Empty: the usual one.
    pub namespace: String,
    pub spec: JobSpec,
    /// Asked for so long after the submit was acknowledged.
    pub cancel_after_ms: Option<u64>,
    /// Reads the job at another master, as soon as it is acknowledged.
    pub reads: bool,
    /// Sends the same request a second time, somewhere else, at once.
    pub twice: bool,
}

/// One thing that an operator does, at its time or as soon as the one before it is done.
#[derive(Clone, Debug)]
pub struct Act {
    pub at_ms: u64,
    pub what: Deed,
}

#[derive(Clone, Debug)]
pub enum Deed {
    Quota {
        namespace: String,
        change: QuotaChange,
    },
    Taint {
        worker: u8,
    },
    Untaint {
        worker: u8,
    },
    CreateSchedule {
        name: String,
        spec: Box<ScheduleSpec>,
    },
    Pause {
        name: String,
        paused: bool,
    },
    /// A run by hand.
    RunNow {
        name: String,
    },
    /// All dead tasks of the usual namespace.
    ReplayDead,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Quota { namespace, change } => write!(f, "quota of {namespace}: {change:?}"),
            Deed::Taint { worker } => write!(f, "taint of w{}", worker + 1),
            Deed::Untaint { worker } => write!(f, "w{} loses its taint", worker + 1),
            Deed::CreateSchedule { name, spec } => {
                write!(f, "schedule {name}, overlap {}, missed {}", spec.overlap().name(), spec.missed().name())
            }
            Deed::Pause { name, paused: true } => write!(f, "pause of {name}"),
            Deed::Pause { name, paused: false } => write!(f, "{name} goes on"),
            Deed::RunNow { name } => write!(f, "a run of {name} by hand"),
            Deed::ReplayDead => write!(f, "replay of the dead"),
        }
    }
}

/// An operator takes a worker out and lets it in again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    pub at_ms: u64,
    pub worker: u8,
    /// What still runs then is stopped.
    pub deadline_in_ms: Option<u64>,
    pub back_after_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Leader,
    /// The n-th of those that do not lead.
    Other(u8),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// `power`: the machine goes, with what was not synced; else only the process.
    CrashMaster {
        who: Who,
        down_ms: u64,
        power: bool,
    },
    /// All masters lose power at once, after their disks have synced nothing for so long: whatever somebody was told in that time
    /// must not have needed a disk.
    PowerCut {
        down_ms: u64,
        stalled_ms: u64,
    },
    PauseMaster {
        who: Who,
        ms: u64,
    },
    /// Cut off from the other masters, and perhaps from workers and users as well.
    Isolate {
        who: Who,
        ms: u64,
        inbound: bool,
        outbound: bool,
        from_all: bool,
    },
    /// One link between two masters, one or both ways.
    CutLink {
        a: u8,
        b: u8,
        both: bool,
        ms: u64,
    },
    CrashWorker {
        worker: u8,
        down_ms: u64,
        power: bool,
    },
    PauseWorker {
        worker: u8,
        ms: u64,
    },
    /// From all masters, or from the leader only.
    IsolateWorker {
        worker: u8,
        ms: u64,
        inbound: bool,
        outbound: bool,
        from_all: bool,
    },
    Storm {
        weather: Weather,
        ms: u64,
    },
    /// A wall clock is wrong from now on, by so much.
    ClockJump {
        master: u8,
        by_ms: i64,
    },
    /// Every master's wall clock is set forward by so much, as a time service does.
    ClocksSet {
        by_ms: i64,
    },
    DiskStall {
        who: Who,
        ms: u64,
    },
    HandOver,
    /// Assignment sets of an ended session arrive again in the next one.
    LateSets {
        worker: u8,
    },
    /// The leader dies; whoever voted for the next one loses power right after it; the next one is cut off; the first two
    /// come back together. A vote that was not on the disk is then given twice.
    VoteTrap,
    /// The leader is cut off from everybody, leads again later: what it remembers of leases is old by then.
    LeaderReturns {
        away_ms: u64,
    },
}

fn resources(cpu_milli: u64) -> Resources {
    Resources { cpu_milli, ..Resources::default() }
}

impl Plan {
    pub fn draw(dice: &mut Dice) -> Plan {
        // Dice of their own, which cost these none: a seed keeps its other orders and faults.
        let mut more = Dice::new(dice.clone().next());
        let masters = if dice.chance(100) { 5 } else { 3 };
        let workers = if dice.chance(80) { dice.between(5, 6) } else { dice.between(2, 4) };
        let safety_ms = dice.between(18_000, 32_000);
        let orders = (0..dice.between(8, 22)).map(|n| Order::draw(dice, retry_rules(n, workers), safety_ms)).collect();
        let mut faults: Vec<(u64, Fault)> = (0..dice.between(3, 9))
            .map(|_| (dice.between(500, safety_ms - 2_000), Fault::draw(dice, masters, workers as u8)))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        let mut plan = Plan {
            masters,
            workers: (0..workers).map(|_| resources(dice.between(4, 12) * 250)).collect(),
            sync_ms: (1, dice.between(2, 25)),
            weather: Weather { delay_ms: (1, dice.between(2, 20)), loss_per_thousand: 0 },
            snapshot_every_entries: if dice.chance(500) { dice.between(30, 120) } else { 5_000 },
            orders,
            workflows: vec![],
            drains: drains(workers, safety_ms),
            acts: vec![],
            faults,
            safety_ms,
        };
        plan.add_more(&mut more);
        plan
    }

    /// Not everything in each seed: it would be nothing but full.
    fn add_more(&mut self, dice: &mut Dice) {
        if dice.chance(600) {
            workflows::add(self, dice);
        }
        quotas::add(self, dice);
        if dice.chance(500) {
            rules::add(self, dice);
        }
        if dice.chance(500) {
            schedules::add(self, dice);
        }
        if dice.chance(500) {
            let at_ms = dice.between(self.safety_ms / 2, self.safety_ms);
            self.acts.push(vec![Act { at_ms, what: Deed::ReplayDead }]);
        }
    }
}

/// Every third worker, without a draw, so that a seed keeps its faults.
fn drains(workers: u64, safety_ms: u64) -> Vec<Drain> {
    let drained = (0..workers).filter(|n| (safety_ms + n).is_multiple_of(3));
    let one = |n: u64| Drain {
        at_ms: 2_000 + (safety_ms * (n + 1)) % (safety_ms - 8_000),
        worker: n as u8,
        deadline_in_ms: [None, Some(0), Some(1_500)][((safety_ms / 7 + n) % 3) as usize],
        back_after_ms: 3_000 + 500 * n,
    };
    drained.map(one).collect()
}

/// Every second order has rules of its own, without a draw, so that a seed keeps its faults. One is sent elsewhere only where more workers are
/// than it can be kept from: it must end.
fn retry_rules(n: u64, workers: u64) -> Option<RetryRules> {
    use ReasonKind::{EngineError, ExitCode, Signal, Timeout, WorkerLost};
    use RetryAction::{Elsewhere, Fail, Retry};
    let rules = |of: &[(ReasonKind, RetryAction)]| {
        let rule =
            |(kind, action): &(ReasonKind, RetryAction)| RetryRule { reason: *kind as i32, action: *action as i32 };
        let rules = of.iter().map(rule).collect();
        Some(RetryRules { rules, delay_ms: 300, jitter_percent: 50, ..RetryRules::default() })
    };
    match n % 6 {
        1 => rules(&[(Timeout, Fail), (ExitCode, Retry)]),
        3 if workers > limits::RETRY_AVOIDED_MAX as u64 => {
            rules(&[(ExitCode, Elsewhere), (Timeout, Elsewhere), (WorkerLost, Elsewhere), (Signal, Elsewhere)])
        }
        5 => rules(&[(WorkerLost, Fail), (EngineError, Retry)]),
        _ => None,
    }
}

impl Order {
    fn draw(dice: &mut Dice, retry: Option<RetryRules>, until_ms: u64) -> Order {
        let kind = dice.below(10);
        let (program, runs_ms, code) = match kind {
            0..=3 => ("run", dice.between(1, 1_500), 0),
            4..=5 => ("run", dice.between(3_000, 14_000), 0),
            6 => ("run", dice.between(10, 500), dice.between(1, 3)),
            7 => ("stubborn", dice.between(500, 8_000), 0),
            _ => ("run", dice.between(1_000, 6_000), 0),
        };
        // Long ones in small numbers: the end has to come.
        let most = if runs_ms > 1_500 { 2 } else { 12 };
        let on_disconnect = if dice.chance(500) { OnDisconnect::Stop } else { OnDisconnect::Continue };
        let resources = resources(dice.between(1, 4) * 250);
        let count = if dice.chance(400) { dice.between(2, most) as u32 } else { 1 };
        let spec = JobSpec {
            image: "simulated".into(),
            command: vec![program.into(), runs_ms.to_string(), code.to_string()],
            resources,
            count,
            // Not by the dice. Those that fit on the smallest worker, so that the end comes.
            gang: count > 1 && u64::from(count) * resources.cpu_milli <= 1_000,
            max_attempts: dice.between(1, 3) as u32,
            priority: dice.below(3) as i32 - 1,
            timeout_ms: if dice.chance(100) { dice.between(300, 4_000) } else { 0 },
            on_disconnect: on_disconnect as i32,
            // Shorter and longer than the lease and the usual one. Not by the dice: the other draws of a seed stay what they were.
            grace_ms: if program == "stubborn" { [0, 2_000, 60_000][(runs_ms % 3) as usize] } else { 0 },
            // Not by the dice either. Some have time for their first attempt, some hardly.
            queue_timeout_ms: if runs_ms % 4 == 1 { 300 + runs_ms } else { 0 },
            retry,
            results: matches!(kind, 2 | 5 | 8),
            ..JobSpec::default()
        };
        Order {
            at_ms: dice.between(0, until_ms - 1_000),
            namespace: String::new(),
            spec,
            cancel_after_ms: dice.chance(200).then(|| dice.between(0, 5_000)),
            reads: dice.chance(400),
            twice: dice.chance(150),
        }
    }
}

impl Fault {
    fn draw(dice: &mut Dice, masters: u8, workers: u8) -> Fault {
        let who = if dice.chance(600) { Who::Leader } else { Who::Other(dice.below(u64::from(masters) - 1) as u8) };
        let worker = dice.below(u64::from(workers)) as u8;
        let master = dice.below(u64::from(masters)) as u8;
        let (inbound, outbound) = match dice.below(4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let from_all = dice.chance(400);
        match dice.below(18) {
            0 | 1 => Fault::CrashMaster { who, down_ms: dice.between(50, 5_000), power: dice.chance(700) },
            2 => {
                let stalled_ms = if dice.chance(500) { dice.between(200, 3_000) } else { 0 };
                Fault::PowerCut { down_ms: dice.between(100, 1_500), stalled_ms }
            }
            3 => Fault::PauseMaster { who, ms: dice.between(300, 16_000) },
            4 | 5 => Fault::Isolate { who, ms: dice.between(500, 16_000), inbound, outbound, from_all },
            6 => {
                let b = (master + 1 + dice.below(u64::from(masters) - 1) as u8) % masters;
                Fault::CutLink { a: master, b, both: dice.chance(500), ms: dice.between(500, 10_000) }
            }
            7 | 8 => Fault::CrashWorker { worker, down_ms: dice.between(50, 18_000), power: dice.chance(500) },
            9 => Fault::PauseWorker { worker, ms: dice.between(500, 20_000) },
            10 | 11 => {
                Fault::IsolateWorker { worker, ms: dice.between(1_000, 20_000), inbound, outbound, from_all: !from_all }
            }
            12 => {
                let slowest = dice.between(20, 120);
                let loss_per_thousand = dice.below(150);
                let weather = Weather { delay_ms: (1, slowest), loss_per_thousand };
                Fault::Storm { weather, ms: dice.between(1_000, 8_000) }
            }
            13 => Fault::ClockJump { master, by_ms: dice.between(0, 1_200_000) as i64 - 600_000 },
            14 => Fault::DiskStall { who, ms: dice.between(200, 4_000) },
            15 => match dice.below(3) {
                0 => Fault::HandOver,
                1 => Fault::LateSets { worker },
                _ => Fault::LeaderReturns { away_ms: dice.between(2_000, 14_000) },
            },
            16 => Fault::VoteTrap,
            _ => Fault::LateSets { worker },
        }
    }
}
