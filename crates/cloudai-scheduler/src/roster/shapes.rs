//! What is remembered of each shape: what it asks for, and whether it fits nowhere. Comes in: shapes as passes meet them. Goes out: the same
//! again. A pass meets shapes mostly in the order of their numbers, thousands of them, so each look begins where the last one ended.

use cloudai_core::hot::ShapeId;

use super::Ask;

#[derive(Clone, Debug, Default)]
pub(super) struct KnownShapes {
    /// In the order of their numbers.
    known: Vec<Known>,
    /// The place of the last one that was found.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    shape: ShapeId,
    ask: Ask,
    /// It fitted nowhere, since when no worker gained anything.
    is_full: bool,
}

impl KnownShapes {
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn ask(&mut self, shape: ShapeId) -> Option<Ask> {
        self.find(shape).map(|known| known.ask)
    }

    pub fn is_full(&mut self, shape: ShapeId) -> bool {
        self.find(shape).is_some_and(|known| known.is_full)
    }

    pub fn insert(&mut self, shape: ShapeId, ask: Ask) {
        let place = self.known.partition_point(|known| known.shape < shape);
        match self.known.get_mut(place).filter(|known| known.shape == shape) {
            Some(known) => known.ask = ask,
            None => self.known.insert(place, Known { shape, ask, is_full: false }),
        }
    }

    pub fn set_full(&mut self, shape: ShapeId) {
        if let Some(known) = self.find(shape) {
            known.is_full = true;
        }
    }

    /// Some worker has gained something.
    pub fn none_is_full(&mut self) {
        self.known.iter_mut().for_each(|known| known.is_full = false);
    }

    pub fn clear(&mut self) {
        *self = KnownShapes::default();
    }

    fn find(&mut self, shape: ShapeId) -> Option<&mut Known> {
        let is_there = |at: usize| self.known.get(at).is_some_and(|known| known.shape == shape);
        self.at = match self.at {
            at if is_there(at) => at,
            at if is_there(at + 1) => at + 1,
            _ => self.known.binary_search_by_key(&shape, |known| known.shape).ok()?,
        };
        self.known.get_mut(self.at)
    }
}
