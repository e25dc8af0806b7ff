//! The connections to the other masters that outlive a leadership. Comes in: a peer and a purpose. Goes out: always the same link, until
//! the peer's address changes or the link stayed silent. They are kept open also while nobody speaks: a new connection costs a TCP and
//! a TLS handshake, and in a hand-over or an election every write waits for that. Knows nothing of votes and entries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudai_types::limits::MASTER_LINKS_OPENED_EVERY;
use futures::{StreamExt, future, stream};
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use crate::member::{NodeId, PeerAddress};
use crate::transport::{Link, Purpose, Transport};
use crate::types::Types;

/// What is kept. A checkpoint has a link of its own, which ends with it.
const KEPT: [Purpose; 2] = [Purpose::Heartbeat, Purpose::Append];

pub struct Links<T: Transport> {
    transport: T,
    kept: Mutex<HashMap<(NodeId, Purpose), Kept<T>>>,
}

struct Kept<T: Transport> {
    address: PeerAddress,
    link: Arc<T::Link>,
}

impl<T: Transport> Links<T> {
    pub fn new(transport: T) -> Arc<Links<T>> {
        Arc::new(Links { transport, kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(NodeId, Purpose), Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link that is kept for `purpose`. Made on first use, and anew when the address is another.
    pub fn get(&self, peer: &PeerAddress, purpose: Purpose) -> Arc<T::Link> {
        let mut kept = self.kept();
        match kept.get(&(peer.target, purpose)) {
            Some(Kept { address, link }) if address == peer => link.clone(),
            Some(_) | None => {
                let link = Arc::new(self.transport.link(peer.clone(), purpose));
                kept.insert((peer.target, purpose), Kept { address: peer.clone(), link: link.clone() });
                link
            }
        }
    }

    /// A link that is nobody else's.
    pub fn separate(&self, peer: &PeerAddress, purpose: Purpose) -> T::Link {
        self.transport.link(peer.clone(), purpose)
    }

    /// `link` took too long: whatever holds it up (packets that are sent again less and less often) must not hold up the next try.
    pub fn give_up(&self, peer: &PeerAddress, purpose: Purpose, link: &Arc<T::Link>) {
        let mut kept = self.kept();
        if kept.get(&(peer.target, purpose)).is_some_and(|k| Arc::ptr_eq(&k.link, link)) {
            kept.remove(&(peer.target, purpose));
        }
    }

    /// Opens what is closed, to every member but this one, again and again. Ends with the node.
    pub async fn keep_open(
        self: Arc<Self>,
        me: NodeId,
        mut server: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
        within: Duration,
    ) {
        loop {
            let peers: Vec<PeerAddress> = {
                let seen = server.borrow_and_update();
                let others = seen.membership_config.nodes().filter(|(id, _)| **id != me);
                others.map(|(id, node)| PeerAddress { target: *id, raft_addr: node.raft_addr.clone() }).collect()
            };
            let links = peers.iter().flat_map(|peer| KEPT.map(|purpose| self.get(peer, purpose)));
            future::join_all(links.map(|link| open(link, within))).await;
            let pause = tokio::time::sleep(MASTER_LINKS_OPENED_EVERY.as_duration());
            match peers.is_empty() {
                false => pause.await,
                // It belongs to no cluster yet.
                true => tokio::select! {
                    () = pause => {}
                    changed = server.changed() => if changed.is_err() { return },
                },
            }
        }
    }
}

/// A stream of entries without an entry says nothing to the other side, and needs a connection all the same.
async fn open<L: Link>(link: Arc<L>, within: Duration) {
    let opened = async {
        if let Ok(answers) = link.append_stream(stream::empty().boxed(), within).await {
            answers.for_each(|_| future::ready(())).await;
        }
    };
    // Who is not there now is asked again.
    let _ = tokio::time::timeout(within, opened).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{CallKind, TransportError};
    use bytes::Bytes;
    use futures::stream::BoxStream;
    use std::future::Future;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts the links that were made.
    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicUsize>);
    struct Silent;

    impl Transport for Counting {
        type Link = Silent;
        fn link(&self, _: PeerAddress, _: Purpose) -> Silent {
            self.0.fetch_add(1, Relaxed);
            Silent
        }
    }

    impl Link for Silent {
        async fn call(&self, _: CallKind, _: Bytes, _: Duration) -> Result<Bytes, TransportError> {
            future::pending().await
        }
        fn append_stream(
            &self,
            _: BoxStream<'static, Bytes>,
            _: Duration,
        ) -> impl Future<Output = Result<BoxStream<'static, Result<Bytes, TransportError>>, TransportError>> + Send
        {
            future::pending()
        }
        async fn send_snapshot(&self, _: BoxStream<'static, io::Result<Bytes>>) -> Result<Bytes, TransportError> {
            future::pending().await
        }
    }

    #[test]
    fn a_link_is_kept_until_its_address_changes_or_it_is_given_up() {
        let made = Counting::default();
        let links = Links::new(made.clone());
        let at = |addr: &str| PeerAddress { target: 2, raft_addr: addr.to_owned() };
        let first = links.get(&at("a:1"), Purpose::Append);
        assert!(Arc::ptr_eq(&first, &links.get(&at("a:1"), Purpose::Append)));
        assert!(!Arc::ptr_eq(&first, &links.get(&at("a:1"), Purpose::Heartbeat)), "purposes share none");
        assert_eq!(made.0.load(Relaxed), 2);

        let moved = links.get(&at("b:1"), Purpose::Append);
        assert!(!Arc::ptr_eq(&first, &moved));
        links.give_up(&at("b:1"), Purpose::Append, &first);
        assert!(Arc::ptr_eq(&moved, &links.get(&at("b:1"), Purpose::Append)), "another one has its place already");
        links.give_up(&at("b:1"), Purpose::Append, &moved);
        assert!(!Arc::ptr_eq(&moved, &links.get(&at("b:1"), Purpose::Append)));
        assert_eq!(made.0.load(Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_answer_holds_nobody_up() {
        open(Arc::new(Silent), Duration::from_secs(1)).await;
    }
}
