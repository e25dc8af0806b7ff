//! Every voter understands a newer format: from now on it may be used. A version that this build does not understand never
//! comes here: `apply` stops before it.

use super::out::Out;
use crate::command::RaiseVersion;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};

/// The same version again: no change.
pub fn raise_version(hot: &mut Hot, out: &mut Out, command: RaiseVersion) -> Result<Reply, Refusal> {
    if command.version < hot.version {
        let problem = format!("version {} is below the cluster's version {}", command.version, hot.version);
        return Err(Refusal::InvalidValue(problem));
    }
    if hot.version != command.version {
        hot.version = command.version;
        out.news(News::of_cluster(What::FormatRaised { version: command.version }));
    }
    Ok(Reply::Done)
}
