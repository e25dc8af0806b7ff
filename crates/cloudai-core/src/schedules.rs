//! Which schedules there are, and which is due next. Comes in: their rows as `apply` writes them. Goes out: the next one whose time has come, at a
//! cost that does not grow with their number. What they run, and when they run after that, is not known here.

use std::collections::{BTreeMap, BTreeSet};

use cloudai_types::NamespaceId;

use crate::rows::ScheduleRow;

/// What hot state knows of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// Replicated time from which on it is to be looked at; `None`: it is paused, or has no time to come.
    pub due_ms: Option<u64>,
    /// [`ScheduleRow::spec_hash`].
    pub spec_hash: u64,
}

/// Written by `apply` and `load` only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    by_name: BTreeMap<(NamespaceId, String), Scheduled>,
    /// (due, namespace, name) of those that have one.
    due: BTreeSet<(u64, NamespaceId, String)>,
}

impl Schedules {
    pub(crate) fn set(&mut self, namespace: NamespaceId, name: &str, row: &ScheduleRow) {
        self.remove(namespace, name);
        let scheduled = Scheduled { due_ms: row.due_ms(), spec_hash: row.spec_hash };
        self.by_name.insert((namespace, name.to_owned()), scheduled);
        self.due.extend(scheduled.due_ms.map(|due_ms| (due_ms, namespace, name.to_owned())));
    }

    pub(crate) fn remove(&mut self, namespace: NamespaceId, name: &str) {
        let removed = self.by_name.remove(&(namespace, name.to_owned()));
        if let Some(due_ms) = removed.and_then(|scheduled| scheduled.due_ms) {
            self.due.remove(&(due_ms, namespace, name.to_owned()));
        }
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Those of one namespace, by name.
    pub fn names_of(&self, namespace: NamespaceId) -> impl Iterator<Item = &str> {
        let from = self.by_name.range((namespace, String::new())..);
        from.take_while(move |((of, _), _)| *of == namespace).map(|((_, name), _)| name.as_str())
    }

    pub fn len_of(&self, namespace: NamespaceId) -> usize {
        self.names_of(namespace).count()
    }

    /// Those whose time has come, the earliest first.
    pub fn due(&self, now_ms: u64) -> impl Iterator<Item = (NamespaceId, &str, Scheduled)> {
        let due = self.due.iter().take_while(move |(due_ms, ..)| *due_ms <= now_ms);
        due.filter_map(|(_, ns, name)| {
            let ((ns, name), scheduled) = self.by_name.get_key_value(&(*ns, name.clone()))?;
            Some((*ns, name.as_str(), *scheduled))
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (NamespaceId, &str, Scheduled)> {
        self.by_name.iter().map(|((ns, name), scheduled)| (*ns, name.as_str(), *scheduled))
    }

    /// Each time stands where it is looked for, and nowhere else.
    pub fn is_consistent(&self) -> bool {
        let place =
            |(ns, name, scheduled): (NamespaceId, &str, Scheduled)| Some((scheduled.due_ms?, ns, name.to_owned()));
        self.iter().filter_map(place).collect::<BTreeSet<_>>() == self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(next_due_ms: u64, paused: bool) -> ScheduleRow {
        ScheduleRow { next_due_ms, paused, ..ScheduleRow::default() }
    }

    #[test]
    fn the_earliest_comes_first_and_who_is_paused_not_at_all() {
        let (a, b) = (NamespaceId(1), NamespaceId(2));
        let mut s = Schedules::default();
        s.set(a, "late", &row(500, false));
        s.set(b, "early", &row(100, false));
        s.set(a, "paused", &row(50, true));
        s.set(a, "over", &row(0, false));
        let due = |s: &Schedules, now| {
            let told = |(_, name, scheduled): (NamespaceId, &str, Scheduled)| {
                format!("{} {name}", scheduled.due_ms.expect("it is due"))
            };
            s.due(now).map(told).collect::<Vec<_>>()
        };
        assert_eq!(due(&s, 99), Vec::<String>::new());
        assert_eq!(due(&s, 1_000), ["100 early", "500 late"]);
        assert_eq!((s.len(), s.len_of(a), s.len_of(b), s.len_of(NamespaceId(3))), (4, 3, 1, 0));
        s.set(b, "early", &row(900, false));
        s.remove(a, "late");
        assert_eq!(due(&s, 1_000), ["900 early"], "a time that is over is not due again");
        assert!(s.is_consistent());
    }
}
