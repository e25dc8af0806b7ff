//! Which jobs a command is about that takes many at once. Comes in: words. Goes out: the jobs that live now and fit, as a list of the masters
//! says; whether somebody has said that they are meant.

use std::io::{self, IsTerminal};

use cloudai_client::Client;
use cloudai_proto::v1::{JobState, JobSummary, ListJobsRequest};
use cloudai_types::limits;
use glob::Pattern;

use crate::exit::Failure;
use crate::output::{count, say};
use crate::settings::Settings;

/// Many jobs by what they are. Something must be said: nobody cancels everything by leaving a word out.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SelectionArgs {
    /// All living jobs of the namespace
    #[arg(long)]
    pub all: bool,
    /// Only those whose name fits, with `*`, `?` and `[…]`; quote it
    #[arg(long, value_name = "GLOB", value_parser = pattern)]
    pub name: Option<Pattern>,
    /// Only those that are queued (nothing of them has run), running, or blocked by others of their workflow (repeatable)
    #[arg(long, value_parser = state)]
    pub state: Vec<JobState>,
    /// Do not ask whether they are meant
    #[arg(long, short = 'y')]
    pub yes: bool,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|e| format!("'{text}' is no pattern: {e}"))
}

fn state(text: &str) -> Result<JobState, String> {
    match text.to_ascii_lowercase().as_str() {
        "queued" => Ok(JobState::Queued),
        "running" => Ok(JobState::Running),
        "blocked" => Ok(JobState::Blocked),
        _ => Err(format!("'{text}' is none of queued, running and blocked: what has ended cannot be cancelled")),
    }
}

impl SelectionArgs {
    /// Something is said of many jobs.
    pub fn is_given(&self) -> bool {
        self.all || self.name.is_some() || !self.state.is_empty()
    }

    fn fits(&self, job: &JobSummary) -> bool {
        self.name.as_ref().is_none_or(|name| name.matches(&job.name))
    }

    /// The living ones that fit, newest first, as of a confirmed read.
    pub async fn find(&self, settings: &Settings, client: &Client) -> Result<Vec<JobSummary>, Failure> {
        let states = if self.state.is_empty() {
            vec![JobState::Queued, JobState::Running, JobState::Blocked]
        } else {
            self.state.clone()
        };
        let (mut jobs, mut before, mut first) = (vec![], 0, true);
        while first || before > 0 {
            let request = ListJobsRequest {
                namespace: settings.namespace.clone(),
                limit: limits::PAGE_ROWS_MAX as u32,
                before,
                states: states.iter().map(|s| *s as i32).collect(),
                consistency: cloudai_proto::v1::Consistency::Linearizable as i32,
                labels: vec![],
            };
            let reply = client.list_jobs(request).await?;
            jobs.extend(reply.jobs.into_iter().filter(|job| self.fits(job) && !job.cancel_requested));
            (before, first) = (reply.next_before, false);
        }
        Ok(jobs)
    }

    /// Asks whoever is there; where nobody is, they must have said so before. `what`: what will happen to them, for example "cancel".
    pub async fn confirm(&self, what: &str, jobs: &[JobSummary]) -> Result<(), Failure> {
        if self.yes || jobs.is_empty() {
            return Ok(());
        }
        let asked = question(what, jobs);
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::invalid(format!("{asked} Nobody is here to be asked")).next("say so with --yes"));
        }
        say(format!("{asked} [y/N]"));
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        // Without an answer: no.
        let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(crate::exit::Code::Interrupted, "not_meant", "nothing was changed")),
        }
    }
}

/// `cancel 3 jobs, with 12 queued and 4 active tasks?`
fn question(what: &str, jobs: &[JobSummary]) -> String {
    let sum = |of: fn(&cloudai_proto::v1::TaskCounts) -> u32| {
        jobs.iter().filter_map(|job| job.counts.as_ref()).map(|c| u64::from(of(c))).sum::<u64>()
    };
    let (queued, active) = (sum(|c| c.queued), sum(|c| c.active));
    format!("{what} {}, with {queued} queued and {active} active tasks?", count(jobs.len() as u64, "job"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::TaskCounts;

    fn job(name: &str, queued: u32, active: u32) -> JobSummary {
        let counts = Some(TaskCounts { queued, active, ..TaskCounts::default() });
        JobSummary { name: name.into(), counts, ..JobSummary::default() }
    }

    #[test]
    fn something_must_be_said_and_a_name_is_a_pattern() {
        assert!(!SelectionArgs::default().is_given());
        let named = SelectionArgs { name: Some(pattern("sweep-*").unwrap()), ..SelectionArgs::default() };
        assert!(named.is_given() && named.fits(&job("sweep-1", 0, 0)) && !named.fits(&job("a-sweep-1", 0, 0)));
        assert!(pattern("[").is_err());
        assert!(state("dead").is_err() && state("Queued") == Ok(JobState::Queued));
    }

    #[test]
    fn the_question_counts() {
        let jobs = [job("a", 3, 1), job("b", 9, 0)];
        assert_eq!(question("cancel", &jobs), "cancel 2 jobs, with 12 queued and 1 active tasks?");
        assert_eq!(question("cancel", &jobs[..1]), "cancel 1 job, with 3 queued and 1 active tasks?");
    }
}
