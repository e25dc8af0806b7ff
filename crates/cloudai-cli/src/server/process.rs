//! What every long-running process shares: its runtime, its log, and the signal that ends it. Comes in: nothing but the
//! machine. Goes out: a runtime of the right size, and a future that resolves at SIGTERM or SIGINT.

use cloudai_telemetry::LogOptions;

use crate::exit::Failure;

/// On a small machine a second runtime thread costs more per message than it gives (`docs/benchmarks.md`).
const SMALL_MACHINE_CORES: usize = 4;

pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut builder = if cores <= SMALL_MACHINE_CORES {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    builder.enable_all().build().map_err(|e| Failure::failed("the runtime cannot be started").why(e))
}

pub fn init_log(options: &LogOptions) -> Result<(), Failure> {
    cloudai_telemetry::init(options).map_err(|e| Failure::failed("the log cannot be set up").why(e))
}

/// Resolves at the first SIGTERM or SIGINT.
pub async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without handlers the signals keep their default effect: the process ends anyway.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
