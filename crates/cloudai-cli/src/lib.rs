//! The `cloudai` binary, all but its `main`. Comes in: arguments. Goes out: data on stdout, words on stderr, an exit code
//! (`cloudai help exit-codes`). Each command is a file under `commands`; what servers do is not known here, only how to start
//! them. It is a library so that the fuzzers reach what people write ([`input`]).

use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use clap::{CommandFactory, FromArgMatches};

mod args;
mod commands;
mod doctor;
mod exit;
pub mod input;
mod output;
mod settings;
mod submitting;
mod times;
mod top;
mod views;

use args::{Cli, Command};
use exit::Failure;
use output::Format;

/// The whole program.
pub fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches().and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(e) => {
            // A closed pipe behind `--help` is no error.
            let _ = e.print();
            return match e.kind() {
                ClapKind::DisplayHelp | ClapKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(exit::Code::Usage.number()),
            };
        }
    };
    let as_json = matches!(cli.global.output, Some(Format::Json | Format::Jsonl));
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.silent {
                output::say(if as_json { failure.json().to_string() } else { failure.text() });
            }
            ExitCode::from(failure.code.number())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    cloudai_net::install_crypto_provider();
    #[cfg(feature = "server")]
    if let Some(server) = cli.command.server() {
        return commands::server::run(server, &cli);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed("the runtime cannot be started").why(e))?;
    let result = runtime.block_on(client(&cli));
    // A prompt may still be reading the terminal.
    runtime.shutdown_background();
    result
}

async fn client(cli: &Cli) -> Result<(), Failure> {
    use args::{
        ClusterVerb, ConfigVerb, DeadVerb, JobVerb, QuotaVerb, RegistryVerb, ScheduleVerb, SecretVerb, SimVerb,
        TaskVerb, TemplateVerb, WorkerVerb, WorkflowVerb,
    };
    let settings = || settings::Settings::resolve(&cli.global);
    match &cli.command {
        Command::Run(a) => commands::run::run(&settings()?, a).await.map_err(Failure::of_run),
        Command::Job { verb } => match verb {
            JobVerb::Submit(a) => commands::job_submit::run(&settings()?, a).await,
            JobVerb::List(a) => commands::job_list::run(&settings()?, a).await,
            JobVerb::Show(a) => commands::job_show::run(&settings()?, a).await,
            JobVerb::Wait(a) => commands::job_wait::run(&settings()?, a).await,
            JobVerb::Watch(a) => commands::job_watch::run(&settings()?, a).await,
            JobVerb::Cancel(a) => commands::job_cancel::run(&settings()?, a).await,
            JobVerb::Logs(a) => commands::job_logs::run(&settings()?, a).await,
            JobVerb::Events(a) => commands::job_events::run(&settings()?, a).await,
            JobVerb::Results(a) => commands::job_results::run(&settings()?, a).await,
            JobVerb::Download(a) => commands::job_download::run(&settings()?, a).await,
            JobVerb::Plan(a) => commands::job_plan::run(&settings()?, a).await,
            JobVerb::Validate(a) => commands::job_validate::run(&settings()?, a),
        },
        Command::Workflow { verb } => match verb {
            WorkflowVerb::Submit(a) => commands::workflow_submit::run(&settings()?, a).await,
            WorkflowVerb::List(a) => commands::workflow_list::run(&settings()?, a).await,
            WorkflowVerb::Show(a) => commands::workflow_show::run(&settings()?, a).await,
            WorkflowVerb::Wait(a) => commands::workflow_wait::run(&settings()?, a).await,
            WorkflowVerb::Cancel(a) => commands::workflow_cancel::run(&settings()?, a).await,
            WorkflowVerb::Retry(a) => commands::workflow_retry::run(&settings()?, a).await,
            WorkflowVerb::Validate(a) => commands::workflow_validate::run(&settings()?, a),
        },
        Command::Template { verb } => match verb {
            TemplateVerb::Create(a) => commands::template_create::run(&settings()?, a).await,
            TemplateVerb::List => commands::template_list::run(&settings()?).await,
            TemplateVerb::Show(a) => commands::template_show::run(&settings()?, a).await,
            TemplateVerb::Run(a) => commands::template_run::run(&settings()?, a).await,
            TemplateVerb::Delete(a) => commands::template_delete::run(&settings()?, a).await,
        },
        Command::Schedule { verb } => match verb {
            ScheduleVerb::Create(a) => commands::schedule_create::run(&settings()?, a).await,
            ScheduleVerb::List => commands::schedule_list::run(&settings()?).await,
            ScheduleVerb::Show(a) => commands::schedule_show::run(&settings()?, a).await,
            ScheduleVerb::Pause(a) => commands::schedule_pause::pause(&settings()?, a).await,
            ScheduleVerb::Resume(a) => commands::schedule_pause::resume(&settings()?, a).await,
            ScheduleVerb::Run(a) => commands::schedule_run::run(&settings()?, a).await,
            ScheduleVerb::Delete(a) => commands::schedule_delete::run(&settings()?, a).await,
        },
        Command::Task { verb } => match verb {
            TaskVerb::List(a) => commands::task_list::run(&settings()?, a).await,
            TaskVerb::Show(a) => commands::task_show::run(&settings()?, a).await,
            TaskVerb::Logs(a) => commands::task_logs::run(&settings()?, a).await,
            TaskVerb::Explain(a) => commands::task_explain::run(&settings()?, a).await,
            TaskVerb::Events(a) => commands::task_events::run(&settings()?, a).await,
            TaskVerb::Stats(a) => commands::task_stats::run(&settings()?, a).await,
        },
        Command::Dead { verb } => match verb {
            DeadVerb::List(a) => commands::dead_list::run(&settings()?, a).await,
            DeadVerb::Show(a) => commands::dead_show::run(&settings()?, a).await,
            DeadVerb::Replay(a) => commands::dead_replay::run(&settings()?, a).await,
            DeadVerb::Drop(a) => commands::dead_drop::run(&settings()?, a).await,
        },
        Command::Quota { verb } => match verb {
            QuotaVerb::Set(a) => commands::quota_set::run(&settings()?, a).await,
            QuotaVerb::Show(a) => commands::quota_show::run(&settings()?, a).await,
        },
        Command::Secret { verb } => match verb {
            SecretVerb::Set(a) => commands::secret_set::run(&settings()?, a).await,
            SecretVerb::List => commands::secret_list::run(&settings()?).await,
            SecretVerb::Remove(a) => commands::secret_remove::run(&settings()?, a).await,
        },
        Command::Registry { verb } => match verb {
            RegistryVerb::Login(a) => commands::registry_login::run(&settings()?, a).await,
            RegistryVerb::List => commands::registry_list::run(&settings()?).await,
            RegistryVerb::Logout(a) => commands::registry_logout::run(&settings()?, a).await,
        },
        Command::Worker(noun) => match &noun.verb {
            Some(WorkerVerb::List) => commands::worker_list::run(&settings()?).await,
            Some(WorkerVerb::Show(a)) => commands::worker_show::run(&settings()?, a).await,
            Some(WorkerVerb::Stats(a)) => commands::worker_stats::run(&settings()?, a).await,
            Some(WorkerVerb::Authorize(a)) => commands::worker_authorize::run(&settings()?, a).await,
            Some(WorkerVerb::Revoke(a)) => commands::worker_revoke::run(&settings()?, a).await,
            Some(WorkerVerb::Drain(a)) => commands::worker_drain::drain(&settings()?, a).await,
            Some(WorkerVerb::Resume(a)) => commands::worker_drain::resume(&settings()?, a).await,
            Some(WorkerVerb::Taint(a)) => commands::worker_taint::taint(&settings()?, a).await,
            Some(WorkerVerb::Untaint(a)) => commands::worker_taint::untaint(&settings()?, a).await,
            #[cfg(feature = "server")]
            Some(WorkerVerb::Guard(_)) => Err(Failure::failed("a guard was taken for a client")),
            None => Err(Failure::invalid("this client-only build of cloudai cannot be a worker")
                .next("build it with the feature `server`, which is the default")),
        },
        Command::Top(a) => commands::top::run(&settings()?, a).await,
        Command::Queue => commands::queue::run(&settings()?).await,
        Command::Events(a) => commands::events::run(&settings()?, a).await,
        Command::Cluster { verb } => match verb {
            ClusterVerb::Status(a) => commands::cluster_status::run(&settings()?, a).await,
            ClusterVerb::Doctor => commands::cluster_doctor::run(&settings()?).await,
            ClusterVerb::LogLevel(a) => commands::cluster_log_level::run(&settings()?, a).await,
            ClusterVerb::Members => commands::cluster_members::run(&settings()?).await,
            ClusterVerb::Add(a) => commands::cluster_add::run(&settings()?, a).await,
            ClusterVerb::Remove(a) => commands::cluster_remove::run(&settings()?, a).await,
            ClusterVerb::TransferLeader(a) => commands::cluster_transfer_leader::run(&settings()?, a).await,
            ClusterVerb::Config { verb } => match verb {
                ConfigVerb::Set(a) => commands::cluster_config::run(&settings()?, a).await,
            },
        },
        Command::Sim { verb } => match verb {
            SimVerb::Replay(a) => commands::sim_replay::run(&settings()?, a),
            SimVerb::Generate(a) => commands::sim_generate::run(a),
            SimVerb::Record(a) => commands::sim_record::run(&settings()?, a).await,
        },
        Command::Completion(a) => commands::completion::run(a),
        Command::Help(a) => commands::help::run(a),
        #[cfg(feature = "server")]
        Command::Master(_) | Command::Dev(_) | Command::Init(_) => {
            Err(Failure::failed("a server command reached the client: this is a mistake in cloudai"))
        }
    }
}
