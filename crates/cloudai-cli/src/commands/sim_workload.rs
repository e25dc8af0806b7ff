//! What `sim replay` replays: a trace from a file, or workloads made up from a model, one per seed.

use std::path::{Path, PathBuf};

use cloudai_replay::{Format, ReadError, Trace, Workload};
use cloudai_types::limits;

use crate::commands::sim_generate::{ModelFlag, not_made};
use crate::exit::Failure;
use crate::output::say;

/// Jobs and processors where a workload is made up and nobody says how many.
const JOBS: u64 = 10_000;
const NODES: u32 = 256;

#[derive(Debug, Clone, clap::Args)]
pub struct WorkloadArgs {
    /// The trace, plain or gzip
    #[arg(long, value_name = "FILE", required_unless_present = "generate")]
    trace: Option<PathBuf>,
    /// Make workloads up from this model instead, one for each seed (see 'sim generate')
    #[arg(long, value_enum, value_name = "MODEL", conflicts_with = "trace")]
    generate: Option<ModelFlag>,
    /// With --generate: jobs of each workload; default: 10000
    #[arg(long, value_name = "N", conflicts_with = "trace", value_parser = clap::value_parser!(u64).range(1..=limits::TRACE_JOBS_MAX as u64))]
    jobs: Option<u64>,
    /// With --generate: the work that arrives, as a part of what the machine can do meanwhile
    #[arg(long, value_name = "PART", conflicts_with = "trace")]
    load: Option<f64>,
    /// How many seeds are averaged: workloads of --generate, or shuffles of the pods for openb
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=limits::REPLAY_SEEDS_MAX))]
    pub seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=u64::from(u32::MAX)))]
    pub seed: u64,
}

/// What was found or made.
pub struct Loaded {
    /// One per seed.
    pub traces: Vec<Trace>,
    pub capacity: u32,
    /// For titles.
    pub name: String,
}

impl WorkloadArgs {
    /// The file, for a format that has to have one.
    pub fn file(&self) -> Result<&Path, Failure> {
        self.trace.as_deref().ok_or_else(|| {
            Failure::invalid("this format is read from a file").next("say with --trace which, or leave out --format")
        })
    }

    /// For people.
    pub fn seeds_told(&self) -> String {
        match self.generate {
            Some(_) => format!("{} from {} on", self.seeds, self.seed),
            None => "none: a trace is the same each time".to_owned(),
        }
    }

    pub fn load(&self, format: Format, nodes: Option<u32>) -> Result<Loaded, Failure> {
        match self.generate {
            Some(model) => self.make_up(model, nodes),
            None => self.read(format, nodes),
        }
    }

    fn read(&self, format: Format, nodes: Option<u32>) -> Result<Loaded, Failure> {
        let path = self.file()?;
        if self.seeds > 1 {
            return Err(Failure::invalid("a trace is the same for every seed").next("leave out --seeds"));
        }
        let trace = Trace::read(path, format).map_err(|e| unreadable(path, e))?;
        if trace.dropped + trace.clamped > 0 {
            say(format_args!(
                "of {} jobs {} never ran and are left out, {} ran past their limit and are cut there",
                trace.jobs.len() as u64 + trace.dropped,
                trace.dropped,
                trace.clamped
            ));
        }
        let capacity = nodes.or(trace.processors).ok_or_else(|| {
            Failure::invalid("the trace does not say how large its machine was").next("say it with --nodes N")
        })?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Loaded { traces: vec![trace], capacity, name })
    }

    fn make_up(&self, model: ModelFlag, nodes: Option<u32>) -> Result<Loaded, Failure> {
        let (jobs, nodes) = (self.jobs.unwrap_or(JOBS), nodes.unwrap_or(NODES));
        if jobs.saturating_mul(self.seeds) > limits::TRACE_JOBS_MAX as u64 {
            return Err(Failure::invalid(format!("{} workloads of {jobs} jobs are too many", self.seeds))
                .why(format!("one replay takes at most {} jobs", limits::TRACE_JOBS_MAX))
                .next("choose fewer --jobs or --seeds"));
        }
        let workload = |seed| Workload { model: model.model(), jobs: jobs as usize, nodes, seed, load: self.load };
        let traces: Result<Vec<Trace>, _> =
            (self.seed..self.seed + self.seeds).map(|seed| workload(seed).generate()).collect();
        let name = format!("{}, {jobs} jobs", model.model().name());
        Ok(Loaded { traces: traces.map_err(not_made)?, capacity: nodes, name })
    }
}

pub fn unreadable(path: &Path, e: ReadError) -> Failure {
    let why = match &e {
        ReadError::Open { source, .. } | ReadError::Read { source, .. } => format!("{e}: {source}"),
        other => other.to_string(),
    };
    Failure::invalid(format!("the trace {} cannot be replayed", path.display()))
        .why(why)
        .next("check the file, and that --format names how it is written")
}
