//! One run of a scientific workflow in WfFormat 1.5 (wfcommons.org): tasks with parents in `workflow.specification.tasks`, their run
//! times in `workflow.execution.tasks`. All tasks are submitted at 0 with one processor per core used, and a task is ready when
//! its parents have ended. Run times are rounded up to whole seconds; a task that took no time takes one second.
//! Files, machines and memory are deliberately not read.

use std::collections::BTreeMap;

use cloudai_types::limits;
use serde::Deserialize;

use super::lines::Lines;
use super::{Draft, Job, ReadError, Trace};

#[derive(Deserialize)]
struct Document {
    workflow: Workflow,
}

#[derive(Deserialize)]
struct Workflow {
    specification: Specification,
    execution: Execution,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
}

#[derive(Deserialize)]
struct Execution {
    tasks: Vec<Executed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Executed {
    id: String,
    runtime_in_seconds: f64,
    core_count: Option<f64>,
}

pub fn read(lines: &mut Lines) -> Result<Trace, ReadError> {
    let bytes = lines.rest()?;
    let document: Document = serde_json::from_slice(&bytes).map_err(|e| ReadError::Workflow(e.to_string()))?;
    let Workflow { specification, execution } = document.workflow;
    if specification.tasks.len() > limits::TRACE_JOBS_MAX {
        return Err(ReadError::TooManyJobs);
    }
    let executed: BTreeMap<&str, &Executed> = execution.tasks.iter().map(|t| (t.id.as_str(), t)).collect();
    let numbers: BTreeMap<&str, u64> =
        specification.tasks.iter().zip(1..).map(|(task, number)| (task.id.as_str(), number)).collect();
    let mut drafts = vec![];
    for task in &specification.tasks {
        let missing = |what: &str| ReadError::Workflow(format!("task '{}' {what}", task.id));
        let run = executed.get(task.id.as_str()).ok_or_else(|| missing("was not executed"))?;
        let run_s = run.runtime_in_seconds.ceil().max(1.0);
        if !run_s.is_finite() || run_s > u32::MAX as f64 {
            return Err(missing("has a run time that no task has"));
        }
        let parents: Option<Vec<u64>> = task.parents.iter().map(|p| numbers.get(p.as_str()).copied()).collect();
        let job = Job {
            id: numbers.get(task.id.as_str()).copied().unwrap_or(0),
            submit_s: 0,
            run_s: run_s as u64,
            requested_s: run_s as u64,
            processors: run.core_count.map_or(1, |cores| (cores.ceil() as u32).max(1)),
            user: 0,
            deadline_s: None,
            parents: vec![],
        };
        drafts.push(Draft { job, parents: parents.ok_or_else(|| missing("has a parent that is not a task"))? });
    }
    Trace::of(drafts, None)
}
