//! Floors 0 and 1 are pure: each has a `clippy.toml` of its own that bans clocks and random order. Such a file *replaces*
//! the workspace's, so it has to repeat its lines.

use super::{Tree, floors};

const PURE_UP_TO: u8 = 1;
/// What every pure crate bans at least.
const BANNED: [&str; 3] = ["std::time::SystemTime::now", "std::time::Instant::now", "std::collections::HashMap"];

pub fn check(tree: &Tree) -> Vec<String> {
    let root = tree.file(".clippy.toml").map_or("", |f| f.text.as_str());
    let mut broken = vec![];
    for package in &tree.packages {
        if floors::floor_of(&package.name).is_none_or(|floor| floor > PURE_UP_TO) {
            continue;
        }
        let folder = Tree::folder_of(package);
        let own = [format!("{folder}/clippy.toml"), format!("{folder}/.clippy.toml")].iter().find_map(|p| tree.file(p));
        let Some(own) = own else {
            broken
                .push(format!("{folder} is on floor 0 or 1 and has no clippy.toml that bans clocks and random order"));
            continue;
        };
        for line in root.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if !own.text.lines().any(|l| l.trim() == line) {
                broken.push(format!("{} lacks the workspace's line '{line}', which it replaces", own.path));
            }
        }
        for banned in BANNED.iter().filter(|b| !own.text.contains(&format!("\"{b}\""))) {
            broken.push(format!("{} does not ban {banned}", own.path));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn a_pure_crate_repeats_the_roots_lines_and_bans_clocks() {
        let bans = BANNED.map(|b| format!("{{ path = \"{b}\" }},\n")).concat();
        let with = |own: Option<String>| {
            let mut tree = samples::files(&[(".clippy.toml", "a = true\n# why\nb = false\n")]);
            tree.packages.push(samples::package("cloudai-core", &[]));
            tree.packages.push(samples::package("cloudai-master", &[]));
            if let Some(text) = own {
                tree.files.push(crate::tidy::File { path: "crates/cloudai-core/clippy.toml".into(), text });
            }
            check(&tree).len()
        };
        assert_eq!(with(Some(format!("a = true\nb = false\n{bans}"))), 0);
        assert_eq!(with(Some(format!("a = true\n{bans}"))), 1);
        assert_eq!(with(Some("a = true\nb = false\n".into())), 3);
        assert_eq!(with(None), 1);
    }
}
