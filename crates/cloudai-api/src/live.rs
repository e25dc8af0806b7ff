//! What goes on in the cluster now. Implemented by masters; asked by the routes. It is text in JSON already: this crate does not know what a task is.

use std::future::Future;
use std::pin::Pin;

use axum::extract::ws::Utf8Bytes;
use futures::stream::BoxStream;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LiveError {
    #[error("there is no worker of this name")]
    UnknownWorker,
    #[error("no leader is known, and only a leader hears of workers")]
    NoLeader,
}

/// What a client of a WebSocket is told next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// The newest of some workers, in one or more whole messages.
    Telemetry(Vec<Utf8Bytes>),
    /// So many samples were dropped since it was told last.
    Lagged(u64),
    /// The samples have another source; what came in between is missed.
    Resumed,
    /// Of a worker: a whole message. None is ever left out.
    State(Utf8Bytes),
    /// It was so slow that states are kept no more which it has not heard of. Nothing comes after this.
    StatesLost,
}

/// Why a WebSocket was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    ByClient,
    /// It took nothing for a minute.
    Stalled,
    /// It said nothing for a minute, not even to a ping.
    Silent,
    /// See [`Said::StatesLost`].
    Behind,
    /// This process stops.
    Stopping,
}

impl Closed {
    /// For metrics; a closed list.
    pub fn name(self) -> &'static str {
        match self {
            Closed::ByClient => "client",
            Closed::Stalled => "stalled",
            Closed::Silent => "silent",
            Closed::Behind => "behind",
            Closed::Stopping => "stopping",
        }
    }
}

pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, LiveError>> + Send>>;

pub trait Live: Send + Sync + 'static {
    /// The registry, a JSON object: who they are, what they have, and what holds it.
    fn workers(&self) -> String;

    /// The newest sample of each worker, or of one; a JSON object.
    fn telemetry(&self, worker: Option<String>) -> Answer<String>;

    /// What comes from now on, of each worker or of one. It is asked for the next when the client has taken the last, and queues nothing.
    fn watch(&self, worker: Option<String>) -> Answer<BoxStream<'static, Said>>;

    /// A WebSocket was opened.
    fn opened(&self) {}

    /// It was told of so many samples that it has missed.
    fn dropped(&self, samples: u64) {
        let _ = samples;
    }

    fn closed(&self, why: Closed) {
        let _ = why;
    }
}
