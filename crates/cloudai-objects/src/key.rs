//! The keys of an attempt's objects: `NAMESPACE/JOB/INDEX/ATTEMPT/…`. Pure.

use cloudai_types::{AttemptId, TaskId, limits};

const MANIFEST: &str = "manifest.json";
/// A part of a path that every store and file system takes, with room for what a store appends while it writes.
const PLAIN_PART_BYTES_MAX: usize = 200;
/// S3 takes keys of 1,024 bytes; the rest is for the prefix and the attempt.
const PLAIN_PATH_BYTES_MAX: usize = 700;

/// One attempt's place in a store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ResultKey {
    namespace: String,
    pub attempt: AttemptId,
}

impl ResultKey {
    /// The namespace becomes part of a key: it is a checked name, or nothing is stored under it.
    pub fn new(namespace: &str, attempt: AttemptId) -> Result<Self, String> {
        cloudai_types::spec::check_name(namespace)?;
        Ok(ResultKey { namespace: namespace.to_owned(), attempt })
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Everything of this attempt lies below.
    pub fn prefix(&self) -> String {
        format!("{}/{}", task_prefix(&self.namespace, self.attempt.task), self.attempt.number)
    }

    pub fn manifest(&self) -> String {
        format!("{}/{MANIFEST}", self.prefix())
    }

    pub fn object(&self, object: &str) -> String {
        format!("{}/{object}", self.prefix())
    }
}

pub(crate) fn job_prefix(namespace: &str, job: cloudai_types::JobId) -> String {
    format!("{namespace}/{job}")
}

pub(crate) fn task_prefix(namespace: &str, task: TaskId) -> String {
    format!("{}/{}", job_prefix(namespace, task.job), task.index)
}

/// The object that holds the file of this path, the `nth` of its attempt. A plain path is the object's own; what some store or file
/// system might refuse or take for something else is stored under its number, and only the manifest knows its name.
pub(crate) fn object_name(path: &str, nth: usize) -> String {
    let is_plain = |part: &str| {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        part.len() <= PLAIN_PART_BYTES_MAX && part.bytes().all(ok)
    };
    if path.len() <= PLAIN_PATH_BYTES_MAX && path.split('/').all(is_plain) {
        format!("files/{path}")
    } else {
        format!("odd/{nth}")
    }
}

/// Whether a manifest may name this object: what [`object_name`] makes, and nothing else.
pub(crate) fn is_object_name(object: &str) -> bool {
    match object.split_once('/') {
        Some(("files", path)) => cloudai_types::results::check_path(path).is_ok() && object_name(path, 0) == object,
        Some(("odd", n)) => n.parse::<usize>().is_ok_and(|n| n < limits::RESULT_ENTRIES_MAX) && !n.starts_with('+'),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;

    #[test]
    fn a_key_says_whose_it_is() {
        let attempt = AttemptId::new(JobId(1), 4, 2);
        let key = ResultKey::new("team-a", attempt).unwrap();
        assert_eq!(key.manifest(), format!("team-a/{}/4/2/manifest.json", JobId(1)));
        assert_eq!(key.object("files/a"), format!("team-a/{}/4/2/files/a", JobId(1)));
        for bad in ["", "..", "a/b", "a b", ".a"] {
            assert!(ResultKey::new(bad, attempt).is_err(), "{bad}");
        }
    }

    #[test]
    fn odd_names_are_stored_under_a_number() {
        assert_eq!(object_name("a/b-1.csv", 7), "files/a/b-1.csv");
        for odd in ["a b", "ä", "a#1", "a%2e", "a\nb", "a\\b", "a:b", "~", &"x".repeat(201), &"x/".repeat(400)] {
            assert_eq!(object_name(odd, 7), "odd/7", "{odd}");
        }
    }

    #[test]
    fn a_manifest_names_only_objects_of_its_attempt() {
        for good in ["files/a", "files/a/b.txt", "odd/0", "odd/99"] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "files/",
            "files/../x",
            "files//a",
            "odd/",
            "odd/x",
            "odd/+1",
            "odd/1/2",
            "manifest.json",
            "/files/a",
            "files/a b",
        ] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
