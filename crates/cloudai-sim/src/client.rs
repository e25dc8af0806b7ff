//! Users. Comes in: orders with their times. Goes out: calls, each repeated with one request id at one master after the other, as the
//! client crate does; what came of them, to the oracle.

mod operator;
mod workflow;

use std::time::Duration;

use cloudai_proto::v1 as pb;
use cloudai_types::{JobId, limits};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::clock::{Clock, Skew};
use crate::dice::Dice;
use crate::event_log::EventLog;
use crate::message::{Answer, Call, Question};
use crate::network::{HostId, Net, Place};
use crate::oracle::{Oracle, Outcome, Verdict, judge};
use crate::plan::workflows::WorkflowOrder;
use crate::plan::{Act, Drain, Order, Plan};

#[derive(Clone)]
pub struct Users {
    pub masters: Vec<HostId>,
    pub net: Net,
    pub place: Place,
    pub oracle: Oracle,
    pub events: EventLog,
}

/// What people want, each thing at its time.
pub struct Wishes {
    pub orders: Vec<Order>,
    pub workflows: Vec<WorkflowOrder>,
    /// By the worker's name.
    pub drains: Vec<(String, Drain)>,
    pub acts: Vec<Vec<Act>>,
}

impl Wishes {
    pub fn of(plan: &Plan) -> Self {
        let named = |drain: &Drain| (format!("w{}", drain.worker + 1), *drain);
        Wishes {
            orders: plan.orders.clone(),
            workflows: plan.workflows.clone(),
            drains: plan.drains.iter().map(named).collect(),
            acts: plan.acts.clone(),
        }
    }
}

/// Starts everything at its time, counted from now.
pub async fn run(users: Users, wishes: Wishes, born_ms: u64, mut dice: Dice) {
    let Wishes { orders, workflows, drains, acts } = wishes;
    let clock = Clock::start(born_ms, Skew::default());
    for (n, order) in orders.into_iter().enumerate() {
        let request = format!("r{n}");
        let user = User { users: users.clone(), clock: clock.clone(), dice: dice.fork(), request };
        if order.twice {
            let again = User { users: users.clone(), clock: clock.clone(), dice: dice.fork(), ..user.clone() };
            let order = Order { cancel_after_ms: None, reads: false, ..order.clone() };
            drop(tokio::spawn(again.carry_out(order)));
        }
        drop(tokio::spawn(user.carry_out(order)));
    }
    // After the orders, so that they keep their dice.
    for (worker, drain) in drains {
        let operator = User { users: users.clone(), clock: clock.clone(), dice: dice.fork(), request: worker };
        drop(tokio::spawn(operator.drain(drain)));
    }
    for (n, order) in workflows.into_iter().enumerate() {
        let user = User { users: users.clone(), clock: clock.clone(), dice: dice.fork(), request: format!("f{n}") };
        if order.twice {
            let again = User { dice: dice.fork(), ..user.clone() };
            let order = WorkflowOrder { cancel_after_ms: None, retry_after_ms: None, ..order.clone() };
            drop(tokio::spawn(again.carry_out_workflow(order)));
        }
        drop(tokio::spawn(user.carry_out_workflow(order)));
    }
    for (n, acts) in acts.into_iter().enumerate() {
        let operator = User { users: users.clone(), clock: clock.clone(), dice: dice.fork(), request: format!("o{n}") };
        drop(tokio::spawn(operator.act(acts)));
    }
    std::future::pending().await
}

#[derive(Clone)]
struct User {
    users: Users,
    clock: Clock,
    dice: Dice,
    request: String,
}

impl User {
    fn say(&self, what: std::fmt::Arguments) {
        self.users.events.add(self.clock.mono_ms(), "user", what);
    }

    async fn carry_out(mut self, order: Order) {
        let oracle = self.users.oracle.clone();
        let count = order.spec.count.max(1);
        oracle.began(&self.request, count);
        tokio::time::sleep(Duration::from_millis(order.at_ms)).await;
        let request = pb::SubmitRequest {
            request_id: self.request.clone(),
            namespace: order.namespace.clone(),
            spec: Some(order.spec.clone()),
        };
        self.say(format_args!("{} submits {count} of {:?}", self.request, order.spec.command));
        let outcome = self.ask(Call::Submit(Box::new(request))).await;
        let job = match outcome {
            Ok(Answer::Submitted(reply)) => {
                let job = JobId(reply.job_id);
                self.say(format_args!("{} is {job}, acknowledged at {}", self.request, reply.index));
                oracle.acknowledged(&self.request, job.0);
                job
            }
            Ok(_) => return oracle.wrong("I6", format!("{}: an answer to another question", self.request)),
            Err(outcome) => {
                self.say(format_args!("{} has no job: {outcome:?}", self.request));
                return oracle.ended(&self.request, outcome);
            }
        };
        if order.reads {
            self.read(job).await;
        }
        if let Some(after) = order.cancel_after_ms {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let cancel = pb::CancelJobRequest { namespace: order.namespace.clone(), job: job.to_string() };
            match self.ask(Call::Cancel(cancel)).await {
                Ok(Answer::Cancelled(reply)) => {
                    self.say(format_args!("{job} is cancelled, {} stop", reply.stopping));
                    if !reply.already_ended {
                        oracle.cancelled(&self.request);
                    }
                }
                Ok(_) => oracle.wrong("I6", format!("{job}: an answer to another question")),
                Err(Outcome::Failed(why)) if why.starts_with("NotFound") => {
                    oracle.wrong("I6", format!("{job} was acknowledged and cannot be cancelled: {why}"));
                }
                Err(outcome) => self.say(format_args!("cancel of {job}: {outcome:?}")),
            }
        }
        oracle.ended(&self.request, Outcome::Acknowledged);
    }

    /// Whatever became of the drain: the worker gets tasks again in the end.
    async fn drain(mut self, drain: Drain) {
        tokio::time::sleep(Duration::from_millis(drain.at_ms)).await;
        let name = self.request.clone();
        let request = pb::DrainWorkerRequest { name: name.clone(), deadline_in_ms: drain.deadline_in_ms };
        let outcome = self.ask(Call::Drain(request)).await.map(|_| "done");
        self.say(format_args!("{name} is to drain, {:?} ms: {outcome:?}", drain.deadline_in_ms));
        tokio::time::sleep(Duration::from_millis(drain.back_after_ms)).await;
        while self.ask(Call::Resume(pb::ResumeWorkerRequest { name: name.clone() })).await.is_err() {
            tokio::time::sleep(limits::CLIENT_BACKOFF_MAX.as_duration()).await;
        }
        self.say(format_args!("{name} is resumed"));
    }

    /// What was acknowledged is there, for a linearizable read at any master.
    async fn read(&mut self, job: JobId) {
        let get = pb::GetJobRequest { job: job.to_string(), ..Default::default() };
        match self.ask(Call::Get(get)).await {
            Ok(Answer::Job(reply)) => {
                if reply.request_id != self.request {
                    let what = format!("{job} belongs to request {}, not to {}", reply.request_id, self.request);
                    self.users.oracle.wrong("I6", what);
                }
            }
            Ok(_) => self.users.oracle.wrong("I6", format!("{job}: an answer to another question")),
            Err(Outcome::Failed(why)) if why.starts_with("NotFound") => {
                self.users
                    .oracle
                    .wrong("I6", format!("{job} was acknowledged and a linearizable read misses it: {why}"));
            }
            Err(_) => {}
        }
    }

    /// One call, at any master, for as long as a client tries.
    async fn ask(&mut self, call: Call) -> Result<Answer, Outcome> {
        let until = Instant::now() + limits::CLIENT_RETRY.as_duration();
        let mut order = self.users.masters.clone();
        self.dice.shuffle(&mut order);
        let mut maybe_done = false;
        let mut last = String::new();
        let mut pause = limits::CLIENT_BACKOFF_FIRST.as_duration();
        for n in 0usize.. {
            if Instant::now() >= until {
                break;
            }
            let question = Question::Control { call: call.clone(), forwarded: false };
            let one = self.users.net.call(self.users.place, order[n % order.len()], question);
            let verdict = match timeout(limits::CLIENT_CALL_TIMEOUT.as_duration(), one).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => judge(&status),
                Err(_) => judge(&Status::deadline_exceeded("no answer in time")),
            };
            match verdict {
                Verdict::Final(kind, why) => {
                    let known = if maybe_done { Outcome::Unknown } else { Outcome::Failed(format!("{kind:?}: {why}")) };
                    return Err(match kind {
                        // Says something about the state, whatever became of earlier tries.
                        pb::ErrorKind::NotFound => Outcome::Failed(format!("{kind:?}: {why}")),
                        _ => known,
                    });
                }
                Verdict::Again(why) => last = why,
                Verdict::Unknown(why) => {
                    maybe_done = true;
                    last = why;
                }
            }
            if (n + 1) % order.len() == 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limits::CLIENT_BACKOFF_MAX.as_duration());
            }
        }
        Err(if maybe_done { Outcome::Unknown } else { Outcome::Failed(last) })
    }
}
