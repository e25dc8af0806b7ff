//! How far a pull is. Comes in: what the engine says of it, line by line. Goes out: whether that was progress, and bytes. Pure.
//!
//! Progress is what cannot go on for ever without an end: a layer that comes further than it ever was, in its state or in bytes. An engine that says
//! the same again, counts seconds down to its next try, or begins a layer anew more than a few times makes none.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::CreateImageInfo;
use cloudai_types::limits;

#[derive(Default)]
pub struct Progress {
    layers: BTreeMap<String, Layer>,
    /// What was said of the pull as a whole.
    said: BTreeSet<String>,
    /// Bytes that came from the registry, those that came twice included.
    pub fetched: u64,
}

#[derive(Default)]
struct Layer {
    /// The furthest state so far, and the bytes in it.
    stage: Stage,
    bytes: u64,
    /// Of the download.
    done: u64,
    total: Option<u64>,
    restarts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
enum Stage {
    #[default]
    Known,
    Waiting,
    Downloading,
    Verifying,
    Downloaded,
    Extracting,
    Here,
}

impl Stage {
    fn of(status: &str) -> Option<Stage> {
        Some(match status {
            "Pulling fs layer" => Stage::Known,
            "Waiting" => Stage::Waiting,
            "Downloading" => Stage::Downloading,
            "Verifying Checksum" => Stage::Verifying,
            "Download complete" => Stage::Downloaded,
            "Extracting" => Stage::Extracting,
            "Pull complete" | "Already exists" => Stage::Here,
            _ => return None,
        })
    }
}

impl Progress {
    /// True when the pull has come further.
    pub fn on(&mut self, step: &CreateImageInfo) -> bool {
        let status = step.status.as_deref().unwrap_or_default();
        let (Some(id), Some(stage)) = (&step.id, Stage::of(status)) else {
            // "Retrying in 4 seconds" is said each second of a layer, with its id.
            let is_new = step.id.is_none() || !self.layers.contains_key(step.id.as_deref().unwrap_or_default());
            return is_new && self.said.len() < limits::PULL_LAYERS_MAX && self.said.insert(status.to_owned());
        };
        if !self.layers.contains_key(id) {
            if self.layers.len() >= limits::PULL_LAYERS_MAX {
                return false;
            }
            let layer = self.layers.entry(id.clone()).or_default();
            self.fetched += layer.on(stage, step);
            return true;
        }
        let layer = self.layers.get_mut(id).expect("looked at above");
        let before = (layer.stage, layer.bytes, layer.restarts);
        self.fetched += layer.on(stage, step);
        let after = (layer.stage, layer.bytes, layer.restarts);
        after.0 > before.0
            || (after.0 == before.0 && after.1 > before.1)
            || (after.2 > before.2 && after.2 <= limits::PULL_RESTARTS_MAX)
    }

    /// Bytes that are here, and all, of the layers whose size is known.
    pub fn bytes(&self) -> (u64, u64) {
        let sized = self.layers.values().filter_map(|l| l.total.map(|total| (l.done.min(total), total)));
        sized.fold((0, 0), |(done, all), (d, t)| (done + d, all + t))
    }
}

impl Layer {
    /// Returns the bytes that came.
    fn on(&mut self, stage: Stage, step: &CreateImageInfo) -> u64 {
        let detail = step.progress_detail.as_ref();
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        let current = detail.and_then(|d| number(d.current)).unwrap_or(0);
        let mut came = 0;
        if stage == Stage::Downloading {
            if let Some(total) = detail.and_then(|d| number(d.total)).filter(|t| *t > 0) {
                self.total = Some(total);
            }
            if current < self.done && self.stage == Stage::Downloading {
                self.restarts += 1;
                // Only so often: after that it must come further than it ever was.
                if self.restarts <= limits::PULL_RESTARTS_MAX {
                    self.bytes = current;
                }
                came = current;
            } else {
                came = current.saturating_sub(self.done);
            }
            self.done = current;
        }
        if stage >= Stage::Downloaded
            && let Some(total) = self.total
        {
            came = total.saturating_sub(self.done);
            self.done = total;
        }
        if stage > self.stage {
            self.stage = stage;
            self.bytes = current;
        } else if stage == self.stage {
            self.bytes = self.bytes.max(current);
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;
    use proptest::prelude::*;

    fn step(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        CreateImageInfo {
            id: (!id.is_empty()).then(|| id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
            ..Default::default()
        }
    }

    #[test]
    fn a_pull_as_engines_tell_it() {
        let mut p = Progress::default();
        let mut tell = |id: &str, status: &str, current, total| p.on(&step(id, status, current, total));
        assert!(tell("1", "Pulling from team/x", 0, 0));
        assert!(tell("aa", "Pulling fs layer", 0, 0));
        assert!(tell("bb", "Already exists", 0, 0));
        assert!(tell("aa", "Downloading", 10, 100));
        assert!(tell("aa", "Downloading", 43, 100));
        assert!(!tell("aa", "Downloading", 43, 100), "it repeats itself");
        assert!(!tell("aa", "Retrying in 5 seconds", 0, 0));
        assert!(!tell("aa", "Retrying in 4 seconds", 0, 0));
        assert!(tell("aa", "Verifying Checksum", 0, 0));
        assert!(tell("aa", "Download complete", 0, 0));
        assert!(tell("aa", "Extracting", 50, 100));
        assert!(tell("aa", "Extracting", 100, 100));
        assert!(tell("aa", "Pull complete", 0, 0));
        assert!(tell("", "Digest: sha256:1", 0, 0));
        assert!(!tell("", "Digest: sha256:1", 0, 0));
        assert_eq!((p.bytes(), p.fetched), ((100, 100), 100));
    }

    #[test]
    fn a_layer_begins_anew_only_so_often() {
        let mut p = Progress::default();
        p.on(&step("a", "Downloading", 90, 100));
        for _ in 0..limits::PULL_RESTARTS_MAX {
            assert!(p.on(&step("a", "Downloading", 1, 100)));
            assert!(p.on(&step("a", "Downloading", 90, 100)));
        }
        assert!(!p.on(&step("a", "Downloading", 1, 100)));
        assert!(!p.on(&step("a", "Downloading", 90, 100)));
        assert!(p.on(&step("a", "Downloading", 91, 100)));
    }

    proptest! {
        /// Whatever is said, it is progress only a bounded number of times: said again and again, none of it is.
        #[test]
        fn an_engine_that_repeats_itself_makes_no_progress(
            steps in prop::collection::vec((0u8..3, 0usize..8, 0i64..50), 1..30)
        ) {
            let words = ["Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Extracting",
                         "Pull complete", "Retrying in 3 seconds", "Something new"];
            let mut p = Progress::default();
            let mut last = 0;
            for round in 0..20 {
                for (id, word, current) in &steps {
                    if p.on(&step(&format!("l{id}"), words[*word], *current, 100)) {
                        last = round;
                    }
                    let (done, all) = p.bytes();
                    prop_assert!(done <= all);
                }
            }
            prop_assert!(last < 15, "still progress in round {last}");
        }
    }
}
