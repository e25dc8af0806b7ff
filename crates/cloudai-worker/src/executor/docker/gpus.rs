//! Which attempt has which GPU: without this, two tasks that ask for one GPU each would get the same one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cloudai_types::AttemptId;

use super::UNPOISONED;

pub struct Gpus {
    /// Device ids as the engine takes them, all that tasks may get.
    devices: Vec<String>,
    held: Mutex<BTreeMap<String, AttemptId>>,
}

impl Gpus {
    pub fn new(devices: Vec<String>) -> Self {
        Gpus { devices, held: Mutex::new(BTreeMap::new()) }
    }

    /// The first free ones; `None` when there are not enough.
    pub fn allocate(&self, attempt: AttemptId, wanted: u32) -> Option<Vec<String>> {
        let mut held = self.held.lock().expect(UNPOISONED);
        let free = self.devices.iter().filter(|d| !held.contains_key(*d));
        let free: Vec<String> = free.take(wanted as usize).cloned().collect();
        if free.len() < wanted as usize {
            return None;
        }
        held.extend(free.iter().map(|d| (d.clone(), attempt)));
        Some(free)
    }

    /// Of a container that was found. One that an older worker made names its GPUs by their place.
    pub fn take(&self, attempt: AttemptId, devices: &[String]) {
        let known = |device: &String| {
            let place: Option<usize> = device.parse().ok();
            place.and_then(|n| self.devices.get(n)).unwrap_or(device).clone()
        };
        self.held.lock().expect(UNPOISONED).extend(devices.iter().map(|d| (known(d), attempt)));
    }

    pub fn release(&self, attempt: AttemptId) {
        self.held.lock().expect(UNPOISONED).retain(|_, a| *a != attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;
    use proptest::prelude::*;

    fn id(n: u32) -> AttemptId {
        AttemptId::new(JobId(1), n, 1)
    }

    fn devices(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn no_gpu_is_held_twice() {
        let gpus = Gpus::new(devices(&["GPU-a", "GPU-b", "GPU-c"]));
        gpus.take(id(9), &devices(&["GPU-b"]));
        assert_eq!(gpus.allocate(id(0), 2), Some(devices(&["GPU-a", "GPU-c"])));
        assert_eq!(gpus.allocate(id(1), 1), None);
        assert_eq!(gpus.allocate(id(1), 0), Some(vec![]));
        gpus.release(id(9));
        assert_eq!(gpus.allocate(id(1), 1), Some(devices(&["GPU-b"])));
    }

    #[test]
    fn what_an_older_worker_gave_by_its_place_is_held_as_well() {
        let gpus = Gpus::new(devices(&["GPU-a", "GPU-b"]));
        gpus.take(id(9), &devices(&["0"]));
        assert_eq!(gpus.allocate(id(0), 1), Some(devices(&["GPU-b"])));
        assert_eq!(gpus.allocate(id(1), 1), None);
    }

    proptest! {
        #[test]
        fn whoever_comes_and_goes_no_gpu_has_two_holders(steps in prop::collection::vec((0u32..6, 0u32..4, any::<bool>()), 1..60)) {
            let all = devices(&["GPU-a", "GPU-b", "GPU-c", "GPU-d"]);
            let gpus = Gpus::new(all.clone());
            let mut model: BTreeMap<u32, Vec<String>> = BTreeMap::new();
            for (attempt, wanted, comes) in steps {
                if !comes {
                    gpus.release(id(attempt));
                    model.remove(&attempt);
                } else if !model.contains_key(&attempt) {
                    let free = all.len() - model.values().map(Vec::len).sum::<usize>();
                    let got = gpus.allocate(id(attempt), wanted);
                    prop_assert_eq!(got.is_some(), free >= wanted as usize);
                    if let Some(got) = got {
                        prop_assert_eq!(got.len(), wanted as usize);
                        prop_assert!(model.values().flatten().all(|d| !got.contains(d)));
                        model.insert(attempt, got);
                    }
                }
            }
        }
    }
}
