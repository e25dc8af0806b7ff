//! The grammar: nouns and verbs. Comes in: words. Goes out: one parsed [`Cli`]. Each verb's own flags stand in its file.

use clap::{Parser, Subcommand};

use crate::commands;
use crate::settings::GlobalFlags;

/// Runs containers on many machines, with masters that survive each other.
#[derive(Debug, Parser)]
#[command(
    name = "cloudai",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Topics: cloudai help exit-codes | environment | job-file | workflow-file | template-file\nFirst steps: cloudai dev, then cloudai run IMAGE -- CMD"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalFlags,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit one task, show its log as it runs, end with its exit code
    Run(commands::run::RunArgs),
    /// Submit jobs and look after them
    Job {
        #[command(subcommand)]
        verb: JobVerb,
    },
    /// Submit jobs that wait for each other, and look after them
    Workflow {
        #[command(subcommand)]
        verb: WorkflowVerb,
    },
    /// Keep job files with parameters, and run them
    Template {
        #[command(subcommand)]
        verb: TemplateVerb,
    },
    /// Submit jobs at times, and look after that
    Schedule {
        #[command(subcommand)]
        verb: ScheduleVerb,
    },
    /// Look at single tasks
    Task {
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// Look after tasks that have spent their tries
    Dead {
        #[command(subcommand)]
        verb: DeadVerb,
    },
    /// Keep what tasks may know and others may not
    Secret {
        #[command(subcommand)]
        verb: SecretVerb,
    },
    /// Share the cluster among namespaces: weights, and caps on what each may hold
    Quota {
        #[command(subcommand)]
        verb: QuotaVerb,
    },
    /// Keep who may pull from registries of images
    Registry {
        #[command(subcommand)]
        verb: RegistryVerb,
    },
    /// Look after workers; without a verb: be one
    Worker(Box<WorkerNoun>),
    /// The cluster as it is now, on the whole terminal; in a pipe once
    ///
    /// Four pages: the cluster, its workers, what waits, and tasks that run or ended a moment ago. `?` lists the keys.
    /// Any master answers; while none does, or nobody leads, the last picture stays, in grey. In a pipe, with -o or with
    /// --once it prints one picture as plain text and ends. NO_COLOR is respected.
    Top(commands::top::TopArgs),
    /// What waits, by what it asks for
    Queue,
    /// What happens in the cluster, in order
    Events(commands::events::EventsArgs),
    /// Look after the masters
    Cluster {
        #[command(subcommand)]
        verb: ClusterVerb,
    },
    /// Try the scheduler on workload traces, without a cluster
    Sim {
        #[command(subcommand)]
        verb: SimVerb,
    },
    /// A whole cluster of processes on this machine, for trying and testing
    #[cfg(feature = "server")]
    Dev(Box<commands::dev::DevArgs>),
    /// Make a new cluster's CA, the admin's identity and those of the first masters
    #[cfg(feature = "server")]
    Init(commands::init::InitArgs),
    /// Be a master
    #[cfg(feature = "server")]
    Master(Box<commands::master::MasterArgs>),
    /// Print a completion script for a shell
    Completion(commands::completion::CompletionArgs),
    /// Explain a command or a topic
    Help(commands::help::HelpArgs),
}

#[derive(Debug, Subcommand)]
pub enum JobVerb {
    /// Submit a job and print its id
    Submit(commands::job_submit::SubmitArgs),
    /// Jobs, newest first
    #[command(visible_alias = "ls")]
    List(commands::job_list::ListArgs),
    /// One job with its tasks
    Show(commands::job_show::ShowArgs),
    /// Wait until a job has ended; ends with its exit code
    Wait(commands::job_wait::WaitArgs),
    /// Watch jobs until they have ended, with bars; ends with the exit code of one
    Watch(commands::job_watch::WatchArgs),
    /// Stop what runs, drop what waits
    Cancel(commands::job_cancel::CancelArgs),
    /// The logs of its tasks
    Logs(commands::job_logs::LogsArgs),
    /// What happened to it, oldest first
    Events(commands::job_events::EventsArgs),
    /// What its tasks have stored
    Results(commands::job_results::ResultsArgs),
    /// Fetch what its tasks have stored
    Download(commands::job_download::DownloadArgs),
    /// What a job would meet, without submitting it: room, what is ahead, and the smallest change that would help
    Plan(commands::job_plan::PlanArgs),
    /// Check a job without submitting it
    Validate(commands::job_validate::ValidateArgs),
}

#[derive(Debug, Subcommand)]
pub enum WorkflowVerb {
    /// Submit all jobs of a file at once, and print the workflow's id
    Submit(commands::workflow_submit::SubmitArgs),
    /// Workflows, newest first
    #[command(visible_alias = "ls")]
    List(commands::workflow_list::ListArgs),
    /// One workflow with its jobs, each below those that it waits for
    Show(commands::workflow_show::ShowArgs),
    /// Wait until all of it has ended
    Wait(commands::workflow_wait::WaitArgs),
    /// Cancel all that lives of it
    Cancel(commands::workflow_cancel::CancelArgs),
    /// Run again what has not succeeded, and whoever waits for it
    Retry(commands::workflow_retry::RetryArgs),
    /// Check a file without submitting it
    Validate(commands::workflow_validate::ValidateArgs),
}

#[derive(Debug, Subcommand)]
pub enum TemplateVerb {
    /// Store a file as a new version, unless the newest one says the same
    Create(commands::template_create::CreateArgs),
    /// Templates, by name
    #[command(visible_alias = "ls")]
    List,
    /// One version with its parameters
    Show(commands::template_show::ShowArgs),
    /// Fill it in, submit the job and print its id
    Run(commands::template_run::RunArgs),
    /// Remove all versions, or one
    Delete(commands::template_delete::DeleteArgs),
}

#[derive(Debug, Subcommand)]
pub enum ScheduleVerb {
    /// Submit a job at times from now on
    Create(Box<commands::schedule_create::CreateArgs>),
    /// Schedules, by name
    #[command(visible_alias = "ls")]
    List,
    /// One schedule: the times to come, and what became of the last ones
    Show(commands::schedule_show::ShowArgs),
    /// Begin no run by itself until it is resumed
    Pause(commands::schedule_pause::PauseArgs),
    /// Let it go on; what was missed is decided as it says
    Resume(commands::schedule_pause::PauseArgs),
    /// A run now, beside its times
    Run(commands::schedule_run::RunArgs),
    /// Remove it; its jobs go on
    Delete(commands::schedule_delete::DeleteArgs),
}

#[derive(Debug, Subcommand)]
pub enum TaskVerb {
    /// Tasks of a job
    #[command(visible_alias = "ls")]
    List(commands::task_list::ListArgs),
    /// One task with its attempts
    Show(commands::task_show::ShowArgs),
    /// The log of one attempt
    Logs(commands::task_logs::LogsArgs),
    /// Why it waits, and what would help
    Explain(commands::task_explain::ExplainArgs),
    /// What happened to it, oldest first
    Events(commands::task_events::EventsArgs),
    /// CPU, memory and storage that it used, over time
    Stats(commands::task_stats::StatsArgs),
}

#[derive(Debug, Subcommand)]
pub enum DeadVerb {
    /// Dead tasks, oldest job first
    #[command(visible_alias = "ls")]
    List(commands::dead_list::ListArgs),
    /// One dead task with its attempts
    Show(commands::dead_show::ShowArgs),
    /// Run them again: as they are, or with another spec as new jobs
    Replay(Box<commands::dead_replay::ReplayArgs>),
    /// Take them out of the list; they stay dead
    Drop(commands::dead_drop::DropArgs),
}

#[derive(Debug, Subcommand)]
pub enum SecretVerb {
    /// Store a secret, or replace it: from a file, from standard input, or asked for without showing it
    Set(commands::secret_set::SetArgs),
    /// Names of secrets; nothing ever shows a value
    #[command(visible_alias = "ls")]
    List,
    /// Remove one; tasks that wait and name it will not start
    Remove(commands::secret_remove::RemoveArgs),
}

#[derive(Debug, Subcommand)]
pub enum QuotaVerb {
    /// Change a namespace's weight or caps; what is not named stays as it is
    Set(commands::quota_set::SetArgs),
    /// What namespaces may have, and hold now
    #[command(visible_alias = "ls")]
    Show(commands::quota_show::ShowArgs),
}

#[derive(Debug, Subcommand)]
pub enum RegistryVerb {
    /// Store a login, or replace it
    Login(commands::registry_login::LoginArgs),
    /// Registries with a login; nothing ever shows a password
    #[command(visible_alias = "ls")]
    List,
    /// Remove a login
    Logout(commands::registry_logout::LogoutArgs),
}

#[derive(Debug, clap::Args)]
pub struct WorkerNoun {
    #[command(subcommand)]
    pub verb: Option<WorkerVerb>,
    #[cfg(feature = "server")]
    #[command(flatten)]
    pub serve: commands::worker::WorkerArgs,
}

#[derive(Debug, Subcommand)]
pub enum WorkerVerb {
    /// Workers, by name
    #[command(visible_alias = "ls")]
    List,
    /// One worker with what it runs
    Show(commands::worker_show::ShowArgs),
    /// CPU, memory, storage and GPUs of its machine, over time
    Stats(commands::worker_stats::StatsArgs),
    /// Let a name join: prints a one-time token
    Authorize(commands::worker_authorize::AuthorizeArgs),
    /// Refuse it from now on; its tasks run elsewhere
    Revoke(commands::worker_revoke::RevokeArgs),
    /// Stop tasks of a worker that cannot; started by it
    #[cfg(feature = "server")]
    #[command(hide = true)]
    Guard(commands::worker_guard::GuardArgs),
    /// Give it no new tasks; what runs goes on, or is stopped at a deadline
    Drain(commands::worker_drain::DrainArgs),
    /// Give it tasks again
    Resume(commands::worker_drain::ResumeArgs),
    /// Give it new tasks only if they tolerate this; what runs goes on
    Taint(commands::worker_taint::TaintArgs),
    /// Take a taint away
    Untaint(commands::worker_taint::UntaintArgs),
}

#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Leader, members, workers, tasks
    Status(commands::cluster_status::StatusArgs),
    /// Look for what is wrong, and say what to do about it
    Doctor,
    /// What masters and workers log; another filter for a while
    LogLevel(commands::cluster_log_level::LogLevelArgs),
    /// The masters
    Members,
    /// Let a new master join: prints a one-time token
    Add(commands::cluster_add::AddArgs),
    /// Take a master out; its id is never used again
    Remove(commands::cluster_remove::RemoveArgs),
    /// Hand leadership over, without a failed call
    TransferLeader(commands::cluster_transfer_leader::TransferArgs),
    /// The replicated configuration
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Change one setting
    Set(commands::cluster_config::SetArgs),
}

#[derive(Debug, Subcommand)]
pub enum SimVerb {
    /// Replay a trace under one or more policies, and compare them
    Replay(Box<commands::sim_replay::ReplayArgs>),
    /// Make a trace up, from a model and a seed
    Generate(commands::sim_generate::GenerateArgs),
    /// Write down what this cluster has run, as a trace
    Record(commands::sim_record::RecordArgs),
}

/// What runs as a server, with its own runtime.
#[cfg(feature = "server")]
pub enum Server<'a> {
    Master(&'a commands::master::MasterArgs),
    Worker(&'a commands::worker::WorkerArgs),
    Guard(&'a commands::worker_guard::GuardArgs),
    Dev(&'a commands::dev::DevArgs),
    Init(&'a commands::init::InitArgs),
}

#[cfg(feature = "server")]
impl Command {
    pub fn server(&self) -> Option<Server<'_>> {
        match self {
            Command::Master(a) => Some(Server::Master(a)),
            Command::Worker(noun) => match &noun.verb {
                None => Some(Server::Worker(&noun.serve)),
                Some(WorkerVerb::Guard(a)) => Some(Server::Guard(a)),
                Some(_) => None,
            },
            Command::Dev(a) => Some(Server::Dev(a)),
            Command::Init(a) => Some(Server::Init(a)),
            Command::Run(_)
            | Command::Job { .. }
            | Command::Workflow { .. }
            | Command::Template { .. }
            | Command::Schedule { .. }
            | Command::Task { .. }
            | Command::Dead { .. }
            | Command::Secret { .. }
            | Command::Quota { .. }
            | Command::Registry { .. }
            | Command::Top(_)
            | Command::Queue
            | Command::Events(_)
            | Command::Cluster { .. }
            | Command::Sim { .. }
            | Command::Completion(_)
            | Command::Help(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split_whitespace())
    }

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_contract_parses() {
        for words in [
            "cloudai run busybox -- echo hi",
            "cloudai run --cpu 0.5 --memory 32m --timeout 2s busybox -- sh -c exit",
            "cloudai job submit --name n --env A=1 --cpu 0.5 --memory 32m --gpu 1 --storage 1g --require k=v --priority -3 --array 0-999 --max-attempts 3 --processes-max 100 --open-files 512 --shm 64m --stop-signal INT --grace 30s --user 1000:1000 --network none --pull never --writable-root --timeout 2s --namespace x --idempotency-key k --mount /a:/b busybox -- true",
            "cloudai job submit -f job.yaml",
            "cloudai -o json job list --limit 5",
            "cloudai job list -o jsonl --limit 5",
            "cloudai job show abc -o yaml",
            "cloudai job wait abc --timeout 40s",
            "cloudai job watch abc abd --timeout 40s",
            "cloudai top",
            "cloudai -n lab top --once -o json",
            "cloudai cluster status --watch",
            "cloudai cluster status -w 5 -o jsonl",
            "cloudai job cancel abc",
            "cloudai job cancel --all --yes",
            "cloudai job cancel --name sweep-* --state queued --state running -y -o json",
            "cloudai job submit --queue-timeout 10m --volume cache:/cache:ro --tmpfs /fast:64m --mount /a:/b:rw busybox",
            "cloudai job logs -f abc",
            "cloudai job submit --results --input raw=3gk7q2zx/0 --input all=3gk7q2zx busybox -- true",
            "cloudai job results abc -o json",
            "cloudai job results abc/1",
            "cloudai job download abc --dir d",
            "cloudai job download abc/1 -o json",
            "cloudai job validate -f job.yaml",
            "cloudai workflow submit -f w.yaml",
            "cloudai workflow submit -f - --idempotency-key k --wait --timeout 1h",
            "cloudai workflow submit -f w.yaml --request-id k",
            "cloudai workflow list --limit 5 -o jsonl",
            "cloudai workflow show wf-3gk7 -o json",
            "cloudai workflow wait wf-3gk7q2zx --timeout 40s",
            "cloudai workflow cancel wf-3gk7q2zx",
            "cloudai workflow retry wf-3gk7q2zx --from train",
            "cloudai workflow validate -f w.yaml",
            "cloudai template create -f t.yaml",
            "cloudai template create sweep -f -",
            "cloudai template list -o json",
            "cloudai template show sweep@3",
            "cloudai template run sweep --set lr=0.1 --set note=a=b --idempotency-key k",
            "cloudai template delete sweep@2",
            "cloudai schedule create nightly --cron @daily -f job.yaml",
            "cloudai schedule create n --cron */5 --timezone Europe/Paris --template sweep@3 --set lr=1 --overlap cancel-previous --missed all --replace",
            "cloudai schedule list",
            "cloudai schedule show nightly -o json",
            "cloudai schedule pause nightly",
            "cloudai schedule resume nightly",
            "cloudai schedule run nightly --idempotency-key k",
            "cloudai schedule delete nightly",
            "cloudai task list abc",
            "cloudai task show abc/1",
            "cloudai task logs -f abc/1 --tail 5",
            "cloudai task explain abc/1",
            "cloudai task events abc/1",
            "cloudai job events abc -o json",
            "cloudai events",
            "cloudai events -f --since 812.3 --kind ended --kind worker_lost -o jsonl",
            "cloudai -n team-a events --tail 5 --job abc --worker w1",
            "cloudai job submit --retry-on signal=elsewhere --retry-on exit_code=fail --retry-delay 5s --retry-delay-factor 3 --retry-delay-max 10m --retry-jitter 0.2 --retry-memory-factor 1.5 --retry-memory-max 4g -m 1g --retry 10s busybox",
            "cloudai dead list",
            "cloudai dead list abc --reason out_of_memory --reason signal --limit 5",
            "cloudai dead show abc/1",
            "cloudai dead replay abc/1",
            "cloudai dead replay --reason worker_lost --limit 50",
            "cloudai dead replay abc --set memory=4g --set env.MODE=slow",
            "cloudai dead replay abc/1 -f job.yaml",
            "cloudai dead drop --all",
            "cloudai job submit --secret token --secret token=env:TOKEN --secret key=file:key.pem busybox",
            "cloudai secret set token",
            "cloudai secret set token --from-file -",
            "cloudai -n team-a secret list -o json",
            "cloudai secret remove token",
            "cloudai quota set team-a --weight 3",
            "cloudai quota set team-a --policy fgd",
            "cloudai quota set team-a --policy default",
            "cloudai quota set team-a --tasks 100 --cpu 64 --memory 256g --storage none --gpu 0",
            "cloudai quota set team-a --max-queued 10000 --user-max-tasks 50 --user-max-queued none",
            "cloudai quota show --users",
            "cloudai quota show",
            "cloudai job submit --worker w7 busybox -- true",
            "cloudai job plan -f job.yaml",
            "cloudai -n team-a job plan --array 0-99 --cpu 4 busybox -- true",
            "cloudai quota show team-a -o json",
            "cloudai registry login registry.example:5000 --username ci --password-stdin",
            "cloudai registry list",
            "cloudai registry logout registry.example:5000",
            "cloudai worker list",
            "cloudai worker show w1",
            "cloudai worker stats w1 --since 6h -o json --points 360",
            "cloudai task stats abc/3.2 --since 10m",
            "cloudai worker authorize w1 --label zone=eu --label disk=ssd",
            "cloudai worker revoke w1",
            "cloudai worker drain w1",
            "cloudai worker drain w1 --deadline 10m --wait --timeout 20m",
            "cloudai worker drain w1 --stop",
            "cloudai worker resume w1",
            "cloudai worker taint w1 gpu",
            "cloudai worker taint w1 gpu=a100",
            "cloudai worker untaint w1 gpu",
            "cloudai job submit --require zone --require !gpu --require cores>8 --prefer disk=ssd --prefer rack=a:10 --tolerate gpu --tolerate kind=a100 --apart worker --spread rack:1 busybox",
            "cloudai queue",
            "cloudai cluster status --consistency stale",
            "cloudai cluster members",
            "cloudai cluster add m4",
            "cloudai cluster remove m4",
            "cloudai cluster transfer-leader",
            "cloudai cluster transfer-leader m2",
            "cloudai cluster config set score-policy binpack",
            "cloudai cluster config set score-policy alignment",
            "cloudai sim replay --trace t.swf.gz --format swf --policy fcfs,aged_area --backfill easy --nodes 128 -o json",
            "cloudai sim replay --trace t --policy f1 --backfill rlscheduler --windows 1,2 --window-length 1024 -o csv",
            "cloudai sim replay --trace t --policy fcfs,aged_area:width=0.2:ageing=4 --plot p.svg --report r.html --timings",
            "cloudai sim replay --generate lublin --jobs 500 --load 0.9 --nodes 64 --seeds 10 --seed 7",
            "cloudai sim generate",
            "cloudai sim generate --model deeprm --jobs 100 --nodes 10 --seed 3 --load 0.7 --format jsonl --out t.jsonl",
            "cloudai completion bash",
            "cloudai help exit-codes",
        ] {
            parse(words).unwrap_or_else(|e| panic!("{words}: {e}"));
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn every_server_command_of_the_contract_parses() {
        for words in [
            "cloudai dev",
            "cloudai dev --masters 3 --workers 2 --data-dir d --executor noop --detach --capacity cpu=64,memory=256GiB --allow-mount /x --allow-root",
            "cloudai dev ps -o json --data-dir d",
            "cloudai dev --data-dir d ps -o json",
            "cloudai dev kill leader --data-dir d",
            "cloudai dev start --all --data-dir d",
            "cloudai dev start master-1 --data-dir d",
            "cloudai dev stop --data-dir d",
            "cloudai init --data-dir d --name m1",
            "cloudai master --config f",
            "cloudai worker --config f",
            "cloudai worker --stop-mode drain --stop-deadline 10m --allow-mount /data:rw",
            "cloudai worker --join token --masters a:1,b:2 --data-dir d",
        ] {
            parse(words).unwrap_or_else(|e| panic!("{words}: {e}"));
        }
        assert!(matches!(parse("cloudai worker --config f").unwrap().command.server(), Some(Server::Worker(_))));
        assert!(parse("cloudai worker list").unwrap().command.server().is_none());
    }

    #[test]
    fn wrong_usage_is_told_before_anything_is_sent() {
        for words in [
            "cloudai",
            "cloudai job",
            "cloudai job submit --cpu lots busybox",
            "cloudai job submit --array 5-9 busybox",
            "cloudai job submit --stop-signal 99 busybox",
            "cloudai job submit --pull sometimes busybox",
            "cloudai job submit --require zone,eu busybox",
            "cloudai job submit --prefer disk= busybox",
            "cloudai job submit --spread rack:0 busybox",
            "cloudai worker taint w1 gpu=",
            "cloudai worker stats w1 --since tomorrow",
            "cloudai worker stats w1 --points 0",
            "cloudai run busybox --array 0-9",
            "cloudai run busybox echo",
            "cloudai cluster config set colour red",
            "cloudai job list --limit -1",
            "cloudai task explain",
            "cloudai task events",
            "cloudai events --since yesterday",
            "cloudai job watch",
            "cloudai cluster status --watch 10ms",
            "cloudai top workers",
            "cloudai events --since 812 --tail 5",
            "cloudai events --kind sadness",
            "cloudai job cancel abc --all",
            "cloudai job cancel --state failed",
            "cloudai worker drain w1 --stop --deadline 5s",
            "cloudai worker drain w1 --timeout 5s",
            "cloudai job submit --tmpfs /fast busybox",
            "cloudai job submit --volume /a:/b busybox",
            "cloudai job submit --retry-on bad_luck=retry busybox",
            "cloudai job submit --retry-on signal busybox",
            "cloudai dead show",
            "cloudai dead list --reason bad_luck",
            "cloudai dead replay abc --set memory",
            "cloudai sim replay",
            "cloudai sim replay --trace t --windows 5",
            "cloudai sim replay --trace t --nodes 0",
            "cloudai sim replay --trace t --backfill hard",
            "cloudai sim replay --trace t --generate lublin",
            "cloudai sim replay --trace t --jobs 5",
            "cloudai sim replay --seeds 5",
            "cloudai sim generate --jobs 0",
            "cloudai sim generate --model feitelson",
            "cloudai jobs",
            "cloudai template create",
            "cloudai template run sweep --set lr",
            "cloudai template show sweep@newest",
            "cloudai schedule create n --cron @daily",
            "cloudai schedule create n -f job.yaml",
            "cloudai schedule create n --cron @daily -f job.yaml --template t",
            "cloudai schedule create n --cron @daily -f job.yaml --set a=b",
            "cloudai schedule create n --cron @daily -f job.yaml --overlap maybe",
            "cloudai schedule create n --cron @daily -f job.yaml --missed never",
            "cloudai secret set token value",
            "cloudai secret set token --value value",
            "cloudai secret show token",
            "cloudai registry login registry.example",
            "cloudai registry login registry.example --username ci --password p",
            "cloudai job submit --secret token=shown busybox",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
