//! Workflows: a task starts when its parents have ended and not before. Real runs of WfCommons, and one small graph by hand.

#![allow(clippy::unwrap_used)]

mod traces;

use std::io::Write;

use cloudai_replay::{Format, Metrics, Run, Setup, Trace, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;

fn run(trace: &Trace, capacity: u32, policy: &str) -> Run {
    let setup = Setup { capacity, order: order::by_name(policy).unwrap(), backfill: Backfill::Easy, predict: true };
    // The schedule is checked against the parents before it comes back.
    replay(&trace.jobs, &setup).unwrap()
}

fn makespan_s(trace: &Trace, run: &Run) -> u64 {
    Metrics::of(&[(&trace.jobs, run)]).makespan_s as u64
}

/// The longest chain of run times: no schedule is shorter. Parents are asked for again and again, which small graphs allow.
fn critical_path_s(trace: &Trace) -> u64 {
    let mut ends_s = vec![0; trace.jobs.len()];
    loop {
        let before = ends_s.clone();
        for (place, job) in trace.jobs.iter().enumerate() {
            let ready_s = job.parents.iter().map(|parent| ends_s[*parent as usize]).max().unwrap_or(0);
            ends_s[place] = ready_s + job.run_s;
        }
        if ends_s == before {
            return ends_s.into_iter().max().unwrap_or(0);
        }
    }
}

fn read(text: &str, format: Format) -> Trace {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Trace::read(file.path(), format).unwrap()
}

#[test]
fn a_diamond_waits_for_both_its_sides() {
    let trace = read(
        "{\"id\": 1, \"submit_s\": 0, \"run_s\": 10}\n\
         {\"id\": 2, \"submit_s\": 0, \"run_s\": 30, \"after\": [1]}\n\
         {\"id\": 3, \"submit_s\": 0, \"run_s\": 20, \"after\": [1]}\n\
         {\"id\": 4, \"submit_s\": 0, \"run_s\": 5, \"after\": [2, 3]}\n",
        Format::Jsonl,
    );
    let wide = run(&trace, 2, "fcfs");
    assert_eq!((wide.start_s, wide.ready_s), (vec![0, 10, 10, 40], vec![0, 10, 10, 40]));
    let narrow = run(&trace, 1, "fcfs");
    assert_eq!((narrow.start_s, narrow.ready_s), (vec![0, 10, 40, 60], vec![0, 10, 10, 60]));
    assert_eq!(run(&trace, 1, "sjf").start_s, [0, 30, 10, 60], "shortest first among what is ready");
}

#[test]
fn wfformat_is_read_with_parents_and_rounded_run_times() {
    let trace = read(
        r#"{"workflow": {"specification": {"tasks": [{"id": "b", "parents": ["a"], "children": []}, {"id": "a"}]},
            "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1.2, "coreCount": 2}, {"id": "b", "runtimeInSeconds": 0}]}}}"#,
        Format::WfCommons,
    );
    let told: Vec<_> = trace.jobs.iter().map(|j| (j.id, j.run_s, j.processors, j.parents.as_slice())).collect();
    assert_eq!(told, [(1, 1, 1, &[1][..]), (2, 2, 2, &[])]);
}

#[test]
fn real_workflows_take_their_critical_path_and_no_less_than_their_work() {
    let Some(folder) = traces::folder("real_workflows") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder.join("wfinstances")).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
    files.sort();
    assert_eq!(files.len(), 8, "every published instance");
    for path in files {
        let trace = Trace::read(&path, Format::WfCommons).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let work_s: u64 = trace.jobs.iter().map(|job| job.run_s * u64::from(job.processors)).sum();
        let path_s = critical_path_s(&trace);
        let roomy = trace.jobs.iter().map(|job| job.processors).sum();
        assert_eq!(makespan_s(&trace, &run(&trace, roomy, "fcfs")), path_s, "{}: nobody has to wait", path.display());
        let widest = trace.jobs.iter().map(|job| job.processors).max().unwrap();
        for capacity in [widest, widest + 3, widest + 12] {
            for policy in ["fcfs", "aged_area"] {
                let took_s = makespan_s(&trace, &run(&trace, capacity, policy));
                assert!(took_s >= path_s.max(work_s.div_ceil(u64::from(capacity))), "{}: {took_s} s", path.display());
                assert!(took_s <= work_s, "{}: it never idles while something is ready", path.display());
            }
        }
    }
}
