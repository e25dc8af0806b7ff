//! Workloads made up from a model. Comes in: a model, how many jobs, the size of the machine, a seed. Goes out: a [`Trace`], the
//! same for the same seed. What becomes of it is deliberately not known here.
//!
//! The models say nothing of limits and users: a job's limit is its run time, and all jobs are one user's.

mod deeprm;
mod lublin;
mod poisson;

use cloudai_types::limits;

use crate::seeded::Seeded;
use crate::trace::{Draft, Job, ReadError, Trace};

/// Where a workload comes from; sources are named in the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// A supercomputer's users: daily cycle, many serial jobs, powers of two, run times that depend on the width.
    Lublin,
    /// Many short jobs and few long ones, of two resources.
    DeepRm,
    /// One processor each; exponential gaps and run times. What queueing theory has formulas for.
    Poisson,
}

impl Model {
    pub const ALL: [Model; 3] = [Model::Lublin, Model::DeepRm, Model::Poisson];

    /// The word in flags and reports.
    pub fn name(self) -> &'static str {
        match self {
            Model::Lublin => "lublin",
            Model::DeepRm => "deeprm",
            Model::Poisson => "poisson",
        }
    }
}

/// What to make.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Workload {
    pub model: Model,
    pub jobs: usize,
    /// Processors of the machine that the jobs are for; none asks for more.
    pub nodes: u32,
    pub seed: u64,
    /// Stretches or squeezes the times of submission until the work that arrives is this part of what the machine can do
    /// meanwhile. `None`: as the model has it.
    pub load: Option<f64>,
}

/// Why there is no such workload.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("a workload has from 1 to {} jobs, and not {jobs}", limits::TRACE_JOBS_MAX)]
    Jobs { jobs: usize },
    #[error("a machine has at least one processor")]
    NoProcessors,
    #[error("a load is a number from 0.001 to 1000, and not {0}")]
    Load(f64),
    #[error("what the model gave cannot be a trace: {0}")]
    Trace(#[from] ReadError),
}

/// A job as the models see it.
struct Made {
    /// Seconds since the beginning.
    submit_s: f64,
    run_s: u64,
    processors: u32,
}

impl Workload {
    /// Makes it.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn generate(&self) -> Result<Trace, GenerateError> {
        if self.jobs == 0 || self.jobs > limits::TRACE_JOBS_MAX {
            return Err(GenerateError::Jobs { jobs: self.jobs });
        }
        if self.nodes == 0 {
            return Err(GenerateError::NoProcessors);
        }
        if let Some(load) = self.load.filter(|load| !(0.001..=1_000.0).contains(load)) {
            return Err(GenerateError::Load(load));
        }
        let mut seeded = Seeded::new(self.seed);
        let mut made = match self.model {
            Model::Lublin => lublin::jobs(self.jobs, self.nodes, &mut seeded),
            Model::DeepRm => deeprm::jobs(self.jobs, self.nodes, &mut seeded),
            Model::Poisson => poisson::jobs(self.jobs, self.nodes, &mut seeded),
        };
        if let Some(load) = self.load {
            let factor = offered_load(&made, self.nodes) / load;
            made.iter_mut().for_each(|job| job.submit_s *= factor);
        }
        let drafts = made.into_iter().zip(1..).map(|(job, id)| Draft { job: job.with_id(id), parents: vec![] });
        Ok(Trace::of(drafts.collect(), Some(self.nodes))?)
    }

    /// What made the workload, for the header of a file.
    pub fn notes(&self) -> Vec<String> {
        let Workload { model, jobs, nodes, seed, load } = self;
        let load = load.map(|load| format!(" --load {load}")).unwrap_or_default();
        vec![format!(
            "made by cloudai sim generate --model {} --jobs {jobs} --nodes {nodes} --seed {seed}{load}",
            model.name()
        )]
    }
}

impl Made {
    fn with_id(self, id: u64) -> Job {
        Job {
            id,
            submit_s: self.submit_s as u64,
            run_s: self.run_s,
            requested_s: self.run_s,
            processors: self.processors,
            user: 0,
            deadline_s: None,
            parents: vec![],
        }
    }
}

/// Work over what the machine can do from the first submission to the last; 0 when all come at once.
fn offered_load(jobs: &[Made], nodes: u32) -> f64 {
    let work: f64 = jobs.iter().map(|job| job.run_s as f64 * f64::from(job.processors)).sum();
    let span_s = jobs.last().map_or(0.0, |last| last.submit_s) - jobs.first().map_or(0.0, |first| first.submit_s);
    if span_s > 0.0 { work / (span_s * f64::from(nodes)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(model: Model) -> Workload {
        Workload { model, jobs: 2_000, nodes: 64, seed: 7, load: None }
    }

    #[test]
    fn what_nobody_can_make_is_refused() {
        let refused = |workload: Workload| workload.generate().unwrap_err().to_string();
        let good = workload(Model::Lublin);
        assert_eq!(refused(Workload { jobs: 0, ..good }), "a workload has from 1 to 10000000 jobs, and not 0");
        assert_eq!(refused(Workload { nodes: 0, ..good }), "a machine has at least one processor");
        for load in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused(Workload { load: Some(load), ..good }).starts_with("a load is a number"), "{load}");
        }
    }

    #[test]
    fn a_load_that_is_asked_for_is_offered() {
        for model in Model::ALL {
            let trace = Workload { load: Some(0.8), ..workload(model) }.generate().unwrap();
            let work: u64 = trace.jobs.iter().map(|job| job.run_s * u64::from(job.processors)).sum();
            let span_s = trace.jobs[trace.jobs.len() - 1].submit_s - trace.jobs[0].submit_s;
            let load = work as f64 / (span_s as f64 * 64.0);
            assert!((load / 0.8 - 1.0).abs() < 1e-3, "{}: {load}", model.name());
        }
    }
}
