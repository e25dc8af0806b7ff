//! The code map names every crate: who adds one, describes it.

use super::Tree;

const MAP: &str = "docs/ARCHITECTURE.md";

pub fn check(tree: &Tree) -> Vec<String> {
    let Some(map) = tree.file(MAP) else { return vec![format!("{MAP} is missing: it maps the code")] };
    let unnamed = tree.packages.iter().filter(|p| !map.text.contains(&format!("`{}`", p.name)));
    unnamed.map(|p| format!("{MAP} does not name `{}`", p.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn a_crate_is_named_in_backticks() {
        let mut tree = samples::files(&[(MAP, "| `cloudai-core` | the state |\n")]);
        tree.packages.push(samples::package("cloudai-core", &[]));
        assert_eq!(check(&tree).len(), 0);
        tree.packages.push(samples::package("cloudai-net", &[]));
        assert_eq!(check(&tree).len(), 1);
        tree.files.clear();
        assert_eq!(check(&tree).len(), 1);
    }
}
