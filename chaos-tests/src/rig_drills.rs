//! The drills D01 to D16: each injects one kind of fault into a rig under load, and says what must hold. Comes in: a size and a seed.
//! Goes out: a [`Report`]. A drill that cannot inject its fault ends as NOT RUN, one that cannot prove it as INVALID; neither passes.

pub mod always_on;
pub mod d01_leader_kill;
pub mod d02_leader_pause;
pub mod d03_partition;
pub mod d04_rolling_upgrade;
pub mod d05_quorum_loss;
pub mod d06_power_cut;
pub mod d07_disk_full;
pub mod d08_fsync_fault;
pub mod d09_corruption;
pub mod d10_wiped_disk;
pub mod d11_bad_network;
pub mod d12_worker_death;
pub mod d13_zombie_worker;
pub mod d14_agent_restart;
pub mod d15_pki;
pub mod d16_storm;
pub mod evidence;
pub mod perform;
pub mod suite;
pub mod work;

use crate::rig::preflight::Need;
use crate::rig::{LoadPlan, Options, Report, Rig};

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    /// For `make test`: at most 20 s and the set-up, judged on correctness alone.
    Short,
    /// For `make drills`: limits on time are judged too.
    Full,
}

/// One drill.
#[derive(Clone, Copy)]
pub struct Drill {
    /// `D01`
    pub id: &'static str,
    pub name: &'static str,
    pub injects: &'static str,
    pub must_hold: &'static str,
    /// What this machine must be able to do for it.
    pub needs: &'static [Need],
    /// What it runs on.
    pub options: fn(Size) -> Options,
    /// The load that runs all the time, also while the cluster heals; None: the drill makes its own, or none.
    pub load: fn(u64) -> Option<LoadPlan>,
    /// On a rig that serves already, under its load. It adds rows to the report; an `Err` ends the drill: [`crate::rig::NotRun`],
    /// [`crate::rig::Invalid`], anything else is a failure. What it leaves broken is healed by the runner, which then makes the
    /// always-on checks.
    pub run: fn(&mut Rig, &mut Report, Size, u64) -> anyhow::Result<()>,
}

/// The load of most drills.
pub fn standard_load(seed: u64) -> Option<LoadPlan> {
    Some(LoadPlan::standard(seed))
}

/// The cluster of most drills.
pub fn standard_options(_: Size) -> Options {
    Options::noop()
}

/// All that exist, in their order.
pub const ALL: &[Drill] = &[
    d01_leader_kill::DRILL,
    d02_leader_pause::DRILL,
    d03_partition::DRILL,
    d04_rolling_upgrade::DRILL,
    d05_quorum_loss::DRILL,
    d06_power_cut::DRILL,
    d07_disk_full::DRILL,
    d08_fsync_fault::DRILL,
    d09_corruption::DRILL,
    d10_wiped_disk::DRILL,
    d11_bad_network::DRILL,
    d12_worker_death::DRILL,
    d13_zombie_worker::DRILL,
    d14_agent_restart::DRILL,
    d15_pki::DRILL,
    d16_storm::DRILL,
];
