//! Placement rules as people write them. Comes in: texts of flags, and what stands under `require:`, `prefer:`, `spread:`, `apart_from:` and `together_with:` in
//! a job file. Goes
//! out: what a spec says of them. A label with one exact value stays what it always was, an entry of the spec's `require`.

use std::collections::BTreeMap;
use std::fmt;

use cloudai_types::{Expression, JobSpec, NearRule, Placement, Preference};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::job_file::Scalar;
use super::pairs;

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    Label(String, String),
    Expression(String),
}

/// `zone=eu`, or any other expression.
pub fn parse_required(text: &str) -> Result<Required, String> {
    match text.parse::<Expression>() {
        Ok(Expression::In { key, values }) if values.len() == 1 => Ok(Required::Label(key, values.concat())),
        Ok(expression) => Ok(Required::Expression(expression.to_string())),
        // A label may have signs in its value, or none, that no expression has.
        Err(e) => match pairs::parse(text) {
            Ok((key, value)) if !key.contains(['!', '<', '>', '(', ' ']) => Ok(Required::Label(key, value)),
            Ok(_) | Err(_) => Err(e.to_string()),
        },
    }
}

/// `EXPRESSION` or `EXPRESSION:WEIGHT`; the last `:` with a number behind it begins the weight, which is 1 otherwise.
pub fn parse_preference(text: &str) -> Result<Preference, String> {
    let weighed = text.rsplit_once(':').and_then(|(expression, n)| Some((expression, n.trim().parse::<u32>().ok()?)));
    let (expression, weight) = weighed.unwrap_or((text, 1));
    let expression: Expression =
        expression.parse().map_err(|e| format!("{e}; write EXPRESSION or EXPRESSION:WEIGHT"))?;
    Ok(Preference { expression: expression.to_string(), weight })
}

/// A label, or `worker`; and how far ahead one may be: `rack`, `rack:1`.
pub fn parse_spread(text: &str) -> Result<(String, u32), String> {
    match text.rsplit_once(':') {
        None => Ok((text.to_owned(), 0)),
        Some((over, skew)) => match skew.parse() {
            Ok(skew) if skew > 0 => Ok((over.to_owned(), skew)),
            Ok(_) | Err(_) => {
                Err(format!("'{text}' is no spread: write LABEL, or LABEL:N to be at most N tasks ahead"))
            }
        },
    }
}

/// `EXPRESSION` or `EXPRESSION@LABEL`; the last `@` begins the label.
pub fn parse_near(text: &str) -> Result<NearRule, String> {
    let (jobs, over) = text.rsplit_once('@').unwrap_or((text, "worker"));
    let jobs: Expression = jobs.parse().map_err(|e| format!("{e}; write EXPRESSION or EXPRESSION@LABEL"))?;
    if over.is_empty() {
        return Err(format!("'{text}' has no label behind the '@'; write EXPRESSION or EXPRESSION@LABEL"));
    }
    Ok(NearRule { jobs: jobs.to_string(), over: over.to_owned() })
}

/// What a file or flags say, on top of what the spec says.
#[derive(Debug, Clone, Default)]
pub struct PlacementText {
    pub require: Vec<Required>,
    pub prefer: Vec<Preference>,
    pub tolerate: Vec<String>,
    pub apart: Option<String>,
    pub spread: Option<(String, u32)>,
    pub apart_from: Vec<NearRule>,
    pub together_with: Vec<NearRule>,
}

impl PlacementText {
    pub fn over(self, spec: &mut JobSpec) {
        let PlacementText { require, prefer, tolerate, apart, spread, apart_from, together_with } = self;
        let mut placement = spec.placement.take().unwrap_or_default();
        for required in require {
            match required {
                Required::Label(key, value) => {
                    spec.require.insert(key, value);
                }
                Required::Expression(text) => placement.require.push(text),
            }
        }
        placement.prefer.extend(prefer);
        placement.tolerate.extend(tolerate);
        placement.apart_from.extend(apart_from);
        placement.together_with.extend(together_with);
        if let Some(apart) = apart {
            placement.apart = apart;
        }
        if let Some((over, max_skew)) = spread {
            (placement.spread, placement.max_skew) = (over, max_skew);
        }
        spec.placement = Some(placement).filter(|placement| *placement != Placement::default());
    }
}

/// `require:`: a table of labels, or a list of expressions.
#[derive(Debug, Default)]
pub struct RequireEntry(pub Vec<Required>);

/// One entry of `prefer:`.
#[derive(Debug)]
pub struct PreferEntry(pub Preference);

/// `spread:`: a label, or a table with `label` and `max_skew`.
#[derive(Debug)]
pub struct SpreadEntry(pub String, pub u32);

/// One entry of `apart_from:` or `together_with:`.
#[derive(Debug)]
pub struct NearEntry(pub NearRule);

/// An entry of the list under `require:`.
struct RequiredText(Required);

impl<'de> Deserialize<'de> for RequiredText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Scalar(text) = Scalar::deserialize(d)?;
        parse_required(&text).map(RequiredText).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for RequireEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = RequireEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "labels such as {zone: eu}, or a list of expressions such as [\"zone in (eu,us)\", \"!gpu\"]",
                )
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RequireEntry, M::Error> {
                let labels = BTreeMap::<String, Scalar>::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RequireEntry(labels.into_iter().map(|(key, value)| Required::Label(key, value.0)).collect()))
            }
            fn visit_seq<S: SeqAccess<'de>>(self, mut entries: S) -> Result<RequireEntry, S::Error> {
                let mut all = vec![];
                while let Some(RequiredText(required)) = entries.next_element()? {
                    all.push(required);
                }
                // Two values of one label are two demands, of which no worker meets both.
                let mut labels = BTreeMap::new();
                for required in &mut all {
                    if let Required::Label(key, value) = required
                        && labels.insert(key.clone(), value.clone()).is_some_and(|other| other != *value)
                    {
                        *required = Required::Expression(format!("{key}={value}"));
                    }
                }
                Ok(RequireEntry(all))
            }
        }
        d.deserialize_any(V)
    }
}

/// The same as a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreferFields {
    expression: Scalar,
    #[serde(default = "one")]
    weight: u32,
}

fn one() -> u32 {
    1
}

impl<'de> Deserialize<'de> for PreferEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = PreferEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a preference such as {expression: disk=ssd, weight: 10}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<PreferEntry, E> {
                parse_preference(s).map(PreferEntry).map_err(E::custom)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<PreferEntry, M::Error> {
                let fields = PreferFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let expression: Expression = fields.expression.0.parse().map_err(de::Error::custom)?;
                Ok(PreferEntry(Preference { expression: expression.to_string(), weight: fields.weight }))
            }
        }
        d.deserialize_any(V)
    }
}

/// The same as a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpreadFields {
    label: String,
    #[serde(default)]
    max_skew: u32,
}

impl<'de> Deserialize<'de> for SpreadEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = SpreadEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label such as rack, or {label: rack, max_skew: 1}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<SpreadEntry, E> {
                Ok(SpreadEntry(s.to_owned(), 0))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<SpreadEntry, M::Error> {
                let fields = SpreadFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(SpreadEntry(fields.label, fields.max_skew))
            }
        }
        d.deserialize_any(V)
    }
}

/// The same as a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NearFields {
    jobs: Scalar,
    #[serde(default = "worker")]
    over: String,
}

fn worker() -> String {
    "worker".to_owned()
}

impl<'de> Deserialize<'de> for NearEntry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = NearEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("other jobs such as {jobs: app=db, over: rack}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<NearEntry, E> {
                parse_near(s).map(NearEntry).map_err(E::custom)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<NearEntry, M::Error> {
                let NearFields { jobs, over } = NearFields::deserialize(de::value::MapAccessDeserializer::new(map))?;
                let jobs: Expression = jobs.0.parse().map_err(de::Error::custom)?;
                Ok(NearEntry(NearRule { jobs: jobs.to_string(), over }))
            }
        }
        d.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<JobSpec, String> {
        let spec = crate::input::job_file::parse(&format!("image: x\n{text}"))?.spec;
        cloudai_types::ValidJobSpec::parse(spec).map(|valid| valid.into_inner()).map_err(|e| e.to_string())
    }

    #[test]
    fn requirements_are_a_table_or_a_list() {
        let table = read("require: {zone: eu, disk: 1}\n").unwrap();
        assert_eq!((table.require["zone"].as_str(), table.require["disk"].as_str()), ("eu", "1"));
        assert_eq!(table.placement, None);
        let list = read("require: [zone=eu, \"rack in (a, b)\", \"!gpu\", cores>8, zone=us]\n").unwrap();
        assert_eq!(list.require, BTreeMap::from([("zone".to_owned(), "eu".to_owned())]));
        assert_eq!(list.placement.unwrap().require, ["!gpu", "rack in (a,b)", "zone=us", "cores>8"]);
    }

    #[test]
    fn preferences_tolerations_and_distances() {
        let spec = read(
            "prefer:\n  - {expression: disk=ssd, weight: 10}\n  - cores>8:100\n  - night\ntolerate: [gpu, kind=a100]\napart: worker\nspread: {label: rack, max_skew: 1}\n",
        );
        let placement = spec.unwrap().placement.unwrap();
        let prefer: Vec<_> = placement.prefer.iter().map(|p| (p.expression.as_str(), p.weight)).collect();
        assert_eq!(prefer, [("night", 1), ("disk=ssd", 10), ("cores>8", 100)]);
        assert_eq!((placement.tolerate.len(), placement.apart.as_str()), (2, "worker"));
        assert_eq!((placement.spread.as_str(), placement.max_skew), ("rack", 1));
        let soft = read("spread: zone\n").unwrap().placement.unwrap();
        assert_eq!((soft.spread.as_str(), soft.max_skew), ("zone", 0));
    }

    #[test]
    fn other_jobs_are_meant_by_their_labels() {
        let spec = read(
            "labels: {app: web, run: 7}\napart_from:\n  - {jobs: app=db}\n  - {jobs: \"tier in (a, b)\", over: rack}\ntogether_with: [app=cache@rack, owner=a@b@worker]\n",
        )
        .unwrap();
        assert_eq!((spec.labels["app"].as_str(), spec.labels["run"].as_str()), ("web", "7"));
        let placement = spec.placement.unwrap();
        let near = |rules: &[NearRule]| rules.iter().map(|n| format!("{} {}", n.jobs, n.over)).collect::<Vec<_>>();
        assert_eq!(near(&placement.apart_from), ["app=db worker", "tier in (a,b) rack"]);
        assert_eq!(near(&placement.together_with), ["app=cache rack", "owner=a@b worker"]);
        assert_eq!(parse_near("!app"), Ok(NearRule { jobs: "!app".into(), over: "worker".into() }));
    }

    #[test]
    fn mistakes_show_their_line_or_their_field() {
        for (text, line, says) in [
            ("require:\n  - zone is eu\n", "line 3", "at character 6"),
            ("require:\n  zone: [eu]\n", "line 3", ""),
            ("prefer:\n  - {expression: disk=ssd, wait: 1}\n", "line 3", "wait"),
            ("prefer:\n  - disk=\n", "line 3", "EXPRESSION:WEIGHT"),
            ("prefer:\n  - disk=ssd:500\n", "prefer:", "1 to 100"),
            ("spread: {lable: rack}\n", "line 2", "lable"),
            ("apart: [worker]\n", "line 2", ""),
            ("apart: two words\n", "apart:", "no label's name"),
            ("tolerate: ['=x']\n", "tolerate:", "no taint's name"),
            ("apart_from:\n  - {jobs: app is db}\n", "line 3", "at character 5"),
            ("apart_from:\n  - {over: rack}\n", "line 3", "jobs"),
            ("apart_from: {jobs: app=db}\n", "line 2", ""),
            ("together_with: [app=db@]\n", "line 2", "no label behind"),
            ("together_with: [app=db@a(b]\n", "together_with:", "no label's name"),
            ("together_with: [\"app=@rack\"]\n", "line 2", "EXPRESSION@LABEL"),
            ("labels: {app: \"a,b\"}\n", "labels:", "not allowed"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(line) && told.contains(says), "{text} → {told}");
        }
    }

    #[test]
    fn a_flag_is_a_label_where_it_can_be_one() {
        let label = |key: &str, value: &str| Ok(Required::Label(key.to_owned(), value.to_owned()));
        assert_eq!(parse_required("zone=eu"), label("zone", "eu"));
        assert_eq!(parse_required("zone="), label("zone", ""));
        assert_eq!(parse_required("note=(a)"), label("note", "(a)"));
        assert_eq!(parse_required("zone != eu"), Ok(Required::Expression("zone!=eu".to_owned())));
        assert_eq!(parse_required("zone"), Ok(Required::Expression("zone".to_owned())));
        assert!(parse_required("zone!=(").is_err() && parse_required("").is_err());
        assert_eq!(parse_spread("rack:2"), Ok(("rack".to_owned(), 2)));
        assert!(parse_spread("rack:0").is_err() && parse_spread("rack:much").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (parse_required(&text), parse_preference(&text), parse_spread(&text), parse_near(&text));
        }
    }
}
