//! A workflow file: YAML (and so JSON), jobs as in a job file, each with those that it waits for. Comes in: a path or stdin. Goes out: a checked
//! workflow and what goes with it, or errors with their lines.

use std::fmt;
use std::path::Path;

use cloudai_types::workflow::WorkflowFault;
use cloudai_types::{Condition, Dependency, ValidWorkflow, WorkflowNode, WorkflowSpec, limits};
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::exit::Failure;
use crate::input::job_file::{self, Fields};

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowFile {
    /// As it goes to the masters.
    pub spec: WorkflowSpec,
    /// The same, checked.
    pub valid: ValidWorkflow,
    pub namespace: Option<String>,
}

/// The file's fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    name: Option<String>,
    namespace: Option<String>,
    jobs: Jobs,
    /// Only in a template's file, which reads them itself.
    pub(super) parameters: Option<Spanned<IgnoredAny>>,
}

/// In the order of the file, each with its name and where that stands.
#[derive(Debug, Default)]
struct Jobs(Vec<(Spanned<String>, Fields)>);

/// One entry of `depends_on`.
#[derive(Debug)]
pub(super) struct DependencyEntry(Dependency);

/// The same as a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DependencyFields {
    job: String,
    #[serde(default)]
    on: Option<String>,
    #[serde(default)]
    each: bool,
}

impl DependencyFields {
    fn into_dependency(self) -> Result<Dependency, String> {
        let DependencyFields { job, on, each } = self;
        let on = on.as_deref().unwrap_or(Condition::Success.name());
        let found = Condition::ALL.into_iter().find(|c| c.name() == on);
        let on = found.ok_or_else(|| format!("'{on}' is none of success, completion and failure"))?;
        Ok(Dependency { node: job, on: on as i32, each })
    }
}

impl<'de> Deserialize<'de> for DependencyEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = DependencyEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a job, or {job: NAME, on: success|completion|failure, each: true}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<DependencyEntry, E> {
                Ok(DependencyEntry(Dependency { node: s.to_owned(), ..Dependency::default() }))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<DependencyEntry, M::Error> {
                let fields = DependencyFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                fields.into_dependency().map(DependencyEntry).map_err(de::Error::custom)
            }
        }
        d.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Jobs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("jobs by their names, or a list of jobs with names")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Jobs, M::Error> {
                let mut jobs = vec![];
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    jobs.push((name, map.next_value()?));
                }
                Ok(Jobs(jobs))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Jobs, S::Error> {
                let mut jobs = vec![];
                while let Some(Spanned { value, referenced, defined }) = list.next_element::<Spanned<Fields>>()? {
                    let name = value.name.clone().ok_or_else(|| de::Error::custom("a job in a list needs a name"))?;
                    jobs.push((Spanned { value: name, referenced, defined }, value));
                }
                Ok(Jobs(jobs))
            }
        }
        d.deserialize_any(V)
    }
}

/// Where in the file a job stands, and each of its dependencies.
struct Places {
    job: Location,
    dependencies: Vec<Location>,
}

/// Reads a file of at most [`limits::WORKFLOW_FILE_BYTES_MAX`] bytes. `-` is stdin.
pub fn read(path: &Path) -> Result<WorkflowFile, Failure> {
    let text = job_file::read_text(path, "workflow", limits::WORKFLOW_FILE_BYTES_MAX)?;
    parse(&text).map_err(|e| Failure::invalid(format!("{} is no valid workflow file", job_file::shown(path))).why(e))
}

/// The error is a text with lines and columns.
pub fn parse(text: &str) -> Result<WorkflowFile, String> {
    of_file(serde_saphyr::from_str(text).map_err(|e| e.to_string())?)
}

/// What the fields of a workflow's file say.
pub(super) fn of_file(file: File) -> Result<WorkflowFile, String> {
    let File { name, namespace, jobs, parameters } = file;
    if let Some(parameters) = parameters {
        let what = "parameters are for templates; create one with `cloudai template create`";
        return Err(job_file::at(&parameters.referenced, what));
    }
    let (mut nodes, mut places) = (vec![], vec![]);
    for (name, mut fields) in jobs.0 {
        if let Some(namespace) = &fields.namespace {
            return Err(job_file::at(&namespace.referenced, "the namespace is the workflow's, for all of its jobs"));
        }
        if let Some(parameters) = &fields.parameters {
            return Err(job_file::at(
                &parameters.referenced,
                "a job of a workflow has no parameters: they stand beside `jobs`, in the file of a template",
            ));
        }
        let depends_on = std::mem::take(&mut fields.depends_on);
        places.push(Places {
            job: name.referenced,
            dependencies: depends_on.iter().map(|entry| entry.referenced).collect(),
        });
        nodes.push(WorkflowNode {
            name: name.value,
            spec: fields.into_spec(),
            depends_on: depends_on.into_iter().map(|entry| entry.value.0).collect(),
        });
    }
    let spec = WorkflowSpec { name: name.unwrap_or_default(), nodes };
    let valid = ValidWorkflow::parse(spec.clone()).map_err(|error| {
        let faults = error.faults.iter().map(|fault| told(fault, &places));
        faults.collect::<Vec<_>>().join("\n")
    })?;
    Ok(WorkflowFile { spec, valid, namespace })
}

fn told(fault: &WorkflowFault, places: &[Places]) -> String {
    let Some(job) = fault.node.and_then(|n| places.get(n)) else { return format!("error: {fault}") };
    let location = fault.dependency.and_then(|d| job.dependencies.get(d)).unwrap_or(&job.job);
    job_file::at(location, &fault.what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: &str = r#"
name: nightly
namespace: ml
jobs:
  report:
    image: busybox
    inputs: {model: "@train/0/model.bin"}
    depends_on: [load]
  load:
    image: busybox
    array: 0-9
  train:
    image: busybox
    name: train-it
    array: 0-9
    max_attempts: 3
    results: true
    depends_on:
      - {job: load, on: completion, each: true}
"#;

    #[test]
    fn a_file_becomes_a_workflow_in_the_order_of_the_file() {
        let file = parse(FULL).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((file.spec.name.as_str(), file.namespace.as_deref()), ("nightly", Some("ml")));
        let names: Vec<&str> = file.spec.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["report", "load", "train"]);
        let train = &file.spec.nodes[2];
        assert_eq!((train.spec.name.as_str(), train.spec.count, train.spec.max_attempts), ("train-it", 10, 3));
        let on = Condition::Completion as i32;
        assert_eq!(train.depends_on, [Dependency { node: "load".into(), on, each: true }]);
        let order: Vec<&str> = file.valid.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(order, ["load", "train", "report"]);
    }

    #[test]
    fn a_list_of_jobs_is_the_same_and_so_is_json() {
        let list = "jobs:\n  - {name: a, image: busybox}\n  - {name: b, image: busybox, depends_on: [a]}\n";
        let map = r#"{"jobs": {"a": {"image": "busybox", "name": "a"}, "b": {"image": "busybox", "name": "b", "depends_on": ["a"]}}}"#;
        assert_eq!(parse(list).unwrap().spec, parse(map).unwrap().spec);
        assert!(parse("jobs:\n  - {image: busybox}\n").unwrap_err().contains("needs a name"));
    }

    #[test]
    fn mistakes_show_their_line() {
        let job = |name: &str, more: &str| format!("  {name}:\n    image: busybox\n{more}");
        for (text, line, says) in [
            (format!("jobs:\n{}", job("a", "    depends_on:\n      - b\n      - x\n")), "line 5", "'b'"),
            (
                format!("jobs:\n{}{}", job("a", "    depends_on: [b]\n"), job("b", "    depends_on: [a]\n")),
                "line 4 column 18",
                "job 'a' waits for itself: a -> b -> a",
            ),
            (format!("jobs:\n{}", job("a", "    depends_on: [a]\n")), "line 4", "depends on itself"),
            (
                format!(
                    "jobs:\n{}{}",
                    job("a", "    array: 0-1\n"),
                    job("b", "    depends_on: [{job: a, each: true}]\n")
                ),
                "line 7",
                "has 1 tasks where that one has 2",
            ),
            (format!("jobs:\n{}{}", job("a", ""), job("a", "")), "line 4", "a"),
            (format!("jobs:\n{}", job("a b", "")), "line 2", "the name of job 'a b'"),
            ("jobs:\n  a:\n    command: [x]\n".to_owned(), "line 2", "image: is missing"),
            (format!("jobs:\n{}", job("a", "    cpus: 2\n")), "line 4", "cpus"),
            (format!("jobs:\n{}", job("a", "    depends_on: [{job: b, on: luck}]\n")), "line 4", "luck"),
            (format!("jobs:\n{}", job("a", "    namespace: other\n")), "line 4", "the workflow's"),
            (format!("jobs:\n{}", job("a", "    inputs: {x: \"@y\"}\n")), "line 2", "no job of that name"),
            ("name: w\n".to_owned(), "error", "has 0 jobs"),
            (format!("parameters: {{a: {{}}}}\njobs:\n{}", job("a", "")), "line 1", "template create"),
        ] {
            let e = parse(&text).unwrap_err();
            assert!(e.contains(line) && e.contains(says), "{text}→ {e}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_file_with_our_words_panics_the_parser(
            lines in prop::collection::vec((
                prop::sample::select(vec!["jobs", "  a", "  b", "    image", "    depends_on", "name", "    array", "  - name"]),
                prop::sample::select(vec!["", "x", "[a, b]", "[{job: a}]", "{a: b}", "*x", "&x 1", "0-9", "~"]),
            ), 0..8)
        ) {
            let text: String = lines.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let _ = parse(&text);
        }
    }
}
