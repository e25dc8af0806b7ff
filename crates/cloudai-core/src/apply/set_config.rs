//! An operator changes the cluster's configuration.

use cloudai_types::ScorePolicy;

use super::out::Out;
use crate::command::SetConfig;
use crate::event::Event;
use crate::hot::Hot;
use crate::reply::{Refusal, Reply};

pub fn set_config(hot: &mut Hot, out: &mut Out, command: SetConfig) -> Result<Reply, Refusal> {
    let policy = command.config.score_policy;
    if ScorePolicy::try_from(policy).is_err() {
        return Err(Refusal::InvalidValue(format!("scheduling policy {policy} is not known")));
    }
    if hot.config != command.config {
        hot.config = command.config;
        out.event(Event::ConfigChanged);
    }
    Ok(Reply::Done)
}
