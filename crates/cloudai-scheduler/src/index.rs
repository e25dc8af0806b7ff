//! Workers in the order of their rank, with bounds that let a search skip those that cannot fit. Comes in: keys
//! (rank, seat) and what each seat has room for. Goes out: the first seat in order that a task fits. It knows neither
//! policies nor workers.
//!
//! The order is cut into chunks of at most [`CHUNK_MAX`] seats. Each chunk carries an upper bound of its seats' room in
//! every dimension and the union of their marks. A bound may be too large (a removal leaves it as it is) and is made exact
//! when a search walked the chunk in vain; so a full cluster costs one look per chunk. Measured against a heap per shape:
//! that needs to be built again for each shape in each pass, 10,000 workers × 100 shapes.

/// Dimensions of room: those of `Resources`, and attempts.
pub(crate) const DIMENSIONS: usize = 5;
/// Room of a seat, or what a task asks of it.
pub(crate) type Room = [u64; DIMENSIONS];

const CHUNK_MAX: usize = 64;

/// One seat's (or chunk's) room and marks; a mark is a bit for a label requirement that it meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offer {
    pub room: Room,
    pub marks: u64,
}

impl Offer {
    /// True when a task that asks for `ask` may go here, as far as room and marks tell.
    pub fn admits(&self, ask: &Offer) -> bool {
        ask.marks & !self.marks == 0 && (0..DIMENSIONS).all(|d| ask.room[d] <= self.room[d])
    }

    fn join(&mut self, other: &Offer) {
        for d in 0..DIMENSIONS {
            self.room[d] = self.room[d].max(other.room[d]);
        }
        self.marks |= other.marks;
    }
}

#[derive(Clone, Debug)]
struct Chunk {
    /// At least what any seat of the chunk offers.
    bound: Offer,
    /// True when `bound` is the join of the seats' offers.
    exact: bool,
    /// Sorted, never empty.
    keys: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    chunks: Vec<Chunk>,
    /// First key of each chunk, apart from it for a quick search.
    firsts: Vec<u64>,
    len: usize,
}

pub(crate) fn key(rank: u32, seat: u32) -> u64 {
    u64::from(rank) << 32 | u64::from(seat)
}

pub(crate) fn seat_of(key: u64) -> u32 {
    key as u32
}

pub(crate) fn rank_of(key: u64) -> u32 {
    (key >> 32) as u32
}

impl Index {
    /// From keys in any order.
    pub fn build(mut keys: Vec<u64>, offers: &[Offer]) -> Self {
        keys.sort_unstable();
        Self::from_sorted(&keys, offers)
    }

    fn from_sorted(keys: &[u64], offers: &[Offer]) -> Self {
        let mut index = Index { len: keys.len(), ..Index::default() };
        // Half full, so that the first insertions do not split every chunk.
        for part in keys.chunks(CHUNK_MAX / 2) {
            index.firsts.push(part[0]);
            index.chunks.push(Chunk { bound: joined(part, offers), exact: true, keys: part.to_vec() });
        }
        index
    }

    pub fn insert(&mut self, key: u64, offers: &[Offer]) {
        self.len += 1;
        let offer = &offers[seat_of(key) as usize];
        if self.chunks.is_empty() {
            self.firsts.push(key);
            self.chunks.push(Chunk { bound: *offer, exact: true, keys: vec![key] });
            return;
        }
        let at = self.locate(key);
        let chunk = &mut self.chunks[at];
        let place = chunk.keys.partition_point(|k| *k < key);
        chunk.keys.insert(place, key);
        chunk.bound.join(offer);
        self.firsts[at] = chunk.keys[0];
        if chunk.keys.len() > CHUNK_MAX {
            let upper = chunk.keys.split_off(CHUNK_MAX / 2);
            let bound = joined(&upper, offers);
            chunk.exact = false;
            self.firsts.insert(at + 1, upper[0]);
            self.chunks.insert(at + 1, Chunk { bound, exact: true, keys: upper });
        }
    }

    /// Without effect when the key is not there.
    pub fn remove(&mut self, key: u64, offers: &[Offer]) {
        if self.chunks.is_empty() {
            return;
        }
        let at = self.locate(key);
        let chunk = &mut self.chunks[at];
        let Ok(place) = chunk.keys.binary_search(&key) else { return };
        chunk.keys.remove(place);
        chunk.exact = false;
        self.len -= 1;
        if chunk.keys.is_empty() {
            self.chunks.remove(at);
            self.firsts.remove(at);
        } else {
            self.firsts[at] = chunk.keys[0];
        }
        // Chunks split and never merge; when too many are thin, they are cut anew.
        if self.chunks.len() > 16 + self.len / 8 {
            let keys: Vec<u64> = self.chunks.iter().flat_map(|c| &c.keys).copied().collect();
            *self = Self::from_sorted(&keys, offers);
        }
    }

    /// The seat's offer changed and its key did not.
    pub fn touch(&mut self, key: u64, offer: &Offer) {
        if !self.chunks.is_empty() {
            let at = self.locate(key);
            self.chunks[at].bound.join(offer);
            self.chunks[at].exact = false;
        }
    }

    /// The first seat, in order from `from` on, that admits `ask` and passes `also`.
    pub fn first_fit(
        &mut self,
        from: u64,
        ask: &Offer,
        offers: &[Offer],
        mut also: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        if self.chunks.is_empty() {
            return None;
        }
        let start = self.locate(from);
        for (n, chunk) in self.chunks[start..].iter_mut().enumerate() {
            if !chunk.bound.admits(ask) {
                continue;
            }
            let begin = if n == 0 { chunk.keys.partition_point(|k| *k < from) } else { 0 };
            for key in &chunk.keys[begin..] {
                let seat = seat_of(*key);
                if offers[seat as usize].admits(ask) && also(seat) {
                    return Some(seat);
                }
            }
            if !chunk.exact {
                chunk.bound = joined(&chunk.keys, offers);
                chunk.exact = true;
            }
        }
        None
    }

    /// The chunk that holds the key, or would.
    fn locate(&self, key: u64) -> usize {
        self.firsts.partition_point(|first| *first <= key).saturating_sub(1)
    }
}

fn joined(keys: &[u64], offers: &[Offer]) -> Offer {
    let mut bound = Offer::default();
    for key in keys {
        bound.join(&offers[seat_of(*key) as usize]);
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// Seat, new rank, new room: removed and inserted again.
        Move(u32, u32, u64),
        Leave(u32),
        /// Room changes under the same key.
        Touch(u32, u64),
        Search {
            from: u32,
            ask: u64,
            marks: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        let seat = 0u32..300;
        prop_oneof![
            4 => (seat.clone(), 0u32..40, 0u64..10).prop_map(|(s, r, f)| Step::Move(s, r, f)),
            1 => seat.clone().prop_map(Step::Leave),
            1 => (seat, 0u64..10).prop_map(|(s, f)| Step::Touch(s, f)),
            3 => (0u32..40, 0u64..12, 0u64..4).prop_map(|(from, ask, marks)| Step::Search { from, ask, marks }),
        ]
    }

    proptest! {
        /// Against a plain sorted walk, through any changes.
        #[test]
        fn finds_what_a_full_walk_finds(steps in prop::collection::vec(step(), 1..600)) {
            let mut offers: Vec<Offer> = (0..300).map(|s| Offer { room: [1; 5], marks: s % 4 }).collect();
            let mut keys: Vec<Option<u64>> = (0..300).map(|s| Some(key(0, s))).collect();
            let mut index = Index::build(keys.iter().flatten().copied().collect(), &offers);
            for step in steps {
                match step {
                    Step::Move(seat, rank, free) => {
                        if let Some(old) = keys[seat as usize] {
                            index.remove(old, &offers);
                        }
                        offers[seat as usize].room = [free; 5];
                        keys[seat as usize] = Some(key(rank, seat));
                        index.insert(key(rank, seat), &offers);
                    }
                    Step::Leave(seat) => {
                        if let Some(old) = keys[seat as usize].take() {
                            index.remove(old, &offers);
                        }
                    }
                    Step::Touch(seat, free) => {
                        offers[seat as usize].room = [free; 5];
                        if let Some(old) = keys[seat as usize] {
                            index.touch(old, &offers[seat as usize]);
                        }
                    }
                    Step::Search { from, ask, marks } => {
                        let ask = Offer { room: [ask; 5], marks };
                        let odd = |s: u32| s % 7 != 3;
                        let mut sorted: Vec<u64> = keys.iter().flatten().copied().collect();
                        sorted.sort_unstable();
                        let wanted = sorted.iter().copied().filter(|k| *k >= key(from, 0)).map(seat_of)
                            .find(|s| offers[*s as usize].admits(&ask) && odd(*s));
                        prop_assert_eq!(index.first_fit(key(from, 0), &ask, &offers, odd), wanted);
                    }
                }
            }
            prop_assert_eq!(index.len, keys.iter().flatten().count());
            prop_assert_eq!(index.chunks.iter().map(|c| c.keys.len()).sum::<usize>(), index.len);
        }
    }
}
