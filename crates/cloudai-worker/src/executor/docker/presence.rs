//! Whether the engine is there, for the worker's metrics. Comes in: the engine. Goes out: one gauge. Decides nothing: whoever needs the engine asks
//! it himself.

use std::sync::Arc;

use cloudai_types::limits;

use super::Shared;

/// Runs with the executor.
pub fn watch(shared: &Arc<Shared>) {
    let watched = shared.clone();
    shared.tasks.spawn(async move {
        loop {
            let up = watched.engine.answers().await;
            watched.engine.metrics.engine_up.show(Some(f64::from(u8::from(up))));
            tokio::time::sleep(limits::ENGINE_LOOK_PERIOD.as_duration()).await;
        }
    });
}
