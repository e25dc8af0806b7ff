//! The leader and the log: placing, losing, renewing, and what `apply` makes of reports.

use super::action::Action;
use super::model::Protocol;
use super::mutation::Mutation;
use super::state::{Leader, Local, Logged, Session, State, Submit, Worker};

impl Protocol {
    pub(super) fn leader_actions(&self, state: &State, out: &mut Vec<Action>) {
        for (w, worker) in state.workers.iter().enumerate() {
            if self.deposed_may_renew(state, worker) {
                out.push(Action::DeposedRenews(w));
            }
        }
        if !state.leader.leads() {
            return;
        }
        for (w, worker) in state.workers.iter().enumerate() {
            if worker.ready && worker.silence >= self.bounds.lease && !worker.losing {
                out.push(Action::ProposeLoss(w));
            }
            if worker.losing {
                out.push(Action::CommitLoss(w));
            }
            let answers = !worker.losing || self.is(Mutation::RenewWhileLosing);
            if worker.ready && worker.session.is_up() && answers {
                out.push(Action::Renew(w));
            }
            if !worker.session.is_up() || !worker.ready {
                out.push(Action::Register(w));
            }
        }
        for t in 0..self.bounds.tasks {
            for w in 0..state.workers.len() {
                if self.may_place(state, t, w).is_some() {
                    out.push(Action::Place { task: t, worker: w });
                }
            }
            for (n, attempt) in state.tasks[t].attempts.iter().enumerate() {
                let session = state.workers[usize::from(attempt.worker)].session.is_up();
                match attempt.local {
                    Local::Unknown | Local::Waiting | Local::Gone => {}
                    Local::Running | Local::Stopping => {
                        if session || self.is(Mutation::NoFenceCheck) {
                            out.push(Action::StartReported { task: t, attempt: n });
                        }
                    }
                    Local::Ended { .. } => {
                        if session || self.is(Mutation::NoFenceCheck) {
                            out.push(Action::StartReported { task: t, attempt: n });
                            out.push(Action::ResultReported { task: t, attempt: n });
                        }
                    }
                }
            }
        }
    }

    /// It answers while its last majority is fresh, so at the longest for a moment after the next leader's first entry.
    fn deposed_may_renew(&self, state: &State, worker: &Worker) -> bool {
        let in_time = match state.leader {
            Leader::First => false,
            Leader::None => true,
            Leader::Second { ticks } => ticks <= self.bounds.deposed || self.is(Mutation::DeposedLeaderRenews),
        };
        in_time && worker.ready && worker.session == (Session::Down { synced: true })
    }

    /// The number of the attempt that the placement would begin.
    pub(super) fn may_place(&self, state: &State, t: usize, w: usize) -> Option<usize> {
        let task = &state.tasks[t];
        if !state.workers[w].ready {
            return None;
        }
        if self.is(Mutation::ReassignBeforeLost) {
            let first = &task.attempts[0];
            let believed_dead = state.workers[usize::from(first.worker)].silence >= self.bounds.lease;
            if first.live() && believed_dead && usize::from(first.worker) != w && task.attempts[1].logged == Logged::No
            {
                return Some(1);
            }
        }
        task.next()
    }

    pub(super) fn place(&self, state: &mut State, t: usize, w: usize) {
        if let Some(n) = self.may_place(state, t, w) {
            debug_assert_eq!(state.tasks[t].submit, Submit::Committed);
            let attempt = &mut state.tasks[t].attempts[n];
            attempt.worker = w as u8;
            attempt.logged = Logged::Assigned;
        }
    }

    pub(super) fn commit_loss(&self, state: &mut State, w: usize) {
        let worker = &mut state.workers[w];
        if worker.lease < self.bounds.kill || worker.ack.is_some_and(|age| age < self.bounds.kill) {
            state.seen.early_loss = true;
        }
        worker.ready = false;
        worker.losing = false;
        worker.silence = 0;
        for attempt in state.tasks.iter_mut().flat_map(|t| &mut t.attempts) {
            if usize::from(attempt.worker) == w && attempt.live() {
                attempt.logged = Logged::Lost;
            }
        }
    }

    pub(super) fn renew(&self, worker: &mut Worker) {
        worker.silence = 0;
        worker.ack = Some(0);
    }

    /// The hello was sent before it was committed; that it is sent now is the longest lease it can bring. A loss of the
    /// earlier session that is still on its way will be refused.
    pub(super) fn register(&self, worker: &mut Worker) {
        *worker = Worker { session: Session::Awaiting, ..Worker::READY };
    }

    pub(super) fn elect(&self, state: &mut State) {
        state.leader = Leader::Second { ticks: 0 };
        for worker in &mut state.workers {
            worker.silence = if self.is(Mutation::InheritedLeaseClock) { state.first_led } else { 0 };
        }
    }

    pub(super) fn crash(&self, state: &mut State) {
        state.leader = Leader::None;
        self.lose_proposals(state);
        for worker in &mut state.workers {
            worker.session = worker.session.down();
            worker.silence = 0;
        }
    }

    /// Which attempt a report changes: its own, if that is alive on a worker that is not lost.
    fn reported(&self, state: &State, t: usize, n: usize) -> Option<usize> {
        let task = &state.tasks[t];
        let attempt = &task.attempts[n];
        if self.is(Mutation::NoFenceCheck) {
            return task.current();
        }
        (attempt.live() && state.workers[usize::from(attempt.worker)].ready).then_some(n)
    }

    pub(super) fn apply_start(&self, state: &mut State, t: usize, n: usize) {
        if let Some(n) = self.reported(state, t, n) {
            state.tasks[t].attempts[n].logged = Logged::Running;
        }
    }

    pub(super) fn apply_result(&self, state: &mut State, t: usize, n: usize, success: bool) {
        let Some(current) = self.reported(state, t, n) else { return };
        if success {
            let task = &mut state.tasks[t];
            task.accepted = (task.accepted + 1).min(2);
            if current != n || task.attempts[n].borrowed {
                state.seen.foreign_result = true;
            }
        }
        state.tasks[t].attempts[current].logged = Logged::Exited;
    }
}
