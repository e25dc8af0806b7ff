//! What "each exactly once" means, as functions over the command line's answers. Comes in: jobs as `job show` prints them. Goes
//! out: every violation, in words.

use crate::views::{AttemptView, JobView};

/// The attempts that came to an end of their own: a lost one never did, as far as the cluster knows.
fn ended(attempts: &[AttemptView]) -> usize {
    attempts.iter().filter(|a| a.state == "Exited").count()
}

/// Each task `Succeeded`, by exactly one attempt that ended; earlier ones, if any, were lost. Numbers only grow.
pub fn every_task_succeeded_once(job: &JobView, tasks: usize) -> Vec<String> {
    let mut wrong = vec![];
    if job.state != "Succeeded" {
        wrong.push(format!("job {} is {}, not Succeeded", job.id, job.state));
    }
    if job.tasks.len() != tasks {
        wrong.push(format!("job {} shows {} tasks, not {tasks}", job.id, job.tasks.len()));
    }
    for (at, task) in job.tasks.iter().enumerate() {
        let name = format!("task {}/{}", job.id, task.index);
        if task.index != at as u64 {
            wrong.push(format!("{name} stands at place {at}"));
        }
        if task.state != "Succeeded" {
            wrong.push(format!("{name} is {}", task.state));
        }
        let (done, lost) = (ended(&task.attempts), task.attempts.iter().filter(|a| a.state == "Lost").count());
        if done != 1 || done + lost != task.attempts.len() {
            wrong.push(format!("{name} has {done} ended and {lost} lost of {} attempts", task.attempts.len()));
        }
        if !task.attempts.windows(2).all(|pair| pair[0].number < pair[1].number) {
            wrong.push(format!("{name}'s attempt numbers do not grow"));
        }
    }
    wrong
}

/// No attempt was ever lost or repeated: what a leader's death alone must not cause.
pub fn no_task_ran_twice(job: &JobView) -> Vec<String> {
    let twice = job.tasks.iter().filter(|t| t.attempts.len() != 1);
    twice.map(|t| format!("task {}/{} had {} attempts", job.id, t.index, t.attempts.len())).collect()
}

/// Fails with the first few of them.
pub fn none(what: &str, wrong: &[String]) -> anyhow::Result<()> {
    if !wrong.is_empty() {
        let first: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
        anyhow::bail!("{what}: {} violations\n  {}", wrong.len(), first.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::TaskView;

    fn attempt(number: u64, state: &str) -> AttemptView {
        AttemptView { number, worker: None, state: state.into(), reason: None, usage: None }
    }
    fn job(attempts: Vec<AttemptView>) -> JobView {
        JobView {
            id: "J".into(),
            name: "n".into(),
            state: "Succeeded".into(),
            counts: Default::default(),
            tasks: vec![TaskView { index: 0, state: "Succeeded".into(), attempts }],
        }
    }

    #[test]
    fn one_ending_is_once_and_a_lost_attempt_before_it_is_allowed() {
        assert_eq!(every_task_succeeded_once(&job(vec![attempt(1, "Exited")]), 1), Vec::<String>::new());
        let retried = job(vec![attempt(1, "Lost"), attempt(2, "Exited")]);
        assert_eq!(every_task_succeeded_once(&retried, 1), Vec::<String>::new());
        assert_eq!(no_task_ran_twice(&retried).len(), 1);
    }

    #[test]
    fn two_endings_none_a_live_one_and_a_missing_task_are_found() {
        assert_eq!(every_task_succeeded_once(&job(vec![attempt(1, "Exited"), attempt(2, "Exited")]), 1).len(), 1);
        assert_eq!(every_task_succeeded_once(&job(vec![]), 1).len(), 1);
        assert_eq!(every_task_succeeded_once(&job(vec![attempt(1, "Exited"), attempt(2, "Running")]), 1).len(), 1);
        assert_eq!(every_task_succeeded_once(&job(vec![attempt(2, "Lost"), attempt(1, "Exited")]), 1).len(), 1);
        assert_eq!(every_task_succeeded_once(&job(vec![attempt(1, "Exited")]), 2).len(), 1);
    }
}
