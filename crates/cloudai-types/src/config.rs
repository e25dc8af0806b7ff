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
}

impl ScorePolicy {
    pub const ALL: [ScorePolicy; 4] =
        [ScorePolicy::Balanced, ScorePolicy::RoundRobin, ScorePolicy::Binpack, ScorePolicy::Greedy];

    pub fn name(self) -> &'static str {
        match self {
            ScorePolicy::Balanced => "balanced",
            ScorePolicy::RoundRobin => "round_robin",
            ScorePolicy::Binpack => "binpack",
            ScorePolicy::Greedy => "greedy",
        }
    }
}

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no scheduling policy: choose balanced, round_robin, binpack or greedy")]
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
