//! What this worker has pulled, and when it was last used. Comes in: pulls and uses. Goes out: the same after a restart, from one small file. What is
//! not in it was not pulled by this worker, and is none of its business: a file that is lost or damaged costs room, and no image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use cloudai_types::{Timestamp, image, limits};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// By the engine's id of the image.
    images: BTreeMap<String, Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Entry {
    /// Under which it was pulled, as the engine shows them.
    names: BTreeSet<String>,
    /// Milliseconds since the epoch, as is everything that survives a restart.
    used_ms: u64,
}

/// As engines show a name: Docker Hub is not mentioned, and a tag always.
fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").map_or(name, |rest| rest.strip_prefix("library/").unwrap_or(rest));
    if image::has_digest(short) {
        short.to_owned()
    } else {
        format!("{}:{}", image::without_tag(short), image::tag_of(short))
    }
}

impl Ledger {
    pub fn read(path: &Path) -> io::Result<Ledger> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
            Err(e) => return Err(e),
        };
        let mut bytes = vec![];
        file.take(limits::IMAGES_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// All or nothing: a reader finds the old one or the new one.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }

    /// `before`: what the name meant then. What was there without this worker stays its owner's.
    pub fn pulled(&mut self, before: Option<&str>, id: &str, name: &str, at: Timestamp) {
        if before == Some(id) && !self.images.contains_key(id) {
            return;
        }
        let entry = self.images.entry(id.to_owned()).or_default();
        entry.names.insert(familiar(name));
        entry.used_ms = entry.used_ms.max(at.0);
        if self.images.len() > limits::IMAGES_REMEMBERED_MAX {
            let oldest = self.images.iter().min_by_key(|(_, e)| e.used_ms).map(|(id, _)| id.clone());
            oldest.map(|id| self.images.remove(&id));
        }
    }

    /// True when that is news.
    pub fn used(&mut self, id: &str, at: Timestamp) -> bool {
        let Some(entry) = self.images.get_mut(id).filter(|entry| entry.used_ms < at.0) else { return false };
        entry.used_ms = at.0;
        true
    }

    /// When it was last used, if this worker pulled it under each of these names: somebody else's name keeps it.
    pub fn last_use(&self, id: &str, tags: &[String], digests: &[String]) -> Option<Timestamp> {
        let entry = self.images.get(id)?;
        let is_none = |name: &str| name.starts_with("<none>");
        let has_tag = |tag: &String| is_none(tag) || entry.names.contains(tag);
        let has_repository = |digest: &String| {
            let repository = image::without_tag(digest);
            is_none(digest) || entry.names.iter().any(|name| image::without_tag(name) == repository)
        };
        let is_ours = tags.iter().all(has_tag) && digests.iter().all(has_repository);
        is_ours.then_some(Timestamp(entry.used_ms))
    }

    /// Whether one of these names is that of this image.
    pub fn has_name(&self, id: &str, names: &BTreeMap<String, usize>) -> bool {
        self.images.get(id).is_some_and(|e| names.keys().any(|name| e.names.contains(&familiar(name))))
    }

    /// Those that the engine did not have when it was looked at; what came since then is not forgotten.
    pub fn forget_all_but(&mut self, ids: &BTreeSet<&str>, looked: Timestamp) -> bool {
        let before = self.images.len();
        self.images.retain(|id, entry| ids.contains(id.as_str()) || entry.used_ms >= looked.0);
        self.images.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn what_was_pulled_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.json");
        assert_eq!(Ledger::read(&path).unwrap(), Ledger::default());
        let mut ledger = Ledger::default();
        ledger.pulled(None, "id1", "reg:5000/x", Timestamp(5));
        assert!(
            ledger.used("id1", Timestamp(9)) && !ledger.used("id1", Timestamp(8)) && !ledger.used("id2", Timestamp(9))
        );
        ledger.write(&path).unwrap();
        assert_eq!(Ledger::read(&path).unwrap(), ledger);
        assert_eq!(ledger.last_use("id1", &strings(&["reg:5000/x:latest"]), &[]), Some(Timestamp(9)));
        std::fs::write(&path, "half a fi").unwrap();
        assert!(Ledger::read(&path).is_err());
    }

    #[test]
    fn what_was_there_before_or_has_another_name_is_not_ours() {
        let mut ledger = Ledger::default();
        ledger.pulled(Some("id1"), "id1", "reg:5000/x:1", Timestamp(1));
        assert_eq!(ledger.last_use("id1", &strings(&["reg:5000/x:1"]), &[]), None, "somebody had it already");
        ledger.pulled(Some("id1"), "id2", "reg:5000/x:1", Timestamp(1));
        let digests = strings(&["reg:5000/x@sha256:ab"]);
        let of = |tags: &[&str], digests: &[String]| ledger.last_use("id2", &strings(tags), digests);
        assert!(of(&["reg:5000/x:1"], &digests).is_some());
        assert!(of(&["<none>:<none>"], &digests).is_some(), "its tag has moved on");
        assert!(of(&[], &[]).is_some());
        assert!(of(&["reg:5000/x:1", "keep:me"], &digests).is_none());
        assert!(of(&["reg:5000/x:1"], &strings(&["other/y@sha256:ab"])).is_none());
    }

    #[test]
    fn a_name_is_known_as_the_engine_shows_it() {
        for (name, shown) in [
            ("busybox", "busybox:latest"),
            ("docker.io/library/busybox:1", "busybox:1"),
            ("docker.io/team/x", "team/x:latest"),
            ("reg:5000/x@sha256:ab", "reg:5000/x@sha256:ab"),
        ] {
            assert_eq!(familiar(name), shown);
        }
        let mut ledger = Ledger::default();
        ledger.pulled(None, "id1", "busybox", Timestamp(1));
        assert!(ledger.has_name("id1", &[("docker.io/library/busybox".to_owned(), 1)].into()));
        assert!(!ledger.has_name("id1", &[("busybox:2".to_owned(), 1)].into()));
        assert!(!ledger.forget_all_but(&["id2"].into(), Timestamp(1)), "it came after the look");
        assert!(
            ledger.forget_all_but(&["id2"].into(), Timestamp(2))
                && !ledger.has_name("id1", &[("busybox".to_owned(), 1)].into())
        );
    }
}
