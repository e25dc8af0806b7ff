//! `sim generate`: a workload made up from a model, as a trace for `sim replay`. The models: docs/scheduling-simulator.md.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use cloudai_replay::{Format, GenerateError, Model, Workload, WriteError};
use cloudai_types::limits;

use crate::exit::Failure;
use crate::output::say;

#[derive(Debug, Clone, clap::Args)]
pub struct GenerateArgs {
    /// Where the workload comes from
    #[arg(long, value_enum, default_value_t = ModelFlag::Lublin)]
    model: ModelFlag,
    /// How many jobs
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=limits::TRACE_JOBS_MAX as u64))]
    jobs: u64,
    /// Processors of the machine that the jobs are for
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    nodes: u32,
    /// The same seed gives the same workload
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Stretch or squeeze the times of submission until the work that arrives is this part of what the machine can do
    #[arg(long, value_name = "PART")]
    load: Option<f64>,
    /// How the trace is written
    #[arg(long, value_enum, default_value_t = WrittenFlag::Swf)]
    format: WrittenFlag,
    /// Where to; default: stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ModelFlag {
    /// Rigid jobs of supercomputers: daily cycle, powers of two, run times that depend on the width
    Lublin,
    /// Many short jobs and few long ones, narrow or wide
    Deeprm,
    /// One processor each, exponential gaps and run times (M/M/c)
    Poisson,
}

impl ModelFlag {
    pub fn model(self) -> Model {
        match self {
            ModelFlag::Lublin => Model::Lublin,
            ModelFlag::Deeprm => Model::DeepRm,
            ModelFlag::Poisson => Model::Poisson,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum WrittenFlag {
    /// Standard Workload Format
    Swf,
    /// One JSON object per job
    Jsonl,
}

pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let workload = Workload {
        model: args.model.model(),
        jobs: args.jobs as usize,
        nodes: args.nodes,
        seed: args.seed,
        load: args.load,
    };
    let trace = workload.generate().map_err(not_made)?;
    let format = match args.format {
        WrittenFlag::Swf => Format::Swf,
        WrittenFlag::Jsonl => Format::Jsonl,
    };
    let write = |out: &mut dyn Write| trace.write(format, &workload.notes(), out).and_then(|()| Ok(out.flush()?));
    match &args.out {
        None => write(&mut BufWriter::new(io::stdout().lock())).map_err(not_written_to_stdout)?,
        Some(path) => {
            let file = File::create(path).map_err(|e| unwritable(path, &e))?;
            write(&mut BufWriter::new(file)).map_err(|e| unwritable(path, &e))?;
        }
    }
    if args.format == WrittenFlag::Jsonl {
        say(format_args!("this format does not hold the size of the machine: replay it with --nodes {}", args.nodes));
    }
    Ok(())
}

pub fn not_made(e: GenerateError) -> Failure {
    let next = match &e {
        GenerateError::Jobs { .. } => "choose another --jobs",
        GenerateError::NoProcessors => "choose another --nodes",
        GenerateError::Load(_) | GenerateError::Trace(_) => "choose another --load",
    };
    Failure::invalid("there is no such workload").why(e).next(next)
}

/// A reader that has seen enough is not a failure of ours: the conversion from an IO error knows a broken pipe.
fn not_written_to_stdout(e: WriteError) -> Failure {
    match e {
        WriteError::Io(e) => e.into(),
        WriteError::NoColumn | WriteError::ReadOnly => Failure::invalid("the workload cannot be written so").why(e),
    }
}

pub fn unwritable(path: &Path, e: &dyn std::error::Error) -> Failure {
    Failure::invalid(format!("the file {} cannot be written", path.display()))
        .why(e)
        .next("choose a folder that exists, and that you may write to")
}
