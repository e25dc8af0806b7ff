//! A long file is a question, not a fault: short files come from nouns.

use super::Tree;

const LINES: usize = 500;

pub fn check(tree: &Tree) -> Vec<String> {
    let mut long: Vec<(usize, &str)> = tree
        .files
        .iter()
        .filter(|f| f.is_rust())
        .map(|f| (f.text.lines().count(), f.path.as_str()))
        .filter(|(lines, _)| *lines > LINES)
        .collect();
    long.sort_unstable_by(|a, b| b.cmp(a));
    long.into_iter().map(|(lines, path)| format!("{path} has {lines} lines: which noun could leave it?")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn only_long_rust_files_are_listed() {
        let long = "x\n".repeat(LINES + 1);
        let tree = samples::files(&[("a.rs", &long), ("b.rs", "x\n"), ("c.md", &long)]);
        assert_eq!(check(&tree).len(), 1);
    }
}
