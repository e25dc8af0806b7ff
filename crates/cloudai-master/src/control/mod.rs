//! The control service: what users ask. Comes in: gRPC calls. Goes out: answers. Here callers are admitted, by role; what a call
//! does stands in one file per noun. Calls that need the leader reach this service on the leader only ([`crate::forward`]).

mod asking;
mod checkup;
mod cluster;
pub mod dead;
pub mod errors;
pub mod events;
pub mod history;
pub mod jobs;
mod log_filter;
pub mod logs;
pub(crate) mod pinning;
pub mod quotas;
pub mod reads;
pub mod results;
pub mod schedules;
pub mod secrets;
mod spec_format;
pub mod taints;
pub mod tasks;
pub mod telemetry;
pub mod templates;
mod usage;
pub mod workers;
pub mod workflows;

use std::sync::Arc;

use cloudai_core::command::MemberRole;
use cloudai_net::{Role, require};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::control_server;
use cloudai_telemetry::TraceContext;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::node::Node;
use crate::state_store::StateStore;

pub struct ControlService<S: StateStore> {
    pub node: Arc<Node<S>>,
}

impl<S: StateStore> ControlService<S> {
    /// Administrators only. Returns who asks, as `role/name`, and the message.
    fn admit<T>(&self, request: Request<T>) -> Result<(String, T), Status> {
        let who = require(&request, &self.node.revoked, &[Role::Admin])?;
        let actor = format!("{}/{}", who.role, who.name);
        Ok((actor, request.into_inner()))
    }
}

/// What [`crate::call_traces`] has found.
fn trace_of<T>(request: &Request<T>) -> Option<TraceContext> {
    request.extensions().get::<TraceContext>().copied()
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl<S: StateStore> control_server::Control for ControlService<S> {
    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Answer<pb::SubmitReply> {
        let trace = trace_of(&request);
        let (actor, r) = self.admit(request)?;
        jobs::submit(&self.node, &actor, trace.as_ref(), r).await.map(Response::new)
    }

    type SubmitStreamStream = ReceiverStream<Result<pb::SubmitAck, Status>>;

    async fn submit_stream(
        &self,
        request: Request<Streaming<pb::SubmitStreamRequest>>,
    ) -> Answer<Self::SubmitStreamStream> {
        let (actor, r) = self.admit(request)?;
        Ok(Response::new(jobs::submit_stream(self.node.clone(), actor, r).into()))
    }

    async fn list_jobs(&self, request: Request<pb::ListJobsRequest>) -> Answer<pb::ListJobsReply> {
        let (_, r) = self.admit(request)?;
        jobs::list(&self.node, r).await.map(Response::new)
    }

    async fn get_job(&self, request: Request<pb::GetJobRequest>) -> Answer<pb::GetJobReply> {
        let (_, r) = self.admit(request)?;
        jobs::get(&self.node, r).await.map(Response::new)
    }

    type WaitJobStream = ReceiverStream<Result<pb::JobSummary, Status>>;

    async fn wait_job(&self, request: Request<pb::WaitJobRequest>) -> Answer<Self::WaitJobStream> {
        let (_, r) = self.admit(request)?;
        jobs::wait(self.node.clone(), r).await.map(|stream| Response::new(stream.into()))
    }

    async fn cancel_job(&self, request: Request<pb::CancelJobRequest>) -> Answer<pb::CancelJobReply> {
        let (actor, r) = self.admit(request)?;
        jobs::cancel(&self.node, &actor, r).await.map(Response::new)
    }

    async fn submit_workflow(&self, request: Request<pb::SubmitWorkflowRequest>) -> Answer<pb::SubmitWorkflowReply> {
        let trace = trace_of(&request);
        let (actor, r) = self.admit(request)?;
        workflows::submit(&self.node, &actor, trace.as_ref(), r).await.map(Response::new)
    }

    async fn list_workflows(&self, request: Request<pb::ListWorkflowsRequest>) -> Answer<pb::ListWorkflowsReply> {
        let (_, r) = self.admit(request)?;
        workflows::list(&self.node, r).await.map(Response::new)
    }

    async fn get_workflow(&self, request: Request<pb::GetWorkflowRequest>) -> Answer<pb::GetWorkflowReply> {
        let (_, r) = self.admit(request)?;
        workflows::get(&self.node, r).await.map(Response::new)
    }

    async fn cancel_workflow(&self, request: Request<pb::CancelWorkflowRequest>) -> Answer<pb::CancelWorkflowReply> {
        let (actor, r) = self.admit(request)?;
        workflows::cancel(&self.node, &actor, r).await.map(Response::new)
    }

    async fn retry_workflow(&self, request: Request<pb::RetryWorkflowRequest>) -> Answer<pb::RetryWorkflowReply> {
        let (actor, r) = self.admit(request)?;
        workflows::retry(&self.node, &actor, r).await.map(Response::new)
    }

    async fn list_tasks(&self, request: Request<pb::ListTasksRequest>) -> Answer<pb::ListTasksReply> {
        let (_, r) = self.admit(request)?;
        jobs::list_tasks(&self.node, r).await.map(Response::new)
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Answer<pb::GetTaskReply> {
        let (_, r) = self.admit(request)?;
        jobs::get_task(&self.node, r).await.map(Response::new)
    }

    async fn plan_job(&self, request: Request<pb::SubmitRequest>) -> Answer<pb::JobPlan> {
        let (actor, r) = self.admit(request)?;
        tasks::plan(&self.node, &actor, r).await.map(Response::new)
    }

    async fn explain_task(&self, request: Request<pb::ExplainTaskRequest>) -> Answer<pb::Explanation> {
        let (_, r) = self.admit(request)?;
        tasks::explain(&self.node, r).await.map(Response::new)
    }

    async fn get_history(&self, request: Request<pb::GetHistoryRequest>) -> Answer<pb::GetHistoryReply> {
        let (_, r) = self.admit(request)?;
        history::get(&self.node, r).await.map(Response::new)
    }

    type WatchEventsStream = ReceiverStream<Result<pb::WatchEventsReply, Status>>;

    async fn watch_events(&self, request: Request<pb::WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let (_, r) = self.admit(request)?;
        events::watch(self.node.clone(), r).await.map(|stream| Response::new(stream.into()))
    }

    type WatchTelemetryStream = ReceiverStream<Result<pb::TelemetryFrame, Status>>;

    async fn watch_telemetry(&self, request: Request<pb::WatchTelemetryRequest>) -> Answer<Self::WatchTelemetryStream> {
        let (_, r) = self.admit(request)?;
        telemetry::watch(self.node.clone(), r).await.map(|stream| Response::new(stream.into()))
    }

    type LogsStream = ReceiverStream<Result<pb::LogsReply, Status>>;

    async fn logs(&self, request: Request<pb::LogsRequest>) -> Answer<Self::LogsStream> {
        let (_, r) = self.admit(request)?;
        logs::logs(self.node.clone(), r).await.map(|stream| Response::new(stream.into()))
    }

    type ListResultsStream = ReceiverStream<Result<pb::ListResultsReply, Status>>;

    async fn list_results(&self, request: Request<pb::ListResultsRequest>) -> Answer<Self::ListResultsStream> {
        let (_, r) = self.admit(request)?;
        results::list(&self.node, r).await.map(|stream| Response::new(stream.into()))
    }

    async fn locate_result(&self, request: Request<pb::LocateResultRequest>) -> Answer<pb::LocateResultReply> {
        let (_, r) = self.admit(request)?;
        results::locate(&self.node, r).await.map(Response::new)
    }

    type ReadResultStream = ReceiverStream<Result<pb::ReadResultReply, Status>>;

    async fn read_result(&self, request: Request<pb::ReadResultRequest>) -> Answer<Self::ReadResultStream> {
        let (_, r) = self.admit(request)?;
        results::read(self.node.clone(), r).await.map(|stream| Response::new(stream.into()))
    }

    async fn list_dead(&self, request: Request<pb::ListDeadRequest>) -> Answer<pb::ListDeadReply> {
        let (_, r) = self.admit(request)?;
        dead::list(&self.node, r).await.map(Response::new)
    }

    async fn replay_dead(&self, request: Request<pb::DeadSelection>) -> Answer<pb::ReplayDeadReply> {
        let (actor, r) = self.admit(request)?;
        dead::replay(&self.node, &actor, r).await.map(Response::new)
    }

    async fn submit_replay(&self, request: Request<pb::SubmitReplayRequest>) -> Answer<pb::SubmitReply> {
        let trace = trace_of(&request);
        let (actor, r) = self.admit(request)?;
        jobs::submit_replay(&self.node, &actor, trace.as_ref(), r).await.map(Response::new)
    }

    async fn drop_dead(&self, request: Request<pb::DeadSelection>) -> Answer<pb::DropDeadReply> {
        let (actor, r) = self.admit(request)?;
        dead::drop_dead(&self.node, &actor, r).await.map(Response::new)
    }

    async fn set_secret(&self, request: Request<pb::SetSecretRequest>) -> Answer<pb::SetSecretReply> {
        let (actor, r) = self.admit(request)?;
        secrets::set(&self.node, &actor, r).await.map(Response::new)
    }

    async fn remove_secret(&self, request: Request<pb::RemoveSecretRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        secrets::remove(&self.node, &actor, r).await.map(Response::new)
    }

    async fn list_secrets(&self, request: Request<pb::ListSecretsRequest>) -> Answer<pb::ListSecretsReply> {
        let (_, r) = self.admit(request)?;
        secrets::list(&self.node, r).await.map(Response::new)
    }

    async fn list_workers(&self, request: Request<pb::ListWorkersRequest>) -> Answer<pb::ListWorkersReply> {
        let (_, r) = self.admit(request)?;
        workers::list(&self.node, r).await.map(Response::new)
    }

    async fn get_worker(&self, request: Request<pb::GetWorkerRequest>) -> Answer<pb::GetWorkerReply> {
        let (_, r) = self.admit(request)?;
        workers::get(&self.node, r).await.map(Response::new)
    }

    async fn authorize_worker(&self, request: Request<pb::AuthorizeWorkerRequest>) -> Answer<pb::AuthorizeReply> {
        let (actor, r) = self.admit(request)?;
        let labels = r.labels.into_iter().collect();
        workers::authorize(&self.node, &actor, MemberRole::Worker, &r.name, labels).await.map(Response::new)
    }

    async fn revoke_worker(&self, request: Request<pb::RevokeWorkerRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        workers::revoke(&self.node, &actor, &r.name).await.map(Response::new)
    }

    async fn drain_worker(&self, request: Request<pb::DrainWorkerRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        workers::drain(&self.node, &actor, r).await.map(Response::new)
    }

    async fn resume_worker(&self, request: Request<pb::ResumeWorkerRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        workers::resume(&self.node, &actor, &r.name).await.map(Response::new)
    }

    async fn taint_worker(&self, request: Request<pb::TaintWorkerRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        taints::taint(&self.node, &actor, r).await.map(Response::new)
    }

    async fn untaint_worker(&self, request: Request<pb::UntaintWorkerRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        taints::untaint(&self.node, &actor, r).await.map(Response::new)
    }

    async fn set_quota(&self, request: Request<pb::SetQuotaRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        quotas::set(&self.node, &actor, r).await.map(Response::new)
    }

    async fn list_quotas(&self, request: Request<pb::ListQuotasRequest>) -> Answer<pb::ListQuotasReply> {
        let (_, r) = self.admit(request)?;
        quotas::list(&self.node, r).await.map(Response::new)
    }

    async fn create_template(&self, request: Request<pb::CreateTemplateRequest>) -> Answer<pb::CreateTemplateReply> {
        let (actor, r) = self.admit(request)?;
        templates::create(&self.node, &actor, r).await.map(Response::new)
    }

    async fn list_templates(&self, request: Request<pb::ListTemplatesRequest>) -> Answer<pb::ListTemplatesReply> {
        let (_, r) = self.admit(request)?;
        templates::list(&self.node, r).await.map(Response::new)
    }

    async fn get_template(&self, request: Request<pb::GetTemplateRequest>) -> Answer<pb::GetTemplateReply> {
        let (_, r) = self.admit(request)?;
        templates::get(&self.node, r).await.map(Response::new)
    }

    async fn delete_template(&self, request: Request<pb::DeleteTemplateRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        templates::delete(&self.node, &actor, r).await.map(Response::new)
    }

    async fn create_schedule(&self, request: Request<pb::CreateScheduleRequest>) -> Answer<pb::CreateScheduleReply> {
        let (actor, r) = self.admit(request)?;
        schedules::create(&self.node, &actor, r).await.map(Response::new)
    }

    async fn list_schedules(&self, request: Request<pb::ListSchedulesRequest>) -> Answer<pb::ListSchedulesReply> {
        let (_, r) = self.admit(request)?;
        schedules::list(&self.node, r).await.map(Response::new)
    }

    async fn get_schedule(&self, request: Request<pb::GetScheduleRequest>) -> Answer<pb::GetScheduleReply> {
        let (_, r) = self.admit(request)?;
        schedules::get(&self.node, r).await.map(Response::new)
    }

    async fn pause_schedule(&self, request: Request<pb::PauseScheduleRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        schedules::pause(&self.node, &actor, r).await.map(Response::new)
    }

    async fn delete_schedule(&self, request: Request<pb::DeleteScheduleRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        schedules::delete(&self.node, &actor, r).await.map(Response::new)
    }

    async fn run_schedule(&self, request: Request<pb::RunScheduleRequest>) -> Answer<pb::SubmitReply> {
        let trace = trace_of(&request);
        let (actor, r) = self.admit(request)?;
        schedules::run(&self.node, &actor, trace.as_ref(), r).await.map(Response::new)
    }

    async fn queue(&self, request: Request<pb::QueueRequest>) -> Answer<pb::QueueReply> {
        let (_, r) = self.admit(request)?;
        cluster::queue(&self.node, r).await.map(Response::new)
    }

    async fn cluster_status(&self, request: Request<pb::ClusterStatusRequest>) -> Answer<pb::ClusterStatusReply> {
        let (_, r) = self.admit(request)?;
        cluster::status(&self.node, r).await.map(Response::new)
    }

    async fn check_master(&self, request: Request<pb::CheckMasterRequest>) -> Answer<pb::CheckMasterReply> {
        self.admit(request)?;
        checkup::master(&self.node).await.map(Response::new)
    }

    async fn check_workers(&self, request: Request<pb::CheckWorkersRequest>) -> Answer<pb::CheckWorkersReply> {
        self.admit(request)?;
        Ok(Response::new(checkup::workers(&self.node)))
    }

    async fn get_worker_history(&self, request: Request<pb::WorkerHistoryRequest>) -> Answer<pb::WorkerHistoryReply> {
        let (_, r) = self.admit(request)?;
        usage::history(&self.node, r).await.map(Response::new)
    }

    async fn master_log_filter(&self, request: Request<pb::MasterLogFilterRequest>) -> Answer<pb::LogFilter> {
        let (actor, r) = self.admit(request)?;
        log_filter::of_master(&self.node, &actor, &r).map(Response::new)
    }

    async fn worker_log_filter(&self, request: Request<pb::WorkerLogFilterRequest>) -> Answer<pb::LogFilter> {
        let (actor, r) = self.admit(request)?;
        log_filter::of_worker(&self.node, &actor, r).await.map(Response::new)
    }

    async fn add_master(&self, request: Request<pb::AddMasterRequest>) -> Answer<pb::AuthorizeReply> {
        let (actor, r) = self.admit(request)?;
        let none = Default::default();
        workers::authorize(&self.node, &actor, MemberRole::Master, &r.name, none).await.map(Response::new)
    }

    async fn remove_master(&self, request: Request<pb::RemoveMasterRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        cluster::remove(&self.node, &actor, &r.master).await.map(Response::new)
    }

    async fn transfer_leader(&self, request: Request<pb::TransferLeaderRequest>) -> Answer<pb::TransferLeaderReply> {
        let (_, r) = self.admit(request)?;
        cluster::transfer(&self.node, r).await.map(Response::new)
    }

    async fn set_config(&self, request: Request<pb::SetConfigRequest>) -> Answer<pb::ChangeReply> {
        let (actor, r) = self.admit(request)?;
        cluster::set_config(&self.node, &actor, r).await.map(Response::new)
    }
}
