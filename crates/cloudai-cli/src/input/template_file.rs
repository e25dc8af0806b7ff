//! A template's file: a job file or a workflow file with parameters, and `${{ NAME }}` where their values go. Comes in: a text, and values. Goes out: a
//! checked template, and the job or workflow that it makes, or an error with the line. Values go into texts of the document that was read, never into the text of the file. Where
//! templates are kept is not known here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use cloudai_types::resources::{parse_cpu, parse_size};
use cloudai_types::{ValidJobSpec, limits};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use crate::exit::Failure;
use crate::input::filled::{Fill, Filled};
use crate::input::job_file::{self, Fields, JobFile, Scalar, at};
use crate::input::workflow_file::{self, WorkflowFile};
use crate::times::parse_duration;

/// A template that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// As it was written.
    pub text: String,
    /// The job's or workflow's name, where that is no placeholder's.
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// It has `jobs`.
    pub is_workflow: bool,
    /// In the order of the file.
    pub parameters: Vec<Parameter>,
}

/// What a template and values make.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    Job(Box<JobFile>),
    Workflow(WorkflowFile),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub kind: Kind,
    pub default: Option<String>,
    pub description: String,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    String,
    Integer,
    Boolean,
    Bytes,
    Cpu,
    Duration,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::String, Kind::Integer, Kind::Boolean, Kind::Bytes, Kind::Cpu, Kind::Duration];

    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::Bytes => "bytes",
            Kind::Cpu => "cpu",
            Kind::Duration => "duration",
        }
    }

    /// What stands for a parameter without a default when a template is checked.
    fn sample(self) -> &'static str {
        match self {
            Kind::String => "x",
            Kind::Integer | Kind::Cpu => "1",
            Kind::Boolean => "true",
            Kind::Bytes => "1m",
            Kind::Duration => "1s",
        }
    }

    fn check(self, value: &str) -> Result<(), String> {
        if value.len() > limits::TEMPLATE_VALUE_BYTES_MAX {
            let (bytes, most) = (value.len(), limits::TEMPLATE_VALUE_BYTES_MAX);
            return Err(format!("has {bytes} bytes; at most {most} are allowed"));
        }
        match self {
            Kind::String => Ok(()),
            Kind::Integer => value.parse::<i64>().map(drop).map_err(|_| format!("'{value}' is no integer")),
            Kind::Boolean => {
                value.parse::<bool>().map(drop).map_err(|_| format!("'{value}' is neither true nor false"))
            }
            Kind::Bytes => parse_size(value).map(drop).map_err(|e| e.to_string()),
            Kind::Cpu => parse_cpu(value).map(drop).map_err(|e| e.to_string()),
            Kind::Duration => parse_duration(value).map(drop),
        }
    }
}

/// What is read before values are known.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Head {
    name: Option<Scalar>,
    namespace: Option<Scalar>,
    jobs: Option<IgnoredAny>,
    parameters: Parameters,
}

/// In the order of the file, each with its name and where that stands.
#[derive(Debug, Default)]
struct Parameters(Vec<(Spanned<String>, Declared)>);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Declared {
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    default: Option<Spanned<Scalar>>,
    description: String,
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Parameters;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters by their names")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parameters, M::Error> {
                let mut all = vec![];
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    all.push((name, map.next_value::<Option<Declared>>()?.unwrap_or_default()));
                }
                Ok(Parameters(all))
            }
        }
        d.deserialize_map(V)
    }
}

impl Declared {
    fn into_parameter(self, name: &Spanned<String>) -> Result<Parameter, String> {
        if !is_name(&name.value) {
            let what =
                format!("'{}' is no name of a parameter: write letters, digits and '_', a letter first", name.value);
            return Err(at(&name.referenced, &what));
        }
        let kind = match &self.kind {
            None => Kind::default(),
            Some(word) => Kind::ALL.into_iter().find(|kind| kind.name() == word.value).ok_or_else(|| {
                let words: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                at(&word.referenced, &format!("type: '{}' is none of {}", word.value, words.join(", ")))
            })?,
        };
        if let Some(default) = &self.default {
            kind.check(&default.value.0).map_err(|problem| at(&default.referenced, &format!("default: {problem}")))?;
        }
        let default = self.default.map(|default| default.value.0);
        Ok(Parameter { name: name.value.clone(), kind, default, description: self.description })
    }
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && text.len() <= limits::NAME_BYTES_MAX && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads a file of at most [`limits::TEMPLATE_BYTES_MAX`] bytes. `-` is stdin.
pub fn read(path: &Path) -> Result<Template, Failure> {
    let text = job_file::read_text(path, "template", limits::TEMPLATE_BYTES_MAX)?;
    Template::parse(&text)
        .map_err(|e| Failure::invalid(format!("{} is no valid template", job_file::shown(path))).why(e))
}

impl Template {
    /// All that is checked when a template is created: each placeholder is declared, each parameter is used, and with defaults (and samples where
    /// there is none) it is a job or a workflow that would be accepted. The error is a text with line and column, as of a job file.
    pub fn parse(text: &str) -> Result<Template, String> {
        let head: Head = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        if head.parameters.0.len() > limits::TEMPLATE_PARAMETERS_MAX {
            let (many, most) = (head.parameters.0.len(), limits::TEMPLATE_PARAMETERS_MAX);
            return Err(format!("error: parameters: there are {many}; at most {most} are allowed"));
        }
        let (mut parameters, mut places) = (vec![], vec![]);
        for (name, declared) in head.parameters.0 {
            parameters.push(declared.into_parameter(&name)?);
            places.push(name.referenced);
        }
        let plain = |text: Option<Scalar>| text.map(|text| text.0).filter(|text| !text.contains(OPEN));
        let (name, namespace) = (plain(head.name), plain(head.namespace));
        let is_workflow = head.jobs.is_some();
        let template = Template { text: text.to_owned(), name, namespace, is_workflow, parameters };
        template.check(&places)?;
        Ok(template)
    }

    fn check(&self, places: &[Location]) -> Result<(), String> {
        let sample = |p: &Parameter| (p.name.clone(), p.default.clone().unwrap_or_else(|| p.kind.sample().to_owned()));
        let values = Values::new(self.parameters.iter().map(sample).collect());
        let made = self.expand(&values)?;
        let used = values.used.borrow();
        if let Some(unused) = self.parameters.iter().position(|p| !used.contains(&p.name)) {
            let name = &self.parameters[unused].name;
            return Err(at(&places[unused], &format!("parameter '{name}' is declared, and nothing uses it")));
        }
        let Made::Job(file) = made else { return Ok(()) };
        ValidJobSpec::parse(file.spec).map(drop).map_err(|e| {
            let faults: Vec<String> = e.faults.iter().map(|fault| format!("error: {fault}")).collect();
            faults.join("\n")
        })
    }

    /// The job or the workflow with these values. Parameters that have neither a value nor a default, values of no parameter, and those that do not look as they
    /// must are named.
    pub fn fill(&self, given: &BTreeMap<String, String>) -> Result<Made, String> {
        let known = |name: &str| self.parameters.iter().any(|p| p.name == name);
        let mut faults: Vec<String> = vec![];
        faults.extend(given.keys().filter(|name| !known(name)).map(|name| format!("there is no parameter '{name}'")));
        let mut values = BTreeMap::new();
        for p in &self.parameters {
            match given.get(&p.name).or(p.default.as_ref()) {
                None => faults.push(format!("parameter '{}' ({}) has no value", p.name, p.kind.name())),
                Some(value) => match p.kind.check(value) {
                    Err(problem) => faults.push(format!("parameter '{}': {problem}", p.name)),
                    Ok(()) => drop(values.insert(p.name.clone(), value.clone())),
                },
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("\n"));
        }
        self.expand(&Values::new(values))
    }

    fn expand(&self, values: &Values) -> Result<Made, String> {
        if self.is_workflow {
            let mut file: workflow_file::File = serde_saphyr::with_deserializer_from_str(&self.text, |document| {
                workflow_file::File::deserialize(Filled { inner: document, fill: values })
            })
            .map_err(|e| e.to_string())?;
            file.parameters = None;
            return workflow_file::of_file(file).map(Made::Workflow);
        }
        let mut fields: Fields = serde_saphyr::with_deserializer_from_str(&self.text, |document| {
            Fields::deserialize(Filled { inner: document, fill: values })
        })
        .map_err(|e| e.to_string())?;
        fields.parameters = None;
        job_file::of_fields(fields).map(|file| Made::Job(Box::new(file)))
    }
}

/// What placeholders stand for.
struct Values {
    by_name: BTreeMap<String, String>,
    /// Those that a text has asked for.
    used: RefCell<BTreeSet<String>>,
}

/// No shell and no YAML reads this as anything.
const OPEN: &str = "${{";
const CLOSE: &str = "}}";

impl Values {
    fn new(by_name: BTreeMap<String, String>) -> Self {
        Values { by_name, used: RefCell::default() }
    }
}

impl Fill for Values {
    /// A value is not looked at again: what looks like a placeholder in it is none.
    fn fill(&self, text: &str) -> Result<Option<String>, String> {
        if !text.contains(OPEN) {
            return Ok(None);
        }
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once(OPEN) {
            let (name, after) =
                after.split_once(CLOSE).ok_or_else(|| format!("'{OPEN}' is not closed: write ${{{{ NAME }}}}"))?;
            let name = name.trim();
            let value = self.by_name.get(name).ok_or_else(|| format!("'{name}' is not declared under `parameters`"))?;
            self.used.borrow_mut().insert(name.to_owned());
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(Some(filled))
    }

    fn check_key(&self, text: &str) -> Result<(), String> {
        if text.contains(OPEN) {
            Err("a placeholder stands for a value, and never for a key".to_owned())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SWEEP: &str = r#"
name: sweep
namespace: ml
image: "registry:5000/team/train:${{ tag }}"
command: [sh, -c, "train --lr ${{lr}} --out $OUT ${HOME} && echo '${{ note }}'"]
env: {MODE: "${{ mode }}", LR: "${{ lr }}"}
cpu: ${{ cpus }}
memory: ${{ memory }}
gpu: ${{ gpus }}
results: ${{ keep }}
array: 0-${{ last }}
timeout: ${{ limit }}
parameters:
  tag: {description: which build}
  lr: {default: 0.1}
  mode: {default: fast}
  note: {default: ""}
  cpus: {type: cpu, default: 500m}
  memory: {type: bytes, default: 1g}
  gpus: {type: integer, default: 2}
  keep: {type: boolean, default: true}
  last: {type: integer}
  limit: {type: duration, default: 1h}
"#;

    fn sweep() -> Template {
        Template::parse(SWEEP).unwrap_or_else(|e| panic!("{e}"))
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn job(made: Result<Made, String>) -> JobFile {
        match made.unwrap_or_else(|e| panic!("{e}")) {
            Made::Job(file) => *file,
            Made::Workflow(file) => panic!("{file:?}"),
        }
    }

    #[test]
    fn values_go_where_placeholders_stand() {
        let template = sweep();
        assert_eq!((template.name.as_deref(), template.namespace.as_deref()), (Some("sweep"), Some("ml")));
        let told: Vec<_> = template.parameters.iter().map(|p| (p.name.as_str(), p.default.as_deref())).collect();
        assert_eq!((told[0], told[8], told.len()), (("tag", None), ("last", None), 10));
        let file = job(template.fill(&given(&[("tag", "7"), ("last", "9"), ("lr", "0.01")])));
        let s = file.spec;
        assert_eq!(s.image, "registry:5000/team/train:7");
        assert_eq!(s.command[2], "train --lr 0.01 --out $OUT ${HOME} && echo ''");
        assert_eq!((s.env["MODE"].as_str(), s.env["LR"].as_str()), ("fast", "0.01"));
        assert_eq!((s.resources.cpu_milli, s.resources.memory_bytes, s.resources.gpus), (500, 1 << 30, 2));
        assert_eq!((s.results, s.count, s.timeout_ms), (true, 10, 3_600_000));
    }

    #[test]
    fn no_value_breaks_out_of_its_place() {
        let evil = "x\"], image: evil, user: root, a: [\"${{ tag }}\n\nuser: root";
        let file = job(sweep().fill(&given(&[("tag", "1"), ("last", "0"), ("note", evil)])));
        assert_eq!((file.spec.image.as_str(), file.spec.user.as_str()), ("registry:5000/team/train:1", ""));
        assert!(file.spec.command[2].ends_with(&format!("echo '{evil}'")), "{:?}", file.spec.command);
    }

    #[test]
    fn values_that_are_missing_unknown_or_wrong_are_named() {
        let error = sweep().fill(&given(&[("last", "many"), ("colour", "red")])).expect_err("three faults");
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(
            lines,
            [
                "there is no parameter 'colour'",
                "parameter 'tag' (string) has no value",
                "parameter 'last': 'many' is no integer",
            ]
        );
        let long = "x".repeat(limits::TEMPLATE_VALUE_BYTES_MAX + 1);
        assert!(sweep().fill(&given(&[("tag", &long), ("last", "1")])).unwrap_err().contains("'tag': has 16385 bytes"));
    }

    #[test]
    fn what_is_wrong_with_a_template_shows_its_line() {
        let with = |job: &str, parameters: &str| format!("image: busybox\n{job}\nparameters:\n{parameters}\n");
        for (text, line, says) in [
            (with("cpu: ${{ cpu }}", "  mem: {}"), "line 2", "'cpu' is not declared"),
            (with("cpu: 1", "  mem: {}"), "line 4", "'mem' is declared, and nothing uses it"),
            (with("user: ${{ u }}", "  u: {type: text}"), "line 4", "'text' is none of string, integer"),
            (with("gpu: ${{ n }}", "  n: {type: integer, default: two}"), "line 4", "default: 'two' is no integer"),
            (with("gpu: ${{ n }}", "  n: {default: two}"), "line 2", "two"),
            (with("user: ${{ u", "  u: {}"), "line 2", "is not closed"),
            (with("env: {\"${{ k }}\": v}", "  k: {}"), "line 2", "never for a key"),
            (with("user: ${{ 1a }}", "  1a: {}"), "line 4", "'1a' is no name"),
            (with("user: ${{ u }}", "  u: {kind: string}"), "line 4", "kind"),
            (with("memory: ${{ m }}", "  m: {default: lots}"), "line 2", "lots"),
            (with("pull: ${{ p }}", "  p: {}"), "line 2", "'x' is none of always"),
            (with("priority: ${{ p }}", "  p: {default: 5000}"), "error", "priority: "),
            (with("cpus: 1", "  p: {}"), "line 2", "cpus"),
        ] {
            let e = Template::parse(&text).unwrap_err();
            assert!(e.contains(line) && e.contains(says), "{text}→ {e}");
        }
    }

    #[test]
    fn a_job_file_is_a_template_without_parameters_and_not_the_other_way() {
        let plain = "image: busybox\ncommand: [echo, '$HOME']\n";
        let template = Template::parse(plain).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(job(template.fill(&BTreeMap::new())), job_file::parse(plain).unwrap());
        let error = job_file::parse("image: busybox\nparameters:\n  a: {}\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("template create"), "{error}");
    }

    const NIGHTLY: &str = r#"
name: nightly
jobs:
  load:
    image: "loader:${{ tag }}"
    array: 0-${{ last }}
    results: true
  report:
    image: busybox
    command: [report, "${{ tag }}"]
    depends_on: [{job: load, on: "${{ when }}"}]
parameters:
  tag: {}
  last: {type: integer, default: 1}
  when: {default: success}
"#;

    #[test]
    fn a_workflow_file_is_a_template_as_well() {
        let template = Template::parse(NIGHTLY).unwrap_or_else(|e| panic!("{e}"));
        assert!(template.is_workflow && template.name.as_deref() == Some("nightly"));
        let made = template.fill(&given(&[("tag", "7"), ("last", "4")])).unwrap_or_else(|e| panic!("{e}"));
        let Made::Workflow(file) = made else { panic!("{made:?}") };
        let plain = NIGHTLY.split("parameters:").next().unwrap_or_default();
        let plain = plain.replace("${{ tag }}", "7").replace("${{ last }}", "4").replace("${{ when }}", "success");
        assert_eq!(file, workflow_file::parse(&plain).unwrap_or_else(|e| panic!("{e}")));
        assert!(!sweep().is_workflow);
    }

    #[test]
    fn what_is_wrong_with_a_workflows_template_shows_its_line() {
        for (from, to, line, says) in [
            ("name: nightly", "name: \"${{ night }}\"", "line 2", "'night' is not declared"),
            ("  tag: {}", "  tag: {}\n  more: {}", "line 14", "'more' is declared, and nothing uses it"),
            ("{default: success}", "{default: luck}", "line 11", "'luck' is none of success"),
            ("{default: success}", "", "line 11", "'x' is none of success"),
            ("  load:", "  \"${{ tag }}\":", "line 4", "never for a key"),
            ("job: load", "job: lode", "line 11", "'lode'"),
            ("  load:", "  load:\n    cpus: 1", "line 5", "cpus"),
            ("  load:", "  load:\n    parameters: {a: {}}", "line 5", "beside `jobs`"),
        ] {
            let e = Template::parse(&NIGHTLY.replace(from, to)).expect_err(to);
            assert!(e.contains(line) && e.contains(says), "{to} → {e}");
        }
    }

    proptest! {
        /// Whatever a value holds, it is the text of its field and of no other.
        #[test]
        fn a_value_is_one_text(value in ".{0,60}") {
            let text = "image: busybox\nenv: {A: \"${{ a }}\", B: 'b ${{ a }}'}\nparameters:\n  a: {}\n";
            let template = Template::parse(text).unwrap();
            let spec = job(template.fill(&given(&[("a", &value)]))).spec;
            prop_assert_eq!((&spec.env["A"], &spec.env["B"]), (&value, &format!("b {value}")));
            prop_assert_eq!(spec.env.len(), 2);
        }

        #[test]
        fn no_text_panics_the_parser(text in prop_oneof![".{0,200}", "[a-z: {}$\n\"]{0,120}"]) {
            let _ = Template::parse(&text);
        }
    }
}
