//! A worker: its sets, its containers, its restart.

use super::action::Action;
use super::model::Protocol;
use super::mutation::Mutation;
use super::state::{Local, Logged, State};

impl Protocol {
    pub(super) fn worker_actions(&self, state: &State, out: &mut Vec<Action>) {
        for (w, worker) in state.workers.iter().enumerate() {
            if worker.ack.is_some() {
                out.push(Action::RenewalAcked(w));
            }
            if worker.session.is_up() && !worker.session.synced() {
                out.push(Action::FullSet(w));
            }
            if self.is(Mutation::NoSupervisor) && self.must_kill(state, w) {
                out.push(Action::LeaseKill(w));
            }
        }
        for t in 0..self.bounds.tasks {
            for (n, attempt) in state.tasks[t].attempts.iter().enumerate() {
                if attempt.logged == Logged::No {
                    continue;
                }
                let worker = &state.workers[usize::from(attempt.worker)];
                match attempt.local {
                    // What an earlier session left unread may still be read.
                    Local::Unknown if worker.session.synced() => out.push(Action::Assigned { task: t, attempt: n }),
                    Local::Waiting => {
                        let known = worker.session.synced() || self.is(Mutation::StartBeforeSet);
                        if known && worker.lease < self.bounds.kill {
                            out.push(Action::Start { task: t, attempt: n });
                        }
                    }
                    Local::Running => out.push(Action::Finish { task: t, attempt: n }),
                    Local::Stopping => {
                        out.push(Action::Finish { task: t, attempt: n });
                        out.push(Action::Killed { task: t, attempt: n });
                    }
                    // Applied, accepted or refused: the same to the worker.
                    Local::Ended { .. } if worker.session.is_up() && worker.ready && !attempt.live() => {
                        out.push(Action::ResultAcked { task: t, attempt: n });
                    }
                    Local::Unknown | Local::Ended { .. } | Local::Gone => {}
                }
            }
        }
    }

    pub(super) fn renewal_acked(&self, state: &mut State, w: usize) {
        let worker = &mut state.workers[w];
        if let Some(age) = worker.ack {
            let age = if self.is(Mutation::LeaseFromAck) { 0 } else { age };
            worker.lease = worker.lease.min(age);
        }
    }

    /// First what is in the set, then what is outside.
    pub(super) fn full_set(&self, state: &mut State, w: usize) {
        for t in 0..state.tasks.len() {
            for n in 0..state.tasks[t].attempts.len() {
                let attempt = state.tasks[t].attempts[n];
                if usize::from(attempt.worker) == w && attempt.live() {
                    self.assign(state, t, n);
                }
            }
        }
        for attempt in state.tasks.iter_mut().flat_map(|t| &mut t.attempts) {
            if usize::from(attempt.worker) != w || attempt.logged == Logged::No || attempt.live() {
                continue;
            }
            attempt.local = match attempt.local {
                Local::Unknown | Local::Waiting => Local::Gone,
                Local::Running => Local::Stopping,
                unchanged @ (Local::Stopping | Local::Ended { .. } | Local::Gone) => unchanged,
            };
        }
    }

    /// An assignment arrives. A repeated one finds what is there.
    pub(super) fn assign(&self, state: &mut State, t: usize, n: usize) {
        let task = &mut state.tasks[t];
        if task.attempts[n].local != Local::Unknown {
            return;
        }
        let worker = task.attempts[n].worker;
        let adopted =
            task.attempts.iter().position(|a| a.unlabelled && a.worker == worker && a.local == Local::Running);
        match adopted {
            Some(earlier) if earlier != n => {
                task.attempts[earlier].local = Local::Gone;
                task.attempts[n].local = Local::Running;
                task.attempts[n].borrowed = true;
            }
            Some(_) | None => task.attempts[n].local = Local::Waiting,
        }
    }

    /// The agent's memory is lost: sessions and what waits. Containers are adopted; endings, fence and lease are on disk.
    pub(super) fn restart(&self, state: &mut State, w: usize) {
        state.workers[w].session = state.workers[w].session.down();
        for attempt in state.tasks.iter_mut().flat_map(|t| &mut t.attempts) {
            if usize::from(attempt.worker) != w {
                continue;
            }
            match attempt.local {
                Local::Waiting => attempt.local = Local::Unknown,
                Local::Running => attempt.unlabelled = self.is(Mutation::AdoptWithoutFence),
                Local::Unknown | Local::Stopping | Local::Ended { .. } | Local::Gone => {}
            }
        }
    }
}
