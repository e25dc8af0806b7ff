//! What this machine has. Comes in: the operating system's answers and the operator's overrides. Goes out: [`Resources`].

use std::path::Path;

use cloudai_types::Resources;
use cloudai_types::resources::{AmountError, DIMENSIONS, parse_cpu, parse_size};

/// `cpu=64,memory=256GiB,storage=1TiB,gpu=4`: each part instead of what was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CapacityOverride {
    pub cpu_milli: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub storage_bytes: Option<u64>,
    pub gpus: Option<u32>,
}

impl CapacityOverride {
    /// The same as amounts; what is not named is nothing.
    pub fn as_amounts(&self) -> Resources {
        Resources {
            cpu_milli: self.cpu_milli.unwrap_or(0),
            memory_bytes: self.memory_bytes.unwrap_or(0),
            storage_bytes: self.storage_bytes.unwrap_or(0),
            gpus: self.gpus.unwrap_or(0),
        }
    }
}

/// More is to be kept for the machine itself than it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "reserve: it keeps more {dimension} than this worker has ({reserved} of {capacity}): nothing would be left for tasks; reserve less, or give the capacity"
)]
pub struct ReserveError {
    pub dimension: &'static str,
    pub reserved: Resources,
    pub capacity: Resources,
}

/// What tasks may have of a capacity, of which a part is kept for the machine itself.
pub fn allocatable(capacity: &Resources, reserved: &Resources) -> Result<Resources, ReserveError> {
    let each = DIMENSIONS.into_iter().zip(reserved.dimensions().into_iter().zip(capacity.dimensions()));
    for (dimension, (keep, has)) in each {
        if keep > has {
            return Err(ReserveError { dimension, reserved: *reserved, capacity: *capacity });
        }
    }
    Ok(capacity.minus(reserved))
}

/// Why a text is no capacity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    #[error("'{0}' is no part of a capacity: write for example cpu=64,memory=256GiB,storage=1TiB,gpu=4")]
    Part(String),
    #[error("'{0}' is named twice")]
    Twice(String),
    #[error(transparent)]
    Amount(#[from] AmountError),
    #[error("'{0}' is no number of GPUs")]
    Gpus(String),
}

/// An empty text overrides nothing.
pub fn parse_capacity(text: &str) -> Result<CapacityOverride, CapacityError> {
    fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), CapacityError> {
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(CapacityError::Twice(key.to_owned())),
        }
    }
    let mut out = CapacityOverride::default();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| CapacityError::Part(part.to_owned()))?;
        match key.trim() {
            "cpu" => once(&mut out.cpu_milli, key, parse_cpu(value)?)?,
            "memory" => once(&mut out.memory_bytes, key, parse_size(value)?)?,
            "storage" => once(&mut out.storage_bytes, key, parse_size(value)?)?,
            "gpu" | "gpus" => {
                let n = value.trim().parse().map_err(|_| CapacityError::Gpus(value.to_owned()))?;
                once(&mut out.gpus, key, n)?;
            }
            _ => return Err(CapacityError::Part(part.to_owned())),
        }
    }
    Ok(out)
}

/// Looks at the machine. `data_dir` says which disk counts as storage.
/// `gpus`: how many the management library named.
pub fn detect(data_dir: &Path, gpus: usize, over: &CapacityOverride) -> Resources {
    Resources {
        cpu_milli: over.cpu_milli.unwrap_or_else(cpus),
        memory_bytes: over.memory_bytes.unwrap_or_else(memory),
        storage_bytes: over.storage_bytes.unwrap_or_else(|| storage(data_dir)),
        gpus: over.gpus.unwrap_or(u32::try_from(gpus).unwrap_or(u32::MAX)),
    }
}

fn cpus() -> u64 {
    // Respects the affinity and the cgroup quota of this process.
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64 * 1000
}

/// 0 where the system cannot be asked: the worker then gets no task that asks for memory, and its operator sees why.
fn memory() -> u64 {
    let mut system = match sysinfo::System::new() {
        Ok(system) => system,
        Err(error) => {
            tracing::warn!(?error, "this machine's memory is not known; give it as capacity");
            return 0;
        }
    };
    system.refresh_memory();
    let total = system.total_memory();
    system.cgroup_limits().map_or(total, |c| if c.total_memory > 0 { total.min(c.total_memory) } else { total })
}

/// Free space of the disk that holds the data directory, in bytes; 0 where the system cannot be asked.
fn storage(data_dir: &Path) -> u64 {
    let path = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let Ok(disks) = sysinfo::Disks::new_with_refreshed_list() else { return 0 };
    let holding = disks.iter().filter(|d| path.starts_with(d.mount_point()));
    holding.max_by_key(|d| d.mount_point().components().count()).map_or(0, sysinfo::Disk::available_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_parse_in_parts() {
        assert_eq!(parse_capacity(""), Ok(CapacityOverride::default()));
        let all = parse_capacity("cpu=64, memory=256GiB,storage=1t,gpu=4").unwrap();
        assert_eq!(all.cpu_milli, Some(64_000));
        assert_eq!(all.memory_bytes, Some(256 << 30));
        assert_eq!(all.storage_bytes, Some(1 << 40));
        assert_eq!(all.gpus, Some(4));
        for bad in ["cpu", "cpus=1", "cpu=1,cpu=2", "memory=x", "gpu=-1"] {
            assert!(parse_capacity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_reserved_is_not_for_tasks() {
        let amounts = |text| parse_capacity(text).unwrap().as_amounts();
        let capacity = amounts("cpu=4,memory=8GiB,gpu=1");
        assert_eq!(allocatable(&capacity, &amounts("")), Ok(capacity));
        assert_eq!(allocatable(&capacity, &amounts("cpu=0.5,memory=2GiB")), Ok(amounts("cpu=3.5,memory=6GiB,gpu=1")));
        assert_eq!(allocatable(&capacity, &capacity), Ok(Resources::default()), "a worker that takes nothing");
        let error = allocatable(&capacity, &amounts("cpu=1,memory=9GiB")).unwrap_err();
        assert_eq!(error.dimension, "memory");
        let text = error.to_string();
        assert!(text.starts_with("reserve:") && text.contains("memory 9.0 GiB of cpu 4, memory 8.0 GiB"), "{text}");
    }

    #[test]
    fn a_machine_has_something_and_an_override_wins() {
        let found = detect(Path::new("."), 2, &CapacityOverride::default());
        assert!(found.cpu_milli >= 1000 && found.memory_bytes > 0 && found.gpus == 2);
        let over = parse_capacity("memory=1g").unwrap();
        let told = detect(Path::new("."), 0, &over);
        assert_eq!((told.memory_bytes, told.cpu_milli), (1 << 30, found.cpu_milli));
    }
}
