//! A crate depends only on lower floors (docs/ARCHITECTURE.md). Tests count as well: a test that needs a higher floor
//! belongs there. The table below is the only one.

use super::Tree;

/// Crate, floor.
pub const FLOORS: [(&str, u8); 24] = [
    ("cloudai-types", 0),
    ("cloudai-core", 1),
    ("cloudai-scheduler", 1),
    ("cloudai-agent", 1),
    ("cloudai-raft", 2),
    ("cloudai-proto", 2),
    ("cloudai-net", 2),
    ("cloudai-telemetry", 2),
    ("cloudai-replay", 2),
    ("cloudai-registry", 2),
    ("cloudai-store", 3),
    ("cloudai-api", 3),
    ("cloudai-logs", 3),
    ("cloudai-objects", 3),
    ("cloudai-client", 3),
    ("cloudai-session", 3),
    ("cloudai-master", 4),
    ("cloudai-worker", 4),
    ("cloudai-sim", 5),
    ("cloudai-fuzz", 6),
    ("cloudai-cli", 6),
    ("chaos-tests", 6),
    ("cloudai-bench", 6),
    ("xtask", 6),
];

/// Arrows on one floor: the scheduler plans over core's state, and the fuzzers read what people write to the command line.
const SIDEWAYS: [(&str, &str); 2] = [("cloudai-scheduler", "cloudai-core"), ("cloudai-fuzz", "cloudai-cli")];

pub fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(n, _)| *n == name).map(|(_, floor)| *floor)
}

pub fn check(tree: &Tree) -> Vec<String> {
    let mut broken = vec![];
    for package in &tree.packages {
        let Some(own) = floor_of(&package.name) else {
            broken.push(format!(
                "{} has no floor: add it to the table in crates/xtask/src/tidy/floors.rs and to docs/ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            let arrow = (package.name.as_str(), dependency.name.as_str());
            match floor_of(&dependency.name) {
                Some(below) if below < own || SIDEWAYS.contains(&arrow) => {}
                Some(other) => broken.push(format!(
                    "{} (floor {own}) depends on {} (floor {other}): a crate depends only on lower floors",
                    arrow.0, arrow.1
                )),
                None => broken.push(format!("{} depends on {}, which has no floor", arrow.0, arrow.1)),
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples::package;

    fn broken(name: &str, dependencies: &[&str]) -> usize {
        check(&Tree { packages: vec![package(name, dependencies)], files: vec![] }).len()
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(broken("cloudai-core", &["cloudai-types"]), 0);
        assert_eq!(broken("cloudai-scheduler", &["cloudai-core", "cloudai-types"]), 0);
        assert_eq!(broken("cloudai-core", &["cloudai-scheduler"]), 1);
        assert_eq!(broken("cloudai-raft", &["cloudai-store"]), 1);
        assert_eq!(broken("cloudai-new", &[]), 1);
        assert_eq!(broken("cloudai-cli", &["cloudai-new"]), 1);
    }

    #[test]
    fn crates_from_a_registry_have_no_floor() {
        let mut one = package("cloudai-core", &["prost"]);
        one.dependencies[0].path = None;
        assert_eq!(check(&Tree { packages: vec![one], files: vec![] }), Vec::<String>::new());
    }
}
