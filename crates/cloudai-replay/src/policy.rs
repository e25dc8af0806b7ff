//! The policies of a comparison by their words. Comes in: `sjf`, or `aged_area:width=0.2:ageing=4`. Goes out: an order of the queue with
//! the name under which it is reported. What an order does is deliberately not known here.

use std::num::ParseFloatError;

use cloudai_scheduler::order::{self, AgedArea, Order};

const DAY_S: f64 = 86_400.0;

/// An order of the queue and how it is called.
#[derive(Clone)]
pub struct Policy {
    /// As it was written: two of the same order with different weights can be told apart.
    pub name: String,
    chosen: Chosen,
}

#[derive(Clone, Copy)]
enum Chosen {
    Named(&'static (dyn Order + Sync)),
    Weighed(AgedArea),
}

/// Why a word names no policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("there is no policy '{0}'")]
    Unknown(String),
    #[error("'{0}' has no weights to set; only aged_area has")]
    NoWeights(String),
    #[error("aged_area has no weight '{0}'")]
    UnknownWeight(String),
    #[error("'{text}' is no number from 0 to 1000000: {weight} cannot be that")]
    NoNumber { weight: String, text: String },
}

/// The weights that can be set, for people.
pub const WEIGHTS: &str =
    "run, width, ageing (per day), run_min_s (shorter ones are all the same), cap_days (a longest wait)";

impl Policy {
    /// Reads `NAME` or `aged_area:WEIGHT=NUMBER…`.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let named = order::by_name(name).ok_or_else(|| PolicyError::Unknown(name.to_owned()))?;
        let weights: Vec<&str> = parts.collect();
        if weights.is_empty() {
            return Ok(Policy { name: named.name().to_owned(), chosen: Chosen::Named(named) });
        }
        if named.name() != AgedArea::DEFAULT.name() {
            return Err(PolicyError::NoWeights(name.to_owned()));
        }
        let weighed = weights.into_iter().try_fold(AgedArea::DEFAULT, weigh)?;
        Ok(Policy { name: text.to_owned(), chosen: Chosen::Weighed(weighed) })
    }

    /// What the scheduler uses when nobody says otherwise.
    pub fn default_order() -> Policy {
        let named = order::ALL[0];
        Policy { name: named.name().to_owned(), chosen: Chosen::Named(named) }
    }

    pub fn order(&self) -> &(dyn Order + Sync) {
        match &self.chosen {
            Chosen::Named(order) => *order,
            Chosen::Weighed(order) => order,
        }
    }

    /// Whether this is the default order, under whatever weights it was written.
    pub fn is_default(&self) -> bool {
        match &self.chosen {
            Chosen::Named(order) => order.name() == order::ALL[0].name(),
            Chosen::Weighed(order) => *order == AgedArea::DEFAULT,
        }
    }
}

fn weigh(order: AgedArea, text: &str) -> Result<AgedArea, PolicyError> {
    let (weight, value) = text.split_once('=').ok_or_else(|| PolicyError::UnknownWeight(text.to_owned()))?;
    let number = || {
        let parsed: Result<f64, ParseFloatError> = value.parse();
        let no_number = || PolicyError::NoNumber { weight: weight.to_owned(), text: value.to_owned() };
        parsed.ok().filter(|number| (0.0..=1_000_000.0).contains(number)).ok_or_else(no_number)
    };
    match weight {
        "run" => Ok(AgedArea { run_weight: number()?, ..order }),
        "width" => Ok(AgedArea { width_weight: number()?, ..order }),
        "ageing" => Ok(AgedArea { ageing_per_day: number()?, ..order }),
        "run_min_s" => Ok(AgedArea { run_min_s: number()? as u64, ..order }),
        "cap_days" => Ok(AgedArea { wait_max_s: (number()? * DAY_S) as u64, ..order }),
        other => Err(PolicyError::UnknownWeight(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_orders_and_weights() {
        let told = |text: &str| Policy::parse(text).map(|p| (p.name.clone(), p.order().name(), p.is_default()));
        assert_eq!(told("fifo"), Ok(("fcfs".to_owned(), "fcfs", false)));
        assert_eq!(told("aged_area"), Ok(("aged_area".to_owned(), "aged_area", true)));
        assert_eq!(told("aged_area:width=0.6"), Ok(("aged_area:width=0.6".to_owned(), "aged_area", true)));
        let Chosen::Weighed(order) =
            Policy::parse("aged_area:run=2:width=0:ageing=4:run_min_s=60:cap_days=0.5").unwrap().chosen
        else {
            panic!("weights were given");
        };
        let weights = (order.run_weight, order.width_weight, order.ageing_per_day, order.run_min_s, order.wait_max_s);
        assert_eq!(weights, (2.0, 0.0, 4.0, 60, 43_200));
        assert!(Policy::default_order().is_default());
    }

    #[test]
    fn what_is_no_policy_is_named() {
        for (text, said) in [
            ("magic", "there is no policy 'magic'"),
            ("", "there is no policy ''"),
            ("sjf:width=1", "'sjf' has no weights to set; only aged_area has"),
            ("aged_area:", "aged_area has no weight ''"),
            ("aged_area:depth=1", "aged_area has no weight 'depth'"),
            ("aged_area:width=wide", "'wide' is no number from 0 to 1000000: width cannot be that"),
            ("aged_area:width=nan", "'nan' is no number from 0 to 1000000: width cannot be that"),
            ("aged_area:ageing=-1", "'-1' is no number from 0 to 1000000: ageing cannot be that"),
        ] {
            assert_eq!(Policy::parse(text).map(|p| p.name).unwrap_err().to_string(), said);
        }
    }
}
