//! The main reason for which tasks of a job wait for a worker: a closed set. Comes in: nothing. Goes out: one enum that the state, the wire and
//! people share. Who finds the reason out is not known here.

/// Why tasks wait. The numbers are persisted: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum WaitCause {
    /// None that this build knows.
    Unspecified = 0,
    /// There is no worker at all.
    NoWorker = 1,
    /// The quota of its namespace.
    Quota = 2,
    /// It starts together with its siblings, and there is room for some of them.
    Gang = 3,
    /// Others of its namespace come first.
    Ahead = 4,
    /// Another namespace has the smaller share.
    Turn = 5,
    /// Workers are not connected, or lost.
    NotReady = 6,
    Draining = 7,
    /// Labels of workers do not meet what it asks for.
    Label = 8,
    Tainted = 9,
    /// It would not fit if they were empty.
    TooSmall = 10,
    /// It would fit if they were empty.
    Busy = 11,
    /// They hold as many attempts as a worker may.
    Full = 12,
    /// Siblings are there, and they stay apart.
    Apart = 13,
    /// One more sibling there would be too many beside other places.
    Spread = 14,
    /// It failed there, and its rules send it elsewhere.
    Avoided = 15,
    /// The room is kept for a task that came first.
    Reserved = 16,
    /// Its user has as many tasks as each user of the namespace may.
    UserQuota = 17,
    /// Other jobs are there, and it stays apart from them, or they from it.
    ApartFrom = 18,
    /// None of the jobs is there with which it goes together.
    TogetherWith = 19,
}

impl WaitCause {
    /// All but the first, in the order of their numbers.
    pub const ALL: [WaitCause; 19] = [
        WaitCause::NoWorker,
        WaitCause::Quota,
        WaitCause::Gang,
        WaitCause::Ahead,
        WaitCause::Turn,
        WaitCause::NotReady,
        WaitCause::Draining,
        WaitCause::Label,
        WaitCause::Tainted,
        WaitCause::TooSmall,
        WaitCause::Busy,
        WaitCause::Full,
        WaitCause::Apart,
        WaitCause::Spread,
        WaitCause::Avoided,
        WaitCause::Reserved,
        WaitCause::UserQuota,
        WaitCause::ApartFrom,
        WaitCause::TogetherWith,
    ];

    /// The word in JSON.
    pub fn name(self) -> &'static str {
        match self {
            WaitCause::Unspecified => "other",
            WaitCause::NoWorker => "no_worker",
            WaitCause::Quota => "quota",
            WaitCause::Gang => "gang",
            WaitCause::Ahead => "ahead",
            WaitCause::Turn => "turn",
            WaitCause::NotReady => "not_ready",
            WaitCause::Draining => "draining",
            WaitCause::Label => "label",
            WaitCause::Tainted => "tainted",
            WaitCause::TooSmall => "too_small",
            WaitCause::Busy => "busy",
            WaitCause::Full => "full",
            WaitCause::Apart => "apart",
            WaitCause::Spread => "spread",
            WaitCause::Avoided => "avoided",
            WaitCause::Reserved => "reserved",
            WaitCause::UserQuota => "user_quota",
            WaitCause::ApartFrom => "apart_from",
            WaitCause::TogetherWith => "together_with",
        }
    }

    /// For people. `workers`: so many say so, of `of`; of a turn, namespaces.
    pub fn text(self, workers: u32, of: u32) -> String {
        let some = |what: &str| format!("{workers} of {of} workers: {what}");
        match self {
            WaitCause::Unspecified => "it waits".to_owned(),
            WaitCause::NoWorker => "there is no worker".to_owned(),
            WaitCause::Quota => "its namespace holds what its quota allows".to_owned(),
            WaitCause::Gang => "its tasks start together, and there is room for some of them only".to_owned(),
            WaitCause::Ahead => "others of its namespace come first".to_owned(),
            WaitCause::Turn => format!("{workers} of {of} namespaces that wait have a smaller share, and come first"),
            WaitCause::NotReady => some("not connected, or lost"),
            WaitCause::Draining => some("draining"),
            WaitCause::Label => some("without the labels that it asks for"),
            WaitCause::Tainted => some("with a taint that it does not tolerate"),
            WaitCause::TooSmall => some("too small"),
            WaitCause::Busy => some("not enough room now"),
            WaitCause::Full => some("as many attempts as a worker may hold"),
            WaitCause::Apart => some("tasks of its job are there, and stay apart"),
            WaitCause::Spread => some("as many tasks of its job as its rule of spreading allows"),
            WaitCause::Avoided => some("it failed there, and its rules send it elsewhere"),
            WaitCause::Reserved => some("room that is kept for a task which came first"),
            WaitCause::UserQuota => "its user runs as many tasks as each user of its namespace may".to_owned(),
            WaitCause::ApartFrom => some("other jobs are there, and stay apart from it, or it from them"),
            WaitCause::TogetherWith => some("none of the jobs is there with which it goes together"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_name_a_number_and_words_of_its_own() {
        let all = || WaitCause::ALL.into_iter().chain([WaitCause::Unspecified]);
        let names: std::collections::BTreeSet<_> = all().map(WaitCause::name).collect();
        let texts: std::collections::BTreeSet<_> = all().map(|cause| cause.text(2, 3)).collect();
        assert_eq!((names.len(), texts.len()), (20, 20));
        assert!(all().all(|cause| WaitCause::try_from(cause as i32) == Ok(cause)));
        assert!(WaitCause::try_from(20).is_err());
        assert_eq!(WaitCause::Busy.text(2, 3), "2 of 3 workers: not enough room now");
    }
}
