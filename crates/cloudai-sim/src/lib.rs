//! Seeded simulation of the whole system, and a protocol model of leases and fencing.

pub mod protocol;
