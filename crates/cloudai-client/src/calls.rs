//! One function per question, each a line: the request goes through [`Client::call`]. What may be repeated safely is decided here.

use cloudai_proto::v1::*;

use crate::call::Repeat;
use crate::client::Client;
use crate::error::CallError;

/// Reads: any master, any number of times.
macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $reply:ty;)*) => {
        impl Client {
            $($(#[$doc])*
            pub async fn $name(&self, request: $request) -> Result<$reply, CallError> {
                self.read(|mut c| { let r = request.clone(); async move { c.$name(r).await } }).await
            })*
        }
    };
}

/// Writes.
macro_rules! writes {
    ($($(#[$doc:meta])* $name:ident($request:ty) -> $reply:ty, $repeat:expr;)*) => {
        impl Client {
            $($(#[$doc])*
            pub async fn $name(&self, request: $request) -> Result<$reply, CallError> {
                self.call($repeat, |mut c| { let r = request.clone(); async move { c.$name(r).await } }).await
            })*
        }
    };
}

reads! {
    list_jobs(ListJobsRequest) -> ListJobsReply;
    get_job(GetJobRequest) -> GetJobReply;
    list_tasks(ListTasksRequest) -> ListTasksReply;
    get_task(GetTaskRequest) -> GetTaskReply;
    explain_task(ExplainTaskRequest) -> Explanation;
    get_history(GetHistoryRequest) -> GetHistoryReply;
    plan_job(SubmitRequest) -> JobPlan;
    list_workflows(ListWorkflowsRequest) -> ListWorkflowsReply;
    get_workflow(GetWorkflowRequest) -> GetWorkflowReply;
    locate_result(LocateResultRequest) -> LocateResultReply;
    list_dead(ListDeadRequest) -> ListDeadReply;
    list_secrets(ListSecretsRequest) -> ListSecretsReply;
    list_quotas(ListQuotasRequest) -> ListQuotasReply;
    list_templates(ListTemplatesRequest) -> ListTemplatesReply;
    get_template(GetTemplateRequest) -> GetTemplateReply;
    list_schedules(ListSchedulesRequest) -> ListSchedulesReply;
    get_schedule(GetScheduleRequest) -> GetScheduleReply;
    list_workers(ListWorkersRequest) -> ListWorkersReply;
    get_worker(GetWorkerRequest) -> GetWorkerReply;
    /// Of a machine or of one task, as its worker keeps it.
    get_worker_history(WorkerHistoryRequest) -> WorkerHistoryReply;
    queue(QueueRequest) -> QueueReply;
    cluster_status(ClusterStatusRequest) -> ClusterStatusReply;
    /// Of whichever master answers: [`Client::only`] chooses one.
    check_master(CheckMasterRequest) -> CheckMasterReply;
    check_workers(CheckWorkersRequest) -> CheckWorkersReply;
}

writes! {
    /// A job that is cancelled already stays so.
    cancel_job(CancelJobRequest) -> CancelJobReply, Repeat::Safe;
    /// A workflow that is cancelled already stays so.
    cancel_workflow(CancelWorkflowRequest) -> CancelWorkflowReply, Repeat::Safe;
    /// Once: what has failed again meanwhile would run again.
    retry_workflow(RetryWorkflowRequest) -> RetryWorkflowReply, Repeat::Never;
    /// Once: a repetition would take the next ones that are selected.
    replay_dead(DeadSelection) -> ReplayDeadReply, Repeat::Never;
    /// With the request id of its submit: one request id, one job.
    submit_replay(SubmitReplayRequest) -> SubmitReply, Repeat::Safe;
    /// Once: a repetition would drop the next ones that are selected.
    drop_dead(DeadSelection) -> DropDeadReply, Repeat::Never;
    /// A repetition stores the same value once more.
    set_secret(SetSecretRequest) -> SetSecretReply, Repeat::Safe;
    /// Once: a repetition would say that there is none.
    remove_secret(RemoveSecretRequest) -> ChangeReply, Repeat::Never;
    /// A repetition sets the same once more.
    set_quota(SetQuotaRequest) -> ChangeReply, Repeat::Safe;
    /// A repetition finds that the newest version says the same.
    create_template(CreateTemplateRequest) -> CreateTemplateReply, Repeat::Safe;
    /// Once: a repetition would say that there is none.
    delete_template(DeleteTemplateRequest) -> ChangeReply, Repeat::Never;
    /// A repetition finds that it says the same.
    create_schedule(CreateScheduleRequest) -> CreateScheduleReply, Repeat::Safe;
    pause_schedule(PauseScheduleRequest) -> ChangeReply, Repeat::Safe;
    /// Once: a repetition would say that there is none.
    delete_schedule(DeleteScheduleRequest) -> ChangeReply, Repeat::Never;
    /// A repetition makes a new token and voids the first one, which nobody has seen.
    authorize_worker(AuthorizeWorkerRequest) -> AuthorizeReply, Repeat::Safe;
    revoke_worker(RevokeWorkerRequest) -> ChangeReply, Repeat::Safe;
    drain_worker(DrainWorkerRequest) -> ChangeReply, Repeat::Safe;
    resume_worker(ResumeWorkerRequest) -> ChangeReply, Repeat::Safe;
    taint_worker(TaintWorkerRequest) -> ChangeReply, Repeat::Safe;
    untaint_worker(UntaintWorkerRequest) -> ChangeReply, Repeat::Safe;
    set_config(SetConfigRequest) -> ChangeReply, Repeat::Safe;
    /// Of whichever master answers: [`Client::only`] chooses one. A repetition sets the same once more, and its time begins anew.
    master_log_filter(MasterLogFilterRequest) -> LogFilter, Repeat::Safe;
    worker_log_filter(WorkerLogFilterRequest) -> LogFilter, Repeat::Safe;
    /// As for workers: the token of the last repetition is the valid one.
    add_master(AddMasterRequest) -> AuthorizeReply, Repeat::Safe;
    /// Once: after an unknown outcome, look at the members first.
    remove_master(RemoveMasterRequest) -> ChangeReply, Repeat::Never;
    /// Once: after an unknown outcome, look who leads.
    transfer_leader(TransferLeaderRequest) -> TransferLeaderReply, Repeat::Never;
}
