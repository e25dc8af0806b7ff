//! Lets a commit index ride on the next entries. Comes in: append requests for one follower, in order. Goes out: the same,
//! without those that carry nothing but a commit index and are overtaken by the next request within a moment. openraft sends
//! one after every commit, and under load the next entry is never far: the frame, its answer, and what wakes up for both would
//! cost a fifth of an entry's price. Knows nothing of connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cloudai_types::limits::COMMIT_WAITS_MAX;
use futures::stream::Fuse;
use futures::{Stream, StreamExt};
use openraft::raft::AppendEntriesRequest;
use tokio::time::{Sleep, sleep};

use crate::types::Types;

type Request = AppendEntriesRequest<Types>;

/// See the module. An answer to a later request stands for all before it: openraft counts what an answer confirms and not
/// how many there are.
pub struct CommitRiding<S> {
    /// Fused: what waits at their end is given out first, and the end is asked for again; openraft's stream panics when it is polled
    /// after its end, and with it the replication to this follower would be over.
    requests: Fuse<S>,
    /// A request without entries, and until when it waits for company.
    waiting: Option<(Request, Pin<Box<Sleep>>)>,
}

impl<S: Stream<Item = Request>> CommitRiding<S> {
    pub fn new(requests: S) -> CommitRiding<S> {
        CommitRiding { requests: requests.fuse(), waiting: None }
    }
}

impl<S: Stream<Item = Request> + Unpin> Stream for CommitRiding<S> {
    type Item = Request;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Request>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.requests).poll_next(cx) {
                Poll::Ready(Some(request)) if request.entries.is_empty() => match &mut this.waiting {
                    // A later commit takes the place and keeps the time.
                    Some((waiting, _)) => *waiting = request,
                    None => this.waiting = Some((request, Box::pin(sleep(COMMIT_WAITS_MAX.as_duration())))),
                },
                Poll::Ready(Some(request)) => {
                    this.waiting = None;
                    return Poll::Ready(Some(request));
                }
                Poll::Ready(None) => return Poll::Ready(this.waiting.take().map(|(request, _)| request)),
                Poll::Pending => {
                    let Some((_, until)) = &mut this.waiting else { return Poll::Pending };
                    ready!(until.as_mut().poll(cx));
                    return Poll::Ready(this.waiting.take().map(|(request, _)| request));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Entry, LogId, Vote};
    use futures::channel::mpsc::unbounded;
    use futures::poll;
    use openraft::EntryPayload;

    fn id(index: u64) -> LogId {
        LogId::new_term_index(1, index)
    }

    fn request(commit: u64, entry: Option<u64>) -> Request {
        let entries = entry.map(|n| Entry { log_id: id(n), payload: EntryPayload::Blank }).into_iter().collect();
        let vote = Vote::new_committed(1, 1);
        AppendEntriesRequest { vote, prev_log_id: None, entries, leader_commit: Some(id(commit)) }
    }

    /// Number of entries, commit index.
    fn seen(r: Option<Request>) -> Option<(usize, u64)> {
        r.map(|r| (r.entries.len(), r.leader_commit.map_or(0, |id| id.index)))
    }

    #[tokio::test]
    async fn a_commit_waits_for_the_next_entry_but_not_for_long() {
        let (tx, rx) = unbounded();
        let send = |r| tx.unbounded_send(r).expect("the other end is here");
        let mut out = CommitRiding::new(rx);
        send(request(1, None));
        assert!(poll!(out.next()).is_pending(), "it waits");
        send(request(2, None));
        send(request(2, Some(3)));
        assert_eq!(seen(out.next().await), Some((1, 2)), "the entry brings it along");
        send(request(3, None));
        assert!(poll!(out.next()).is_pending(), "and nothing else comes at once");
        assert_eq!(seen(out.next().await), Some((0, 3)), "alone when nothing follows in time");
        send(request(4, None));
        drop(tx);
        assert_eq!(seen(out.next().await), Some((0, 4)), "the end of the stream loses nothing");
        assert_eq!(seen(out.next().await), None);
    }
    /// As openraft's own stream, which must not be polled after its end.
    #[tokio::test]
    async fn the_end_is_asked_for_once() {
        let last = futures::stream::unfold(Some(request(4, None)), |next| async move { next.map(|r| (r, None)) });
        let mut out = CommitRiding::new(last.boxed());
        assert_eq!(seen(out.next().await), Some((0, 4)), "the end of the stream loses nothing");
        assert_eq!(seen(out.next().await), None);
        assert_eq!(seen(out.next().await), None);
    }
}
