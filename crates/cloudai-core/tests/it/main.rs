//! What `apply` promises, from outside: stories (scripts), properties under arbitrary histories, and bytes that decode for ever.

mod batching;
mod canonical;
mod formats;
mod garbage;
mod golden_bytes;
mod histories;
mod history;
mod large_workflows;
mod news;
mod properties;
mod schedules;
mod scripts;
mod templates;
mod watcher;
mod world;
