//! What this machine and the attempts on it use, once a second: the only reader of both, for all who want to know. Comes in: the system, the
//! GPUs' library, the executor's meter. Goes out: the newest [`pb::UsageSample`], to whoever subscribes. Who that is, and what is kept of it, is
//! not known here; nothing is decided by a sample.
//!
//! Everything is read on a thread that may wait: a disk that hangs or a slow driver delays samples, and never the worker's loop with its lease.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cloudai_proto::v1 as pb;
use cloudai_telemetry::disk_of;
use cloudai_types::{Timestamp, limits};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::cpu_rates::CpuRates;
use crate::executor::{AttemptReading, Meter};
use crate::nvidia::{Gpu, Nvidia, Reading};
use crate::tasks::Tasks;

const UNPOISONED: &str = "nothing panics under this lock";

/// What is read.
pub struct Sources {
    /// On the disk that counts as storage.
    pub data_dir: PathBuf,
    /// The library and what it names, where there is one.
    pub gpus: Option<(Nvidia, Vec<Gpu>)>,
    /// `None`: the executor does not know what attempts use, and no sample names any.
    pub attempts: Option<Arc<dyn Meter>>,
}

/// Hands out what is read. Reading goes on for as long as the worker runs, also when nobody subscribes.
pub struct Sampler(watch::Receiver<Arc<pb::UsageSample>>);

impl Sampler {
    pub fn start(sources: Sources, tasks: &Tasks) -> Sampler {
        let (newest, samples) = watch::channel(Arc::default());
        let gpus = Gpus::watch(sources.gpus, tasks);
        let hands = Hands {
            system: sysinfo::System::new().ok(),
            data_dir: sources.data_dir,
            attempts: sources.attempts,
            rates: CpuRates::default(),
        };
        tasks.spawn(sample(hands, gpus, newest));
        Sampler(samples)
    }

    /// The newest sample; before the first there is an empty one, whose `at_ms` is 0. Who looks seldom misses samples and holds up nobody.
    pub fn subscribe(&self) -> watch::Receiver<Arc<pb::UsageSample>> {
        self.0.clone()
    }
}

async fn sample(mut hands: Hands, gpus: Gpus, newest: watch::Sender<Arc<pb::UsageSample>>) {
    let mut ticks = tokio::time::interval(limits::SAMPLE_PERIOD.as_duration());
    // After a suspension one sample is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first look tells what CPUs did since the machine has started, which is not the last second.
    ticks.tick().await;
    hands.look_first();
    loop {
        ticks.tick().await;
        let read = tokio::task::spawn_blocking(move || {
            let looked = hands.look();
            (hands, looked)
        });
        // A worker that stops ends its threads.
        let Ok((kept, looked)) = read.await else { return };
        hands = kept;
        let sample = pb::UsageSample { gpus: gpus.last(clock::mono()), ..looked };
        newest.send_replace(Arc::new(sample));
    }
}

/// What is needed to look, and what is remembered of the last look.
struct Hands {
    /// `None`: the system cannot be asked, as was said where the capacity was looked for.
    system: Option<sysinfo::System>,
    data_dir: PathBuf,
    attempts: Option<Arc<dyn Meter>>,
    rates: CpuRates,
}

impl Hands {
    fn look_first(&mut self) {
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
        }
    }

    fn look(&mut self) -> pb::UsageSample {
        let machine = self.machine();
        let read = self.attempts.as_ref().map(|meter| meter.read(limits::TELEMETRY_ATTEMPTS_MAX)).unwrap_or_default();
        let attempts = attempts(&read.attempts, &mut self.rates, clock::mono());
        pb::UsageSample {
            at_ms: clock::wall().0,
            machine: Some(machine),
            gpus: vec![],
            attempts,
            attempts_left_out: read.left_out,
        }
    }

    fn machine(&mut self) -> pb::MachineUsage {
        let disk = disk_of(&self.data_dir);
        let mut usage = pb::MachineUsage {
            storage_free_bytes: disk.map(|d| d.free),
            storage_total_bytes: disk.map(|d| d.total),
            ..Default::default()
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            let cpus = system.cpus().len();
            // A system that says 0 does not say.
            let known = |bytes: u64| (bytes > 0).then_some(bytes);
            usage.cpu_millicores = (cpus > 0).then(|| (system.global_cpu_usage() * 10.0 * cpus as f32).round() as u32);
            usage.cpu_total_millicores = (cpus > 0).then(|| u32::try_from(cpus * 1_000).unwrap_or(u32::MAX));
            usage.memory_used_bytes = known(system.used_memory());
            usage.memory_total_bytes = known(system.total_memory());
        }
        usage
    }
}

fn attempts(read: &[AttemptReading], rates: &mut CpuRates, now: Timestamp) -> Vec<pb::AttemptUsage> {
    let millicores = rates.next(now, read.iter().map(|r| (r.attempt, r.cpu_micros)));
    let each = read.iter().zip(millicores);
    each.map(|(r, cpu_millicores)| pb::AttemptUsage {
        job: r.attempt.task.job.0,
        index: r.attempt.task.index,
        number: r.attempt.number,
        cpu_millicores,
        memory_bytes: r.memory_bytes,
        storage_bytes: r.storage_bytes,
    })
    .collect()
}

/// The GPUs' last reading. They are read by a loop of their own, and less often: their library may wait for the driver.
struct Gpus {
    known: Arc<[Gpu]>,
    read: Arc<Mutex<GpusRead>>,
}

#[derive(Default)]
struct GpusRead {
    at: Timestamp,
    readings: Vec<Reading>,
}

impl Gpus {
    fn watch(found: Option<(Nvidia, Vec<Gpu>)>, tasks: &Tasks) -> Gpus {
        let read = Arc::new(Mutex::new(GpusRead::default()));
        let Some((nvidia, gpus)) = found.filter(|(_, gpus)| !gpus.is_empty()) else {
            return Gpus { known: [].into(), read };
        };
        let known: Arc<[Gpu]> = gpus.into();
        let (nvidia, asked, written) = (Arc::new(nvidia), known.clone(), read.clone());
        tasks.spawn(async move {
            loop {
                let (nvidia, asked) = (nvidia.clone(), asked.clone());
                let reading = tokio::task::spawn_blocking(move || asked.iter().map(|g| nvidia.read(g)).collect());
                if let Ok(readings) = reading.await {
                    *written.lock().expect(UNPOISONED) = GpusRead { at: clock::mono(), readings };
                }
                tokio::time::sleep(limits::GPU_READ_PERIOD.as_duration()).await;
            }
        });
        Gpus { known, read }
    }

    fn last(&self, now: Timestamp) -> Vec<pb::GpuUsage> {
        gpus(&self.known, &self.read.lock().expect(UNPOISONED), now)
    }
}

/// Each GPU is named always; what it does is absent while its driver is silent.
fn gpus(known: &[Gpu], read: &GpusRead, now: Timestamp) -> Vec<pb::GpuUsage> {
    let is_fresh = now - read.at <= limits::GPU_READING_OLD;
    let one = |(n, gpu): (usize, &Gpu)| {
        let reading = read.readings.get(n).filter(|_| is_fresh).copied().unwrap_or_default();
        pb::GpuUsage {
            uuid: gpu.uuid.clone(),
            model: gpu.model.clone(),
            busy_millis: reading.busy.map(|share| (share * 1_000.0).round() as u32),
            memory_used_bytes: reading.memory_used_bytes,
            memory_total_bytes: (gpu.memory_bytes > 0).then_some(gpu.memory_bytes),
            celsius: reading.temperature_celsius,
        }
    };
    known.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Readings;
    use cloudai_types::{AttemptId, JobId};

    fn id(index: u32) -> AttemptId {
        AttemptId::new(JobId(7), index, 1)
    }

    /// One attempt that has used a tenth of a second of CPU more at each look.
    struct Ticking(Mutex<u64>);

    impl Meter for Ticking {
        fn read(&self, most: usize) -> Readings {
            let mut micros = self.0.lock().unwrap();
            *micros += 100_000;
            let one = AttemptReading {
                attempt: id(0),
                cpu_micros: Some(*micros),
                memory_bytes: Some(5),
                storage_bytes: None,
            };
            Readings { attempts: vec![one][..most.min(1)].to_vec(), left_out: 3 }
        }
    }

    #[tokio::test]
    async fn a_sample_tells_of_the_machine_and_of_each_attempt() {
        let tasks = Tasks::default();
        let sources =
            Sources { data_dir: std::env::temp_dir(), gpus: None, attempts: Some(Arc::new(Ticking(Mutex::new(1)))) };
        let sampler = Sampler::start(sources, &tasks);
        let mut samples = sampler.subscribe();
        assert_eq!(samples.borrow().at_ms, 0, "nothing was read yet");
        samples.changed().await.unwrap();
        let first = samples.borrow_and_update().clone();
        assert_eq!(first.attempts[0].cpu_millicores, None, "nobody knows since when");
        samples.changed().await.unwrap();
        let second = samples.borrow_and_update().clone();
        tasks.end().await;
        let machine = second.machine.unwrap();
        assert!(second.at_ms > first.at_ms);
        assert!(machine.cpu_millicores.unwrap() <= machine.cpu_total_millicores.unwrap());
        assert!(machine.memory_used_bytes.unwrap() <= machine.memory_total_bytes.unwrap());
        assert!(machine.storage_free_bytes.unwrap() <= machine.storage_total_bytes.unwrap());
        assert_eq!((second.attempts.len(), second.attempts_left_out), (1, 3));
        let attempt = &second.attempts[0];
        assert_eq!((attempt.job, attempt.index, attempt.number), (7, 0, 1));
        assert!(attempt.cpu_millicores.unwrap() > 0);
        assert_eq!((attempt.memory_bytes, attempt.storage_bytes), (Some(5), None));
    }

    #[test]
    fn a_gpu_is_named_also_while_its_driver_is_silent() {
        let known = [Gpu { uuid: "GPU-1".into(), model: "m".into(), memory_bytes: 100 }];
        let reading = Reading { busy: Some(0.4), memory_used_bytes: Some(7), temperature_celsius: Some(65) };
        let read = GpusRead { at: Timestamp(50_000), readings: vec![reading] };
        let at = |ms| gpus(&known, &read, Timestamp(ms)).remove(0);
        let fresh = at(55_000);
        assert_eq!((fresh.busy_millis, fresh.memory_used_bytes, fresh.celsius), (Some(400), Some(7), Some(65)));
        assert_eq!((fresh.uuid.as_str(), fresh.memory_total_bytes), ("GPU-1", Some(100)));
        let old = at(50_000 + limits::GPU_READING_OLD.0 + 1);
        assert_eq!((old.busy_millis, old.memory_used_bytes, old.celsius), (None, None, None));
        assert_eq!(old.memory_total_bytes, Some(100));
        assert_eq!(gpus(&known, &GpusRead::default(), Timestamp(1))[0].busy_millis, None, "before the first reading");
    }
}
