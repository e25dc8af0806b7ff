//! Each Rust file opens with `//!`: what it does, what comes in, what goes out, what it deliberately does not know.

use super::Tree;

pub fn check(tree: &Tree) -> Vec<String> {
    let opens = |text: &str| {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("#!["));
        lines.next().is_some_and(|l| l.strip_prefix("//!").is_some_and(|rest| rest.trim().len() > 3))
    };
    let silent = tree.files.iter().filter(|f| f.is_rust() && !opens(&f.text));
    silent.map(|f| format!("{} does not open with '//!' and what it is for", f.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::samples;

    #[test]
    fn the_first_line_says_what_a_file_is_for() {
        for (text, count) in [
            ("//! Ids.\n", 0),
            ("#![deny(x)]\n\n//! Ids.\n", 0),
            ("use a;\n", 1),
            ("// Ids.\n", 1),
            ("//!\n", 1),
            ("", 1),
        ] {
            assert_eq!(check(&samples::files(&[("a.rs", text)])).len(), count, "{text:?}");
        }
    }
}
