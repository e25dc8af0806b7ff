//! Rules of a job about where its tasks may go, beside room and the labels of `require`. Comes in: texts of a spec. Goes out: [`Rules`],
//! parsed once and in one order, so that jobs with equal rules are placed alike. Workers and tasks are not known here.
//!
//! A spec keeps texts, which people read as they wrote them, and rules print as the texts that they were parsed from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::expression::Expression;
use crate::spec::Fault;
use crate::{WorkerId, limits};

/// As a spec carries it; each text is that of the type named.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Placement {
    /// Of its worker's labels, all of these hold: [`Expression`].
    #[prost(string, repeated, tag = "1")]
    pub require: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    pub prefer: Vec<Preference>,
    /// Taints that keep its tasks from no worker: [`Toleration`].
    #[prost(string, repeated, tag = "3")]
    pub tolerate: Vec<String>,
    /// No two tasks of the job are in one of these at a time: [`Domain`]. Empty: they may be.
    #[prost(string, tag = "4")]
    pub apart: String,
    /// Its tasks go where the fewest of them are: [`Domain`]. Empty: anywhere.
    #[prost(string, tag = "5")]
    pub spread: String,
    /// By so many tasks one of them may be ahead of the one with the fewest; 0: by any number.
    #[prost(uint32, tag = "6")]
    pub max_skew: u32,
    /// No task of these jobs is near when one of its tasks starts, nor does one of theirs start near one of it: [`Near`].
    #[prost(message, repeated, tag = "7")]
    pub apart_from: Vec<NearRule>,
    /// A task of each of these is near when one of its tasks starts: [`Near`].
    #[prost(message, repeated, tag = "8")]
    pub together_with: Vec<NearRule>,
}

/// Other jobs of the same namespace, and what near means.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct NearRule {
    /// Of the labels of those jobs this holds: [`Expression`]. A job without labels is never meant.
    #[prost(string, tag = "1")]
    pub jobs: String,
    /// Near is who is in the same of these: [`Domain`]. Empty: who is on the same worker.
    #[prost(string, tag = "2")]
    pub over: String,
}

/// Workers that meet the expression come first.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Preference {
    #[prost(string, tag = "1")]
    pub expression: String,
    /// Beside the others': 1 to [`limits::PREFERENCE_WEIGHT_MAX`].
    #[prost(uint32, tag = "2")]
    pub weight: u32,
}

/// What a [`Placement`] says. Lists are sorted, and say nothing twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Rules {
    pub require: Vec<Expression>,
    pub prefer: Vec<(Expression, u32)>,
    pub tolerate: Vec<Toleration>,
    pub apart: Option<Domain>,
    pub spread: Option<Spread>,
    pub apart_from: Vec<Near>,
    pub together_with: Vec<Near>,
}

/// What a [`NearRule`] says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Near {
    pub jobs: Expression,
    pub over: Domain,
}

/// `key`: a taint of this name, whatever its value. `key=value`: only with this one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Toleration {
    pub key: String,
    pub value: Option<String>,
}

/// What workers are grouped by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Domain {
    /// Each by itself. Written `worker`, so that no label of this name can be meant.
    Worker,
    /// By their value of this label. Those without it are in none.
    Label(String),
}

/// One of a [`Domain`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Spot {
    Worker(WorkerId),
    /// The label's value.
    Value(String),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spread {
    pub over: Domain,
    /// 0: as even as possible, and nothing waits for it.
    pub max_skew: u32,
}

/// Of a worker: name and value; a value may be empty.
pub type Taints = BTreeMap<String, String>;

/// The name of [`Domain::Worker`].
const WORKER: &str = "worker";

impl Rules {
    /// The first thing that is wrong, with its field in a job file.
    pub fn parse(placement: &Placement) -> Result<Rules, Fault> {
        let Placement { require, prefer, tolerate, apart, spread, max_skew, apart_from, together_with } = placement;
        for (field, len) in [("require", require.len()), ("prefer", prefer.len()), ("tolerate", tolerate.len())] {
            if len > limits::PLACEMENT_RULES_MAX {
                let problem = format!("has {len} entries; {} are allowed", limits::PLACEMENT_RULES_MAX);
                return Err(Fault { field, problem });
            }
        }
        for (field, len) in [("apart_from", apart_from.len()), ("together_with", together_with.len())] {
            if len > limits::NEAR_RULES_MAX {
                let problem = format!("has {len} entries; {} are allowed", limits::NEAR_RULES_MAX);
                return Err(Fault { field, problem });
            }
        }
        let mut rules = Rules {
            require: each("require", require, |text| text.parse::<Expression>().map_err(|e| e.to_string()))?,
            prefer: each("prefer", prefer, Preference::parse)?,
            tolerate: each("tolerate", tolerate, |text| text.parse::<Toleration>())?,
            apart: domain("apart", apart)?,
            spread: domain("spread", spread)?.map(|over| Spread { over, max_skew: *max_skew }),
            apart_from: each("apart_from", apart_from, NearRule::parse)?,
            together_with: each("together_with", together_with, NearRule::parse)?,
        };
        if rules.spread.is_none() && *max_skew > 0 {
            return Err(Fault { field: "spread", problem: "has a max_skew, and does not say over which label".into() });
        }
        if *max_skew > limits::SPREAD_SKEW_MAX {
            let problem = format!("max_skew is {max_skew}; 1 to {} are allowed", limits::SPREAD_SKEW_MAX);
            return Err(Fault { field: "spread", problem });
        }
        rules.require.dedup();
        rules.tolerate.dedup();
        rules.apart_from.dedup();
        rules.together_with.dedup();
        Ok(rules)
    }

    /// The texts that it is parsed from.
    pub fn placement(&self) -> Placement {
        let Rules { require, prefer, tolerate, apart, spread, apart_from, together_with } = self;
        let preference = |(expression, weight): &(Expression, u32)| Preference {
            expression: expression.to_string(),
            weight: *weight,
        };
        Placement {
            require: require.iter().map(ToString::to_string).collect(),
            prefer: prefer.iter().map(preference).collect(),
            tolerate: tolerate.iter().map(ToString::to_string).collect(),
            apart: apart.as_ref().map(ToString::to_string).unwrap_or_default(),
            spread: spread.as_ref().map(|spread| spread.over.to_string()).unwrap_or_default(),
            max_skew: spread.as_ref().map_or(0, |spread| spread.max_skew),
            apart_from: apart_from.iter().map(Near::rule).collect(),
            together_with: together_with.iter().map(Near::rule).collect(),
        }
    }

    /// Every one of these is tolerated.
    pub fn tolerates(&self, taints: &Taints) -> bool {
        taints.iter().all(|(key, value)| self.tolerate.iter().any(|toleration| toleration.covers(key, value)))
    }

    /// How much a worker with these labels is preferred: the weights of what it meets.
    pub fn liking(&self, labels: &BTreeMap<String, String>) -> u32 {
        let met = self.prefer.iter().filter(|(expression, _)| expression.is_met_by(labels));
        met.map(|(_, weight)| *weight).fold(0, u32::saturating_add)
    }

    /// They forbid places by where the job's own tasks are.
    pub fn look_at_siblings(&self) -> bool {
        self.apart.is_some() || self.spread.as_ref().is_some_and(|spread| spread.max_skew > 0)
    }

    /// They forbid places by where tasks of other jobs are.
    pub fn look_at_others(&self) -> bool {
        !self.apart_from.is_empty() || !self.together_with.is_empty()
    }

    /// They order workers, or forbid some by where tasks are.
    pub fn choose_among_workers(&self) -> bool {
        !self.prefer.is_empty() || self.apart.is_some() || self.spread.is_some() || self.look_at_others()
    }
}

/// Parsed, and sorted.
fn each<T, U: Ord>(field: &'static str, texts: &[T], parse: impl Fn(&T) -> Result<U, String>) -> Result<Vec<U>, Fault> {
    let parsed = texts.iter().map(|text| parse(text).map_err(|problem| Fault { field, problem }));
    let mut parsed = parsed.collect::<Result<Vec<U>, Fault>>()?;
    parsed.sort_unstable();
    Ok(parsed)
}

fn domain(field: &'static str, text: &str) -> Result<Option<Domain>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|problem| Fault { field, problem })
}

impl Preference {
    fn parse(&self) -> Result<(Expression, u32), String> {
        let expression = self.expression.parse::<Expression>().map_err(|e| e.to_string())?;
        let most = limits::PREFERENCE_WEIGHT_MAX;
        if !(1..=most).contains(&self.weight) {
            return Err(format!("the weight of '{expression}' is {}; 1 to {most} are allowed", self.weight));
        }
        Ok((expression, self.weight))
    }
}

impl NearRule {
    fn parse(&self) -> Result<Near, String> {
        let jobs = self.jobs.parse::<Expression>().map_err(|e| e.to_string())?;
        let over = if self.over.is_empty() { Domain::Worker } else { self.over.parse()? };
        Ok(Near { jobs, over })
    }
}

impl Near {
    fn rule(&self) -> NearRule {
        NearRule { jobs: self.jobs.to_string(), over: self.over.to_string() }
    }
}

/// As a flag has it: `app=db` on the same worker, `app=db@rack` in the same rack.
impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.over {
            Domain::Worker => write!(f, "{}", self.jobs),
            Domain::Label(key) => write!(f, "{}@{key}", self.jobs),
        }
    }
}

impl Domain {
    /// Where a worker is; `None`: in none of them.
    pub fn spot(&self, worker: WorkerId, labels: &BTreeMap<String, String>) -> Option<Spot> {
        match self {
            Domain::Worker => Some(Spot::Worker(worker)),
            Domain::Label(key) => labels.get(key).map(|value| Spot::Value(value.clone())),
        }
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == WORKER {
            return Ok(Domain::Worker);
        }
        check_word("label's name", text)?;
        Ok(Domain::Label(text.to_owned()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Worker => f.write_str(WORKER),
            Domain::Label(key) => f.write_str(key),
        }
    }
}

impl Toleration {
    pub fn covers(&self, key: &str, value: &str) -> bool {
        self.key == key && self.value.as_deref().is_none_or(|own| own == value)
    }
}

impl FromStr for Toleration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        check_word("taint's name", key)?;
        value.map_or(Ok(()), |value| check_word("taint's value", value))?;
        Ok(Toleration { key: key.to_owned(), value: value.map(str::to_owned) })
    }
}

impl fmt::Display for Toleration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// `key` or `key=value`, as an operator writes a taint. Without a value it is empty.
pub fn parse_taint(text: &str) -> Result<(String, String), String> {
    let Toleration { key, value } = text.parse()?;
    Ok((key, value.unwrap_or_default()))
}

/// A taint as people read it.
pub fn taint_text(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
}

/// One taint of a worker; a value may be empty.
pub fn check_taint(key: &str, value: &str) -> Result<(), String> {
    check_word("taint's name", key)?;
    if value.is_empty() { Ok(()) } else { check_word("taint's value", value) }
}

fn check_word(what: &str, word: &str) -> Result<(), String> {
    if word.is_empty() || word.len() > limits::LABEL_BYTES_MAX {
        return Err(format!("'{word}' is no {what}: 1 to {} characters are", limits::LABEL_BYTES_MAX));
    }
    if !word.bytes().all(|b| b.is_ascii_graphic() && !b"=,()!<>".contains(&b)) {
        return Err(format!("'{word}' is no {what}: it has a space or one of = , ( ) ! < >"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement() -> Placement {
        let prefer = |expression: &str, weight| Preference { expression: expression.into(), weight };
        let near = |jobs: &str, over: &str| NearRule { jobs: jobs.into(), over: over.into() };
        Placement {
            require: vec!["zone in (us,eu)".into(), "!spot".into(), "!spot".into()],
            prefer: vec![prefer("disk = ssd", 10), prefer("cores>8", 100)],
            tolerate: vec!["gpu=a100".into(), "night".into()],
            apart: "worker".into(),
            spread: "rack".into(),
            max_skew: 1,
            apart_from: vec![near("app in (web,db)", "rack"), near("app = db", ""), near("app=db", "worker")],
            together_with: vec![near("app=cache", "zone")],
        }
    }

    #[test]
    fn rules_print_as_they_are_parsed_in_one_order() {
        let rules = Rules::parse(&placement()).expect("valid");
        let printed = rules.placement();
        assert_eq!(printed.require, ["!spot", "zone in (eu,us)"]);
        let prefer: Vec<_> = printed.prefer.iter().map(|p| (p.expression.as_str(), p.weight)).collect();
        assert_eq!(prefer, [("disk=ssd", 10), ("cores>8", 100)]);
        assert_eq!((printed.tolerate.as_slice(), printed.apart.as_str()), (&placement().tolerate[..], "worker"));
        let near = |rules: &[Near]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(near(&rules.apart_from), ["app=db", "app in (db,web)@rack"]);
        assert_eq!(near(&rules.together_with), ["app=cache@zone"]);
        assert_eq!(Rules::parse(&printed), Ok(rules));
        assert_eq!(Rules::parse(&Placement::default()), Ok(Rules::default()));
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        let fault = |change: fn(&mut Placement)| {
            let mut changed = placement();
            change(&mut changed);
            Rules::parse(&changed).expect_err("it is wrong").to_string()
        };
        for (told, begins) in [
            (fault(|p| p.require.push("zone is".into())), "require: 'zone is' is no expression: at character 6,"),
            (fault(|p| p.prefer[0].expression.clear()), "prefer: '' is no expression"),
            (fault(|p| p.prefer[0].weight = 0), "prefer: the weight of 'disk=ssd' is 0; 1 to 100"),
            (fault(|p| p.prefer[0].weight = 101), "prefer: the weight of 'disk=ssd' is 101; 1 to 100"),
            (fault(|p| p.tolerate.push("=x".into())), "tolerate: '' is no taint's name"),
            (fault(|p| p.tolerate.push("a=b=c".into())), "tolerate: 'b=c' is no taint's value"),
            (fault(|p| p.apart = "ra ck".into()), "apart: 'ra ck' is no label's name"),
            (fault(|p| p.spread.clear()), "spread: has a max_skew"),
            (fault(|p| p.max_skew = u32::MAX), "spread: max_skew is"),
            (fault(|p| p.require = vec!["a".into(); limits::PLACEMENT_RULES_MAX + 1]), "require: has"),
            (fault(|p| p.apart_from[0].jobs.clear()), "apart_from: '' is no expression: at character 1,"),
            (fault(|p| p.together_with[0].over = "a b".into()), "together_with: 'a b' is no label's name"),
            (
                fault(|p| p.apart_from = vec![NearRule::default(); limits::NEAR_RULES_MAX + 1]),
                "apart_from: has 9 entries; 8 are allowed",
            ),
        ] {
            assert!(told.starts_with(begins), "{told}");
        }
    }

    #[test]
    fn a_taint_is_tolerated_by_its_name_or_with_its_value() {
        let rules = Rules::parse(&placement()).expect("valid");
        let taints = |of: &[(&str, &str)]| of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        for (there, tolerated) in [
            (taints(&[]), true),
            (taints(&[("gpu", "a100")]), true),
            (taints(&[("gpu", "h100")]), false),
            (taints(&[("gpu", "")]), false),
            (taints(&[("night", ""), ("gpu", "a100")]), true),
            (taints(&[("night", "x")]), true),
            (taints(&[("night", "x"), ("other", "")]), false),
        ] {
            assert_eq!(rules.tolerates(&there), tolerated, "{there:?}");
        }
    }

    #[test]
    fn weights_of_what_is_met_are_added() {
        let rules = Rules::parse(&placement()).expect("valid");
        let labels = |of: &[(&str, &str)]| of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let liking = |of: &[(&str, &str)]| rules.liking(&labels(of));
        assert_eq!([liking(&[]), liking(&[("disk", "ssd")]), liking(&[("disk", "ssd"), ("cores", "9")])], [0, 10, 110]);
    }
}
