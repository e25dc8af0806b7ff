//! Workloads from models: one seed, one file, to the byte; what is written is read back; and a published sample of Lublin's model looks
//! like ours. The distributions themselves are tested beside the models.

#![allow(clippy::unwrap_used)]

mod traces;

use std::io::Write;

use cloudai_replay::{Format, Job, Model, Setup, Trace, Workload, WriteError, replay};
use cloudai_scheduler::backfill::Backfill;
use cloudai_scheduler::order;
use proptest::prelude::*;

fn written(workload: &Workload, format: Format) -> Vec<u8> {
    let mut bytes = vec![];
    workload.generate().unwrap().write(format, &workload.notes(), &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8], format: Format) -> Trace {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Trace::read(file.path(), format).unwrap()
}

fn workload() -> impl Strategy<Value = Workload> {
    let load = prop::option::of(0.1f64..2.0);
    (prop::sample::select(Model::ALL.to_vec()), 1usize..400, 1u32..600, any::<u64>(), load)
        .prop_map(|(model, jobs, nodes, seed, load)| Workload { model, jobs, nodes, seed, load })
}

proptest! {
    #[test]
    fn one_seed_is_one_file_and_another_seed_another(w in workload()) {
        for format in [Format::Swf, Format::Jsonl] {
            let bytes = written(&w, format);
            prop_assert_eq!(&bytes, &written(&w, format));
            let other = Workload { seed: w.seed.wrapping_add(1), ..w };
            prop_assert!(bytes != written(&other, format) || w.jobs < 10);
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_can_be_replayed(w in workload()) {
        let made = w.generate().unwrap();
        prop_assert_eq!((made.jobs.len(), made.processors), (w.jobs, Some(w.nodes)));
        prop_assert_eq!(&read(&written(&w, Format::Swf), Format::Swf), &made);
        prop_assert_eq!(&read(&written(&w, Format::Jsonl), Format::Jsonl).jobs, &made.jobs);
        let setup = Setup { capacity: w.nodes, order: order::ALL[0], backfill: Backfill::Easy, predict: true };
        replay(&made.jobs, &setup).unwrap();
    }
}

/// Computed by a program of its own from the same formulas, in another language.
#[test]
fn a_seed_means_the_same_for_ever() {
    let text = |model| {
        let w = Workload { model, jobs: 3, nodes: 100, seed: 1, load: None };
        String::from_utf8(written(&w, Format::Swf)).unwrap()
    };
    let rows = |model| text(model).lines().skip(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        text(Model::Lublin).lines().take(4).collect::<Vec<_>>(),
        [
            "; Version: 2.2",
            "; MaxJobs: 3",
            "; MaxProcs: 100",
            "; Note: made by cloudai sim generate --model lublin --jobs 3 --nodes 100 --seed 1"
        ]
    );
    assert_eq!(
        rows(Model::Poisson),
        [
            "1 29 -1 1056 1 -1 -1 1 1056 -1 1 0 -1 -1 -1 -1 -1 -1",
            "2 30 -1 2920 1 -1 -1 1 2920 -1 1 0 -1 -1 -1 -1 -1 -1",
            "3 72 -1 974 1 -1 -1 1 974 -1 1 0 -1 -1 -1 -1 -1 -1",
        ]
    );
    assert_eq!(
        rows(Model::DeepRm),
        [
            "1 60 -1 180 20 -1 -1 20 180 -1 1 0 -1 -1 -1 -1 -1 -1",
            "2 240 -1 60 10 -1 -1 10 60 -1 1 0 -1 -1 -1 -1 -1 -1",
            "3 300 -1 180 80 -1 -1 80 180 -1 1 0 -1 -1 -1 -1 -1 -1",
        ]
    );
    assert_eq!(
        rows(Model::Lublin),
        [
            "1 261 -1 10069 8 -1 -1 8 10069 -1 1 0 -1 -1 -1 -1 -1 -1",
            "2 324 -1 24 2 -1 -1 2 24 -1 1 0 -1 -1 -1 -1 -1 -1",
            "3 22594 -1 2 1 -1 -1 1 2 -1 1 0 -1 -1 -1 -1 -1 -1",
        ]
    );
}

#[test]
fn a_format_without_a_place_for_something_refuses_it() {
    let job = |id, deadline_s, parents| Job {
        id,
        submit_s: 0,
        run_s: 5,
        requested_s: 9,
        processors: 2,
        user: 0,
        deadline_s,
        parents,
    };
    let workflow = Trace { jobs: vec![job(4, None, vec![]), job(7, Some(60), vec![0])], ..Trace::default() };
    let mut out = vec![];
    assert!(matches!(workflow.write(Format::Swf, &[], &mut out), Err(WriteError::NoColumn)));
    assert!(matches!(workflow.write(Format::WfCommons, &[], &mut out), Err(WriteError::ReadOnly)));
    assert_eq!(out, b"");
    workflow.write(Format::Jsonl, &[], &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out.clone()).unwrap(),
        "{\"id\":4,\"submit_s\":0,\"run_s\":5,\"requested_s\":9,\"processors\":2,\"user\":\"0\"}\n\
         {\"id\":7,\"submit_s\":0,\"run_s\":5,\"requested_s\":9,\"processors\":2,\"user\":\"0\",\"after\":[4],\"deadline_s\":60}\n"
    );
    assert_eq!(read(&out, Format::Jsonl), workflow);
}

/// Serial jobs, powers of two above 1, mean logarithm of the run times, mean and standard deviation of that of the gaps, and the mean hour of
/// submission in a day that begins at five.
fn likeness(trace: &Trace) -> [f64; 6] {
    let n = trace.jobs.len() as f64;
    let share = |is: fn(&Job) -> bool| trace.jobs.iter().filter(|job| is(job)).count() as f64 / n;
    let runs = trace.jobs.iter().map(|job| (job.run_s as f64).ln()).sum::<f64>() / n;
    let gaps = trace.jobs.windows(2).map(|pair| pair[1].submit_s - pair[0].submit_s).filter(|gap_s| *gap_s > 0);
    let gaps: Vec<f64> = gaps.map(|gap_s| (gap_s as f64).ln()).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    let powers = share(|job| job.processors > 1 && job.processors.is_power_of_two());
    let hours = trace.jobs.iter().map(|job| (job.submit_s + 19 * 3_600) % 86_400).sum::<u64>() as f64 / 3_600.0 / n;
    [share(|job| job.processors == 1), powers, runs, mean, variance.sqrt(), 5.0 + hours]
}

#[test]
fn ours_looks_like_the_published_sample() {
    let Some(folder) = traces::folder("ours_looks_like_the_published_sample") else { return };
    let published = likeness(&traces::swf(&folder, "swf/lublin_1.swf.gz"));
    let w = Workload { model: Model::Lublin, jobs: 10_000, nodes: 256, seed: 1, load: None };
    let ours = likeness(&w.generate().unwrap());
    eprintln!("published {published:.3?}, ours {ours:.3?}");
    for (place, tolerance) in [0.02, 0.02, 0.1, 0.1, 0.1, 1.0].into_iter().enumerate() {
        assert!((published[place] - ours[place]).abs() < tolerance, "figure {place}: {published:?} and {ours:?}");
    }
}
