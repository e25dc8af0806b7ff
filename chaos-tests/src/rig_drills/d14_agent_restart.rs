//! D14: a worker's agent is killed again and again, while its containers run on. Each time the next one adopts them: nothing runs twice, exit
//! codes and logs are kept. Real containers.
//!
//! The other half, the engine itself killed, comes with later work.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cloudai_proto::v1::{AttemptPhase, TaskInfo, TaskState};
use cloudai_types::{JobId, JobSpec, OnDisconnect, Resources};

use super::{Drill, Size, work};
use crate::engine::{self, Starts};
use crate::rig::outcome::valid;
use crate::rig::preflight::Need;
use crate::rig::{Options, Report, Rig};
use crate::transcript::say;
use crate::wait;

const KILLS: u32 = 5;
const KILLS_SHORT: u32 = 2;
const TASKS: u32 = 6;
const LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Odd tasks end with this.
const CODE: i32 = 3;
const VICTIM: &str = "w1";

pub const DRILL: Drill = Drill {
    id: "D14",
    name: "agent restart",
    injects: "SIGKILL to a worker's agent five times while its containers run",
    must_hold: "all containers adopted: no task runs twice, every exit code and log is kept",
    needs: &[Need::Docker],
    options,
    load: |_| None,
    run,
};

fn options(_: Size) -> Options {
    Options { workers: 2, ..Options::docker() }
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, _: u64) -> anyhow::Result<()> {
    engine::images()?;
    let cluster = rig.status(LIMIT)?.cluster_id;
    let starts = Starts::watch(&cluster)?;
    let kills = if size == Size::Full { KILLS } else { KILLS_SHORT };
    let client = rig.client(LIMIT)?;
    // Longer than all the kills together.
    let seconds = 6 + 3 * kills;
    let script = format!(
        "echo begin $CLOUDAI_TASK_INDEX; sleep {seconds}; echo end; exit $(( (CLOUDAI_TASK_INDEX % 2) * {CODE} ))"
    );
    let spec = JobSpec {
        name: "adopted".into(),
        image: "cloudai/busybox".into(),
        command: ["sh", "-c", &script].map(str::to_owned).to_vec(),
        resources: Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Resources::default() },
        count: TASKS,
        on_disconnect: OnDisconnect::Continue as i32,
        ..JobSpec::default()
    };
    let job = work::submit(rig, &client, spec)?;
    let running = work::all_run(rig, &client, job)?;
    let held = running.iter().filter(|t| work::place(t) == VICTIM).count();
    valid(held > 0, || format!("{VICTIM} runs no task"))?;
    for round in 0..kills {
        let containers = containers(&cluster)?;
        valid(containers.len() == held, || format!("{} containers of {held} tasks run on {VICTIM}", containers.len()))?;
        rig.kill(VICTIM)?;
        std::thread::sleep(Duration::from_millis(500));
        let after = self::containers(&cluster)?;
        ensure!(after == containers, "containers of a killed agent changed: {containers:?}, then {after:?}");
        rig.start(VICTIM)?;
        rig.wait_workers(LIMIT)?;
        say(format!("     {} of {kills}: {VICTIM} killed and back, {held} containers run on", round + 1));
        std::thread::sleep(Duration::from_secs(1));
    }
    let tasks = wait::until("the end of all tasks", LIMIT, LOOK_EVERY, || {
        let tasks = work::tasks(rig, &client, job)?;
        Ok(tasks.iter().all(crate::checker::results::has_ended).then_some(tasks))
    })?;
    report.measured("kills", kills);
    report.measured("containers that were adopted", held);
    report.none("tasks that ran twice or ended otherwise", &wrong_ends(&tasks));
    let started = starts.so_far();
    let twice: Vec<String> =
        started.iter().filter(|(_, n)| **n != 1).map(|(name, n)| format!("{name} was started {n} times")).collect();
    report.none("containers started more than once", &twice);
    report.require("containers started", started.len() == TASKS as usize, started.len(), TASKS);
    report.none("logs that are not whole", &wrong_logs(rig, job)?);
    wait::until("no container left", LIMIT, LOOK_EVERY, || {
        let left = engine::containers(&[&format!("cloudai.cluster={cluster}"), "cloudai.attempt"], false)?;
        Ok(left.is_empty().then_some(()))
    })
}

fn containers(cluster: &str) -> anyhow::Result<Vec<String>> {
    let labels = [format!("cloudai.cluster={cluster}"), format!("cloudai.worker={VICTIM}")];
    let mut names = engine::containers(&[&labels[0], &labels[1], "cloudai.attempt"], true)?;
    names.sort();
    Ok(names)
}

fn wrong_ends(tasks: &[TaskInfo]) -> Vec<String> {
    let mut wrong = vec![];
    for task in tasks {
        let code = task.index as i32 % 2 * CODE;
        let wanted = if code == 0 { TaskState::Succeeded } else { TaskState::Failed };
        let only = task.attempts.first().filter(|_| task.attempts.len() == 1);
        let as_it_ended = only.is_some_and(|a| {
            a.phase() == AttemptPhase::Exited && a.reason.as_ref().is_some_and(|r| r.exit_code == Some(code))
        });
        if task.state() != wanted || !as_it_ended {
            wrong.push(format!("task {} is {:?} with {:?}", task.index, task.state(), task.attempts));
        }
    }
    wrong
}

fn wrong_logs(rig: &Rig, job: JobId) -> anyhow::Result<Vec<String>> {
    let cli = rig.cli();
    let mut wrong = vec![];
    for index in 0..TASKS {
        let name = format!("{job}/{index}");
        let text = cli.ok(&["task", "logs", &name]).with_context(|| format!("no log of {name}"))?.stdout;
        let expected = format!("begin {index}\nend\n");
        if text != expected {
            wrong.push(format!("{name}: {text:?}"));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_more_and_another_code_are_wrong() {
        let ended = |index: u32, code: i32, attempts: usize| {
            let reason = Some(cloudai_types::EndReason::exit(code));
            let attempt =
                cloudai_proto::v1::AttemptInfo { phase: AttemptPhase::Exited as i32, reason, ..Default::default() };
            let state = if code == 0 { TaskState::Succeeded } else { TaskState::Failed } as i32;
            TaskInfo { index, state, attempts: vec![attempt; attempts], ..TaskInfo::default() }
        };
        assert!(wrong_ends(&[ended(0, 0, 1), ended(1, CODE, 1)]).is_empty());
        assert_eq!(wrong_ends(&[ended(0, 0, 2), ended(1, 0, 1), ended(2, 137, 1)]).len(), 3);
    }
}
