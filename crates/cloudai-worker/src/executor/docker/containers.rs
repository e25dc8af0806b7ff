//! This worker's containers as another process of the same machine sees them: which are bound to the lease, and a signal to one.

use std::path::Path;

use bollard::errors::Error;
use bollard::models::ContainerSummaryStateEnum as State;
use cloudai_telemetry::WorkerMetrics;

use super::engine::Engine;
use super::labels;

pub struct Containers {
    engine: Engine,
    cluster: String,
    worker: String,
}

impl Containers {
    pub async fn connect(
        socket: &Path,
        cluster: &str,
        worker: &str,
        metrics: WorkerMetrics,
    ) -> Result<Containers, Error> {
        let engine = Engine::connect(socket, metrics).await?;
        Ok(Containers { engine, cluster: cluster.to_owned(), worker: worker.to_owned() })
    }

    /// Ids of those that run and must end with the lease.
    pub async fn bound_to_lease(&self) -> Result<Vec<String>, Error> {
        let all = self.engine.list(&self.cluster, &self.worker).await?;
        let bound = all.into_iter().filter(|c| {
            let ours = c.labels.as_ref().and_then(labels::read);
            ours.is_some_and(|o| o.needs.stop_on_disconnect) && matches!(c.state, Some(State::RUNNING | State::PAUSED))
        });
        Ok(bound.filter_map(|c| c.id).collect())
    }

    /// A container that does not run any more is no error.
    pub async fn signal(&self, id: &str, signal: u32) -> Result<(), Error> {
        self.engine.signal(id, signal).await
    }
}
