//! A user with a workflow. Comes in: the order. Goes out: its submit, and later its cancel or its retry; what came of them, to the oracle.

use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_types::WorkflowId;

use super::User;
use crate::message::{Answer, Call};
use crate::oracle::Outcome;
use crate::plan::workflows::{NAMESPACE, WorkflowOrder};

impl User {
    pub async fn carry_out_workflow(mut self, order: WorkflowOrder) {
        let oracle = self.users.oracle.clone();
        let jobs = order.spec.nodes.len() as u32;
        oracle.began_workflow(&self.request, jobs);
        tokio::time::sleep(Duration::from_millis(order.at_ms)).await;
        let request = pb::SubmitWorkflowRequest {
            request_id: self.request.clone(),
            namespace: NAMESPACE.into(),
            workflow: Some(order.spec.clone()),
        };
        self.say(format_args!("{} submits a workflow of {jobs}", self.request));
        let id = match self.ask(Call::SubmitWorkflow(Box::new(request))).await {
            Ok(Answer::WorkflowSubmitted(reply)) => WorkflowId(reply.workflow_id),
            Ok(_) => return oracle.wrong("I6", format!("{}: an answer to another question", self.request)),
            Err(outcome) => {
                self.say(format_args!("{} has no workflow: {outcome:?}", self.request));
                return oracle.ended(&self.request, outcome);
            }
        };
        self.say(format_args!("{} is {id}", self.request));
        oracle.acknowledged(&self.request, id.0);
        let (namespace, workflow) = (NAMESPACE.to_owned(), id.to_string());
        if let Some(after) = order.cancel_after_ms {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let cancel = pb::CancelWorkflowRequest { namespace: namespace.clone(), workflow: workflow.clone() };
            self.change(id, "cancel", Call::CancelWorkflow(cancel)).await;
        }
        if let Some(after) = order.retry_after_ms {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let retry = pb::RetryWorkflowRequest { namespace, workflow, from: String::new() };
            self.change(id, "retry", Call::RetryWorkflow(retry)).await;
        }
        oracle.ended(&self.request, Outcome::Acknowledged);
    }

    /// Of a workflow that was acknowledged.
    async fn change(&mut self, id: WorkflowId, what: &str, call: Call) {
        let outcome = self.ask(call).await.map(|_| "done");
        if let Err(Outcome::Failed(why)) = &outcome
            && why.starts_with("NotFound")
        {
            self.users.oracle.wrong("I6", format!("{id} was acknowledged, and a {what} does not find it: {why}"));
        }
        self.say(format_args!("{what} of {id}: {outcome:?}"));
    }
}
