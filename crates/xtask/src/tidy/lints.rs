//! Each crate takes over the workspace's lints; without these two lines none of them would apply to it.

use super::Tree;

pub fn check(tree: &Tree) -> Vec<String> {
    let inherits = |text: &str| {
        let mut lines = text.lines().map(str::trim).skip_while(|l| *l != "[lints]").skip(1);
        lines.find(|l| !l.is_empty() && !l.starts_with('#')) == Some("workspace = true")
    };
    let mut broken = vec![];
    for package in &tree.packages {
        let path = format!("{}/Cargo.toml", Tree::folder_of(package));
        if !tree.file(&path).is_some_and(|f| inherits(&f.text)) {
            broken
                .push(format!("{path} does not take over the workspace's lints: add '[lints]' and 'workspace = true'"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn the_two_lines_are_needed() {
        for (text, count) in [
            ("[package]\n\n[lints]\nworkspace = true\n", 0),
            ("[package]\n[lints]\n[dependencies]\nworkspace = true\n", 1),
            ("[package]\n", 1),
        ] {
            let mut tree = samples::files(&[("crates/cloudai-x/Cargo.toml", text)]);
            tree.packages.push(samples::package("cloudai-x", &[]));
            assert_eq!(check(&tree).len(), count, "{text}");
        }
    }
}
