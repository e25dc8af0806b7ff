//! What was stored of a task, or of every task of a job that stored anything. Comes in: `JOB` or `JOB/INDEX[.N]`. Goes out: lists of
//! files, in the order of the indexes.

use cloudai_client::Client;
use cloudai_proto::v1::{
    GetJobRequest, JobSummary, LeftOutFile, ListResultsRequest, ListTasksRequest, TaskInfo, TaskState,
};
use cloudai_types::{JobId, ResultFile, TaskId};

use crate::exit::Failure;
use crate::input::reference;
use crate::output::say;
use crate::settings::Settings;

pub struct Listed {
    pub task: TaskId,
    pub attempt: u32,
    pub files: Vec<ResultFile>,
    pub left_out: Vec<LeftOutFile>,
    pub left_out_total: u32,
}

pub struct Found {
    pub namespace: String,
    pub job: JobId,
    /// Of a whole job with several tasks: each has a folder of its own.
    pub is_many: bool,
    pub listed: Vec<Listed>,
}

pub async fn find(client: &Client, settings: &Settings, text: &str) -> Result<Found, Failure> {
    let wanted = reference::task(text)?;
    let request = GetJobRequest {
        namespace: settings.namespace.clone(),
        job: wanted.job.clone(),
        consistency: settings.consistency(),
        ..Default::default()
    };
    let job = client.get_job(request).await?.job.unwrap_or_default();
    let is_many = !wanted.explicit && job.count > 1;
    let listed = if is_many {
        all(client, settings, &job).await?
    } else {
        // The only task of a job that replays a dead one has that one's index.
        let index = if wanted.explicit { wanted.index } else { job.first_index };
        vec![one(client, &job, index, wanted.attempt).await?]
    };
    if listed.is_empty() {
        say(format!("no task of job {} has stored results yet", JobId(job.id)));
    }
    Ok(Found { namespace: job.namespace, job: JobId(job.id), is_many, listed })
}

async fn all(client: &Client, settings: &Settings, job: &JobSummary) -> Result<Vec<Listed>, Failure> {
    let mut listed = vec![];
    let mut from_index = 0;
    loop {
        let request = ListTasksRequest {
            namespace: job.namespace.clone(),
            job: JobId(job.id).to_string(),
            from_index,
            states: vec![TaskState::Succeeded as i32],
            consistency: settings.consistency(),
            ..Default::default()
        };
        let page = client.list_tasks(request).await?;
        for t in page.tasks.iter().filter(|t| has_stored(t)) {
            listed.push(one(client, job, t.index, 0).await?);
        }
        if page.next_index == 0 {
            return Ok(listed);
        }
        from_index = page.next_index;
    }
}

fn has_stored(task: &TaskInfo) -> bool {
    task.attempts.iter().any(|a| a.reason.as_ref().is_some_and(|r| r.results.is_some()))
}

async fn one(client: &Client, job: &JobSummary, index: u32, attempt: u32) -> Result<Listed, Failure> {
    let id = JobId(job.id);
    let request = ListResultsRequest { namespace: job.namespace.clone(), job: id.to_string(), index, attempt };
    let pieces = client.list_results(request).await?;
    let mut listed = Listed {
        task: TaskId { job: id, index },
        attempt: pieces.first().map_or(attempt, |p| p.attempt),
        files: vec![],
        left_out: vec![],
        left_out_total: pieces.first().map_or(0, |p| p.left_out_total),
    };
    for piece in pieces {
        listed.files.extend(piece.files);
        listed.left_out.extend(piece.left_out);
    }
    Ok(listed)
}

/// To a person: what is not among the files.
pub fn say_what_was_left_out(found: &Found) {
    for one in found.listed.iter().filter(|l| l.left_out_total > 0) {
        say(format!(
            "of task {}, {} not stored:",
            one.task,
            match one.left_out_total {
                1 => "1 entry was".to_owned(),
                n => format!("{n} entries were"),
            }
        ));
        for l in &one.left_out {
            say(format!("  {}: {}", crate::output::one_line(&l.path), l.why));
        }
    }
}
