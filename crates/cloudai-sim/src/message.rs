//! What hosts say to each other: the same messages as over gRPC, without the encoding. Comes in and goes out: plain values.

use bytes::Bytes;
use cloudai_proto::v1 as pb;

/// Asked once, answered once.
#[derive(Clone, Debug)]
pub enum Question {
    Raft {
        header: pb::RaftHeader,
        kind: u8,
        frame: Bytes,
    },
    Register(pb::RegisterRequest),
    ReadIndex,
    /// From a user, or from a master on behalf of one.
    Control {
        call: Call,
        forwarded: bool,
    },
}

/// A user's call.
#[derive(Clone, Debug)]
pub enum Call {
    Submit(Box<pb::SubmitRequest>),
    Cancel(pb::CancelJobRequest),
    Get(pb::GetJobRequest),
    Drain(pb::DrainWorkerRequest),
    Resume(pb::ResumeWorkerRequest),
    SubmitWorkflow(Box<pb::SubmitWorkflowRequest>),
    CancelWorkflow(pb::CancelWorkflowRequest),
    RetryWorkflow(pb::RetryWorkflowRequest),
    Quota(pb::SetQuotaRequest),
    Taint(pb::TaintWorkerRequest),
    Untaint(pb::UntaintWorkerRequest),
    CreateSchedule(Box<pb::CreateScheduleRequest>),
    PauseSchedule(pb::PauseScheduleRequest),
    RunSchedule(pb::RunScheduleRequest),
    ReplayDead(pb::DeadSelection),
}

#[derive(Clone, Debug)]
pub enum Answer {
    Frame(Bytes),
    Registered(pb::RegisterReply),
    ReadIndex(pb::ReadIndexReply),
    Submitted(pb::SubmitReply),
    WorkflowSubmitted(pb::SubmitWorkflowReply),
    Cancelled(pb::CancelJobReply),
    Job(Box<pb::GetJobReply>),
    Changed,
}

/// What a stream is for.
#[derive(Clone, Debug)]
pub enum Topic {
    Append {
        header: pb::RaftHeader,
    },
    /// A whole checkpoint: answered with one frame, or the stream ends without. A stream and not a question, because whoever sends
    /// one waits minutes for its answer: it must learn when the peer is gone.
    Snapshot {
        header: pb::RaftHeader,
        frames: Vec<Bytes>,
    },
    Session {
        worker: String,
    },
}

/// One message on a stream.
#[derive(Clone, Debug)]
pub enum Frame {
    Raft(Bytes),
    FromWorker(pb::WorkerMessage),
    FromLeader(pb::LeaderMessage),
}
