//! Traces of unfinished work in Rust code.

use super::Tree;

// Written in two parts, so that this file does not find itself.
const LEFTOVERS: [(&str, &str); 5] = [
    (concat!("dbg", "!("), "prints for debugging"),
    (concat!("todo", "!("), "is not written yet"),
    (concat!("unimplemented", "!("), "is not written yet"),
    (concat!("TO", "DO"), "is a wish, not a comment: do it, or open an issue"),
    (concat!("FIX", "ME"), "is a wish, not a comment: do it, or open an issue"),
];

pub fn check(tree: &Tree) -> Vec<String> {
    let mut broken = vec![];
    for file in tree.files.iter().filter(|f| f.is_rust()) {
        for (number, line) in file.lines() {
            for (what, why) in LEFTOVERS.iter().filter(|(what, _)| line.contains(what)) {
                broken.push(format!("{}:{number}: '{what}' {why}", file.path));
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
    fn they_are_found_with_their_line() {
        let text = concat!("//! x\nfn f() {\n    dbg", "!(1);\n}\n");
        assert_eq!(check(&samples::files(&[("a.rs", text)]))[0].split(": ").next(), Some("a.rs:3"));
        assert_eq!(check(&samples::files(&[("a.md", text)])).len(), 0);
    }
}
