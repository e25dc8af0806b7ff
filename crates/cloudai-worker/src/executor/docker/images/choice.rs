//! Which images go when there are too many. Comes in: what is there, what may go, how much is allowed. Goes out: those that are removed. Pure.

use cloudai_types::Timestamp;

/// One image of the engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    pub id: String,
    /// With the layers that it shares with others.
    pub bytes: u64,
    /// When an attempt last used it; until one does, when it came.
    pub used: Timestamp,
    /// This worker has pulled it, under every name that it has.
    pub is_ours: bool,
    /// A container has it, or an attempt is about to make one.
    pub is_in_use: bool,
}

/// `None`: no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// What this worker has pulled, together.
    pub cache_bytes: Option<u64>,
    /// Of the engine's disk.
    pub min_free_bytes: Option<u64>,
}

impl Bounds {
    pub fn is_none(&self) -> bool {
        *self == Bounds::default()
    }
}

/// The one that was not used for longest goes first, and no more than are needed. `free`: bytes of the disk, where that is known. Shared layers
/// make images look larger than what their removal frees: who still has too little looks again.
pub fn victims(images: &[Held], bounds: Bounds, free: Option<u64>) -> Vec<&Held> {
    let mut cached = images.iter().filter(|i| i.is_ours).fold(0u64, |sum, i| sum.saturating_add(i.bytes));
    let mut free = free;
    let mut candidates: Vec<&Held> = images.iter().filter(|i| i.is_ours && !i.is_in_use).collect();
    candidates.sort_by_key(|i| (i.used, &i.id));
    let mut victims = vec![];
    for image in candidates {
        let is_over = bounds.cache_bytes.is_some_and(|most| cached > most);
        let is_short = bounds.min_free_bytes.zip(free).is_some_and(|(least, free)| free < least);
        if !(is_over || is_short) {
            break;
        }
        cached = cached.saturating_sub(image.bytes);
        free = free.map(|free| free.saturating_add(image.bytes));
        victims.push(image);
    }
    victims
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(id: &str, bytes: u64, used: u64) -> Held {
        Held { id: id.into(), bytes, used: Timestamp(used), is_ours: true, is_in_use: false }
    }

    fn ids(victims: &[&Held]) -> Vec<String> {
        victims.iter().map(|v| v.id.clone()).collect()
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let all = [held("new", 10, 3), held("old", 10, 1), held("middle", 10, 2)];
        let cache = |most| Bounds { cache_bytes: Some(most), ..Bounds::default() };
        assert_eq!(ids(&victims(&all, cache(30), None)), Vec::<String>::new());
        assert_eq!(ids(&victims(&all, cache(29), None)), ["old"]);
        assert_eq!(ids(&victims(&all, cache(5), None)), ["old", "middle", "new"]);
        let disk = Bounds { min_free_bytes: Some(100), ..Bounds::default() };
        assert_eq!(ids(&victims(&all, disk, Some(100))), Vec::<String>::new());
        assert_eq!(ids(&victims(&all, disk, Some(85))), ["old", "middle"]);
        assert_eq!(ids(&victims(&all, disk, None)), Vec::<String>::new(), "a disk that cannot be seen is not short");
        assert_eq!(ids(&victims(&all, Bounds::default(), Some(0))), Vec::<String>::new());
    }

    fn images() -> impl Strategy<Value = Vec<Held>> {
        let one = (0u64..1_000, 0u64..20, any::<bool>(), any::<bool>());
        prop::collection::vec(one, 0..12).prop_map(|all| {
            let held = |(n, (bytes, used, is_ours, is_in_use)): (usize, (u64, u64, bool, bool))| Held {
                id: format!("i{n}"),
                bytes,
                used: Timestamp(used),
                is_ours,
                is_in_use,
            };
            all.into_iter().enumerate().map(held).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_in_use_or_not_ours_stays_and_no_more_goes_than_must(
            images in images(),
            cache_bytes in prop::option::of(0u64..3_000),
            min_free_bytes in prop::option::of(0u64..3_000),
            free in prop::option::of(0u64..3_000),
        ) {
            let bounds = Bounds { cache_bytes, min_free_bytes };
            let gone = victims(&images, bounds, free);
            let is_exceeded = |gone: &[&Held]| {
                let freed: u64 = gone.iter().map(|g| g.bytes).sum();
                let cached: u64 = images.iter().filter(|i| i.is_ours).map(|i| i.bytes).sum();
                cache_bytes.is_some_and(|most| cached - freed > most)
                    || min_free_bytes.zip(free).is_some_and(|(least, free)| free + freed < least)
            };
            for one in &gone {
                prop_assert!(one.is_ours && !one.is_in_use);
            }
            prop_assert!(gone.is_sorted_by_key(|g| g.used));
            let stays = |i: &&Held| i.is_ours && !i.is_in_use && !gone.contains(i);
            let kept: Vec<&Held> = images.iter().filter(stays).collect();
            if let (Some(last), Some(first)) = (gone.last(), kept.iter().map(|k| k.used).min()) {
                prop_assert!(last.used <= first, "an image went that was used after one that stays");
            }
            if let Some((_, but_the_last)) = gone.split_last() {
                prop_assert!(is_exceeded(but_the_last), "one would have been enough");
            }
            if is_exceeded(&gone) {
                prop_assert!(kept.is_empty(), "a bound is exceeded, and there was more to remove");
            }
        }
    }
}
