//! `workflow validate`: the checks of a submit, without sending anything.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::exit::Failure;
use crate::input::workflow_file::{self, WorkflowFile};
use crate::output::{View, count, show};
use crate::settings::Settings;

#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// The workflow's file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ValidView {
    valid: bool,
    name: String,
    tasks: u64,
    dependencies: usize,
    /// In an order in which each comes after those that it waits for.
    jobs: Vec<String>,
}

impl From<&WorkflowFile> for ValidView {
    fn from(file: &WorkflowFile) -> Self {
        let nodes = &file.valid.nodes;
        ValidView {
            valid: true,
            name: file.valid.name.clone(),
            tasks: nodes.iter().map(|n| u64::from(n.count())).sum(),
            dependencies: nodes.iter().map(|n| n.waits_for.len()).sum(),
            jobs: nodes.iter().map(|n| n.name.clone()).collect(),
        }
    }
}

impl View for ValidView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let (jobs, tasks) = (count(self.jobs.len() as u64, "job"), count(self.tasks, "task"));
        let dependencies = match self.dependencies {
            1 => "1 dependency".to_owned(),
            n => format!("{n} dependencies"),
        };
        writeln!(out, "valid: {jobs} with {tasks} and {dependencies}")
    }
}

pub fn run(settings: &Settings, args: &ValidateArgs) -> Result<(), Failure> {
    show(settings.format, &ValidView::from(&workflow_file::read(&args.file)?))
}
