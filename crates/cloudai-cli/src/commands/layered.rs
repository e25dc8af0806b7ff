//! A server's configuration out of its layers: file, then environment and flags on top (clap has put flags over the environment). Comes
//! in: a path and a table of what was given. Goes out: the typed configuration; unknown fields are errors with their line.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::exit::Failure;

pub fn load<T: DeserializeOwned>(file: Option<&Path>, overlay: Table) -> Result<T, Failure> {
    let mut table = match file {
        None => Table::new(),
        Some(path) => {
            let failed = |why: String| {
                Failure::invalid(format!("the configuration file {} is not valid", path.display())).why(why)
            };
            let text = std::fs::read_to_string(path).map_err(|e| {
                Failure::invalid(format!("the configuration file {} cannot be read", path.display())).why(e)
            })?;
            // Alone it may lack what flags give; every other mistake has a line here, and none after the merge.
            if let Err(e) = toml::from_str::<T>(&text)
                && !e.message().contains("missing field")
            {
                return Err(failed(e.to_string().trim_end().to_owned()));
            }
            toml::from_str(&text).map_err(|e| failed(e.to_string()))?
        }
    };
    merge(&mut table, overlay);
    Value::Table(table).try_into().map_err(|e: toml::de::Error| {
        Failure::invalid("the configuration is not complete")
            .why(e.to_string().trim_end())
            .next("give it in the --config file, by flag or in the environment (`--help` lists them)")
    })
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// A table of what was given.
#[derive(Default)]
pub struct Overlay(Table);

impl Overlay {
    pub fn set(&mut self, key: &str, value: Option<impl Into<Value>>) -> &mut Self {
        if let Some(v) = value {
            self.0.insert(key.to_owned(), v.into());
        }
        self
    }

    pub fn list(&mut self, key: &str, values: &[String]) -> &mut Self {
        let given: Vec<Value> = values.iter().filter(|v| !v.trim().is_empty()).map(|v| Value::from(v.trim())).collect();
        if !given.is_empty() {
            self.0.insert(key.to_owned(), Value::Array(given));
        }
        self
    }

    pub fn into_table(self) -> Table {
        self.0
    }
}

/// The part of `[tracing]` that has a flag.
pub fn tracing(endpoint: Option<&str>) -> Option<Table> {
    let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty())?;
    let mut table = Overlay::default();
    table.set("endpoint", Some(endpoint));
    Some(table.into_table())
}

/// A secret from a flag or the environment: itself, or `@FILE` that holds it.
pub fn secret(text: &Option<String>) -> Result<Option<String>, Failure> {
    match text.as_deref() {
        None => Ok(None),
        Some(t) => match t.strip_prefix('@') {
            None => Ok(Some(t.trim().to_owned())),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(s) => Ok(Some(s.trim().to_owned())),
                Err(e) => Err(Failure::invalid(format!("the token file {path} cannot be read")).why(e)),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        name: String,
        #[serde(default)]
        port: u16,
    }

    fn load_text(text: &str, overlay: Overlay) -> Result<Config, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        load(Some(&path), overlay.into_table())
    }

    #[test]
    fn what_is_given_wins_over_the_file() {
        let mut over = Overlay::default();
        over.set("name", Some("flag"));
        assert_eq!(load_text("name = \"file\"\nport = 7\n", over).unwrap(), Config { name: "flag".into(), port: 7 });
        let mut over = Overlay::default();
        over.set("name", Some("flag"));
        assert_eq!(load_text("port = 7\n", over).unwrap().name, "flag");
    }

    #[test]
    fn mistakes_have_a_line_and_gaps_a_name() {
        let f = load_text("name = \"x\"\nprot = 7\n", Overlay::default()).unwrap_err();
        assert!(f.why.contains("line 2") && f.why.contains("prot"), "{}", f.why);
        let f = load_text("port = 7\n", Overlay::default()).unwrap_err();
        assert!(f.why.contains("name"), "{}", f.why);
        assert_eq!(f.code.number(), 2);
    }
}
