//! How people name a task: `JOB/INDEX`, or `JOB` alone for its task 0; and a template: `NAME@VERSION`, or `NAME` for its newest. A job may be a
//! prefix of its id; the masters resolve it.

use std::fmt;
use std::str::FromStr;

use cloudai_types::ids::WORKFLOW_PREFIX;

use crate::exit::Failure;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRef {
    pub job: String,
    pub index: u32,
    /// `JOB/INDEX.N`
    pub attempt: u32,
    /// An index was written.
    pub explicit: bool,
}

pub fn task(text: &str) -> Result<TaskRef, Failure> {
    let wrong = || {
        Failure::invalid(format!("'{text}' is no task"))
            .next("write JOB/INDEX, for example 3gk7q2zx/0; `cloudai job list` shows the jobs")
    };
    let (job, rest) = match text.split_once('/') {
        Some((job, rest)) => (job, Some(rest)),
        None => (text, None),
    };
    let job = self::job(job)?;
    let Some(rest) = rest else { return Ok(TaskRef { job, index: 0, attempt: 0, explicit: false }) };
    let (index, attempt) = rest.split_once('.').map_or((rest, None), |(i, n)| (i, Some(n)));
    let index = index.parse().map_err(|_| wrong())?;
    let attempt = attempt.map_or(Ok(0), |n| n.parse().map_err(|_| wrong()))?;
    Ok(TaskRef { job, index, attempt, explicit: true })
}

/// Lower case, and only characters that an id can have.
pub fn job(text: &str) -> Result<String, Failure> {
    let t = text.trim().to_ascii_lowercase();
    let possible = t.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)));
    if t.is_empty() || t.len() > cloudai_types::ids::JOB_ID_CHARS || !possible {
        return Err(Failure::invalid(format!("'{}' is no job id", crate::output::one_line(text)))
            .why("a job id has 8 characters of 0-9 and a-z without i, l, o, u; a unique beginning is enough")
            .next("`cloudai job list` shows the jobs"));
    }
    Ok(t)
}

/// `wf-` and a job id's characters, or a beginning of that; `wf-` may be left out.
pub fn workflow(text: &str) -> Result<String, Failure> {
    let t = text.trim().to_ascii_lowercase();
    let bare = t.strip_prefix(WORKFLOW_PREFIX).unwrap_or(&t);
    job(bare).map(|bare| format!("{WORKFLOW_PREFIX}{bare}")).map_err(|_| {
        Failure::invalid(format!("'{}' is no workflow id", crate::output::one_line(text)))
            .why(
                "a workflow id is wf- and 8 characters of 0-9 and a-z without i, l, o, u; a unique beginning is enough",
            )
            .next("`cloudai workflow list` shows the workflows")
    })
}

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateName {
    pub name: String,
    /// 0: none was written.
    pub version: u32,
}

impl FromStr for TemplateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('@') {
            None => (text, 0),
            Some((name, version)) => match version.parse() {
                Ok(version) if version > 0 => (name, version),
                Ok(_) | Err(_) => {
                    return Err(format!("'{version}' is no version: write NAME@3, or NAME for the newest"));
                }
            },
        };
        cloudai_types::spec::check_name(name).map_err(|why| format!("the template's name {why}"))?;
        Ok(TemplateName { name: name.to_owned(), version })
    }
}

impl fmt::Display for TemplateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            0 => f.write_str(&self.name),
            version => write!(f, "{}@{version}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_named_with_its_version_or_without() {
        for (text, name, version) in [("sweep", "sweep", 0), ("sweep@3", "sweep", 3)] {
            let read: TemplateName = text.parse().unwrap();
            assert_eq!((read.name.as_str(), read.version, read.to_string().as_str()), (name, version, text));
        }
        for bad in ["", "@1", "a b", "sweep@", "sweep@0", "sweep@newest", "sweep@1@2"] {
            assert!(bad.parse::<TemplateName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_workflow_is_named_with_its_prefix_or_without() {
        assert_eq!(workflow("wf-3GK7").unwrap(), "wf-3gk7");
        assert_eq!(workflow("3gk7q2zx").unwrap(), "wf-3gk7q2zx");
        for bad in ["", "wf-", "wf-olli", "wf-123456789"] {
            assert!(workflow(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tasks_are_named_in_three_ways() {
        let t = |job: &str, index, attempt, explicit| TaskRef { job: job.into(), index, attempt, explicit };
        assert_eq!(task("3GK7"), Ok(t("3gk7", 0, 0, false)));
        assert_eq!(task("3gk7q2zx/12"), Ok(t("3gk7q2zx", 12, 0, true)));
        assert_eq!(task("3gk7q2zx/12.3"), Ok(t("3gk7q2zx", 12, 3, true)));
        for bad in ["", "/", "3gk7/", "3gk7/x", "3gk7/1.x", "olli", "123456789", "a b"] {
            assert!(task(bad).is_err(), "{bad}");
        }
    }
}
