//! A7 (invariant I8): masters at the same applied index have the same state digest. At least two of them must have been compared at
//! one index: a check that saw nothing is a failure.

use std::collections::BTreeMap;

use super::facts::Digest;
use super::{Check, Violation};

pub fn check(digests: &[Digest]) -> Vec<Violation> {
    let mut by_index: BTreeMap<u64, Vec<&Digest>> = BTreeMap::new();
    for d in digests {
        by_index.entry(d.applied).or_default().push(d);
    }
    let mut wrong = vec![];
    let mut compared = false;
    for (index, at) in &by_index {
        let first = at[0];
        compared |= at.iter().any(|d| d.master != first.master);
        for other in at.iter().filter(|d| d.digest != first.digest) {
            wrong.push(format!(
                "at index {index} the state of {} is {:016x} and that of {} is {:016x}",
                first.master, first.digest, other.master, other.digest
            ));
        }
    }
    let masters: std::collections::BTreeSet<&str> = digests.iter().map(|d| d.master.as_str()).collect();
    if !compared && masters.len() != 1 {
        wrong.push(format!("no two masters were seen at one applied index ({} looks)", digests.len()));
    }
    wrong.into_iter().map(|what| Violation::new(Check::A7, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(master: &str, applied: u64, digest: u64) -> Digest {
        Digest { master: master.into(), applied, digest }
    }

    #[test]
    fn equal_states_are_fine_and_a_cluster_of_one_has_nobody_to_differ_from() {
        assert_eq!(check(&[at("a", 5, 1), at("b", 5, 1), at("c", 6, 2)]), []);
        assert_eq!(check(&[at("a", 5, 1)]), []);
    }

    #[test]
    fn another_state_and_no_comparison_are_found() {
        assert_eq!(check(&[at("a", 5, 1), at("b", 5, 2)]).len(), 1);
        assert_eq!(check(&[at("a", 5, 1), at("b", 6, 2)]).len(), 1);
        assert_eq!(check(&[at("a", 5, 1), at("a", 5, 2)]).len(), 1);
        assert_eq!(check(&[]).len(), 1);
    }
}
