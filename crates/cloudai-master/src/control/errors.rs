//! Refusals and failures as errors that travel. Comes in: what `apply`, the proposer or Raft said. Goes out: a status with kind,
//! what happened, why, and what to do next.

use cloudai_core::reply::Refusal;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use cloudai_raft::{MembershipError, TransferError};
use cloudai_types::limits;
use tonic::Status;

use crate::forward::NOT_LEADER;
use crate::proposer::WriteError;

const WHO_LEADS: &str = "run `cloudai cluster status` on each master; start those that are down";

pub fn no_leader() -> Status {
    ErrorInfo::new(ErrorKind::NoLeader, "no leader is elected")
        .why(format!("no majority of masters could be reached within {} ms", limits::LEADER_WAIT.0))
        .next(WHO_LEADS)
        .into_status()
}

pub fn not_found(what: impl Into<String>, next: &str) -> Status {
    ErrorInfo::new(ErrorKind::NotFound, what).next(next).into_status()
}

pub fn invalid(what: impl Into<String>) -> Status {
    ErrorInfo::new(ErrorKind::Invalid, what).into_status()
}

/// The state could not be read: a human must look.
pub fn internal(error: &std::io::Error) -> Status {
    internal_info(error).into_status()
}

pub fn internal_info(error: &std::io::Error) -> ErrorInfo {
    tracing::error!(%error, "the state cannot be read");
    ErrorInfo::new(ErrorKind::Internal, "the state cannot be read on this master")
        .why(error.to_string())
        .next("ask another master, and look at this one's log")
}

/// A command without a reply.
pub fn write_info(error: &WriteError) -> ErrorInfo {
    match error {
        WriteError::NotLeader { leader } => ErrorInfo::new(ErrorKind::NotLeader, "this master no longer leads")
            .why("nothing was written")
            .next("try again")
            .with_leader(leader.as_ref().map(|l| l.node.grpc_addr.clone()).unwrap_or_default()),
        WriteError::Busy => ErrorInfo::new(ErrorKind::TooBusy, "the cluster is busy")
            .why(error.to_string())
            .next("nothing was written; try again in a moment"),
        WriteError::Unknown(why) => ErrorInfo::new(ErrorKind::OutcomeUnknown, "the outcome is unknown")
            .why(why.clone())
            .next("retry with the same request id: it is then done once"),
    }
}

/// As a status; one that was surely not written carries the mark for the forwarder to try again.
pub fn write(error: &WriteError) -> Status {
    let mut status = write_info(error).into_status();
    if matches!(error, WriteError::NotLeader { .. }) {
        status.metadata_mut().insert(NOT_LEADER, "1".parse().expect("ASCII"));
    }
    status
}

pub fn refused_info(refusal: &Refusal) -> ErrorInfo {
    if let Refusal::QueueFull(full) = refusal {
        return ErrorInfo::new(ErrorKind::OverQuota, "the queue is full, and nothing was submitted")
            .why(full.why())
            .next(full.next());
    }
    let (kind, next) = match refusal {
        Refusal::RequestIdReused(_) => (ErrorKind::Conflict, "use a new request id for another request"),
        Refusal::InvalidSpec(_) | Refusal::InvalidNamespace(_) | Refusal::InvalidName(_) | Refusal::InvalidValue(_) => {
            (ErrorKind::Invalid, "correct it and try again")
        }
        Refusal::InvalidWorkflow(_) => {
            (ErrorKind::Invalid, "correct it; `cloudai workflow validate -f FILE` checks it without submitting")
        }
        Refusal::NoSuchWorkflow(_) => (ErrorKind::NotFound, "list the workflows with `cloudai workflow list`"),
        Refusal::NoSuchNode(_) => (ErrorKind::NotFound, "`cloudai workflow show ID` lists its jobs"),
        Refusal::RetryTooLarge(_) => (
            ErrorKind::TooLarge,
            "retry from one job at a time with `--from`, or replay dead tasks with `cloudai dead replay`",
        ),
        Refusal::TooManyNamespaces(_) | Refusal::TooMany(_) => (ErrorKind::Conflict, "use an existing one"),
        Refusal::NoSuchJob(_) => (ErrorKind::NotFound, "list the jobs with `cloudai job list`"),
        Refusal::NotDead(_) => (ErrorKind::NotFound, "list what is there with `cloudai dead list`"),
        Refusal::NoSuchSecret(_) => {
            (ErrorKind::NotFound, "store it with `cloudai secret set NAME`; `cloudai secret list` shows what is there")
        }
        Refusal::NoSuchLogin(_) => (ErrorKind::NotFound, "list what is there with `cloudai registry list`"),
        Refusal::NoSuchTemplate(_) => (ErrorKind::NotFound, "list the templates with `cloudai template list`"),
        Refusal::NoSuchVersion(..) => (ErrorKind::NotFound, "`cloudai template show NAME` lists its versions"),
        Refusal::NoSuchSchedule(_) => (ErrorKind::NotFound, "list the schedules with `cloudai schedule list`"),
        Refusal::ScheduleExists(_) => (
            ErrorKind::Conflict,
            "replace it with `--replace`, or give this one another name; `cloudai schedule show NAME` says what it does",
        ),
        Refusal::ScheduleChanged(_) | Refusal::NotDue(_) => {
            (ErrorKind::Conflict, "look at it with `cloudai schedule show NAME`, and try again")
        }
        Refusal::RunOverlaps(..) => (
            ErrorKind::Conflict,
            "wait for that job or cancel it; or let runs overlap: `cloudai schedule create … --overlap allow --replace`",
        ),
        Refusal::InvalidSchedule(_) => (ErrorKind::Invalid, "correct it and try again"),
        Refusal::NoSuchWorker(_) => (ErrorKind::NotFound, "list the workers with `cloudai worker list`"),
        Refusal::NotAuthorized(_) => {
            (ErrorKind::Unauthenticated, "authorise the name first: `cloudai worker authorize NAME`")
        }
        Refusal::Revoked(_) | Refusal::WrongToken | Refusal::TokenUsed => (
            ErrorKind::Unauthenticated,
            "get a new token: `cloudai worker authorize NAME` or `cloudai cluster add NAME`",
        ),
        Refusal::StaleSession => (ErrorKind::Conflict, "connect again"),
        Refusal::WrongDisk(_) | Refusal::NodeRemoved(_) => {
            (ErrorKind::Conflict, "join as a new node: `cloudai cluster add NAME`")
        }
        Refusal::AlreadyFounded => (ErrorKind::Conflict, ""),
        // Told above, in its own words.
        Refusal::QueueFull(_) => (ErrorKind::OverQuota, ""),
    };
    ErrorInfo::new(kind, refusal.to_string()).next(next)
}

pub fn refused(refusal: &Refusal) -> Status {
    refused_info(refusal).into_status()
}

/// A reply that its command cannot have: a bug of ours, said aloud.
pub fn unexpected(reply: &cloudai_core::Reply) -> Status {
    tracing::error!(?reply, "a command got a reply of another kind");
    ErrorInfo::new(ErrorKind::Internal, "the master got an unexpected reply").why(format!("{reply:?}")).into_status()
}

pub fn membership(error: &MembershipError) -> Status {
    let kind = match error {
        MembershipError::NotLeader { .. } => ErrorKind::NotLeader,
        MembershipError::NotAMember(_) => ErrorKind::NotFound,
        MembershipError::IdInUse(_) | MembershipError::IsLeader(_) | MembershipError::LastVoter(_) => {
            ErrorKind::Conflict
        }
        MembershipError::NotCaughtUp { .. } | MembershipError::Busy => ErrorKind::TooBusy,
        MembershipError::Unknown(_) => ErrorKind::OutcomeUnknown,
        MembershipError::Fatal(_) => ErrorKind::Internal,
    };
    ErrorInfo::new(kind, error.to_string()).next("look at `cloudai cluster members` and try again").into_status()
}

pub fn transfer(error: &TransferError) -> Status {
    let kind = match error {
        TransferError::NotLeader { .. } => ErrorKind::NotLeader,
        TransferError::NotAVoter(_) => ErrorKind::NotFound,
        TransferError::NobodyElse => ErrorKind::Conflict,
        TransferError::NotReady { .. } => ErrorKind::TooBusy,
        TransferError::Failed { .. } => ErrorKind::Unreachable,
        TransferError::Fatal(_) => ErrorKind::Internal,
    };
    ErrorInfo::new(kind, error.to_string()).next("look at `cloudai cluster members` and try again").into_status()
}
