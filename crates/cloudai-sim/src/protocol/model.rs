//! The model itself: from a state and an action to the next state.

use stateright::{Model, Property};

use super::action::Action;
use super::bounds::{Bounds, Policy};
use super::mutation::Mutation;
use super::property;
use super::reduction::Reduction;
use super::state::{Faults, Leader, Local, Seen, Session, State, Submit, TASKS, Task, WORKERS, Worker};

#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    pub bounds: Bounds,
    pub policy: Policy,
    pub mutation: Option<Mutation>,
    pub reduction: Reduction,
}

impl Protocol {
    pub fn sound(bounds: Bounds, policy: Policy, reduction: Reduction) -> Self {
        Protocol { bounds, policy, mutation: None, reduction }
    }

    pub fn mutant(bounds: Bounds, policy: Policy, mutation: Mutation) -> Self {
        Protocol { bounds, policy, mutation: Some(mutation), reduction: Reduction::None }
    }

    pub(super) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn fault_actions(&self, state: &State, out: &mut Vec<Action>) {
        let left = &state.faults_left;
        if left.leader_crashes > 0 && state.leader == Leader::First {
            out.push(Action::LeaderCrash);
        }
        if state.leader == Leader::None {
            out.push(Action::Elect);
        }
        for (w, worker) in state.workers.iter().enumerate() {
            if left.breaks > 0 && worker.session.is_up() {
                out.push(Action::SessionBreak(w));
            }
            if left.worker_restarts > 0 {
                out.push(Action::WorkerRestart(w));
            }
        }
    }

    fn step(&self, s: &mut State, action: Action) {
        match action {
            Action::ProposeSubmit(t) => s.tasks[t].submit = Submit::Proposed,
            Action::CommitSubmit(t) => s.tasks[t].submit = Submit::Committed,
            Action::AckSubmit(t) => s.tasks[t].acked = true,
            Action::Place { task, worker } => self.place(s, task, worker),
            Action::ProposeLoss(w) => s.workers[w].losing = true,
            Action::CommitLoss(w) => self.commit_loss(s, w),
            Action::Renew(w) => self.renew(&mut s.workers[w]),
            Action::DeposedRenews(w) => s.workers[w].ack = Some(0),
            Action::Register(w) => self.register(&mut s.workers[w]),
            Action::StartReported { task, attempt } => self.apply_start(s, task, attempt),
            Action::ResultReported { task, attempt } => {
                if let Local::Ended { success } = s.tasks[task].attempts[attempt].local {
                    self.apply_result(s, task, attempt, success);
                }
            }
            Action::RenewalAcked(w) => self.renewal_acked(s, w),
            Action::Assigned { task, attempt } => self.assign(s, task, attempt),
            Action::FullSet(w) => {
                self.full_set(s, w);
                s.workers[w].session = Session::Synced;
            }
            Action::Start { task, attempt } => s.tasks[task].attempts[attempt].local = Local::Running,
            Action::Finish { task, attempt } => {
                s.tasks[task].attempts[attempt].local = Local::Ended { success: true };
            }
            Action::Killed { task, attempt } | Action::ResultAcked { task, attempt } => {
                s.tasks[task].attempts[attempt].local = Local::Gone;
            }
            Action::LeaseKill(w) => self.enforce_lease(s, w),
            Action::ClockTick => self.tick(s),
            Action::Elect => self.elect(s),
            Action::LeaderCrash => {
                s.faults_left.leader_crashes -= 1;
                self.crash(s);
            }
            Action::SessionBreak(w) => {
                s.faults_left.breaks -= 1;
                s.workers[w].session = s.workers[w].session.down();
            }
            Action::WorkerRestart(w) => {
                s.faults_left.worker_restarts -= 1;
                self.restart(s, w);
            }
        }
    }

    /// An acknowledgement that would not lengthen the lease is as good as lost.
    fn drop_useless_acks(&self, state: &mut State) {
        if self.is(Mutation::LeaseFromAck) {
            return;
        }
        for worker in &mut state.workers {
            worker.ack = worker.ack.filter(|age| *age < worker.lease);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            leader: Leader::First,
            tasks: [Task::NONE; TASKS],
            workers: [Worker::READY; WORKERS],
            faults_left: Faults {
                leader_crashes: self.bounds.leader_crashes,
                breaks: self.bounds.breaks,
                worker_restarts: self.bounds.worker_restarts,
            },
            seen: Seen::default(),
            first_led: 0,
        }]
    }

    fn actions(&self, state: &State, out: &mut Vec<Action>) {
        self.client_actions(state, out);
        self.leader_actions(state, out);
        self.worker_actions(state, out);
        out.push(Action::ClockTick);
        self.fault_actions(state, out);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.step(&mut next, action);
        self.drop_useless_acks(&mut next);
        if property::steps_back(last, &next) {
            next.seen.step_back = true;
        }
        if next == *last {
            return None;
        }
        Some(self.reduction.of(next, self.bounds.tasks))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all(self.policy)
    }
}
