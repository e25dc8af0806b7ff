//! The leader's decisions, as pure functions. Comes in: the hot state of `cloudai-core` and time as an argument. Goes out:
//! placements to propose ([`plan()`]), reasons for waiting ([`explain()`], and [`cause`] in one word), leases that ran out ([`LeaseTable`]), and what
//! to tell a worker ([`AssignmentSet`]); and for a queue in which tasks pass each other: its order ([`order`]), the reservation of
//! the first blocked task ([`backfill`]) and how long tasks may be expected to run ([`expect`]); when a waiting task starts, about ([`estimate`]); when schedules are due ([`calendar`]). Who executes any of it is deliberately not known here: no clock, no network, no
//! log. `apply` checks every placement again.

pub mod assignments;
pub mod backfill;
pub mod calendar;
pub mod cause;
pub mod estimate;
pub mod expect;
pub mod explain;
pub mod fair;
pub mod filter;
pub mod held_up;
mod images;
mod index;
mod lane;
pub mod leases;
pub mod main_reason;
pub mod order;
pub mod outlook;
pub mod pace;
pub mod placement;
pub mod plan;
mod preempt;
pub mod prospect;
mod rank;
mod require;
mod reservations;
pub mod reserve;
mod roster;
pub mod score;
mod together;
pub mod withheld;

pub use assignments::{AssignmentSet, Delta};
pub use explain::{Ahead, Explanation, Standing, WaitsFor, explain};
pub use filter::{WaitKind, WaitReason};
pub use held_up::{HeldUp, held_up, waits_since};
pub use leases::{Expiry, LeaseTable, Renewal, heartbeat_period};
pub use main_reason::{HeldBy, nearest_reason};
pub use outlook::{Outlook, outlook};
pub use plan::{Plan, Policy, plan};
pub use reserve::Reservation;
pub use roster::PlanState;
pub use withheld::Turn;
