//! One measured figure, the same form for all: ours, the peer's, the machine's ceiling, and whether the goal holds.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What one subcommand prints. Rates are per second.
#[derive(Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    /// What is part of the measured thing.
    #[serde(flatten)]
    pub nature: Nature,
    /// Null: not run; then `not_run` says why.
    pub ours: Option<f64>,
    /// What somebody else's program does on this machine, in turns with ours.
    pub peer: Option<f64>,
    pub peer_name: Option<&'static str>,
    /// What the machine itself does, where that has a number.
    pub ceiling: Option<f64>,
    pub ceiling_name: Option<&'static str>,
    /// Ours to the peer's, median of the rounds.
    pub ratio: Option<f64>,
    pub goal: Option<Goal>,
    /// Null: cannot be said in this run.
    pub holds: Option<bool>,
    /// Why something is missing, for people.
    pub not_run: Option<String>,
    /// Load averages over the last minute, at the start and at the end: other users of the machine show here.
    pub load: [f64; 2],
    /// Rounds, latencies, costs.
    pub detail: Value,
}

/// What the measured thing is made of. Of ours; where a peer is less, its name says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Nature {
    /// Acknowledged after an fsync.
    pub durable: bool,
    /// By a majority of three masters.
    pub replicated: bool,
    pub real_containers: bool,
}

impl Nature {
    /// One process without disk and network.
    pub const BARE: Nature = Nature { durable: false, replicated: false, real_containers: false };
    /// Three fsyncing masters; no container.
    pub const CLUSTER: Nature = Nature { durable: true, replicated: true, real_containers: false };
    /// Three fsyncing masters and the engine.
    pub const WHOLE: Nature = Nature { durable: true, replicated: true, real_containers: true };
}

impl fmt::Display for Nature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |on, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", mark(self.durable, 'd'), mark(self.replicated, 'r'), mark(self.real_containers, 'c'))
    }
}

/// A budget of the design.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    RatioAtLeast(f64),
    AtLeast(f64),
    AtMost(f64),
    /// So much more than the peer, in the figure's unit.
    AtMostAbovePeer(f64),
}

impl Figure {
    /// Nothing measured yet.
    pub fn new(name: impl Into<String>, unit: &'static str, nature: Nature) -> Self {
        let load = crate::machine::load();
        Figure {
            name: name.into(),
            unit,
            nature,
            ours: None,
            peer: None,
            peer_name: None,
            ceiling: None,
            ceiling_name: None,
            ratio: None,
            goal: None,
            holds: None,
            not_run: None,
            load: [load, load],
            detail: Value::Null,
        }
    }

    /// Not measured, and why.
    pub fn not_run(mut self, why: impl Into<String>) -> Self {
        self.not_run = Some(why.into());
        self.load[1] = crate::machine::load();
        self
    }

    /// Compares with the goal, and notes the load at the end.
    pub fn judged(mut self, goal: Option<Goal>) -> Self {
        self.load[1] = crate::machine::load();
        self.goal = goal;
        self.holds = match goal {
            None => None,
            Some(Goal::RatioAtLeast(least)) => self.ratio.map(|r| r >= least),
            Some(Goal::AtLeast(least)) => self.ours.map(|n| n >= least),
            Some(Goal::AtMost(most)) => self.ours.map(|n| n <= most),
            Some(Goal::AtMostAbovePeer(most)) => self.ours.zip(self.peer).map(|(ours, peer)| ours - peer <= most),
        };
        self
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::RatioAtLeast(n) => write!(f, ">= {n} x peer"),
            Goal::AtLeast(n) => write!(f, ">= {n}"),
            Goal::AtMost(n) => write!(f, "<= {n}"),
            Goal::AtMostAbovePeer(n) => write!(f, "<= peer + {n}"),
        }
    }
}

/// Figures for people.
pub struct Table<'a>(pub &'a [Figure]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<f64>| match n {
            None => "-".to_owned(),
            Some(n) if n.abs() < 100.0 => format!("{n:.2}"),
            Some(n) => format!("{n:.0}"),
        };
        writeln!(
            f,
            "{:<26} {:<4} {:>10} {:<13} {:>10} {:>10} {:>7} {:<14} {:<7} {:>11}",
            "figure", "what", "ours", "unit", "peer", "ceiling", "ratio", "goal", "holds", "load"
        )?;
        for x in self.0 {
            let goal = x.goal.map_or("-".to_owned(), |g| g.to_string());
            let holds = match (x.ours, x.holds) {
                (None, _) => "NOT RUN",
                (Some(_), None) => "-",
                (Some(_), Some(true)) => "yes",
                (Some(_), Some(false)) => "no",
            };
            writeln!(
                f,
                "{:<26} {:<4} {:>10} {:<13} {:>10} {:>10} {:>7} {:<14} {:<7} {:>5.1}-{:<5.1}",
                x.name,
                x.nature.to_string(),
                number(x.ours),
                x.unit,
                number(x.peer),
                number(x.ceiling),
                number(x.ratio),
                goal,
                holds,
                x.load[0],
                x.load[1]
            )?;
        }
        writeln!(
            f,
            "what: d durable (fsynced), r replicated (three masters), c real containers; load: 1 minute, start-end"
        )?;
        for x in self.0 {
            if let Some(why) = &x.not_run {
                writeln!(f, "{}: {}: {why}", x.name, if x.ours.is_none() { "NOT RUN" } else { "note" })?;
            }
            if let Some(peer) = x.peer_name {
                writeln!(f, "{}: peer = {peer}", x.name)?;
            }
            if let Some(ceiling) = x.ceiling_name {
                writeln!(f, "{}: ceiling = {ceiling}", x.name)?;
            }
            if let Value::Object(detail) = &x.detail {
                for (key, value) in detail {
                    writeln!(f, "{}: {key} = {value}", x.name)?;
                }
            }
        }
        Ok(())
    }
}

/// The middle one; of two, their mean. Zero without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_unsorted_values() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 5.0, 3.0]), 4.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_goal_is_only_judged_with_what_it_compares() {
        let mut figure = Figure::new("x", "n/s", Nature::BARE);
        figure.ours = Some(10.0);
        let figure = figure.judged(Some(Goal::RatioAtLeast(2.0)));
        assert_eq!(figure.holds, None);
        let figure = figure.judged(Some(Goal::AtLeast(10.0)));
        assert_eq!(figure.holds, Some(true));
        let figure = figure.judged(Some(Goal::AtMost(9.0)));
        assert_eq!(figure.holds, Some(false));
        let figure = Figure { ratio: Some(1.9), ..figure }.judged(Some(Goal::RatioAtLeast(2.0)));
        assert_eq!(figure.holds, Some(false));
    }
}
