//! `dead replay`: dead tasks again. As they are: they wait again in their job, with a new budget. With another spec: each becomes a new job
//! that names the old task, and has one task of the same index.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cloudai_client::Client;
use cloudai_proto::v1::{
    DeadSelection, DeadTask, GetJobRequest, ListDeadRequest, SubmitReplayRequest, SubmitRequest, TaskKey,
};
use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::{JobId, JobSpec, TaskId, ValidJobSpec, limits, signal};

use crate::commands::dead_list;
use crate::commands::dead_selection::SelectionArgs;
use crate::exit::Failure;
use crate::input::job_file::{self, parse_disconnect, parse_grace, parse_pull, parse_timeout};
use crate::input::job_flags::{self, JobFlags, ManyFlags};
use crate::input::pairs;
use crate::output::{say, show};
use crate::settings::Settings;
use crate::submitting::Submitting;
use crate::views::dead::{NewJobView, NewJobs, ReplayedView};

#[derive(Debug, Clone, clap::Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Change the spec (repeatable): image, name, cpu, memory, gpu, storage, priority, max_attempts, processes_max, open_files, shm,
    /// timeout, queue_timeout, stop_signal, grace, user, network, pull, on_disconnect, env.NAME
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pairs::parse)]
    set: Vec<(String, String)>,
    /// Take the spec from a job file instead of the old job; `-` for standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
}

pub async fn run(settings: &Settings, args: &ReplayArgs) -> Result<(), Failure> {
    let selection = args.selection.selection(settings)?;
    if args.set.is_empty() && args.file.is_none() {
        return as_they_are(settings, args, selection).await;
    }
    // A mistake costs no round trip.
    let file = args.file.as_deref().map(job_file::read).transpose()?;
    let flags = flags(&args.set)?;
    let client = settings.client()?;
    let request = ListDeadRequest {
        namespace: selection.namespace.clone(),
        job: selection.job,
        index: selection.index,
        reasons: selection.reasons,
        ..Default::default()
    };
    let limit = args.selection.limit.unwrap_or(limits::DEAD_BATCH_MAX as u32);
    let (tasks, more) = dead_list::pages(settings, &client, request, limit).await?;
    if tasks.is_empty() {
        return Err(nothing_selected());
    }
    let mut old: BTreeMap<u64, JobSpec> = BTreeMap::new();
    let mut made = vec![];
    for task in tasks {
        let had = match old.get(&task.job_id) {
            Some(spec) => spec.clone(),
            None => old.entry(task.job_id).or_insert(spec_of(settings, &client, &task).await?).clone(),
        };
        let spec = changed(had, file.as_ref().map(|file| &file.spec), &flags, &task)?;
        let submit =
            SubmitRequest { request_id: cloudai_client::request_id(), namespace: task.namespace, spec: Some(spec) };
        let replay_of = Some(TaskKey { job_id: task.job_id, index: task.index });
        let submitting = Submitting::begin(settings)?;
        let reply = submitting.client().submit_replay(SubmitReplayRequest { submit: Some(submit), replay_of }).await;
        let reply = submitting.end(reply).await?;
        let task = TaskId { job: JobId(task.job_id), index: task.index };
        made.push(NewJobView { replay_of: task.to_string(), id: JobId(reply.job_id).to_string() });
    }
    if more {
        say(format!("the first {} of them; the same command again takes the next", made.len()));
    }
    show(settings.format, &NewJobs(made))
}

async fn as_they_are(settings: &Settings, args: &ReplayArgs, selection: DeadSelection) -> Result<(), Failure> {
    let client = settings.client()?;
    let mut view = ReplayedView::default();
    while let Some(limit) = args.selection.next_batch(view.replayed) {
        let reply = client.replay_dead(DeadSelection { limit, ..selection.clone() }).await?;
        view.replayed += reply.replayed;
        // Those that were refused are still there, and are met again.
        view.refused = reply.refused;
        if !reply.more || reply.replayed == 0 {
            break;
        }
    }
    show(settings.format, &view)
}

fn nothing_selected() -> Failure {
    Failure::new(crate::exit::Code::NotFound, "not_found", "no such task is in the dead-letter queue")
        .next("list what is there with `cloudai dead list`")
}

async fn spec_of(settings: &Settings, client: &Client, task: &DeadTask) -> Result<JobSpec, Failure> {
    let request = GetJobRequest {
        namespace: task.namespace.clone(),
        job: JobId(task.job_id).to_string(),
        consistency: settings.consistency(),
        ..Default::default()
    };
    Ok(client.get_job(request).await?.spec.unwrap_or_default())
}

/// The spec of the new job: what the old job or a file says, with what is set. Of how many tasks this one was one stays as it was: a
/// program may choose its part by that and by its index.
fn changed(had: JobSpec, file: Option<&JobSpec>, flags: &JobFlags, task: &DeadTask) -> Result<JobSpec, Failure> {
    let count = had.count;
    let mut spec = file.cloned().unwrap_or(had);
    job_flags::overlay(flags, &ManyFlags::default(), &mut spec)?;
    spec.count = count;
    let of = TaskId { job: JobId(task.job_id), index: task.index };
    let valid = ValidJobSpec::parse(spec).map_err(|e| {
        let faults: Vec<String> = e.faults.iter().map(|f| format!("  {f}")).collect();
        Failure::invalid(format!("the changed spec of task {of} is not valid")).why(faults.join("\n"))
    })?;
    Ok(valid.into_inner())
}

/// `--set FIELD=VALUE` in the words of a job file, as the flags that mean the same.
fn flags(set: &[(String, String)]) -> Result<JobFlags, Failure> {
    let mut flags = JobFlags::default();
    for (field, value) in set {
        let wrong = |why: String| Failure::invalid(format!("--set {field}={value} is not valid")).why(why);
        let number = || value.parse::<u32>().map_err(|_| wrong(format!("'{value}' is no whole number")));
        let size = || parse_size(value).map_err(|e| wrong(e.to_string()));
        match field.as_str() {
            "image" => flags.image = Some(value.clone()),
            "name" => flags.name = Some(value.clone()),
            "cpu" => flags.cpu = Some(parse_cpu(value).map_err(|e| wrong(e.to_string()))?),
            "memory" => flags.memory = Some(size()?),
            "storage" => flags.storage = Some(size()?),
            "gpu" => flags.gpu = Some(number()?),
            "max_attempts" => flags.max_attempts = Some(number()?),
            "processes_max" => flags.processes_max = Some(number()?),
            "open_files" => flags.open_files = Some(number()?),
            "shm" => flags.shm = Some(size()?),
            "timeout" => flags.timeout = Some(parse_timeout(value).map_err(wrong)?),
            "queue_timeout" => flags.queue_timeout = Some(parse_timeout(value).map_err(wrong)?),
            "stop_signal" => flags.stop_signal = Some(signal::parse(value).map_err(wrong)?),
            "grace" => flags.grace = Some(parse_grace(value).map_err(wrong)?),
            "user" => flags.user = Some(value.clone()),
            "network" => flags.network = Some(value.clone()),
            "pull" => flags.pull = Some(parse_pull(value).map_err(wrong)?),
            "on_disconnect" => flags.on_disconnect = Some(parse_disconnect(value).map_err(wrong)?),
            "priority" => {
                let priority = value.parse::<i32>().map_err(|_| wrong(format!("'{value}' is no whole number")))?;
                flags.priority = Some(priority);
            }
            other => match other.strip_prefix("env.") {
                Some(name) if !name.is_empty() => flags.env.push(format!("{name}={value}")),
                Some(_) | None => {
                    return Err(wrong(format!("'{other}' is no field that can be set here"))
                        .next("`cloudai dead replay --help` lists the fields; -f FILE takes a whole job file"));
                }
            },
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Resources;

    fn set(words: &[&str]) -> Result<JobFlags, Failure> {
        flags(&words.iter().map(|word| pairs::parse(word).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn a_changed_spec_is_still_of_as_many_tasks() {
        let old = JobSpec {
            image: "busybox".into(),
            count: 1_000,
            resources: Resources { cpu_milli: 500, memory_bytes: 1 << 30, ..Resources::default() },
            env: BTreeMap::from([("MODE".to_owned(), "fast".to_owned())]),
            ..JobSpec::default()
        };
        let task = DeadTask { job_id: 5, index: 7, ..DeadTask::default() };
        let flags =
            set(&["memory=4g", "env.MODE=slow", "max_attempts=2", "grace=30s", "stop_signal=INT", "shm=1g"]).unwrap();
        let new = changed(old.clone(), None, &flags, &task).unwrap();
        assert_eq!((new.count, new.max_attempts, new.env["MODE"].as_str()), (1_000, 2, "slow"));
        assert_eq!((new.grace_ms, new.stop_signal, new.shm_bytes), (30_000, 2, 1 << 30));
        assert_eq!((new.resources.memory_bytes, new.resources.cpu_milli), (4 << 30, 500));
        let file = JobSpec { image: "other".into(), count: 3, ..JobSpec::default() };
        let new = changed(old, Some(&file), &flags, &task).unwrap();
        assert_eq!((new.image.as_str(), new.count, new.resources.cpu_milli), ("other", 1_000, 0));
        let bad = changed(JobSpec::default(), None, &set(&["priority=5000"]).unwrap(), &task).unwrap_err();
        assert_eq!(bad.code.number(), 2);
        assert!(bad.why.contains("priority:"), "{}", bad.why);
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        for word in [
            "colour=red",
            "env.=x",
            "memory=lots",
            "cpu=many",
            "gpu=-1",
            "priority=high",
            "timeout=0",
            "pull=often",
            "grace=0s",
        ] {
            let told = set(&[word]).unwrap_err();
            assert!(told.code.number() == 2 && told.what.contains(word), "{word}: {told:?}");
        }
    }
}
