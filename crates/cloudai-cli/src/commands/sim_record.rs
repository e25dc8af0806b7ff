//! `sim record`: what a live cluster has run, as a trace for `sim replay`. Comes in: jobs that have ended, and their tasks, page by page. Goes out: a
//! file. What a recorded task becomes is decided in `cloudai_replay::record`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use cloudai_client::Client;
use cloudai_proto::v1::{
    GetJobReply, GetJobRequest, JobState, JobSummary, ListJobsRequest, ListTasksRequest, TaskInfo,
};
use cloudai_replay::record::{Recorded, WaitsFor, trace_of};
use cloudai_replay::{Format, ReadError, Trace, WriteError};
use cloudai_types::{JobId, limits};

use super::sim_generate::unwritable;
use crate::exit::Failure;
use crate::output::say;
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct RecordArgs {
    /// The newest so many jobs that have ended
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Where to; default: stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub async fn run(settings: &Settings, args: &RecordArgs) -> Result<(), Failure> {
    let client = settings.client()?;
    let jobs = ended_jobs(settings, &client, args.jobs).await?;
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    let mut recorded = vec![];
    for job in &jobs {
        let request = GetJobRequest {
            namespace: job.namespace.clone(),
            job: JobId(job.id).to_string(),
            with_tasks: false,
            consistency: settings.consistency(),
            ..GetJobRequest::default()
        };
        let known = client.get_job(request).await?;
        let next = users.len() as u64;
        let user = *users.entry(known.actor.clone()).or_insert(next);
        for task in tasks(settings, &client, job).await? {
            recorded.extend(record(&known, job, &task, user));
        }
    }
    let trace = trace_of(&recorded).map_err(nothing)?;
    match &args.out {
        None => write(&trace, &mut BufWriter::new(io::stdout().lock())).map_err(not_written)?,
        Some(path) => {
            let file = File::create(path).map_err(|e| unwritable(path, &e))?;
            write(&trace, &mut BufWriter::new(file)).map_err(|e| unwritable(path, &e))?;
        }
    }
    say(format_args!(
        "{} tasks of {} jobs; replay them with cloudai sim replay --format jsonl --trace FILE --nodes CPUS",
        trace.jobs.len(),
        jobs.len()
    ));
    Ok(())
}

/// One that ran. `None`: it never did.
fn record(known: &GetJobReply, job: &JobSummary, task: &TaskInfo, user: u64) -> Option<Recorded> {
    let last = task.attempts.iter().rev().find(|attempt| attempt.started_ms > 0 && attempt.ended_ms > 0)?;
    let spec = known.spec.clone().unwrap_or_default();
    let waits_for = known.waits_for.iter().map(|of| WaitsFor { job: of.job_id, each: of.each });
    Some(Recorded {
        job: job.id,
        index: task.index,
        user,
        submitted_ms: job.submitted_ms,
        started_ms: last.started_ms,
        ended_ms: last.ended_ms,
        limit_ms: spec.timeout_ms,
        cpu_milli: spec.resources.cpu_milli,
        waits_for: waits_for.collect(),
    })
}

/// Oldest first.
async fn ended_jobs(settings: &Settings, client: &Client, most: u32) -> Result<Vec<JobSummary>, Failure> {
    let (mut jobs, mut before, mut first) = (vec![], 0, true);
    let states = JobState::ALL
        .into_iter()
        .filter(|state| matches!(state, JobState::Succeeded | JobState::Failed | JobState::Cancelled));
    let states: Vec<i32> = states.map(|state| state as i32).collect();
    while first || (before > 0 && jobs.len() < most as usize) {
        let left = most - jobs.len() as u32;
        let request = ListJobsRequest {
            namespace: settings.namespace.clone(),
            limit: left.min(limits::PAGE_ROWS_MAX as u32),
            before,
            states: states.clone(),
            consistency: settings.consistency(),
            labels: vec![],
        };
        let reply = client.list_jobs(request).await?;
        jobs.extend(reply.jobs.into_iter().take(left as usize));
        (before, first) = (reply.next_before, false);
    }
    jobs.reverse();
    Ok(jobs)
}

async fn tasks(settings: &Settings, client: &Client, job: &JobSummary) -> Result<Vec<TaskInfo>, Failure> {
    let (mut tasks, mut from, mut first) = (vec![], 0, true);
    while first || from > 0 {
        let request = ListTasksRequest {
            namespace: job.namespace.clone(),
            job: JobId(job.id).to_string(),
            from_index: from,
            limit: limits::PAGE_ROWS_MAX as u32,
            states: vec![],
            consistency: settings.consistency(),
        };
        let reply = client.list_tasks(request).await?;
        tasks.extend(reply.tasks);
        (from, first) = (reply.next_index, false);
        if tasks.len() > limits::TRACE_JOBS_MAX {
            break;
        }
    }
    Ok(tasks)
}

fn write(trace: &Trace, out: &mut dyn Write) -> Result<(), WriteError> {
    trace.write(Format::Jsonl, &[], out)?;
    Ok(out.flush()?)
}

fn nothing(e: ReadError) -> Failure {
    Failure::invalid("there is nothing to record")
        .why(e)
        .next("wait until a job has ended, or name another namespace (--namespace NAME, or '*' for all)")
}

/// A reader that has seen enough is not a failure of ours: the conversion from an IO error knows a broken pipe.
fn not_written(e: WriteError) -> Failure {
    match e {
        WriteError::Io(e) => e.into(),
        WriteError::NoColumn | WriteError::ReadOnly => Failure::invalid("the trace cannot be written").why(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_proto::v1::AttemptInfo;
    use cloudai_types::{JobSpec, Resources};

    #[test]
    fn the_last_attempt_that_ran_is_recorded_and_who_never_ran_is_not() {
        let spec = JobSpec {
            timeout_ms: 60_000,
            resources: Resources { cpu_milli: 1_500, ..Resources::default() },
            ..JobSpec::default()
        };
        let known = GetJobReply { spec: Some(spec), ..GetJobReply::default() };
        let job = JobSummary { id: 7, submitted_ms: 1_000, ..JobSummary::default() };
        let ran = |started_ms, ended_ms| AttemptInfo { started_ms, ended_ms, ..AttemptInfo::default() };
        let told = |attempts| {
            let task = TaskInfo { index: 3, attempts, ..TaskInfo::default() };
            record(&known, &job, &task, 0).map(|r| (r.index, r.started_ms, r.ended_ms, r.limit_ms, r.cpu_milli))
        };
        assert_eq!(
            told(vec![ran(2_000, 3_000), ran(4_000, 9_000), ran(0, 9_500)]),
            Some((3, 4_000, 9_000, 60_000, 1_500))
        );
        assert_eq!(told(vec![ran(0, 5)]), None);
    }
}
