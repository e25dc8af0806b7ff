//! A workflow: jobs that wait for each other. Comes in: a [`WorkflowSpec`] from a file or the wire. Goes out: a [`ValidWorkflow`], whose jobs
//! stand in an order in which each comes after those that it waits for; or every fault, with its place. When a job may begin is not
//! decided here.
//!
//! The structs carry their protobuf tags: they are a part of the log. Tags only grow.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use crate::ids::JobId;
use crate::limits;
use crate::spec::{JobSpec, ValidJobSpec, check_name};

/// What a job waits for in another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Condition {
    /// All of its tasks succeed.
    Success = 0,
    /// It ends, however.
    Completion = 1,
    /// It ends, and not all of its tasks have succeeded: for what cleans up.
    Failure = 2,
}

/// How a job or a task ended, as those see it that wait for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    Succeeded,
    /// It failed, it is dead, or it was cancelled.
    Failed,
    /// It never had to run: it waits for a failure that did not come, or for somebody who never had to run.
    Skipped,
}

impl Condition {
    pub const ALL: [Condition; 3] = [Condition::Success, Condition::Completion, Condition::Failure];

    /// The word in files and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Success => "success",
            Condition::Completion => "completion",
            Condition::Failure => "failure",
        }
    }

    /// Whether who waits for this may go on after such an end. If not, it never may.
    pub fn is_met(self, outcome: Outcome) -> bool {
        match self {
            Condition::Success => outcome == Outcome::Succeeded,
            Condition::Completion => true,
            Condition::Failure => outcome == Outcome::Failed,
        }
    }

    /// What becomes of who waits for this, when it is not met.
    pub fn missed(self, outcome: Outcome) -> Outcome {
        match (self, outcome) {
            (Condition::Failure, _) | (_, Outcome::Skipped) => Outcome::Skipped,
            (Condition::Success | Condition::Completion, Outcome::Succeeded | Outcome::Failed) => Outcome::Failed,
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowSpec {
    /// For people; need not be unique.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, repeated, tag = "2")]
    pub nodes: Vec<WorkflowNode>,
}

/// One job of a workflow.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkflowNode {
    /// What the others call it; the job's own name, where its spec has none.
    #[prost(string, tag = "1")]
    pub name: String,
    /// An input may say `@NODE`, `@NODE/INDEX` or `@NODE/INDEX/PATH` where a job's id stands otherwise: the job then waits for that one's success.
    #[prost(message, required, tag = "2")]
    pub spec: JobSpec,
    #[prost(message, repeated, tag = "3")]
    pub depends_on: Vec<Dependency>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Dependency {
    /// The other's name.
    #[prost(string, tag = "1")]
    pub node: String,
    #[prost(enumeration = "Condition", tag = "2")]
    pub on: i32,
    /// Index by index: each task waits for the other's task of the same index.
    #[prost(bool, tag = "3")]
    pub each: bool,
}

/// What is wrong, and where: places are those of the spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct WorkflowFault {
    /// Which of its nodes.
    pub node: Option<usize>,
    /// Which of that one's dependencies.
    pub dependency: Option<usize>,
    /// Names the node.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct WorkflowError {
    pub faults: Vec<WorkflowFault>,
}

/// A workflow that passed every check.
#[derive(Clone, PartialEq, Debug)]
pub struct ValidWorkflow {
    pub name: String,
    /// Each comes after those that it waits for.
    pub nodes: Vec<ValidNode>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct ValidNode {
    pub name: String,
    /// Valid, but for inputs that name other nodes.
    spec: JobSpec,
    pub waits_for: Vec<Edge>,
}

/// One dependency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Place in [`ValidWorkflow::nodes`].
    pub node: usize,
    pub on: Condition,
    pub each: bool,
}

impl ValidWorkflow {
    /// The only way in.
    pub fn parse(spec: WorkflowSpec) -> Result<Self, WorkflowError> {
        let mut check = Check::new(&spec);
        check.sizes(&spec);
        if check.faults.is_empty() {
            check.names(&spec);
            check.jobs(&spec);
            check.dependencies(&spec);
        }
        let order = if check.faults.is_empty() { check.order(&spec) } else { vec![] };
        if !check.faults.is_empty() {
            check.faults.truncate(limits::WORKFLOW_FAULTS_MAX);
            return Err(WorkflowError { faults: check.faults });
        }
        let mut places = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, given)| places[*given] = place);
        let (mut specs, mut edges) = (check.specs, check.edges);
        let nodes = order.iter().map(|given| ValidNode {
            name: spec.nodes[*given].name.clone(),
            spec: std::mem::take(&mut specs[*given]),
            waits_for: std::mem::take(&mut edges[*given])
                .into_iter()
                .map(|edge| Edge { node: places[edge.node], ..edge })
                .collect(),
        });
        let nodes = nodes.collect();
        let name = if spec.name.is_empty() { "workflow".to_owned() } else { spec.name };
        Ok(ValidWorkflow { name, nodes })
    }

    /// The spec of each node, when the first one's job has this id and the others' follow it.
    pub fn specs(&self, first: JobId) -> impl Iterator<Item = JobSpec> + '_ {
        let jobs: BTreeMap<&str, JobId> =
            self.nodes.iter().zip(first.0..).map(|(node, id)| (node.name.as_str(), JobId(id))).collect();
        self.nodes.iter().map(move |node| {
            let mut spec = node.spec.clone();
            for source in spec.inputs.values_mut() {
                if let Some((name, rest)) = node_of(source)
                    && let Some(job) = jobs.get(name)
                {
                    *source = format!("{job}{rest}");
                }
            }
            spec
        })
    }
}

impl ValidNode {
    pub fn count(&self) -> u32 {
        self.spec.count
    }

    /// Its image, and the digest to pin it to.
    pub fn spec(&self) -> &JobSpec {
        &self.spec
    }
}

/// `@train/0/model.bin` → `train` and `/0/model.bin`. `None`: it names no node.
fn node_of(source: &str) -> Option<(&str, &str)> {
    let text = source.strip_prefix('@')?;
    Some(text.split_at(text.find('/').unwrap_or(text.len())))
}

/// The checks, and what they have found. Places are those of the spec.
struct Check {
    by_name: BTreeMap<String, usize>,
    specs: Vec<JobSpec>,
    edges: Vec<Vec<Edge>>,
    faults: Vec<WorkflowFault>,
}

impl Check {
    fn new(spec: &WorkflowSpec) -> Self {
        let by_name = spec.nodes.iter().enumerate().rev().map(|(n, node)| (node.name.clone(), n)).collect();
        Check { by_name, specs: vec![], edges: vec![], faults: vec![] }
    }

    fn fault(&mut self, node: Option<usize>, dependency: Option<usize>, what: String) {
        self.faults.push(WorkflowFault { node, dependency, what });
    }

    fn sizes(&mut self, spec: &WorkflowSpec) {
        let (jobs, most) = (spec.nodes.len(), limits::WORKFLOW_JOBS_MAX);
        if jobs == 0 || jobs > most {
            self.fault(None, None, format!("the workflow has {jobs} jobs; 1 to {most} are allowed"));
        }
        let edges: usize = spec.nodes.iter().map(|node| node.depends_on.len()).sum();
        if edges > limits::WORKFLOW_DEPENDENCIES_MAX {
            let most = limits::WORKFLOW_DEPENDENCIES_MAX;
            self.fault(None, None, format!("the workflow has {edges} dependencies; {most} are allowed"));
        }
        let (bytes, most) = (spec.encoded_len(), limits::WORKFLOW_BYTES_MAX);
        if bytes > most {
            self.fault(None, None, format!("the workflow has {bytes} bytes; {most} are allowed"));
        }
    }

    fn names(&mut self, spec: &WorkflowSpec) {
        if !spec.name.is_empty()
            && let Err(problem) = check_name(&spec.name)
        {
            self.fault(None, None, format!("the workflow's name {problem}"));
        }
        for (n, node) in spec.nodes.iter().enumerate() {
            if let Err(problem) = check_name(&node.name) {
                self.fault(Some(n), None, format!("the name of job '{}' {problem}", shown(&node.name)));
            } else if self.by_name.get(&node.name) != Some(&n) {
                self.fault(Some(n), None, format!("two jobs are named '{}'", node.name));
            }
        }
    }

    /// Each spec for itself. An input that names a node is looked at as if its job had an id.
    fn jobs(&mut self, spec: &WorkflowSpec) {
        for (n, node) in spec.nodes.iter().enumerate() {
            let mut own = node.spec.clone();
            if own.name.is_empty() {
                own.name.clone_from(&node.name);
            }
            let inputs = own.inputs.clone();
            for source in own.inputs.values_mut() {
                if let Some((_, rest)) = node_of(source) {
                    *source = format!("{}{rest}", JobId(1));
                }
            }
            let mut own = match ValidJobSpec::parse(own) {
                Ok(valid) => valid.into_inner(),
                Err(e) => {
                    for fault in e.faults {
                        self.fault(Some(n), None, format!("job '{}': {fault}", shown(&node.name)));
                    }
                    JobSpec::default()
                }
            };
            own.inputs = inputs;
            self.specs.push(own);
        }
    }

    fn dependencies(&mut self, spec: &WorkflowSpec) {
        let (mut total, mut bits) = (0, 0);
        for (n, node) in spec.nodes.iter().enumerate() {
            let (mut edges, mut taken): (Vec<Edge>, BTreeSet<usize>) = (vec![], BTreeSet::new());
            for (d, dependency) in node.depends_on.iter().enumerate() {
                match self.edge(n, dependency, &mut taken) {
                    Ok(edge) => edges.push(edge),
                    Err(what) => self.fault(Some(n), Some(d), format!("job '{}' {what}", shown(&node.name))),
                }
            }
            for (input, source) in self.specs[n].inputs.clone() {
                let Some((name, rest)) = node_of(&source) else { continue };
                match self.edge_of_input(n, name, rest, &edges) {
                    Ok(edge) => edges.extend(edge),
                    Err(what) => {
                        self.fault(Some(n), None, format!("job '{}': its input '{input}' {what}", shown(&node.name)));
                    }
                }
            }
            if self.specs[n].queue_timeout_ms > 0 && edges.iter().any(|edge| edge.each) {
                let what = "has a queue_timeout, and waits index by index: its tasks come into the queue one by one";
                self.fault(Some(n), None, format!("job '{}' {what}", shown(&node.name)));
            }
            if self.specs[n].gang && edges.iter().any(|edge| edge.each) {
                let what = "is a gang, and waits index by index: its tasks start together";
                self.fault(Some(n), None, format!("job '{}' {what}", shown(&node.name)));
            }
            total += edges.len();
            bits += edges.iter().filter(|e| e.each).map(|_| u64::from(self.specs[n].count)).sum::<u64>();
            self.edges.push(edges);
        }
        if total > limits::WORKFLOW_DEPENDENCIES_MAX {
            let most = limits::WORKFLOW_DEPENDENCIES_MAX;
            self.fault(None, None, format!("the workflow has {total} dependencies; {most} are allowed"));
        }
        if bits > limits::WORKFLOW_EACH_BITS_MAX {
            let most = limits::WORKFLOW_EACH_BITS_MAX;
            self.fault(None, None, format!("{bits} tasks of the workflow wait index by index; {most} are allowed"));
        }
    }

    fn other(&self, n: usize, name: &str) -> Result<usize, String> {
        match self.by_name.get(name) {
            None => Err(format!("depends on '{}', and the workflow has no job of that name", shown(name))),
            Some(other) if *other == n => Err("depends on itself".to_owned()),
            Some(other) => Ok(*other),
        }
    }

    fn edge(&self, n: usize, dependency: &Dependency, taken: &mut BTreeSet<usize>) -> Result<Edge, String> {
        let name = shown(&dependency.node);
        let node = self.other(n, &dependency.node)?;
        let on = Condition::try_from(dependency.on)
            .map_err(|_| format!("depends on '{name}' in a way that is none of success, completion and failure"))?;
        if !taken.insert(node) {
            return Err(format!("depends on '{name}' twice"));
        }
        let (mine, theirs) = (self.specs[n].count, self.specs[node].count);
        if dependency.each && mine != theirs {
            return Err(format!("waits for '{name}' index by index, and has {mine} tasks where that one has {theirs}"));
        }
        if dependency.each && mine > limits::WORKFLOW_EACH_TASKS_MAX {
            let most = limits::WORKFLOW_EACH_TASKS_MAX;
            return Err(format!("waits for '{name}' index by index, and has {mine} tasks; {most} are allowed"));
        }
        // One task waits for one task: that is the whole job.
        Ok(Edge { node, on, each: dependency.each && mine > 1 })
    }

    /// `None`: a dependency says it already.
    fn edge_of_input(&self, n: usize, name: &str, rest: &str, earlier: &[Edge]) -> Result<Option<Edge>, String> {
        let node = self.other(n, name)?;
        let count = self.specs[node].count;
        let index = rest.strip_prefix('/').and_then(|rest| rest.split('/').next()).map(str::parse::<u32>);
        if let Some(Ok(index)) = index
            && index >= count
        {
            return Err(format!("names task {index} of '{}', which has {count}", shown(name)));
        }
        match earlier.iter().find(|edge| edge.node == node) {
            None => Ok(Some(Edge { node, on: Condition::Success, each: false })),
            Some(Edge { on: Condition::Success, each: false, .. }) => Ok(None),
            Some(_) => Err(format!(
                "is of '{}', so the job waits for the success of all of it; depends_on says something else",
                shown(name)
            )),
        }
    }

    /// An order in which each comes after those that it waits for, otherwise as given. A cycle is a fault.
    fn order(&mut self, spec: &WorkflowSpec) -> Vec<usize> {
        let mut missing: Vec<usize> = self.edges.iter().map(Vec::len).collect();
        let mut dependents: Vec<Vec<usize>> = vec![vec![]; missing.len()];
        for (n, edges) in self.edges.iter().enumerate() {
            edges.iter().for_each(|edge| dependents[edge.node].push(n));
        }
        let mut ready: BTreeSet<usize> = (0..missing.len()).filter(|n| missing[*n] == 0).collect();
        let mut order = vec![];
        while let Some(n) = ready.pop_first() {
            order.push(n);
            for child in &dependents[n] {
                missing[*child] -= 1;
                if missing[*child] == 0 {
                    ready.insert(*child);
                }
            }
        }
        if order.len() < missing.len() {
            let (n, d, names) = self.cycle(spec, &missing);
            self.fault(Some(n), d, format!("job '{}' waits for itself: {}", spec.nodes[n].name, names.join(" -> ")));
        }
        order
    }

    /// Where it begins, by which of that one's dependencies it goes on (`None`: by an input), and the names on the way. Whoever is missing something has
    /// a missing one to wait for, so that the walk comes back.
    fn cycle(&self, spec: &WorkflowSpec, missing: &[usize]) -> (usize, Option<usize>, Vec<String>) {
        let mut way: Vec<usize> = vec![];
        let mut at = (0..missing.len()).find(|n| missing[*n] > 0).unwrap_or_default();
        while !way.contains(&at) {
            way.push(at);
            let next = self.edges[at].iter().map(|edge| edge.node).find(|node| missing[*node] > 0);
            at = next.unwrap_or(at);
        }
        way.drain(..way.iter().position(|n| *n == at).unwrap_or_default());
        // Beginning with the one that stands first in the file.
        let first = (0..way.len()).min_by_key(|i| way[*i]).unwrap_or_default();
        way.rotate_left(first);
        let (n, next) = (way[0], way[1 % way.len()]);
        let d = spec.nodes[n].depends_on.iter().position(|d| self.by_name.get(&d.node) == Some(&next));
        let names = way.iter().chain(&way[..1]).map(|n| spec.nodes[*n].name.clone());
        let (mut names, most): (Vec<String>, usize) = (names.collect(), 10);
        if names.len() > most {
            let left_out = names.len() - most;
            names.splice(most - 1..names.len() - 1, [format!("({left_out} more)")]);
        }
        (n, d, names)
    }
}

/// So that a text of any length fits into a message.
fn shown(name: &str) -> String {
    name.chars().take(limits::NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dependency(text: &str) -> Dependency {
        let (text, each) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
        let (node, on) = text.split_once(':').unwrap_or((text, "success"));
        let on = Condition::ALL.into_iter().find(|c| c.name() == on).expect("a condition") as i32;
        Dependency { node: node.into(), on, each }
    }

    /// `b:3 < a:completion c*`: a job of three tasks, and what it waits for.
    fn node(text: &str) -> WorkflowNode {
        let (own, others) = text.split_once(" < ").unwrap_or((text, ""));
        let (name, count) = own.split_once(':').unwrap_or((own, "1"));
        let count = count.parse().expect("a count");
        let spec = JobSpec { image: "busybox".into(), count, ..JobSpec::default() };
        WorkflowNode { name: name.into(), spec, depends_on: others.split_whitespace().map(dependency).collect() }
    }

    fn spec(nodes: &[&str]) -> WorkflowSpec {
        WorkflowSpec { name: "w".into(), nodes: nodes.iter().map(|text| node(text)).collect() }
    }

    fn names(nodes: &[&str]) -> Vec<String> {
        let valid = ValidWorkflow::parse(spec(nodes)).expect("valid");
        valid.nodes.into_iter().map(|node| node.name).collect()
    }

    #[test]
    fn jobs_stand_after_those_that_they_wait_for_and_otherwise_as_given() {
        assert_eq!(names(&["b", "a"]), ["b", "a"]);
        assert_eq!(
            names(&["end < left right", "left < start", "right < start", "start"]),
            ["start", "left", "right", "end"]
        );
        let valid = ValidWorkflow::parse(spec(&["b:3 < a*", "a:3", "c < b:failure"])).expect("valid");
        let edge = |node, on, each| Edge { node, on, each };
        assert_eq!(valid.nodes[1].waits_for, [edge(0, Condition::Success, true)]);
        assert_eq!(valid.nodes[2].waits_for, [edge(1, Condition::Failure, false)]);
        assert_eq!(
            valid.specs(JobId(7)).map(|s| (s.name, s.count)).collect::<Vec<_>>(),
            [("a".to_owned(), 3), ("b".to_owned(), 3), ("c".to_owned(), 1)]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (nodes, at, says) in [
            (&["a", "b < x"][..], (Some(1), Some(0)), "job 'b' depends on 'x', and the workflow has no job"),
            (&["a < a"], (Some(0), Some(0)), "job 'a' depends on itself"),
            (&["a", "b < a a:failure"], (Some(1), Some(1)), "job 'b' depends on 'a' twice"),
            (&["a", "a"], (Some(1), None), "two jobs are named 'a'"),
            (&["a:2", "b:3 < a*"], (Some(1), Some(0)), "has 3 tasks where that one has 2"),
            (&["s", "a < s c", "b < a", "c < b"], (Some(1), Some(1)), "job 'a' waits for itself: a -> c -> b -> a"),
            (&["a/b"], (Some(0), None), "the name of job 'a/b' contains '/'"),
            (&["a:200000", "b:200000 < a*"], (Some(1), Some(0)), "100000 are allowed"),
            (&["a:2000000"], (Some(0), None), "job 'a': array:"),
            (&[], (None, None), "has 0 jobs"),
        ] {
            let faults = ValidWorkflow::parse(spec(nodes)).expect_err(says).faults;
            let fault = &faults[0];
            assert!(fault.what.contains(says), "{nodes:?}: {fault}");
            assert_eq!((fault.node, fault.dependency), at, "{nodes:?}");
        }
        let mut late = spec(&["a:2", "b:2 < a*"]);
        late.nodes[1].spec.queue_timeout_ms = 1_000;
        let mut gang = late.clone();
        assert!(ValidWorkflow::parse(late).expect_err("refused").to_string().contains("queue_timeout"));
        (gang.nodes[1].spec.queue_timeout_ms, gang.nodes[1].spec.gang) = (0, true);
        assert!(ValidWorkflow::parse(gang).expect_err("refused").to_string().contains("is a gang"));
    }

    #[test]
    fn an_input_that_names_a_job_waits_for_its_success() {
        let with_input = |nodes: &[&str], input: &str| {
            let mut spec = spec(nodes);
            spec.nodes[0].spec.inputs = BTreeMap::from([("in".to_owned(), input.to_owned())]);
            ValidWorkflow::parse(spec)
        };
        for (input, becomes) in [("@a", ""), ("@a/1", "/1"), ("@a/1/x/y.bin", "/1/x/y.bin")] {
            let valid = with_input(&["b", "a:2"], input).expect("valid");
            assert_eq!(valid.nodes[1].waits_for, [Edge { node: 0, on: Condition::Success, each: false }]);
            let specs: Vec<JobSpec> = valid.specs(JobId(7)).collect();
            assert_eq!(specs[1].inputs["in"], format!("{}{becomes}", JobId(7)));
        }
        let plain = with_input(&["b < a:completion", "a"], &JobId(5).to_string()).expect("another workflow's");
        assert_eq!(plain.specs(JobId(7)).nth(1).expect("the second").inputs["in"], JobId(5).to_string());
        for (nodes, input, says) in [
            (&["b", "a:2"][..], "@a/2", "names task 2 of 'a', which has 2"),
            (&["b", "a"], "@x", "no job of that name"),
            (&["b", "a"], "@b", "depends on itself"),
            (&["b", "a"], "@a/0/../x", "inputs"),
            (&["b < a:completion", "a"], "@a", "depends_on says something else"),
            (&["b:2 < a*", "a:2"], "@a/0", "depends_on says something else"),
        ] {
            let error = with_input(nodes, input).expect_err(says).to_string();
            assert!(error.contains(says), "{input}: {error}");
        }
    }

    #[test]
    fn conditions_are_met_or_say_what_becomes_of_who_waits() {
        use Condition::{Completion, Failure, Success};
        use Outcome::{Failed, Skipped, Succeeded};
        let met = |on: Condition| [Succeeded, Failed, Skipped].map(|o| on.is_met(o));
        assert_eq!(
            (met(Success), met(Completion), met(Failure)),
            ([true, false, false], [true; 3], [false, true, false])
        );
        assert_eq!(
            [Success.missed(Failed), Success.missed(Skipped), Failure.missed(Succeeded)],
            [Failed, Skipped, Skipped]
        );
    }

    #[test]
    fn a_large_workflow_is_checked_in_a_moment_and_too_many_dependencies_are_refused() {
        let names: Vec<String> = (0..10_000).map(|n| format!("n{n}")).collect();
        let chain: Vec<String> = (0..10_000).map(|n| format!("n{n} < n{}", (n + 1).min(9_999))).collect();
        let mut nodes: Vec<&str> = chain.iter().map(String::as_str).collect();
        nodes[9_999] = &names[9_999];
        let valid = ValidWorkflow::parse(spec(&nodes)).expect("a chain, the last one first");
        assert_eq!((valid.nodes[0].name.as_str(), valid.nodes[9_999].name.as_str()), ("n9999", "n0"));
        let wide = format!("all < {}", names[..400].join(" "));
        let layers: Vec<String> = (0..400).map(|n| wide.replacen("all", &format!("w{n}"), 1)).collect();
        let all: Vec<&str> = names[..400].iter().chain(&layers).map(String::as_str).collect();
        let error = ValidWorkflow::parse(spec(&all)).expect_err("too many").to_string();
        assert!(error.contains("160000 dependencies; 100000 are allowed"), "{error}");
    }

    proptest! {
        /// Any graph: it is refused for a cycle exactly if there is one, and otherwise everybody comes after those that it waits for.
        #[test]
        fn any_graph_is_ordered_or_has_a_cycle(edges in prop::collection::btree_set((0..8usize, 0..8usize), 0..16)) {
            let mut spec = spec(&["a", "b", "c", "d", "e", "f", "g", "h"]);
            for (from, to) in edges.iter().filter(|(from, to)| from != to) {
                let node = spec.nodes[*to].name.clone();
                spec.nodes[*from].depends_on.push(Dependency { node, on: 0, each: false });
            }
            // With an arithmetic of its own: who reaches whom.
            let mut reaches = [[false; 8]; 8];
            edges.iter().filter(|(a, b)| a != b).for_each(|(a, b)| reaches[*a][*b] = true);
            for via in 0..8 {
                for a in 0..8 {
                    for b in 0..8 {
                        reaches[a][b] |= reaches[a][via] && reaches[via][b];
                    }
                }
            }
            let has_cycle = (0..8).any(|n| reaches[n][n]);
            match ValidWorkflow::parse(spec) {
                Ok(valid) => {
                    prop_assert!(!has_cycle);
                    prop_assert_eq!(valid.nodes.len(), 8);
                    prop_assert!(valid.nodes.iter().enumerate().all(|(n, node)| node.waits_for.iter().all(|e| e.node < n)));
                }
                Err(error) => {
                    prop_assert!(has_cycle, "{}", error);
                    let fault = &error.faults[0];
                    prop_assert!(fault.what.contains("waits for itself") && reaches[fault.node.unwrap()][fault.node.unwrap()]);
                }
            }
        }
    }
}
