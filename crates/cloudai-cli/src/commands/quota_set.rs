//! `quota set`: a namespace's weight, caps on what its running tasks may hold together and on how many may wait, and the same two for each of
//! its users.

use cloudai_proto::v1::SetQuotaRequest;
use cloudai_types::quota::NO_CAP;
use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::{QueueOrder, QuotaChange, ScorePolicy};

use crate::exit::Failure;
use crate::input::job_file::parse_timeout;
use crate::output::show;
use crate::settings::Settings;
use crate::views::change::ChangeView;

#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct SetArgs {
    namespace: String,
    /// Its part of a full cluster, beside the weights of the others that wait; 1 if it was never set
    #[arg(long, group = "change", value_name = "N")]
    weight: Option<u32>,
    /// Tasks that may run at a time; 0 lets nothing start; `none`: no cap, as for all below
    #[arg(long, group = "change", value_name = "N", value_parser = tasks)]
    tasks: Option<u64>,
    /// CPUs that its running tasks may hold together: 64, 0.5, 500m
    #[arg(long, group = "change", value_name = "CPUS", value_parser = cpu)]
    cpu: Option<u64>,
    /// Memory: 512m, 256g
    #[arg(long, group = "change", value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Storage: 10g, 2t
    #[arg(long, group = "change", value_name = "SIZE", value_parser = size)]
    storage: Option<u64>,
    /// GPUs
    #[arg(long, group = "change", value_name = "N", value_parser = tasks)]
    gpu: Option<u64>,
    /// Whose tasks have waited for so long come before all others of the namespace, whatever their priority: 30m, 2h
    #[arg(long, group = "change", value_name = "DURATION", value_parser = wait)]
    max_wait: Option<u64>,
    /// The order of its tasks: priority, then submission; or fifo, submission alone
    #[arg(long, group = "change", value_name = "ORDER", value_parser = order)]
    order: Option<QueueOrder>,
    /// Whether a task of a higher priority may stop those of a lower one that say they may be restarted: on or off
    #[arg(long, group = "change", value_name = "on|off", value_parser = switch)]
    preempt: Option<bool>,
    /// How a worker is chosen for its tasks: balanced, round_robin, binpack, greedy, alignment, fgd or cost; `default`: as the cluster's
    /// configuration says
    #[arg(long, group = "change", value_name = "POLICY", value_parser = policy)]
    policy: Option<u64>,
    /// Tasks that may wait, for a worker or for other jobs: a submit that would make it more is refused whole; a retry never is
    #[arg(long, group = "change", value_name = "N", value_parser = tasks)]
    max_queued: Option<u64>,
    /// Tasks that one user may run at a time, whoever it is
    #[arg(long, group = "change", value_name = "N", value_parser = tasks)]
    user_max_tasks: Option<u64>,
    /// Tasks of one user that may wait
    #[arg(long, group = "change", value_name = "N", value_parser = tasks)]
    user_max_queued: Option<u64>,
}

fn or_none(text: &str, parse: impl Fn(&str) -> Result<u64, String>) -> Result<u64, String> {
    if text == "none" { Ok(NO_CAP) } else { parse(text) }
}

fn tasks(text: &str) -> Result<u64, String> {
    or_none(text, |t| t.parse::<u32>().map(u64::from).map_err(|_| format!("'{t}' is neither a number nor none")))
}

fn cpu(text: &str) -> Result<u64, String> {
    or_none(text, |t| parse_cpu(t).map_err(|e| e.to_string()))
}

fn size(text: &str) -> Result<u64, String> {
    or_none(text, |t| parse_size(t).map_err(|e| e.to_string()))
}

fn wait(text: &str) -> Result<u64, String> {
    or_none(text, parse_timeout)
}

fn order(text: &str) -> Result<QueueOrder, String> {
    let named = QueueOrder::ALL.into_iter().find(|order| order.name() == text);
    named.ok_or_else(|| format!("'{text}' is neither priority nor fifo"))
}

/// Dashes are as good as underscores, as in `cluster config set`.
fn policy(text: &str) -> Result<u64, String> {
    if text == "default" {
        return Ok(NO_CAP);
    }
    let policy: Result<ScorePolicy, _> = text.replace('-', "_").parse();
    policy.map(|policy| policy as u64).map_err(|e| format!("{e}; or default: as the cluster says"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("'{text}' is neither on nor off")),
    }
}

pub async fn run(settings: &Settings, args: &SetArgs) -> Result<(), Failure> {
    let change = QuotaChange {
        weight: args.weight,
        tasks_max: args.tasks,
        cpu_milli_max: args.cpu,
        memory_bytes_max: args.memory,
        storage_bytes_max: args.storage,
        gpus_max: args.gpu,
        wait_max_ms: args.max_wait,
        order: args.order.map(|order| order as i32),
        preempt: args.preempt,
        score_policy: args.policy,
        queued_max: args.max_queued,
        user_tasks_max: args.user_max_tasks,
        user_queued_max: args.user_max_queued,
    };
    let request = SetQuotaRequest { namespace: args.namespace.clone(), change: Some(change) };
    let reply = settings.client()?.set_quota(request).await?;
    show(settings.format, &ChangeView::new(format!("quota of {}", args.namespace), "is set", reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_one_of_all_or_the_clusters() {
        for known in ScorePolicy::ALL {
            assert_eq!(policy(known.name()), Ok(known as u64));
        }
        assert_eq!((policy("round-robin"), policy("default")), (Ok(ScorePolicy::RoundRobin as u64), Ok(NO_CAP)));
        assert_eq!(
            policy("tetris").unwrap_err(),
            "'tetris' is no scheduling policy: choose balanced, round_robin, binpack, greedy, alignment, fgd or cost; \
             or default: as the cluster says"
        );
    }
}
