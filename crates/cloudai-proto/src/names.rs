//! The words that people and JSON see for the wire's enums: one table each. Words only grow; existing ones never change.

use crate::v1::{AttemptPhase, ErrorKind, JobState, MemberRole, TaskState, WaitReason, WorkerState};

impl JobState {
    pub const ALL: [JobState; 6] = [
        JobState::Queued,
        JobState::Running,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Blocked,
    ];

    pub fn name(self) -> &'static str {
        match self {
            JobState::Queued => "Queued",
            JobState::Running => "Running",
            JobState::Succeeded => "Succeeded",
            JobState::Failed => "Failed",
            JobState::Cancelled => "Cancelled",
            JobState::Blocked => "Blocked",
        }
    }

    pub fn is_ended(self) -> bool {
        match self {
            JobState::Blocked | JobState::Queued | JobState::Running => false,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => true,
        }
    }
}

impl TaskState {
    pub const ALL: [TaskState; 7] = [
        TaskState::Blocked,
        TaskState::Queued,
        TaskState::Active,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Cancelled,
        TaskState::Dead,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TaskState::Blocked => "Blocked",
            TaskState::Queued => "Queued",
            TaskState::Active => "Active",
            TaskState::Succeeded => "Succeeded",
            TaskState::Failed => "Failed",
            TaskState::Cancelled => "Cancelled",
            TaskState::Dead => "Dead",
        }
    }

    pub fn is_ended(self) -> bool {
        match self {
            TaskState::Blocked | TaskState::Queued | TaskState::Active => false,
            TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Dead => true,
        }
    }
}

impl AttemptPhase {
    pub fn name(self) -> &'static str {
        match self {
            AttemptPhase::Assigned => "Assigned",
            AttemptPhase::Preparing => "Preparing",
            AttemptPhase::Running => "Running",
            AttemptPhase::Stopping => "Stopping",
            AttemptPhase::Storing => "Storing",
            AttemptPhase::Exited => "Exited",
            AttemptPhase::Lost => "Lost",
        }
    }

    pub fn is_ended(self) -> bool {
        match self {
            AttemptPhase::Assigned
            | AttemptPhase::Preparing
            | AttemptPhase::Running
            | AttemptPhase::Stopping
            | AttemptPhase::Storing => false,
            AttemptPhase::Exited | AttemptPhase::Lost => true,
        }
    }
}

impl WorkerState {
    pub fn name(self) -> &'static str {
        match self {
            WorkerState::Authorized => "Authorized",
            WorkerState::Ready => "Ready",
            WorkerState::Lost => "Lost",
            WorkerState::Revoked => "Revoked",
        }
    }
}

impl MemberRole {
    pub fn name(self) -> &'static str {
        match self {
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
            MemberRole::Outside => "outside",
        }
    }
}

impl WaitReason {
    pub fn name(self) -> &'static str {
        match self {
            WaitReason::Unspecified => "other",
            WaitReason::NotReady => "not_ready",
            WaitReason::Draining => "draining",
            WaitReason::Label => "label",
            WaitReason::Busy => "busy",
            WaitReason::TooSmall => "too_small",
            WaitReason::Avoided => "avoided",
            WaitReason::Full => "full",
            WaitReason::Reserved => "reserved",
            WaitReason::Tainted => "tainted",
            WaitReason::Apart => "apart",
            WaitReason::Spread => "spread",
            WaitReason::ApartFrom => "apart_from",
            WaitReason::TogetherWith => "together_with",
            WaitReason::KeptAway => "kept_away",
        }
    }
}

impl ErrorKind {
    pub const ALL: [ErrorKind; 17] = [
        ErrorKind::Unspecified,
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Ambiguous,
        ErrorKind::Unauthenticated,
        ErrorKind::Denied,
        ErrorKind::Conflict,
        ErrorKind::NotLeader,
        ErrorKind::NoLeader,
        ErrorKind::OutcomeUnknown,
        ErrorKind::TooBusy,
        ErrorKind::TooLarge,
        ErrorKind::Stopping,
        ErrorKind::Unreachable,
        ErrorKind::Internal,
        ErrorKind::OverQuota,
        ErrorKind::TooOld,
    ];

    /// The stable code in JSON errors.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Unspecified => "unspecified",
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Ambiguous => "ambiguous",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Denied => "denied",
            ErrorKind::Conflict => "conflict",
            ErrorKind::NotLeader => "not_leader",
            ErrorKind::NoLeader => "no_leader",
            ErrorKind::OutcomeUnknown => "outcome_unknown",
            ErrorKind::TooBusy => "too_busy",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Stopping => "stopping",
            ErrorKind::Unreachable => "unreachable",
            ErrorKind::Internal => "internal",
            ErrorKind::OverQuota => "over_quota",
            ErrorKind::TooOld => "too_old",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_word_of_its_own_and_the_tables_are_complete() {
        for (i, s) in JobState::ALL.into_iter().enumerate() {
            assert_eq!((s as usize, JobState::try_from(i as i32)), (i, Ok(s)));
        }
        assert!(JobState::try_from(JobState::ALL.len() as i32).is_err());
        for (i, s) in TaskState::ALL.into_iter().enumerate() {
            assert_eq!((s as usize, TaskState::try_from(i as i32)), (i, Ok(s)));
        }
        assert!(TaskState::try_from(TaskState::ALL.len() as i32).is_err());
        let words: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(words.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::try_from(ErrorKind::ALL.len() as i32).is_err());
    }
}
