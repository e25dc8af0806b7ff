//! GPUs as NVIDIA's management library tells of them: against a stand-in that is compiled here, and against the machine's own library
//! where there is one.

// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use cloudai_worker::nvidia::{Nvidia, Reading, model_label};
use cloudai_worker::{ExecutorKind, WorkerConfig};
use support::*;

/// The stand-in, compiled. `None`: there is no C compiler, and it was said.
fn stub(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stub_nvml.c");
    let library = dir.join("libnvidia-ml-stub.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source).output();
    match built {
        Ok(out) => {
            assert!(out.status.success(), "the stand-in does not compile: {}", String::from_utf8_lossy(&out.stderr));
            Some(library)
        }
        Err(error) => {
            eprintln!("NOT RUN: no C compiler for the stand-in of NVIDIA's library ({error}); install gcc");
            None
        }
    }
}

#[test]
fn two_gpus_are_found_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = stub(dir.path()) else { return };
    let nvidia = Nvidia::load(Some(&library)).unwrap();
    let gpus = nvidia.gpus().unwrap();
    let told: Vec<_> = gpus.iter().map(|g| (g.uuid.as_str(), g.model.as_str(), g.memory_bytes >> 30)).collect();
    let expected = [
        ("GPU-11111111-aaaa-bbbb-cccc-000000000001", "Stub Accelerator 9", 16),
        ("GPU-22222222-aaaa-bbbb-cccc-000000000002", "Stub Accelerator 9", 16),
    ];
    assert_eq!(told, expected);
    assert_eq!(model_label(&gpus).as_deref(), Some("Stub-Accelerator-9"));
    let reading = |busy, gib: u64, celsius| Reading {
        busy,
        memory_used_bytes: Some(gib << 30),
        temperature_celsius: Some(celsius),
    };
    assert_eq!(nvidia.read(&gpus[0]), reading(Some(0.37), 1, 41));
    assert_eq!(nvidia.read(&gpus[1]), reading(None, 2, 42), "what it does not say is not made up");
    let gone = cloudai_worker::nvidia::Gpu { uuid: "GPU-gone".into(), ..gpus[0].clone() };
    assert_eq!(nvidia.read(&gone), Reading::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_offers_the_gpus_that_it_finds_and_names_their_model() {
    let cluster = Cluster::new();
    let Some(library) = stub(cluster.dir.path()) else { return };
    let leader = Master::start(&cluster, "m1").await;
    let config = Worker::config(&cluster, &[&leader], ExecutorKind::Noop);
    let mut worker = Worker::start(WorkerConfig { nvml_library: library.clone(), ..config });
    leader.until_connected().await;
    {
        let table = cluster.table.lock().unwrap();
        let hello = table.hellos.last().unwrap();
        assert_eq!(hello.capacity.as_ref().unwrap().gpus, 2);
        assert_eq!(hello.labels.get("gpu.model").map(String::as_str), Some("Stub-Accelerator-9"));
    }
    worker.stop().await.unwrap();

    // What its operator says counts more: one is kept, and the model has a name of theirs.
    let again = WorkerConfig {
        join_token: None,
        reserve: "gpu=1".into(),
        labels: [("gpu.model".to_owned(), "ours".to_owned())].into(),
        ..worker.config.clone()
    };
    let mut worker = Worker::start(again);
    cluster.until("it is back", |t| t.hellos.len() == 2).await;
    {
        let table = cluster.table.lock().unwrap();
        let hello = table.hellos.last().unwrap();
        assert_eq!(hello.capacity.as_ref().unwrap().gpus, 1);
        assert_eq!(hello.labels["gpu.model"], "ours");
    }
    worker.stop().await.unwrap();

    // A library that cannot be used is no reason not to work.
    let none = WorkerConfig { nvml_library: "/nowhere.so".into(), reserve: String::new(), ..worker.config.clone() };
    let mut worker = Worker::start(none);
    cluster.until("it is back", |t| t.hellos.len() == 3).await;
    assert_eq!(cluster.table.lock().unwrap().hellos.last().unwrap().capacity.as_ref().unwrap().gpus, 0);
    worker.stop().await.unwrap();
}

/// What a real card says must be possible. Prints it, for the page that says what ran on real hardware.
#[test]
fn the_machines_own_gpus_say_what_is_possible() {
    let nvidia = match Nvidia::load(None) {
        Ok(nvidia) => nvidia,
        Err(error) => {
            eprintln!("NOT RUN: this machine has no usable NVIDIA driver ({error})");
            return;
        }
    };
    let gpus = nvidia.gpus().unwrap();
    println!("{} GPUs, label {:?}", gpus.len(), model_label(&gpus));
    for gpu in &gpus {
        let reading = nvidia.read(gpu);
        println!("{gpu:?}: {reading:?}");
        assert!(gpu.uuid.starts_with("GPU-") && !gpu.model.is_empty(), "{gpu:?}");
        assert!(gpu.memory_bytes > 1 << 30, "{gpu:?}");
        assert!(reading.busy.is_none_or(|b| (0.0..=1.0).contains(&b)), "{reading:?}");
        assert!(reading.memory_used_bytes.is_some_and(|used| used <= gpu.memory_bytes), "{reading:?}");
        assert!(reading.temperature_celsius.is_none_or(|c| (1..130).contains(&c)), "{reading:?}");
    }
    let mut uuids: Vec<_> = gpus.iter().map(|g| &g.uuid).collect();
    uuids.sort();
    uuids.dedup();
    assert_eq!(uuids.len(), gpus.len(), "each has a name of its own");
}
