//! What the masters answered, in the words of the JSON contract and as tables. Comes in: wire messages. Goes out: [`crate::output::View`]s.
//! Fields are only added; tests hold the present ones.

pub mod allocation;
pub mod change;
pub mod cluster;
pub mod dead;
pub mod doctor;
pub mod event;
pub mod explain;
pub mod job;
pub mod log_filter;
pub mod placement;
pub mod plan;
pub mod queue;
pub mod quota;
pub mod read;
pub mod replay;
pub mod resources;
pub mod results;
pub mod retry;
pub mod schedule;
pub mod secret;
pub mod sparkline;
pub mod spec;
pub mod task;
pub mod template;
pub mod top;
pub mod usage;
pub mod worker;
pub mod workflow;

#[cfg(test)]
pub mod sample;
