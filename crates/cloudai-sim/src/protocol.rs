//! The protocol of leases and fencing as a model that is explored completely. Comes in: bounds, a policy, and perhaps a
//! mutation, one deliberate mistake. Goes out: a `stateright` model with its properties. It knows no code of the masters or
//! workers: it is the rules, small enough to try every interleaving of them. What the code does is the simulation's.
//!
//! What is taken as given: the committed log (Raft's own safety), one clock rate for everybody, and a container engine that
//! kills what it is told to kill. Messages are lost, repeated and reordered: a message is something that *may* be
//! delivered, at any time, any number of times. A pause of a worker or a master needs no action of its own, since no step
//! of theirs ever has to happen; only the kill at the end of a `stop` lease does.

mod action;
mod bounds;
mod client;
mod clock;
mod leader;
mod model;
mod mutation;
mod property;
mod recovery;
mod reduction;
mod state;
mod worker;

pub use action::Action;
pub use bounds::{Bounds, Policy};
pub use model::Protocol;
pub use mutation::Mutation;
pub use property::names;
pub use recovery::{Recovery, recovery};
pub use reduction::Reduction;
pub use state::State;
