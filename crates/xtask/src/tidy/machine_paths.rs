//! Paths of the machine that a change was written on have no business in the project.

use super::Tree;

// In two parts, so that this file does not find itself.
const PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

pub fn check(tree: &Tree) -> Vec<String> {
    let mut broken = vec![];
    for file in &tree.files {
        for (number, line) in file.lines() {
            for path in PATHS {
                let begins = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}$".contains(c));
                if line.match_indices(path).any(|(at, _)| begins(at)) {
                    broken.push(format!("{}:{number}: '{path}…' is a path of somebody's machine", file.path));
                }
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn absolute_ones_are_found_and_parts_of_others_are_not() {
        for (line, count) in [
            (concat!("see /wo", "rk/x"), 1),
            (concat!("\"/ro", "ot/.cache\""), 1),
            (concat!("crates/wo", "rk/x"), 0),
            (concat!("$DIR/ho", "me/x"), 0),
            ("docs/workers/x", 0),
        ] {
            assert_eq!(check(&samples::files(&[("any.md", line)])).len(), count, "{line}");
        }
    }
}
