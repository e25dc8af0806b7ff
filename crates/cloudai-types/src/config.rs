//! The replicated cluster configuration: what an operator may change while the cluster runs.

use std::str::FromStr;

/// How the scheduler chooses among the workers that fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum ScorePolicy {
    /// The worker with the least of its capacity allocated: spreads load. The default.
    Balanced = 0,
    /// Each fitting worker in turn.
    RoundRobin = 1,
    /// The fullest fitting worker: keeps whole machines free.
    Binpack = 2,
    /// The fitting worker that is left with the least room (best fit).
    Greedy = 3,
    /// The worker whose free room lies most in what the task asks for. Since format 7 of the log, as those below.
    Alignment = 4,
    /// The worker where the fewest GPUs become useless to the usual tasks (fragmentation gradient descent).
    Fgd = 5,
    /// The worker on which the task's part costs least.
    Cost = 6,
}

impl ScorePolicy {
    pub const ALL: [ScorePolicy; 7] = [
        ScorePolicy::Balanced,
        ScorePolicy::RoundRobin,
        ScorePolicy::Binpack,
        ScorePolicy::Greedy,
        ScorePolicy::Alignment,
        ScorePolicy::Fgd,
        ScorePolicy::Cost,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ScorePolicy::Balanced => "balanced",
            ScorePolicy::RoundRobin => "round_robin",
            ScorePolicy::Binpack => "binpack",
            ScorePolicy::Greedy => "greedy",
            ScorePolicy::Alignment => "alignment",
            ScorePolicy::Fgd => "fgd",
            ScorePolicy::Cost => "cost",
        }
    }

    /// Masters of builds before format 7 of the log know it as well.
    pub fn is_old(self) -> bool {
        match self {
            ScorePolicy::Balanced | ScorePolicy::RoundRobin | ScorePolicy::Binpack | ScorePolicy::Greedy => true,
            ScorePolicy::Alignment | ScorePolicy::Fgd | ScorePolicy::Cost => false,
        }
    }
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no scheduling policy: choose balanced, round_robin, binpack, greedy, alignment, fgd or cost")]
pub struct UnknownPolicy(pub String);

impl FromStr for ScorePolicy {
    type Err = UnknownPolicy;
    fn from_str(s: &str) -> Result<Self, UnknownPolicy> {
        ScorePolicy::ALL.into_iter().find(|p| p.name() == s).ok_or_else(|| UnknownPolicy(s.to_owned()))
    }
}

/// Replicated; changed by a logged command only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ClusterConfig {
    #[prost(enumeration = "ScorePolicy", tag = "1")]
    pub score_policy: i32,
}
