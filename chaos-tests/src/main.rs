//! `cargo run -p chaos-tests -- run D03 --seed 7` runs a drill on a rig; `must-show N|all` one of the older ones on `cloudai dev`; `demo` is what
//! `make demo` shows. Exit code 0: everything held; 1: something did not, was invalid, or was not run; 2: wrong arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use chaos_tests::drills::{self, Size};
use chaos_tests::rig::delay_proxy::{self, DelayArguments};
use chaos_tests::rig::generator::{self, LoadArguments};
use chaos_tests::rig_drills::suite::{self, RunArguments};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Real clusters under faults", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs drills (D01 to D16, or all) on a rig of namespaces and disks of its own; needs root
    Run(RunArguments),
    /// The load of a rig, started by it
    #[command(hide = true)]
    Load(LoadArguments),
    /// A late connection of a rig, started by it
    #[command(hide = true)]
    Delay(DelayArguments),
    /// Runs a drill by its number or name (another word lists them), or all
    MustShow {
        which: String,
        /// The small size, as in the tests
        #[arg(long)]
        small: bool,
        /// Keep what it shows in docs/, where it shows something for them
        #[arg(long)]
        write_docs: bool,
    },
    /// A cluster, real containers, the leader killed in the middle
    Demo {
        /// The text file that the sample works through
        #[arg(long, default_value = "/var/lib/dpkg/status")]
        input: PathBuf,
        /// Where the cluster lives; removed at the end if everything held
        #[arg(long, default_value = ".demo")]
        data_dir: PathBuf,
        /// Only stop a cluster that was left behind in the data directory
        #[arg(long)]
        stop: bool,
    },
}

fn main() -> ExitCode {
    let held = match Arguments::parse().verb {
        Verb::Run(arguments) => match suite::run(&arguments) {
            Ok(held) => held,
            Err(error) => {
                eprintln!("error: {error:#}");
                return ExitCode::from(2);
            }
        },
        Verb::Load(arguments) => said(generator::run(&arguments)),
        Verb::Delay(arguments) => said(delay_proxy::run(&arguments)),
        Verb::MustShow { which, small, write_docs } => {
            if write_docs {
                drills::write_docs();
            }
            let size = if small { Size::Small } else { Size::Full };
            let chosen: Vec<_> = drills::ALL.iter().filter(|(n, ..)| which == "all" || which == *n).collect();
            if chosen.is_empty() {
                let numbers: Vec<&str> = drills::ALL.iter().map(|(n, ..)| *n).collect();
                eprintln!("error: there is no drill '{which}': choose one of {}, or all", numbers.join(", "));
                return ExitCode::from(2);
            }
            // All of them, also after a failure: one run shows everything.
            chosen.iter().fold(true, |held, (number, name, drill)| drills::perform(number, name, *drill, size) && held)
        }
        Verb::Demo { data_dir, stop: true, .. } => said(chaos_tests::demo::stop(&data_dir)),
        Verb::Demo { input, data_dir, stop: false } => said(chaos_tests::demo::run(&input, &data_dir)),
    };
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn said(outcome: anyhow::Result<()>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => {
            eprintln!("error: {error:#}");
            false
        }
    }
}
