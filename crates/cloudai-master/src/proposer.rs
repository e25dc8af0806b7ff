//! Packs every command that waits into one log entry. Comes in: commands with somebody who waits for the outcome. Goes out:
//! encoded proposals to Raft, and to each caller the log index and the reply. Commands per entry decide the cost of a
//! write, so a batch forms behind the entry in flight, and waits at most a millisecond for callers who were just answered
//! and are on their way back. Knows no service and no state.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudai_core::{Command, Proposal, Reply};
use cloudai_raft::{Application, Peer, Pending, ProposeError, Raft};
use cloudai_telemetry::MasterMetrics;
use cloudai_types::limits;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Why a command has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Surely not written.
    #[error("this master does not lead")]
    NotLeader { leader: Option<Peer> },
    /// Surely not written.
    #[error("{} commands wait already; the cluster is busy", limits::PROPOSER_QUEUE_MAX)]
    Busy,
    /// May take effect now, later or never: retry with the same request id.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
}

/// The log index and what `apply` said.
pub type Outcome = Result<(u64, Reply), WriteError>;

/// Called once with the outcome. Must not block.
type OnOutcome = Box<dyn FnOnce(Outcome) + Send>;

/// The tag of `Proposal::commands`.
const COMMANDS_TAG: u32 = 3;

struct Waiting {
    command: Command,
    on_outcome: OnOutcome,
}

/// Cloneable handle of the loop.
#[derive(Clone)]
pub struct Proposer {
    queue: mpsc::Sender<Waiting>,
    /// On the leader: how long ago a majority last answered it.
    quorum_ack_age: Arc<dyn Fn() -> Option<Duration> + Send + Sync>,
}

impl Proposer {
    /// `now_ms` is the leader's clock, milliseconds since the epoch.
    pub fn start<A>(raft: Raft<A>, now_ms: impl Fn() -> u64 + Send + 'static, metrics: MasterMetrics) -> Proposer
    where
        A: Application<Reply = Vec<Reply>>,
    {
        let (queue, waiting) = mpsc::channel(limits::PROPOSER_QUEUE_MAX);
        let asked = raft.clone();
        tokio::spawn(run(raft, waiting, now_ms, metrics));
        Proposer { queue, quorum_ack_age: Arc::new(move || asked.last_quorum_ack_age()) }
    }

    /// Returns after the command was applied here. A full queue is refused, not waited for: the caller decides.
    pub async fn propose(&self, command: Command) -> Outcome {
        let (tx, rx) = oneshot::channel();
        self.queue
            .try_send(Waiting { command, on_outcome: Box::new(move |outcome| drop(tx.send(outcome))) })
            .map_err(|_| WriteError::Busy)?;
        self.answer(rx).await
    }

    /// Waits no longer than makes sense: a leader that its majority has left may never know the outcome.
    async fn answer(&self, mut rx: oneshot::Receiver<Outcome>) -> Outcome {
        let until = Instant::now() + limits::WRITE_TIMEOUT.as_duration();
        loop {
            match tokio::time::timeout(limits::QUORUM_LOOK_EVERY.as_duration(), &mut rx).await {
                Ok(Ok(outcome)) => return outcome,
                Ok(Err(_)) => return Err(WriteError::Unknown("this master is stopping".into())),
                Err(_) => {}
            }
            let lost = (self.quorum_ack_age)().filter(|age| *age > limits::QUORUM_LOST_AFTER.as_duration());
            if let Some(age) = lost {
                let why = format!("no majority of masters has answered this leader for {} ms", age.as_millis());
                return Err(WriteError::Unknown(why));
            }
            if Instant::now() >= until {
                let why = format!("no majority confirmed it within {} ms", limits::WRITE_TIMEOUT.0);
                return Err(WriteError::Unknown(why));
            }
        }
    }

    /// For streams: waits for room in the queue (flow control), and calls `on_outcome` later.
    pub async fn enqueue(&self, command: Command, on_outcome: impl FnOnce(Outcome) + Send + 'static) {
        let waiting = Waiting { command, on_outcome: Box::new(on_outcome) };
        if let Err(mpsc::error::SendError(waiting)) = self.queue.send(waiting).await {
            (waiting.on_outcome)(Err(WriteError::Unknown("this master is stopping".into())));
        }
    }
}

async fn run<A>(
    raft: Raft<A>,
    mut queue: mpsc::Receiver<Waiting>,
    now_ms: impl Fn() -> u64 + Send + 'static,
    metrics: MasterMetrics,
) where
    A: Application<Reply = Vec<Reply>>,
{
    let room = Arc::new(Semaphore::new(limits::PROPOSER_WINDOW));
    let mut batch = Batch::default();
    let mut answered_last = 0;
    while let Some(first) = queue.recv().await {
        let began = Instant::now();
        batch.push(first);
        let permit = take_place(&room, &mut queue, &mut batch).await;
        gather(&mut queue, &mut batch, answered_last).await;
        let proposal = batch.proposal(now_ms());
        let callers = std::mem::take(&mut batch.callers);
        answered_last = callers.len();
        metrics.commands_per_entry.observe(callers.len() as f64);
        metrics.proposals_pending.set(queue.len() as i64);
        let metrics = metrics.clone();
        match raft.enqueue(proposal).await {
            Ok(pending) => {
                tokio::spawn(async move {
                    answer(pending, callers, &metrics).await;
                    metrics.propose_seconds.observe(began.elapsed().as_secs_f64());
                    drop(permit);
                });
            }
            Err(error) => fail(callers, &error, &metrics),
        }
    }
}

/// Commands that will share an entry. Each is encoded as it comes: an entry is not walked through again to learn its length.
#[derive(Default)]
struct Batch {
    /// `Proposal`'s field of commands, encoded.
    commands: Vec<u8>,
    callers: Vec<OnOutcome>,
    /// The oldest format that has all of them: no newer one, or masters of an older build would stop for nothing.
    version: u32,
}

impl Batch {
    fn push(&mut self, w: Waiting) {
        self.version = self.version.max(w.command.since());
        prost::encoding::message::encode(COMMANDS_TAG, &w.command, &mut self.commands);
        self.callers.push(w.on_outcome);
    }
    /// The encoded [`Proposal`]. What is here begins anew.
    fn proposal(&mut self, at_ms: u64) -> Bytes {
        let head = Proposal { version: std::mem::take(&mut self.version), at_ms, commands: vec![] };
        let mut proposal = Vec::with_capacity(head.encoded_len() + self.commands.len());
        proposal.extend_from_slice(&head.encode_to_vec());
        proposal.extend_from_slice(&self.commands);
        self.commands.clear();
        self.commands.shrink_to(limits::PROPOSER_OVERLAP_BYTES * 2);
        proposal.into()
    }
    fn is_full(&self) -> bool {
        self.callers.len() >= limits::PROPOSAL_COMMANDS_MAX || self.commands.len() >= limits::PROPOSAL_BYTES_MAX
    }
    fn may_overlap(&self) -> bool {
        self.is_full() || self.commands.len() >= limits::PROPOSER_OVERLAP_BYTES
    }
    /// Everybody who waits already.
    fn fill(&mut self, queue: &mut mpsc::Receiver<Waiting>) {
        while !self.is_full() {
            let Ok(w) = queue.try_recv() else { break };
            self.push(w);
        }
    }
}

/// A place in flight. Whoever comes while this batch may not leave joins it: callers who are answered together ask again
/// together, and two entries in flight would split them into halves for ever, at twice the cost.
async fn take_place(
    room: &Arc<Semaphore>,
    queue: &mut mpsc::Receiver<Waiting>,
    batch: &mut Batch,
) -> OwnedSemaphorePermit {
    batch.fill(queue);
    if !batch.may_overlap()
        && let Some(place) = nothing_in_flight(room, queue, batch).await
    {
        return place;
    }
    room.clone().acquire_owned().await.expect("never closed")
}

/// `None`: the batch has become large enough to leave beside the entry in flight.
async fn nothing_in_flight(
    room: &Arc<Semaphore>,
    queue: &mut mpsc::Receiver<Waiting>,
    batch: &mut Batch,
) -> Option<OwnedSemaphorePermit> {
    let all = u32::try_from(limits::PROPOSER_WINDOW).expect("a small number");
    let mut all_places = std::pin::pin!(room.clone().acquire_many_owned(all));
    while !batch.may_overlap() {
        tokio::select! {
            biased;
            places = &mut all_places => {
                batch.fill(queue);
                // All but one go back.
                return places.expect("never closed").split(1);
            }
            Some(w) = queue.recv() => {
                batch.push(w);
                batch.fill(queue);
            }
        }
    }
    None
}

/// Those who were just answered are on their way with their next command: wait for most of them, so that one entry carries
/// all of them and not each second half.
async fn gather(queue: &mut mpsc::Receiver<Waiting>, batch: &mut Batch, answered_last: usize) {
    batch.fill(queue);
    let expected = answered_last * 7 / 8;
    if answered_last <= 1 || batch.callers.len() >= expected {
        return;
    }
    let until = Instant::now() + limits::PROPOSER_GATHER.as_duration();
    while !batch.is_full() && batch.callers.len() < expected {
        let Ok(Some(w)) = timeout_at(until, queue.recv()).await else { break };
        batch.push(w);
        batch.fill(queue);
    }
}

async fn answer(pending: Pending<Vec<Reply>>, callers: Vec<OnOutcome>, metrics: &MasterMetrics) {
    match pending.outcome().await {
        Ok(applied) => {
            metrics.proposals.with_label_values(&["applied"]).inc_by(callers.len() as u64);
            debug_assert_eq!(applied.reply.len(), callers.len(), "one reply per command");
            for (on_outcome, reply) in callers.into_iter().zip(applied.reply) {
                on_outcome(Ok((applied.index, reply)));
            }
        }
        Err(error) => fail(callers, &error, metrics),
    }
}

fn fail(callers: Vec<OnOutcome>, error: &ProposeError, metrics: &MasterMetrics) {
    let (result, outcome) = match error {
        ProposeError::NotLeader { leader } => ("not_leader", WriteError::NotLeader { leader: leader.clone() }),
        ProposeError::Unknown | ProposeError::Fatal(_) => ("unknown", WriteError::Unknown(error.to_string())),
    };
    metrics.proposals.with_label_values(&[result]).inc_by(callers.len() as u64);
    for on_outcome in callers {
        on_outcome(Err(outcome.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_core::command::{AdvanceClock, CancelJob, ExpireJobs, Kind};

    #[test]
    fn a_batch_is_the_encoded_proposal() {
        let commands = vec![
            Command::new("admin/a", Kind::CancelJob(CancelJob { job: 7 })),
            Command::new("leader", Kind::AdvanceClock(AdvanceClock {})),
        ];
        let mut batch = Batch::default();
        for command in commands.clone() {
            batch.push(Waiting { command, on_outcome: Box::new(|_| {}) });
        }
        let expected = Proposal { version: 1, at_ms: 1_700_000_000_000, commands };
        assert_eq!(batch.proposal(1_700_000_000_000), expected.encode_to_vec());
        assert_eq!(batch.proposal(0), Proposal::default().encode_to_vec(), "and empty");
    }

    #[test]
    fn an_entry_says_the_oldest_format_that_has_all_its_commands() {
        let mut batch = Batch::default();
        let kinds = [Kind::ExpireJobs(ExpireJobs::default()), Kind::AdvanceClock(AdvanceClock {})];
        for command in kinds.map(|kind| Command::new("leader", kind)) {
            batch.push(Waiting { command, on_outcome: Box::new(|_| {}) });
        }
        let entry = Proposal::decode(batch.proposal(0)).expect("it was encoded");
        assert_eq!((entry.version, entry.commands.len()), (2, 2));
    }
}
