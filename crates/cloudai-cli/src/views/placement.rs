//! Placement rules, in the words of a job file.

use cloudai_types::{NearRule, Placement};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreferenceView {
    pub expression: String,
    pub weight: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpreadView {
    /// A label, or `worker`.
    pub label: String,
    /// Null: as even as possible, and nothing waits for it.
    pub max_skew: Option<u32>,
}

/// Other jobs of the namespace, and what near means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NearView {
    /// An expression over their labels.
    pub jobs: String,
    /// A label of workers, or `worker`.
    pub over: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacementView {
    /// Expressions, beside the labels of the spec's own `require`.
    pub require: Vec<String>,
    pub prefer: Vec<PreferenceView>,
    pub tolerate: Vec<String>,
    /// A label, or `worker`; null: its tasks may be together.
    pub apart: Option<String>,
    pub spread: Option<SpreadView>,
    pub apart_from: Vec<NearView>,
    pub together_with: Vec<NearView>,
}

impl From<Placement> for PlacementView {
    fn from(p: Placement) -> Self {
        PlacementView {
            require: p.require,
            prefer: p
                .prefer
                .into_iter()
                .map(|p| PreferenceView { expression: p.expression, weight: p.weight })
                .collect(),
            tolerate: p.tolerate,
            apart: (!p.apart.is_empty()).then_some(p.apart),
            spread: (!p.spread.is_empty())
                .then(|| SpreadView { label: p.spread, max_skew: (p.max_skew > 0).then_some(p.max_skew) }),
            apart_from: near_views(p.apart_from),
            together_with: near_views(p.together_with),
        }
    }
}

fn near_views(rules: Vec<NearRule>) -> Vec<NearView> {
    rules.into_iter().map(|rule| NearView { jobs: rule.jobs, over: rule.over }).collect()
}

/// `app=db by worker, tier in (a,b) by rack`
pub fn near(rules: &[NearView]) -> String {
    rules.iter().map(|rule| format!("{} by {}", rule.jobs, rule.over)).collect::<Vec<_>>().join(", ")
}

impl PlacementView {
    /// `disk=ssd (10)`
    pub fn prefers(&self) -> String {
        self.prefer.iter().map(|p| format!("{} ({})", p.expression, p.weight)).collect::<Vec<_>>().join(", ")
    }

    /// `rack, at most 1 ahead`
    pub fn spread_over(&self) -> String {
        let Some(spread) = &self.spread else { return String::new() };
        let skew = spread.max_skew.map_or(String::new(), |skew| format!(", at most {skew} ahead"));
        format!("{}{skew}", spread.label)
    }
}

/// Labels and expressions as people read them: `zone=eu,!old`.
pub fn requires(labels: String, placement: Option<&PlacementView>) -> String {
    let expressions = placement.into_iter().flat_map(|placement| placement.require.iter().cloned());
    Some(labels).filter(|labels| !labels.is_empty()).into_iter().chain(expressions).collect::<Vec<_>>().join(",")
}
