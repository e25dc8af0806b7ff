//! Which dead tasks a command is about. Comes in: words. Goes out: what one call takes, and how many calls it takes.

use cloudai_proto::v1::DeadSelection;
use cloudai_types::{ReasonKind, limits};

use crate::exit::Failure;
use crate::input::job_file::parse_reason;
use crate::input::reference;
use crate::settings::Settings;

/// Which dead tasks. Something must be said: nobody replays or drops everything by leaving a word out.
#[derive(Debug, Clone, clap::Args)]
pub struct SelectionArgs {
    /// One task (JOB/INDEX), or all dead ones of a job (JOB)
    #[arg(value_name = "JOB[/INDEX]")]
    task: Option<String>,
    /// Only those whose last try ended so (repeatable), for example out_of_memory
    #[arg(long, value_parser = parse_reason)]
    reason: Vec<ReasonKind>,
    /// All of the namespace
    #[arg(long, conflicts_with_all = ["task", "reason"])]
    all: bool,
    /// At most so many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

impl SelectionArgs {
    /// As one command takes it; `limit` is the caller's.
    pub fn selection(&self, settings: &Settings) -> Result<DeadSelection, Failure> {
        if self.task.is_none() && self.reason.is_empty() && !self.all {
            return Err(Failure::invalid("no dead task is named")
                .next("write JOB, JOB/INDEX or --reason REASON, or --all for all of the namespace"));
        }
        let task = self.task.as_deref().map(reference::task).transpose()?;
        Ok(DeadSelection {
            namespace: settings.namespace.clone(),
            index: task.as_ref().filter(|task| task.explicit).map(|task| task.index),
            job: task.map(|task| task.job).unwrap_or_default(),
            reasons: self.reason.iter().map(|kind| *kind as i32).collect(),
            limit: 0,
        })
    }

    /// How many of those that are left one command may take; `None`: there is no more to do.
    pub fn next_batch(&self, done: u32) -> Option<u32> {
        let most = limits::DEAD_BATCH_MAX as u32;
        match self.limit {
            None => Some(most),
            Some(limit) if limit > done => Some((limit - done).min(most)),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_split_into_what_one_command_takes() {
        let most = limits::DEAD_BATCH_MAX as u32;
        let args = |limit| SelectionArgs { task: None, reason: vec![], all: true, limit };
        assert_eq!(args(None).next_batch(7 * most), Some(most));
        assert_eq!(args(Some(most + 5)).next_batch(0), Some(most));
        assert_eq!(args(Some(most + 5)).next_batch(most), Some(5));
        assert_eq!(args(Some(5)).next_batch(5), None);
    }
}
