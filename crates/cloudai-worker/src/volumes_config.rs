//! Which volumes an operator lets tasks have, as a configuration writes it. Folders in memory need no permission: they are part of a task's
//! own memory.

use cloudai_types::{limits, volume};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VolumesConfig {
    /// Named volumes of the engine: they stay on this worker's disk when their tasks have ended, and nothing bounds their size.
    pub named: bool,
    /// What file servers export, `SERVER:/PATH`: tasks may mount this and what is below.
    pub nfs: Vec<String>,
}

impl Default for VolumesConfig {
    fn default() -> Self {
        VolumesConfig { named: true, nfs: vec![] }
    }
}

/// One that an operator lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    pub server: String,
    /// Without a closing slash, but for the root.
    pub path: String,
}

impl Share {
    /// `nas.lan:/export/team`, `[fd00::1]:/export`.
    pub fn parse(text: &str) -> Result<Share, String> {
        let wrong = || format!("'{text}' is no share: write SERVER:/PATH");
        let (server, path) = text.split_once(":/").ok_or_else(wrong)?;
        let server = server.strip_prefix('[').and_then(|s| s.strip_suffix(']')).unwrap_or(server);
        volume::check_server(server)?;
        let path = format!("/{path}");
        if !volume::is_clean_path(&path) {
            return Err(wrong());
        }
        Ok(Share { server: server.to_owned(), path: volume::plain_path(&path) })
    }

    /// It, or below it.
    pub fn has(&self, server: &str, path: &str) -> bool {
        let path = volume::plain_path(path);
        let below = if self.path == "/" { Some("") } else { path.strip_prefix(self.path.as_str()) };
        self.server == server && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl VolumesConfig {
    /// As without a word about it.
    pub fn is_usual(&self) -> bool {
        *self == VolumesConfig::default()
    }

    pub fn shares(&self) -> Result<Vec<Share>, String> {
        if self.nfs.len() > limits::NFS_SHARES_MAX {
            return Err(format!("nfs has {} entries; {} are allowed", self.nfs.len(), limits::NFS_SHARES_MAX));
        }
        self.nfs.iter().map(|text| Share::parse(text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_server_and_a_path_and_what_is_below() {
        let share = Share::parse("nas.lan:/export/team/").unwrap();
        assert_eq!((share.server.as_str(), share.path.as_str()), ("nas.lan", "/export/team"));
        for (server, path, has) in [
            ("nas.lan", "/export/team", true),
            ("nas.lan", "/export/team/", true),
            ("nas.lan", "//export/./team/a", true),
            ("nas.lan", "/export/teams", false),
            ("nas.lan", "/export", false),
            ("nas", "/export/team", false),
        ] {
            assert_eq!(share.has(server, path), has, "{server}:{path}");
        }
        assert!(Share::parse("[fd00::1]:/").unwrap().has("fd00::1", "/anything"));
        for bad in ["nas", "nas:export", ":/x", "nas:/a/../b", "a,b:/x"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn named_ones_are_allowed_and_shares_are_not_unless_they_are_listed() {
        let usual: VolumesConfig = toml::from_str("").unwrap();
        assert!(usual.is_usual() && usual.named && usual.shares().unwrap().is_empty());
        let own: VolumesConfig = toml::from_str("named = false\nnfs = [\"nas:/a\"]").unwrap();
        assert_eq!((own.named, own.shares().unwrap().len()), (false, 1));
        assert!(VolumesConfig { nfs: vec!["nas:/a".into(); limits::NFS_SHARES_MAX + 1], ..own }.shares().is_err());
    }
}
