//! Whether task output is copied for log shippers, and where to, as the worker's operator writes it.

use std::path::PathBuf;

use cloudai_types::limits;
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogMirrorConfig {
    /// Where `tasks-NAME.jsonl` and the one before it are; empty: there is no mirror.
    pub dir: PathBuf,
    /// Of each of the two files; 0: [`limits::LOG_MIRROR_FILE_BYTES`].
    pub file_bytes_max: u64,
}

impl LogMirrorConfig {
    /// As without a word about it.
    pub fn is_usual(&self) -> bool {
        *self == LogMirrorConfig::default()
    }

    pub fn is_on(&self) -> bool {
        !self.dir.as_os_str().is_empty()
    }

    pub fn file_bytes_max(&self) -> u64 {
        if self.file_bytes_max == 0 { limits::LOG_MIRROR_FILE_BYTES } else { self.file_bytes_max }
    }

    pub fn check(&self) -> Result<(), String> {
        let (min, max) = (limits::LOG_MIRROR_FILE_BYTES_MIN, limits::LOG_MIRROR_FILE_BYTES_MAX);
        match self.file_bytes_max {
            0 => {}
            _ if !self.is_on() => return Err("file_bytes_max without dir: name the folder as well".to_owned()),
            bytes if (min..=max).contains(&bytes) => {}
            bytes => return Err(format!("file_bytes_max is {bytes}; from {min} to {max} are allowed")),
        }
        if self.is_on() && !self.dir.is_absolute() {
            return Err(format!("dir {} is no absolute path", self.dir.display()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        let check = |dir: &str, file_bytes_max| LogMirrorConfig { dir: dir.into(), file_bytes_max }.check();
        assert_eq!((check("", 0), check("/var/log/cloudai", 0), check("/m", 1 << 20)), (Ok(()), Ok(()), Ok(())));
        let said = |dir, bytes| check(dir, bytes).expect_err("a mistake");
        assert_eq!(said("", 1 << 20), "file_bytes_max without dir: name the folder as well");
        assert_eq!(said("/m", 5), "file_bytes_max is 5; from 1048576 to 17179869184 are allowed");
        assert_eq!(said("logs", 0), "dir logs is no absolute path");
        assert_eq!(LogMirrorConfig::default().file_bytes_max(), limits::LOG_MIRROR_FILE_BYTES);
    }
}
