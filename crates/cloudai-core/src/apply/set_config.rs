//! An operator changes the cluster's configuration.

use cloudai_types::ScorePolicy;

use super::out::Out;
use crate::command::{POLICIES_SINCE, SetConfig};
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};

pub fn set_config(hot: &mut Hot, out: &mut Out, command: SetConfig) -> Result<Reply, Refusal> {
    let policy = command.config.score_policy;
    // As a master of an older build says it, while there may be one.
    let is_known = |policy: ScorePolicy| policy.is_old() || hot.version >= POLICIES_SINCE;
    if !ScorePolicy::try_from(policy).is_ok_and(is_known) {
        return Err(Refusal::InvalidValue(format!("scheduling policy {policy} is not known")));
    }
    if hot.config != command.config {
        hot.config = command.config;
        out.event(Event::ConfigChanged);
        out.news(News::of_cluster(What::ConfigChanged { actor: out.actor.clone() }));
    }
    Ok(Reply::Done)
}
