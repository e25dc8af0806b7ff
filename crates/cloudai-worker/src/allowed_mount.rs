//! One host path that an operator lets tasks mount, as a configuration writes it: a text, which is read-only, or a table with `path` and
//! `write`. Whether the path is there is not known here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct AllowedMount {
    pub path: PathBuf,
    /// Tasks may write to it.
    pub write: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Written {
    Plain(PathBuf),
    Entry {
        path: PathBuf,
        #[serde(default)]
        write: bool,
    },
}

impl From<Written> for AllowedMount {
    fn from(written: Written) -> Self {
        match written {
            Written::Plain(path) => AllowedMount { path, write: false },
            Written::Entry { path, write } => AllowedMount { path, write },
        }
    }
}

impl From<AllowedMount> for Written {
    fn from(AllowedMount { path, write }: AllowedMount) -> Self {
        if write { Written::Entry { path, write } } else { Written::Plain(path) }
    }
}

/// Read-only.
impl From<PathBuf> for AllowedMount {
    fn from(path: PathBuf) -> Self {
        AllowedMount { path, write: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(PartialEq, Debug, Serialize, Deserialize)]
    struct File {
        allowed_mounts: Vec<AllowedMount>,
    }

    #[test]
    fn a_text_is_read_only_and_a_table_says_more() {
        let text = "allowed_mounts = [\"/a\", { path = \"/b\", write = true }, { path = \"/c\" }]";
        let file: File = toml::from_str(text).unwrap();
        let told: Vec<(&str, bool)> = file.allowed_mounts.iter().map(|m| (m.path.to_str().unwrap(), m.write)).collect();
        assert_eq!(told, [("/a", false), ("/b", true), ("/c", false)]);
        assert_eq!(toml::from_str::<File>(&toml::to_string(&file).unwrap()).unwrap(), file);
        assert!(toml::from_str::<File>("allowed_mounts = [{ path = \"/b\", wirte = true }]").is_err());
    }
}
