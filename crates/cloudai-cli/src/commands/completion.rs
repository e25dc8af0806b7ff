//! `completion`: a script for the shell, from the grammar itself.

use std::io::Write;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::Failure;

#[derive(Debug, Clone, clap::Args)]
pub struct CompletionArgs {
    /// For bash: eval "$(cloudai completion bash)"
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

pub fn run(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "cloudai", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}
