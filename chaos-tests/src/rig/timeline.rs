//! What was done to the cluster and when, on the same axis as the histories. Comes in: faults as they begin and end. Goes out: bands for
//! the plot, and spans for the checks.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::clock;

/// A fault while it was in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    pub what: String,
    pub from_ns: u64,
    /// None: it lasted to the end.
    pub to_ns: Option<u64>,
    /// How it proved itself: "pid 712 is gone", "nft dropped 1204 packets".
    pub proof: String,
}

/// Acknowledged submits in one slice of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    pub at_ns: u64,
    pub acknowledged: u32,
}

/// Cheap to clone; clones share the bands.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    bands: Arc<Mutex<Vec<Band>>>,
}

/// Names a band that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandId(usize);

impl Timeline {
    pub fn begin(&self, what: impl Into<String>) -> BandId {
        let mut bands = self.lock();
        bands.push(Band { what: what.into(), from_ns: clock::now_ns(), to_ns: None, proof: String::new() });
        BandId(bands.len() - 1)
    }

    pub fn prove(&self, band: BandId, proof: impl Into<String>) {
        self.lock()[band.0].proof = proof.into();
    }

    /// The first end counts.
    pub fn end(&self, band: BandId) {
        self.lock()[band.0].to_ns.get_or_insert_with(clock::now_ns);
    }

    pub fn bands(&self) -> Vec<Band> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Band>> {
        self.bands.lock().expect("nothing panics while it is held")
    }
}

/// Counts acknowledgements per slice, from the first to the last.
pub fn points(acknowledged_ns: &[u64], slice_ns: u64) -> Vec<Point> {
    let (Some(first), Some(last)) = (acknowledged_ns.iter().min(), acknowledged_ns.iter().max()) else { return vec![] };
    let slices = (last - first) / slice_ns + 1;
    let mut points: Vec<Point> = (0..slices).map(|n| Point { at_ns: first + n * slice_ns, acknowledged: 0 }).collect();
    for at in acknowledged_ns {
        points[((at - first) / slice_ns) as usize].acknowledged += 1;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_point_too() {
        let counts: Vec<u32> = points(&[100, 105, 135], 10).iter().map(|p| p.acknowledged).collect();
        assert_eq!(counts, [2, 0, 0, 1]);
        assert_eq!(points(&[], 10), []);
    }

    #[test]
    fn a_band_ends_once() {
        let timeline = Timeline::default();
        let band = timeline.begin("m1 killed");
        timeline.end(band);
        let first = timeline.bands()[0].to_ns;
        timeline.end(band);
        assert_eq!((timeline.bands()[0].to_ns, first.is_some()), (first, true));
    }
}
