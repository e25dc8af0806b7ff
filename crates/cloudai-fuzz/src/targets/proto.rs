//! Every message of the wire: decoded, written and decoded again it is the same; conversions to our types accept or refuse.

use cloudai_proto::convert::Submit;
use cloudai_proto::v1 as pb;
use cloudai_types::{AttemptId, ClusterConfig, EndReason, RequestId};
use prost::Message;

/// Decodes `$data` as the message at place `$place` of the list.
macro_rules! messages {
    ($place:expr, $data:expr, [$($message:ty),* $(,)?]) => {{
        let tries: &[fn(&[u8])] = &[$(same::<$message>),*];
        tries[usize::from($place) % tries.len()]($data)
    }};
}

pub fn run(data: &[u8]) {
    let Some((place, rest)) = data.split_first() else { return };
    messages!(
        *place,
        rest,
        [
            pb::SubmitRequest,
            pb::SubmitReply,
            pb::SubmitStreamRequest,
            pb::SubmitAck,
            pb::JobSummary,
            pb::ListJobsRequest,
            pb::ListJobsReply,
            pb::GetJobRequest,
            pb::GetJobReply,
            pb::WaitJobRequest,
            pb::CancelJobRequest,
            pb::CancelJobReply,
            pb::TaskInfo,
            pb::AttemptInfo,
            pb::ListTasksRequest,
            pb::ListTasksReply,
            pb::GetTaskRequest,
            pb::GetTaskReply,
            pb::ExplainTaskRequest,
            pb::Explanation,
            pb::LogsRequest,
            pb::LogsReply,
            pb::ListDeadRequest,
            pb::ListDeadReply,
            pb::DeadSelection,
            pb::ReplayDeadReply,
            pb::DropDeadReply,
            pb::SubmitReplayRequest,
            pb::WorkerInfo,
            pb::ListWorkersReply,
            pb::GetWorkerRequest,
            pb::GetWorkerReply,
            pb::AuthorizeWorkerRequest,
            pb::AuthorizeReply,
            pb::RevokeWorkerRequest,
            pb::DrainWorkerRequest,
            pb::QueueReply,
            pb::ClusterStatusReply,
            pb::AddMasterRequest,
            pb::RemoveMasterRequest,
            pb::TransferLeaderRequest,
            pb::SetConfigRequest,
            pb::WorkerMessage,
            pb::LeaderMessage,
            pb::UploadLogRequest,
            pb::UploadHistoryRequest,
            pb::WorkerHistoryRequest,
            pb::WorkerHistoryReply,
            pb::UsageSample,
            pb::JoinRequest,
            pb::JoinReply,
            pb::RenewRequest,
            pb::RenewReply,
            pb::RaftHeader,
            pb::RaftCall,
            pb::RaftFrame,
            pb::RegisterRequest,
            pb::ErrorInfo,
            ClusterConfig,
            EndReason,
            pb::ListResultsRequest,
            pb::ListResultsReply,
            pb::ReadResultRequest,
            pb::ReadResultReply,
            pb::LocateResultRequest,
            pb::LocateResultReply,
        ]
    );
    conversions(rest);
}

fn same<M: Message + Default + PartialEq>(data: &[u8]) {
    let Ok(message) = M::decode(data) else { return };
    let bytes = message.encode_to_vec();
    assert_eq!(bytes.len(), message.encoded_len());
    let again = M::decode(bytes.as_slice()).expect("what was written is read");
    // Not the messages: a NaN is not equal to itself.
    assert_eq!(again.encode_to_vec(), bytes, "a message changes when it is written and read");
}

fn conversions(data: &[u8]) {
    if let Ok(request) = pb::SubmitRequest::decode(data)
        && let Ok(submit) = Submit::try_from(request)
    {
        let back = pb::SubmitRequest {
            request_id: submit.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            namespace: submit.namespace.clone(),
            spec: Some(submit.spec.get().clone()),
        };
        assert_eq!(Submit::try_from(back).expect("a valid submit is valid"), submit);
    }
    if let Ok(key) = pb::AttemptKey::decode(data) {
        assert_eq!(pb::AttemptKey::from(AttemptId::from(key)), key);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(id) = text.parse::<RequestId>()
    {
        assert_eq!(id.to_string().parse::<RequestId>(), Ok(id));
    }
}
