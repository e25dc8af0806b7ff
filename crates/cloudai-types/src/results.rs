//! What a task leaves behind, and what it is given: files with their sums, and the names of other tasks' results. Comes in: what a
//! worker stored, and texts that people type. Goes out: records that state, wire and people share, and checked names. Where the
//! bytes lie is not known here.

use std::fmt;
use std::str::FromStr;

use crate::ids::{JobId, TaskId};
use crate::limits;

/// Where a task finds its folder for results, and where it finds its inputs.
pub const OUT_DIR: &str = "/cloudai/out";
pub const IN_DIR: &str = "/cloudai/in";

/// One stored file.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ResultFile {
    /// Relative to [`OUT_DIR`]: parts divided by `/`, see [`check_path`].
    #[prost(string, tag = "1")]
    pub path: String,
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub sha256: Vec<u8>,
    #[prost(string, tag = "4")]
    pub media_type: String,
}

/// What one attempt stored: exactly when this is known, its manifest is in the store.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Results {
    /// The manifest's key in the store; empty: there is no store, as with the executor `noop`.
    #[prost(string, tag = "1")]
    pub manifest: String,
    #[prost(uint32, tag = "2")]
    pub files_total: u32,
    #[prost(uint64, tag = "3")]
    pub bytes_total: u64,
    /// All files, or none where the list is larger than [`limits::RESULT_RECORD_BYTES_MAX`]: the manifest has them.
    #[prost(message, repeated, tag = "4")]
    pub files: Vec<ResultFile>,
    /// What was found and not stored: links, devices, sockets, names that are not UTF-8.
    #[prost(uint32, tag = "5")]
    pub left_out: u32,
}

impl Results {
    /// The record of what was stored, with the list of files if that is small enough for a task's record.
    pub fn new(manifest: String, files: Vec<ResultFile>, left_out: u32) -> Self {
        let mut results = Results {
            manifest,
            files_total: u32::try_from(files.len()).unwrap_or(u32::MAX),
            bytes_total: files.iter().fold(0, |sum, f| sum.saturating_add(f.size)),
            files,
            left_out,
        };
        if !results.fits() {
            results.files.clear();
        }
        results
    }

    /// Small enough for a task's record.
    pub fn fits(&self) -> bool {
        prost::Message::encoded_len(self) <= limits::RESULT_RECORD_BYTES_MAX
    }

    /// True when [`Results::files`] is the whole list.
    pub fn lists_all(&self) -> bool {
        self.files.len() == self.files_total as usize
    }
}

/// Lower-case hexadecimal digits of a sum.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        // A String takes whatever is written to it.
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// Whether a name of a result may become a file's name below a folder that belongs to whoever asks: relative, nothing that leads
/// out of it, nothing that no file system takes.
pub fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() || path.len() > limits::RESULT_PATH_BYTES_MAX {
        return Err(format!("has {} bytes; 1 to {} are allowed", path.len(), limits::RESULT_PATH_BYTES_MAX));
    }
    if path.contains('\0') {
        return Err("contains a NUL character".to_owned());
    }
    let parts = path.split('/').count();
    if parts > limits::RESULT_DEPTH_MAX {
        return Err(format!("has {parts} parts; {} are allowed", limits::RESULT_DEPTH_MAX));
    }
    for part in path.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return Err(
                "is no plain relative path: it begins or ends with '/', or has an empty part, '.' or '..'".into()
            );
        }
        if part.len() > limits::RESULT_NAME_BYTES_MAX {
            return Err(format!("has a part of {} bytes; {} are allowed", part.len(), limits::RESULT_NAME_BYTES_MAX));
        }
    }
    Ok(())
}

/// Which results an input is made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum InputSource {
    /// `JOB`: all of its tasks, each in a folder named by its index.
    Job(JobId),
    /// `JOB/INDEX`: all of its files.
    Task(TaskId),
    /// `JOB/INDEX/PATH`: one file.
    File(TaskId, String),
}

impl InputSource {
    pub fn job(&self) -> JobId {
        match self {
            InputSource::Job(job) => *job,
            InputSource::Task(task) | InputSource::File(task, _) => task.job,
        }
    }
}

impl fmt::Display for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InputSource::Job(job) => write!(f, "{job}"),
            InputSource::Task(task) => write!(f, "{task}"),
            InputSource::File(task, path) => write!(f, "{task}/{path}"),
        }
    }
}

impl FromStr for InputSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((job, rest)) = text.split_once('/') else {
            return text.parse::<JobId>().map(InputSource::Job).map_err(|e| e.to_string());
        };
        let (index, path) = match rest.split_once('/') {
            Some((index, path)) => (index, Some(path)),
            None => (rest, None),
        };
        let task: TaskId = format!("{job}/{index}").parse().map_err(|e: crate::ids::ParseIdError| e.to_string())?;
        match path {
            None => Ok(InputSource::Task(task)),
            Some(path) => {
                check_path(path).map_err(|problem| format!("the path '{path}' {problem}"))?;
                Ok(InputSource::File(task, path.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ResultFile {
        ResultFile { path: path.into(), size: 3, sha256: vec![7; 32], media_type: "text/plain".into() }
    }

    #[test]
    fn a_long_list_is_left_to_the_manifest() {
        let few = Results::new("k".into(), vec![file("a"), file("b/c")], 1);
        assert_eq!((few.files_total, few.bytes_total, few.lists_all()), (2, 6, true));
        let many = Results::new("k".into(), (0..1_000).map(|n| file(&format!("f{n}"))).collect(), 0);
        assert_eq!((many.files_total, many.bytes_total, many.lists_all()), (1_000, 3_000, false));
        assert!(many.fits() && few.fits());
    }

    #[test]
    fn no_name_leads_out_of_a_folder() {
        for good in ["a", "a/b.txt", "..a", "a..", "a b", "ä/ö", "-rf", "a\nb"] {
            check_path(good).unwrap();
        }
        let deep = ["d"; limits::RESULT_DEPTH_MAX + 1].join("/");
        let long = "x".repeat(limits::RESULT_NAME_BYTES_MAX + 1);
        for bad in ["", "/", "/etc/passwd", "..", "../a", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/", "a\0b"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_path(&deep).is_err() && check_path(&long).is_err());
    }

    #[test]
    fn inputs_are_a_job_a_task_or_a_file() {
        let job = JobId(1);
        for (text, source) in [
            (format!("{job}"), InputSource::Job(job)),
            (format!("{job}/3"), InputSource::Task(TaskId { job, index: 3 })),
            (format!("{job}/3/a/b.csv"), InputSource::File(TaskId { job, index: 3 }, "a/b.csv".into())),
        ] {
            assert_eq!(text.parse::<InputSource>().unwrap(), source);
            assert_eq!(source.to_string(), text);
            assert_eq!(source.job(), job);
        }
        for bad in [
            "".to_owned(),
            "x".into(),
            format!("{job}/x"),
            format!("{job}/"),
            format!("{job}/0/../b"),
            format!("{job}/0//"),
        ] {
            assert!(bad.parse::<InputSource>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_shown_in_lower_case() {
        assert_eq!(hex(&[0, 0xAB, 0xff]), "00abff");
    }
}
