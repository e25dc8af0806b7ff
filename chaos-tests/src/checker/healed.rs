//! A9: after the last fault was taken away there is one leader, every voter has caught up, and every client could write and read in
//! time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::Heal;
use super::{Check, Violation};

/// From the end of the last fault.
pub const WITHIN: Duration = Duration::from_secs(30);
/// A voter counts as caught up when it is at most so many entries behind: the log of a living cluster never stands still.
pub const LAG_MAX: u64 = 100;

pub fn check(heal: &Heal) -> Vec<Violation> {
    let mut wrong = vec![];
    let leaders: BTreeSet<&str> = heal.views.iter().map(|(_, _, leader)| leader.as_str()).collect();
    if heal.views.is_empty() {
        wrong.push("no master was asked who leads".to_owned());
    } else if leaders.len() != 1 || leaders.contains("") {
        wrong.push(format!("the masters do not agree on one leader: {:?}", heal.views));
    }
    let terms: BTreeSet<u64> = heal.views.iter().map(|(_, term, _)| *term).collect();
    if terms.len() > 1 {
        wrong.push(format!("the masters do not agree on the term: {:?}", heal.views));
    }
    if heal.voters.is_empty() {
        wrong.push("no voter was looked at".to_owned());
    }
    for (voter, lag) in &heal.voters {
        match lag {
            None => wrong.push(format!("{voter} is not heard of")),
            Some(behind) if *behind > LAG_MAX => wrong.push(format!("{voter} is {behind} entries behind")),
            Some(_) => {}
        }
    }
    if heal.clients.is_empty() {
        wrong.push("no client wrote and read after the heal".to_owned());
    }
    for (client, took) in &heal.clients {
        match took {
            None => wrong.push(format!("client {client} could not write and read")),
            Some(took) if *took > WITHIN => {
                wrong.push(format!("client {client} could write and read only after {:.1} s", took.as_secs_f64()));
            }
            Some(_) => {}
        }
    }
    wrong.into_iter().map(|what| Violation::new(Check::A9, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Heal {
        let view = |m: &str| (m.to_owned(), 3, "m1".to_owned());
        Heal {
            views: vec![view("m1"), view("m2")],
            voters: vec![("m1".into(), Some(0)), ("m2".into(), Some(3))],
            clients: vec![(0, Some(Duration::from_secs(1)))],
        }
    }

    #[test]
    fn a_healthy_cluster_passes_and_an_unseen_one_does_not() {
        assert_eq!(check(&good()), []);
        assert_eq!(check(&Heal::default()).len(), 3);
    }

    #[test]
    fn each_flaw_is_found() {
        let flawed = |flaw: fn(&mut Heal)| {
            let mut heal = good();
            flaw(&mut heal);
            check(&heal).len()
        };
        assert_eq!(flawed(|h| h.views[1].2 = "m2".into()), 1);
        assert_eq!(flawed(|h| h.views[1].2 = String::new()), 1);
        assert_eq!(flawed(|h| h.views[1].1 = 4), 1);
        assert_eq!(flawed(|h| h.voters[1].1 = None), 1);
        assert_eq!(flawed(|h| h.voters[1].1 = Some(5_000)), 1);
        assert_eq!(flawed(|h| h.clients[0].1 = None), 1);
        assert_eq!(flawed(|h| h.clients[0].1 = Some(Duration::from_secs(31))), 1);
    }
}
