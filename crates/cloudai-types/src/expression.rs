//! Expressions over labels: `zone in (eu,us)`, `!gpu`, `disk>100`. Comes in: what a user writes. Goes out: the same, parsed once, with one way
//! to print it; and whether some labels meet it. Whose labels they are is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::limits;

/// What is asked of labels. Values are sorted, each is there once, and there is at least one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Expression {
    /// `key`: there is such a label, whatever its value.
    Has(String),
    /// `!key`
    HasNot(String),
    /// `key=value`, `key in (a,b)`
    In { key: String, values: Vec<String> },
    /// `key!=value`, `key notin (a,b)`: also where there is no such label.
    NotIn { key: String, values: Vec<String> },
    /// `key>5`: the label is a whole number above this one.
    Above { key: String, number: i64 },
    /// `key<5`
    Below { key: String, number: i64 },
}

/// Where a text ceases to be an expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{text}' is no expression: at character {at}, {problem}")]
pub struct ExpressionError {
    pub text: String,
    /// From 1 on.
    pub at: usize,
    pub problem: String,
}

impl Expression {
    pub fn is_met_by(&self, labels: &BTreeMap<String, String>) -> bool {
        let number_of = |key: &str| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Expression::Has(key) => labels.contains_key(key),
            Expression::HasNot(key) => !labels.contains_key(key),
            Expression::In { key, values } => labels.get(key).is_some_and(|value| values.binary_search(value).is_ok()),
            Expression::NotIn { key, values } => {
                labels.get(key).is_none_or(|value| values.binary_search(value).is_err())
            }
            Expression::Above { key, number } => number_of(key).is_some_and(|value| value > *number),
            Expression::Below { key, number } => number_of(key).is_some_and(|value| value < *number),
        }
    }

    /// The label that it is about.
    pub fn key(&self) -> &str {
        match self {
            Expression::Has(key) | Expression::HasNot(key) => key,
            Expression::In { key, .. } | Expression::NotIn { key, .. } => key,
            Expression::Above { key, .. } | Expression::Below { key, .. } => key,
        }
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut at = Cursor { text, at: 0 };
        at.skip_spaces();
        let expression = if at.takes("!") {
            at.skip_spaces();
            Expression::HasNot(at.key()?)
        } else {
            let key = at.key()?;
            at.skip_spaces();
            at.comparison(key)?
        };
        at.skip_spaces();
        if at.rest().is_empty() { Ok(expression) } else { Err(at.wrong("there should be nothing more")) }
    }
}

/// The one way to write it: what is parsed from this is the same.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Has(key) => write!(f, "{key}"),
            Expression::HasNot(key) => write!(f, "!{key}"),
            Expression::In { key, values } => match values.as_slice() {
                [only] => write!(f, "{key}={only}"),
                several => write!(f, "{key} in ({})", several.join(",")),
            },
            Expression::NotIn { key, values } => match values.as_slice() {
                [only] => write!(f, "{key}!={only}"),
                several => write!(f, "{key} notin ({})", several.join(",")),
            },
            Expression::Above { key, number } => write!(f, "{key}>{number}"),
            Expression::Below { key, number } => write!(f, "{key}<{number}"),
        }
    }
}

/// A place in the text of an expression.
struct Cursor<'a> {
    text: &'a str,
    /// In bytes, between two characters.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, problem: impl Into<String>) -> ExpressionError {
        let at = self.text[..self.at].chars().count() + 1;
        ExpressionError { text: self.text.to_owned(), at, problem: problem.into() }
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.rest().starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// As many characters as fit; at least one, and no more than a label may have.
    fn run(&mut self, what: &str, fits: impl Fn(char) -> bool) -> Result<String, ExpressionError> {
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !fits(c)).unwrap_or(rest.len())];
        if run.is_empty() {
            return Err(self.wrong(format!("there should be {what}")));
        }
        if run.len() > limits::LABEL_BYTES_MAX {
            return Err(self.wrong(format!("{what} has over {} characters", limits::LABEL_BYTES_MAX)));
        }
        self.at += run.len();
        Ok(run.to_owned())
    }

    fn key(&mut self) -> Result<String, ExpressionError> {
        self.run("a label's name", |c| c.is_ascii_graphic() && !"=,()!<>".contains(c))
    }

    fn value(&mut self) -> Result<String, ExpressionError> {
        self.run("a value", |c| c.is_ascii_graphic() && !"=,()".contains(c))
    }

    /// What follows a label's name.
    fn comparison(&mut self, key: String) -> Result<Expression, ExpressionError> {
        if self.rest().is_empty() {
            return Ok(Expression::Has(key));
        }
        if self.takes("!=") {
            return Ok(Expression::NotIn { key, values: vec![self.spaced_value()?] });
        }
        if self.takes("=") {
            return Ok(Expression::In { key, values: vec![self.spaced_value()?] });
        }
        if self.takes(">") {
            return Ok(Expression::Above { key, number: self.number()? });
        }
        if self.takes("<") {
            return Ok(Expression::Below { key, number: self.number()? });
        }
        if self.takes("notin") {
            return Ok(Expression::NotIn { key, values: self.values()? });
        }
        if self.takes("in") {
            return Ok(Expression::In { key, values: self.values()? });
        }
        Err(self.wrong("there should be =, !=, >, <, in (…), notin (…), or nothing"))
    }

    fn spaced_value(&mut self) -> Result<String, ExpressionError> {
        self.skip_spaces();
        self.value()
    }

    fn number(&mut self) -> Result<i64, ExpressionError> {
        self.skip_spaces();
        let place = self.at;
        let digits = self.run("a whole number", |c| c.is_ascii_digit() || c == '-')?;
        digits.parse().map_err(|_| {
            self.at = place;
            self.wrong("there should be a whole number")
        })
    }

    /// `(a, b)`
    fn values(&mut self) -> Result<Vec<String>, ExpressionError> {
        self.skip_spaces();
        if !self.takes("(") {
            return Err(self.wrong("there should be a list such as (a,b)"));
        }
        let mut values = vec![];
        loop {
            values.push(self.spaced_value()?);
            self.skip_spaces();
            if self.takes(")") {
                break;
            }
            if !self.takes(",") {
                return Err(self.wrong("there should be ',' or ')'"));
            }
        }
        if values.len() > limits::EXPRESSION_VALUES_MAX {
            let (count, most) = (values.len(), limits::EXPRESSION_VALUES_MAX);
            return Err(self.wrong(format!("a list of {count} values ends; {most} are allowed")));
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn each_form_is_met_by_what_it_says() {
        for (text, met_by, not_by) in [
            ("gpu", vec!["gpu=a100", "gpu="], vec!["", "cpu=1"]),
            ("!gpu", vec!["", "cpu=1"], vec!["gpu=a100"]),
            ("zone=eu", vec!["zone=eu"], vec!["", "zone=us"]),
            ("zone!=eu", vec!["", "zone=us"], vec!["zone=eu"]),
            ("zone in (us, eu)", vec!["zone=eu", "zone=us"], vec!["", "zone=asia"]),
            ("zone notin (eu,us)", vec!["", "zone=asia"], vec!["zone=us"]),
            ("cores>8", vec!["cores=9", "cores=100"], vec!["", "cores=8", "cores=many", "cores=9.5"]),
            ("cores < -1", vec!["cores=-2"], vec!["", "cores=-1", "cores=0", "cores=few"]),
        ] {
            let expression: Expression = text.parse().unwrap_or_else(|e| panic!("{e}"));
            for yes in met_by {
                assert!(expression.is_met_by(&labels(yes)), "{text} by {yes:?}");
            }
            for no in not_by {
                assert!(!expression.is_met_by(&labels(no)), "{text} by {no:?}");
            }
        }
    }

    #[test]
    fn there_is_one_way_to_print_it() {
        for (written, printed) in [
            (" gpu ", "gpu"),
            ("! gpu", "!gpu"),
            ("zone = eu", "zone=eu"),
            ("zone in ( eu )", "zone=eu"),
            ("zone in(b,a,b)", "zone in (a,b)"),
            ("zone notin (b)", "zone!=b"),
            ("cores>007", "cores>7"),
            ("a.b/c:d=x:y", "a.b/c:d=x:y"),
        ] {
            assert_eq!(written.parse::<Expression>().map(|e| e.to_string()).as_deref(), Ok(printed), "{written}");
        }
    }

    #[test]
    fn a_mistake_is_pointed_at() {
        for (text, at, problem) in [
            ("", 1, "there should be a label's name"),
            ("!", 2, "there should be a label's name"),
            ("zone is eu", 6, "there should be =, !=, >, <, in (…), notin (…), or nothing"),
            ("zone=", 6, "there should be a value"),
            ("zone=eu us", 9, "there should be nothing more"),
            ("zone in eu", 9, "there should be a list such as (a,b)"),
            ("zone in ()", 10, "there should be a value"),
            ("zone in (eu us)", 13, "there should be ',' or ')'"),
            ("zone in (eu", 12, "there should be ',' or ')'"),
            ("cores>many", 7, "there should be a whole number"),
            ("cores>-", 7, "there should be a whole number"),
            ("cores>=8", 7, "there should be a whole number"),
            ("größe>1", 3, "there should be =, !=, >, <, in (…), notin (…), or nothing"),
        ] {
            let e = text.parse::<Expression>().expect_err(text);
            assert_eq!((e.at, e.problem.as_str()), (at, problem), "{text}");
        }
        let long = format!("{}=x", "k".repeat(limits::LABEL_BYTES_MAX + 1));
        assert!(long.parse::<Expression>().is_err());
        let many = format!("k in ({})", vec!["v"; limits::EXPRESSION_VALUES_MAX + 1].join(","));
        assert!(many.parse::<Expression>().is_err());
    }

    fn word() -> impl Strategy<Value = String> {
        "[a-z0-9./:_-]{1,8}"
    }

    fn expression() -> impl Strategy<Value = Expression> {
        let values =
            || prop::collection::btree_set(word(), 1..4).prop_map(|set| set.into_iter().collect::<Vec<String>>());
        prop_oneof![
            word().prop_map(Expression::Has),
            word().prop_map(Expression::HasNot),
            (word(), values()).prop_map(|(key, values)| Expression::In { key, values }),
            (word(), values()).prop_map(|(key, values)| Expression::NotIn { key, values }),
            (word(), any::<i64>()).prop_map(|(key, number)| Expression::Above { key, number }),
            (word(), any::<i64>()).prop_map(|(key, number)| Expression::Below { key, number }),
        ]
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(expression in expression()) {
            prop_assert_eq!(expression.to_string().parse::<Expression>(), Ok(expression));
        }

        #[test]
        fn no_text_panics_the_parser(text in ".{0,40}") {
            if let Ok(parsed) = text.parse::<Expression>() {
                prop_assert_eq!(parsed.to_string().parse::<Expression>(), Ok(parsed));
            }
        }

        #[test]
        fn no_text_of_its_own_signs_panics_the_parser(text in "[a!=<>(), in0-]{0,16}") {
            let _ = text.parse::<Expression>();
        }
    }
}
