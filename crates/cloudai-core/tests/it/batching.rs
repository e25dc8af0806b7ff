//! How the proposer packs commands into entries is an accident of load: it must not change what becomes of any job.

use cloudai_core::command::Kind;
use cloudai_core::rows::Family;
use cloudai_core::{Hot, Reply};
use proptest::prelude::*;

use crate::canonical::canonical;
use crate::histories::{entries, prelude, resolve};
use crate::world::World;

type RowList = Vec<(Family, Vec<u8>, Vec<u8>)>;

/// Log indexes and digests are about entries; everything else is about commands.
fn outcome(world: &World) -> (String, RowList) {
    let mut hot: Hot = world.hot.clone();
    hot.digest = 0;
    hot.jobs.values_mut().flat_map(|job| job.active.values_mut()).for_each(|a| a.assigned_index = 0);
    let rows = world.rows.rows.iter().filter(|((family, _), _)| !matches!(family, Family::Cluster | Family::Attempt));
    (canonical(&hot), rows.map(|((family, key), value)| (*family, key.clone(), value.clone())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn another_batching_ends_the_same(history in entries(1..80, 1..2), sizes in proptest::collection::vec(1..9usize, 1..10)) {
        // One command per entry first: this also fixes what each command says.
        let (mut one, mut now) = (World::default(), 1_000u64);
        let mut log: Vec<(u64, Kind)> = prelude().into_iter().map(|kind| (now, kind)).collect();
        let mut replies: Vec<Reply> = log.clone().into_iter().flat_map(|(at, kind)| one.one(at, kind).replies).collect();
        for (advance, steps) in &history {
            now = now.saturating_add_signed(*advance);
            let kind = resolve(&one.hot, &steps[0]);
            log.push((now, kind.clone()));
            replies.extend(one.one(now, kind).replies);
        }
        // Then in groups. An entry has one time, so a group ends where time moves.
        let (mut many, mut replies_of_many) = (World::default(), vec![]);
        let (mut rest, mut turn) = (log.as_slice(), 0);
        while let Some((at, _)) = rest.first() {
            let same_time = rest.iter().take_while(|(t, _)| t == at).count();
            let (group, after) = rest.split_at(same_time.min(sizes[turn % sizes.len()]));
            let applied = many.entry(*at, group.iter().map(|(_, kind)| kind.clone()).collect());
            replies_of_many.extend(applied.replies);
            (rest, turn) = (after, turn + 1);
        }
        many.check();
        prop_assert_eq!(replies_of_many, replies);
        prop_assert_eq!(outcome(&many), outcome(&one));
    }
}
