//! What an attempt stored, as one object beside its files. Comes in: files that are stored, or bytes that a store gave back. Goes
//! out: JSON, or a checked [`Manifest`]. Fields are only added.

use cloudai_types::{ResultFile, Results, limits, results};
use serde::{Deserialize, Serialize};

use crate::key::{self, ResultKey};
use crate::sum::unhex;

/// The only one so far. A reader refuses a higher one.
const VERSION: u32 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub namespace: String,
    /// `JOB/INDEX.N`.
    pub attempt: String,
    /// In the order of their paths.
    pub files: Vec<StoredFile>,
    /// The first [`limits::RESULT_LEFT_OUT_MAX`] of what was not stored, and how many there were.
    pub left_out: Vec<LeftOut>,
    pub left_out_total: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the output folder.
    pub path: String,
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub media_type: String,
    /// Its object, relative to the attempt's own prefix.
    pub object: String,
}

/// What lay in the folder and was not stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// With replacement characters where the name is not UTF-8; cut where it is too long.
    pub path: String,
    pub why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    SymbolicLink,
    Device,
    Fifo,
    Socket,
    NotUtf8,
    /// Too long, or too deep.
    Name,
    /// On another file system that is mounted there.
    OtherFileSystem,
    /// Something else was in its place when it was to be read.
    Changed,
}

impl Why {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Why::SymbolicLink => "a symbolic link",
            Why::Device => "a device",
            Why::Fifo => "a FIFO",
            Why::Socket => "a socket",
            Why::NotUtf8 => "its name is not UTF-8",
            Why::Name => "its path is too long or too deep",
            Why::OtherFileSystem => "on another file system",
            Why::Changed => "it changed while it was stored",
        }
    }
}

impl LeftOut {
    pub fn new(path: &str, why: Why) -> Self {
        let mut end = path.len().min(limits::RESULT_PATH_BYTES_MAX);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        LeftOut { path: path[..end].to_owned(), why }
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it is no manifest")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}, which this build does not know")]
    Version(u32),
    #[error("it says that it belongs to {0}")]
    OtherAttempt(String),
    #[error("it names {0} files; {max} are allowed", max = limits::RESULT_FILES_MAX)]
    TooManyFiles(usize),
    #[error("its entry '{0}' has a name, a sum or an object that is not allowed")]
    File(String),
}

impl Manifest {
    pub(crate) fn new(key: &ResultKey, files: Vec<StoredFile>, left_out: Vec<LeftOut>, left_out_total: u32) -> Self {
        let (namespace, attempt) = (key.namespace().to_owned(), key.attempt.to_string());
        Manifest { version: VERSION, namespace, attempt, files, left_out, left_out_total }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Nothing in it is used before it was looked at: whoever may write to the store may have written it.
    pub(crate) fn parse(bytes: &[u8], key: &ResultKey) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(bytes)?;
        if manifest.version != VERSION {
            return Err(ManifestError::Version(manifest.version));
        }
        if manifest.attempt != key.attempt.to_string() || manifest.namespace != key.namespace() {
            return Err(ManifestError::OtherAttempt(manifest.attempt));
        }
        if manifest.files.len() > limits::RESULT_FILES_MAX {
            return Err(ManifestError::TooManyFiles(manifest.files.len()));
        }
        let is_good = |f: &StoredFile| {
            results::check_path(&f.path).is_ok()
                && unhex(&f.sha256).is_some()
                && f.size <= limits::RESULT_FILE_BYTES_MAX
                && f.media_type.len() <= limits::LABEL_BYTES_MAX
                && key::is_object_name(&f.object)
        };
        match manifest.files.iter().find(|f| !is_good(f)) {
            Some(bad) => Err(ManifestError::File(bad.path.chars().take(100).collect())),
            None => Ok(manifest),
        }
    }

    pub fn file(&self, path: &str) -> Option<&StoredFile> {
        let at = self.files.binary_search_by(|f| f.path.as_str().cmp(path)).ok()?;
        self.files.get(at)
    }

    pub fn bytes_total(&self) -> u64 {
        self.files.iter().fold(0, |sum, f| sum.saturating_add(f.size))
    }

    /// What the task's record says.
    pub fn results(&self, key: &ResultKey) -> Results {
        Results::new(key.manifest(), self.files.iter().map(StoredFile::record).collect(), self.left_out_total)
    }
}

impl StoredFile {
    pub fn record(&self) -> ResultFile {
        ResultFile {
            path: self.path.clone(),
            size: self.size,
            sha256: unhex(&self.sha256).unwrap_or_default(),
            media_type: self.media_type.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{AttemptId, JobId};

    fn key(index: u32) -> ResultKey {
        ResultKey::new("default", AttemptId::new(JobId(1), index, 1)).unwrap()
    }

    fn file(path: &str, object: &str) -> StoredFile {
        StoredFile {
            path: path.into(),
            size: 1,
            sha256: "0".repeat(64),
            media_type: "text/plain".into(),
            object: object.into(),
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        let left = vec![LeftOut::new(&"ä".repeat(2_000), Why::SymbolicLink)];
        assert!(left[0].path.len() <= limits::RESULT_PATH_BYTES_MAX);
        let manifest = Manifest::new(&key(0), vec![file("a", "files/a"), file("b c", "odd/1")], left, 1);
        let json = manifest.to_json();
        assert_eq!(Manifest::parse(&json, &key(0)).unwrap(), manifest);
        assert!(String::from_utf8(json).unwrap().contains(r#""why":"symbolic_link""#));
        assert_eq!(manifest.file("b c").map(|f| f.object.as_str()), Some("odd/1"));
        assert_eq!(manifest.file("c"), None);
        let results = manifest.results(&key(0));
        assert_eq!((results.files_total, results.bytes_total, results.left_out), (2, 2, 1));
        assert_eq!(results.files[0].sha256, vec![0; 32]);
    }

    #[test]
    fn a_hostile_manifest_is_refused() {
        let of = |files| Manifest::new(&key(0), files, vec![], 0).to_json();
        assert!(matches!(Manifest::parse(b"{", &key(0)), Err(ManifestError::Json(_))));
        assert!(matches!(Manifest::parse(&of(vec![]), &key(1)), Err(ManifestError::OtherAttempt(_))));
        let newer = Manifest { version: 2, ..Manifest::new(&key(0), vec![], vec![], 0) };
        assert!(matches!(Manifest::parse(&newer.to_json(), &key(0)), Err(ManifestError::Version(2))));
        let bad = [
            file("../a", "files/a"),
            file("/etc/passwd", "files/a"),
            file("a", "../../other/files/a"),
            file("a", "manifest.json"),
            StoredFile { sha256: "x".repeat(64), ..file("a", "files/a") },
            StoredFile { size: u64::MAX, ..file("a", "files/a") },
        ];
        for bad in bad {
            assert!(matches!(Manifest::parse(&of(vec![bad.clone()]), &key(0)), Err(ManifestError::File(_))), "{bad:?}");
        }
    }
}
