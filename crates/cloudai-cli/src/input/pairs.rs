//! `KEY=VALUE` as flags give it.

use std::collections::BTreeMap;

pub fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((k, v)) if !k.is_empty() => Ok((k.to_owned(), v.to_owned())),
        Some(_) | None => Err(format!("'{text}' is no pair: write KEY=VALUE")),
    }
}

/// The last one of a key counts.
pub fn map(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}
