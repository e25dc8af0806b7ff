//! `cloudai top`, all but its terminal and its connections. Comes in: the time, keys, what masters answered, events and samples of usage
//! ([`input::Input`]). Goes out: what to ask next ([`input::Effect`]), and a picture of what is known ([`draw::draw`]). No clock, no socket
//! and no terminal is known here, so that a test is a list of inputs and a screen.

pub mod bars;
pub mod columns;
pub mod details;
pub mod draw;
pub mod input;
pub mod keys;
pub mod masters;
pub mod model;
pub mod tasks;
pub mod theme;
pub mod waiting;
pub mod workers;

#[cfg(test)]
mod tests;
