//! How busy the machine was when. Comes in: jobs, when each started, the machine's size. Goes out: its utilisation in equal parts of the
//! time from the first submission to the last ending. What is drawn of it is deliberately not known here.

use cloudai_types::limits;

use crate::engine::Run;
use crate::trace::Job;

/// Utilisation in equal steps.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Timeline {
    pub step_s: f64,
    /// 0 to 1 for each step; at most [`limits::REPLAY_TIMELINE_STEPS_MAX`] of them.
    pub used: Vec<f64>,
}

impl Timeline {
    /// Of a whole schedule.
    pub fn of(jobs: &[Job], run: &Run, capacity: u32) -> Timeline {
        let first_s = jobs.iter().map(|job| job.submit_s).min().unwrap_or(0);
        let ends_s = jobs.iter().zip(&run.start_s).map(|(job, start_s)| start_s + job.run_s);
        let span_s = ends_s.max().unwrap_or(first_s) - first_s;
        if span_s == 0 {
            return Timeline::default();
        }
        // No step is shorter than a second: there is nothing between two of them.
        let steps = (limits::REPLAY_TIMELINE_STEPS_MAX as u64).min(span_s) as usize;
        let step_s = span_s as f64 / steps as f64;
        let mut busy = vec![0.0; steps];
        for (job, start_s) in jobs.iter().zip(&run.start_s) {
            let (from_s, to_s) = ((start_s - first_s) as f64, (start_s - first_s + job.run_s) as f64);
            let within = (from_s / step_s) as usize..=((to_s / step_s) as usize).min(steps - 1);
            for step in within {
                let (begin_s, end_s) = (step as f64 * step_s, (step + 1) as f64 * step_s);
                busy[step] += (to_s.min(end_s) - from_s.max(begin_s)).max(0.0) * f64::from(job.processors);
            }
        }
        let available = step_s * f64::from(capacity);
        Timeline { step_s, used: busy.into_iter().map(|busy| busy / available).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(submit_s: u64, run_s: u64, processors: u32) -> Job {
        Job {
            id: submit_s,
            submit_s,
            run_s,
            requested_s: run_s,
            processors,
            user: 0,
            deadline_s: None,
            parents: vec![],
        }
    }

    #[test]
    fn a_short_schedule_has_a_step_for_each_second() {
        let jobs = [job(100, 2, 4), job(101, 3, 2)];
        let run = Run { start_s: vec![100, 102], ..Run::default() };
        assert_eq!(Timeline::of(&jobs, &run, 4), Timeline { step_s: 1.0, used: vec![1.0, 1.0, 0.5, 0.5, 0.5] });
        assert_eq!(Timeline::of(&[], &Run::default(), 4), Timeline::default());
    }

    #[test]
    fn a_long_one_keeps_its_work_whatever_the_steps_are() {
        let jobs: Vec<Job> = (0..500).map(|i| job(i * 37, 1 + i * 7919 % 5_003, 1 + (i % 3) as u32)).collect();
        let run = Run { start_s: jobs.iter().map(|job| job.submit_s).collect(), ..Run::default() };
        let timeline = Timeline::of(&jobs, &run, 1_000);
        assert_eq!(timeline.used.len(), limits::REPLAY_TIMELINE_STEPS_MAX);
        let work: u64 = jobs.iter().map(|job| job.run_s * u64::from(job.processors)).sum();
        let drawn = timeline.used.iter().sum::<f64>() * timeline.step_s * 1_000.0;
        assert!((drawn / work as f64 - 1.0).abs() < 1e-9, "{drawn} of {work}");
    }
}
