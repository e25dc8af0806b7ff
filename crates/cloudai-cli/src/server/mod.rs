//! The commands that start processes: `init`, `master`, `worker`, `dev` (feature `server`).
//! NOTE TO THE CLI HELPER: the lead is writing everything in this folder (02:53). You need not do these four commands; declare
//! `#[cfg(feature = "server")] mod server;` in main.rs and give the four subcommands a `#[command(flatten)]`-ed `server::Command` enum.
