//! Workload traces. Comes in: a file in one of the formats, plain or gzip. Goes out: [`Job`]s in the order of their submission,
//! and a trace as text again. They are checked: no job without work or width, none longer than its limit, no unknown parent, no cycle. How jobs are scheduled is
//! deliberately not known here.

mod jsonl;
mod lines;
pub mod openb;
mod swf;
mod wfcommons;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cloudai_types::limits;

/// One job of a trace. Times are whole seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// As the trace names it.
    pub id: u64,
    pub submit_s: u64,
    /// How long it runs once it was started; at least 1.
    pub run_s: u64,
    /// Its limit; at least `run_s`.
    pub requested_s: u64,
    /// At least 1.
    pub processors: u32,
    pub user: u64,
    /// When it has to have ended, if anybody cares. It changes no decision; endings after it are counted.
    pub deadline_s: Option<u64>,
    /// Places (in [`Trace::jobs`]) of the jobs that have to end before this one may start.
    pub parents: Vec<u32>,
}

/// A trace, read and checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// By time of submission; equal times keep the order of the file.
    pub jobs: Vec<Job>,
    /// The size of the machine that the trace was recorded on, where the file says so.
    pub processors: Option<u32>,
    /// Jobs left out because they never ran or asked for nothing.
    pub dropped: u64,
    /// Jobs that ran past their limit, and are replayed as if they had been killed at it.
    pub clamped: u64,
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Standard Workload Format of the Parallel Workloads Archive.
    Swf,
    /// Our own: one JSON object per line and job.
    Jsonl,
    /// One run of a workflow in WfFormat 1.5.
    WfCommons,
}

/// Why a trace cannot be read. Lines are counted from 1.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{} cannot be opened", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{} cannot be read after line {line}", .path.display())]
    Read { path: PathBuf, line: u64, source: io::Error },
    #[error("line {line} is longer than {} bytes, so this is no such trace", limits::TRACE_LINE_BYTES_MAX)]
    LineTooLong { line: u64 },
    #[error("the file unpacks to more than {} bytes", limits::TRACE_BYTES_MAX)]
    TooLarge,
    #[error("the trace has more than {} jobs", limits::TRACE_JOBS_MAX)]
    TooManyJobs,
    #[error("line {line}: {what}")]
    Line { line: u64, what: String },
    #[error("the document is no workflow in WfFormat: {0}")]
    Workflow(String),
    #[error("job {job} comes after job {parent}, which is not in the trace")]
    UnknownParent { job: u64, parent: u64 },
    #[error("job {job} waits for itself, directly or through others")]
    Cycle { job: u64 },
    #[error("two jobs have the id {id}")]
    SameId { id: u64 },
    #[error("job {job} has a time above {} s", limits::TRACE_SECONDS_MAX)]
    TimeTooLarge { job: u64 },
    #[error("the trace has no job that ran")]
    Empty,
}

/// Why a trace cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the Standard Workload Format has no column for deadlines, nor for several parents of a job")]
    NoColumn,
    #[error("traces are written as swf or jsonl only")]
    ReadOnly,
    #[error("the trace cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// A job whose parents are still ids.
pub(crate) struct Draft {
    pub(crate) job: Job,
    pub(crate) parents: Vec<u64>,
}

impl Trace {
    /// Reads a whole trace into memory: some 100 bytes per job.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing is guessed about a damaged line.
    pub fn read(path: &Path, format: Format) -> Result<Trace, ReadError> {
        let mut lines = lines::Lines::open(path)?;
        match format {
            Format::Swf => swf::read(&mut lines),
            Format::Jsonl => jsonl::read(&mut lines),
            Format::WfCommons => wfcommons::read(&mut lines),
        }
    }

    /// Writes the trace so that [`Trace::read`] gives it back. `notes`: for people, where the format has a place for them.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(&self, format: Format, notes: &[String], out: &mut dyn Write) -> Result<(), WriteError> {
        match format {
            Format::Swf => swf::write(self, notes, out),
            Format::Jsonl => jsonl::write(self, out),
            Format::WfCommons => Err(WriteError::ReadOnly),
        }
    }

    /// The only way to a trace with jobs: sorts, tidies up, finds the parents.
    pub(crate) fn of(drafts: Vec<Draft>, processors: Option<u32>) -> Result<Trace, ReadError> {
        let mut trace = Trace { processors, ..Trace::default() };
        let before = drafts.len();
        let mut kept: Vec<Draft> = drafts.into_iter().filter(|d| d.job.run_s > 0 && d.job.processors > 0).collect();
        trace.dropped = (before - kept.len()) as u64;
        kept.sort_by_key(|d| d.job.submit_s);
        if kept.is_empty() {
            return Err(ReadError::Empty);
        }
        let mut places = BTreeMap::new();
        for (place, draft) in kept.iter().enumerate() {
            if places.insert(draft.job.id, place as u32).is_some() {
                return Err(ReadError::SameId { id: draft.job.id });
            }
        }
        for mut draft in kept {
            let Job { id, submit_s, run_s, requested_s, .. } = draft.job;
            let deadline_s = draft.job.deadline_s.unwrap_or(0);
            if submit_s.max(run_s).max(requested_s).max(deadline_s) > limits::TRACE_SECONDS_MAX {
                return Err(ReadError::TimeTooLarge { job: id });
            }
            if draft.job.run_s > draft.job.requested_s {
                draft.job.run_s = draft.job.requested_s;
                trace.clamped += 1;
            }
            for parent in draft.parents {
                let unknown = ReadError::UnknownParent { job: draft.job.id, parent };
                draft.job.parents.push(*places.get(&parent).ok_or(unknown)?);
            }
            trace.jobs.push(draft.job);
        }
        trace.refuse_cycles()?;
        Ok(trace)
    }

    /// Takes away, again and again, what waits for nothing: what is left waits in a circle.
    fn refuse_cycles(&self) -> Result<(), ReadError> {
        let mut missing: Vec<usize> = self.jobs.iter().map(|job| job.parents.len()).collect();
        let children = children(&self.jobs);
        let mut free: Vec<usize> = (0..self.jobs.len()).filter(|place| missing[*place] == 0).collect();
        let mut done = 0;
        while let Some(place) = free.pop() {
            done += 1;
            for child in &children[place] {
                missing[*child as usize] -= 1;
                if missing[*child as usize] == 0 {
                    free.push(*child as usize);
                }
            }
        }
        match (done < self.jobs.len()).then(|| missing.iter().position(|m| *m > 0)).flatten() {
            Some(place) => Err(ReadError::Cycle { job: self.jobs[place].id }),
            None => Ok(()),
        }
    }
}

/// For each job, the places of those that wait for it.
pub(crate) fn children(jobs: &[Job]) -> Vec<Vec<u32>> {
    let mut children = vec![vec![]; jobs.len()];
    for (place, job) in jobs.iter().enumerate() {
        for parent in &job.parents {
            children[*parent as usize].push(place as u32);
        }
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(id: u64, submit_s: u64, parents: &[u64]) -> Draft {
        let job =
            Job { id, submit_s, run_s: 5, requested_s: 9, processors: 1, user: 0, deadline_s: None, parents: vec![] };
        Draft { job, parents: parents.to_vec() }
    }

    #[test]
    fn jobs_are_sorted_and_parents_are_found_by_their_place() {
        let trace = Trace::of(vec![draft(7, 20, &[]), draft(8, 10, &[7]), draft(9, 20, &[8, 7])], None).unwrap();
        let told: Vec<(u64, &[u32])> = trace.jobs.iter().map(|j| (j.id, j.parents.as_slice())).collect();
        assert_eq!(told, [(8, &[1][..]), (7, &[]), (9, &[0, 1])]);
    }

    #[test]
    fn what_cannot_be_replayed_is_refused_by_name() {
        let refused = |drafts| Trace::of(drafts, None).unwrap_err().to_string();
        assert_eq!(
            refused(vec![draft(1, 0, &[2]), draft(2, 0, &[1])]),
            "job 1 waits for itself, directly or through others"
        );
        assert_eq!(refused(vec![draft(1, 0, &[5])]), "job 1 comes after job 5, which is not in the trace");
        assert_eq!(refused(vec![draft(1, 0, &[]), draft(1, 5, &[])]), "two jobs have the id 1");
        assert_eq!(refused(vec![]), "the trace has no job that ran");
        assert_eq!(refused(vec![draft(3, u64::MAX, &[])]), "job 3 has a time above 100000000000 s");
    }

    #[test]
    fn a_job_without_work_is_left_out_and_one_past_its_limit_is_cut() {
        let (mut idle, mut long) = (draft(1, 0, &[]), draft(2, 0, &[]));
        idle.job.run_s = 0;
        long.job.run_s = 100;
        let trace = Trace::of(vec![idle, long], Some(4)).unwrap();
        assert_eq!((trace.dropped, trace.clamped, trace.jobs.len(), trace.jobs[0].run_s), (1, 1, 1, 9));
    }
}
