//! The least that any shape asks for, in each dimension by itself. Comes in: the shapes of the view, each once. Goes out: a request that fits
//! wherever any of them fits. Where not even that fits, a pass need not look at what waits any more, be it of ten thousand shapes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudai_core::hot::{Shape, ShapeId};

use super::Ask;
use crate::index::{Offer, Room};
use crate::require::{Needs, UNTAINTED};

#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    offer: Offer,
    /// Shapes with lower numbers were taken in. Numbers are given once, in ascending order.
    next: ShapeId,
    /// Shapes that were taken in, and of which some are gone: the floor may be too low by them, and is never too high.
    shapes: usize,
    /// It fitted on no worker, since when none gained anything.
    pub fits_nowhere: bool,
}

impl Default for Floor {
    fn default() -> Self {
        let nothing = Offer { room: [u64::MAX; _], marks: UNTAINTED };
        Floor { offer: nothing, next: ShapeId(0), shapes: 0, fits_nowhere: false }
    }
}

impl Floor {
    /// True when one of those that were not known before lowers it.
    pub fn take_in(&mut self, shapes: &BTreeMap<ShapeId, (Arc<Shape>, u32)>) -> bool {
        let before = self.offer;
        for (id, (shape, _)) in shapes.range(self.next..) {
            let [cpu, memory, storage, gpus] = shape.resources.dimensions();
            let room: Room = [cpu, memory, storage, gpus, 1];
            self.offer.room.iter_mut().zip(room).for_each(|(least, asked)| *least = asked.min(*least));
            if !Needs::only_untainted(shape) {
                self.offer.marks = 0;
            }
            self.next = ShapeId(id.0.saturating_add(1));
            self.shapes += 1;
        }
        self.offer != before
    }

    /// Those that were taken in since the floor was made.
    pub fn shapes(&self) -> usize {
        self.shapes
    }

    pub fn ask(&self) -> Ask {
        Ask { offer: self.offer, require: None, is_gang: false, by_rules: None }
    }
}
