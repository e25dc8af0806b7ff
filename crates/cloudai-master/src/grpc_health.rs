//! `grpc.health.v1`, for balancers that speak gRPC: what `/readyz` says, in their words. Comes in: how this master's parts are. Goes out: one status for
//! the whole and for each service. Who may ask is decided where it is served.

use std::sync::Arc;
use std::time::Duration;

use cloudai_api::Health;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Empty: the process as a whole.
const SERVICES: [&str; 3] = ["", "cloudai.v1.Control", "cloudai.v1.Dispatch"];
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs as long as the process.
pub async fn keep(reporter: HealthReporter, health: Arc<dyn Health>) {
    let mut told = None;
    loop {
        let is_ready = health.components().iter().all(|c| c.ready);
        if told != Some(is_ready) {
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in SERVICES {
                reporter.set_service_status(service, status).await;
            }
            told = Some(is_ready);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_api::Component;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as _;
    use tonic_health::server::HealthService;

    #[derive(Default)]
    struct Switch(AtomicBool);

    impl Health for Switch {
        fn components(&self) -> Vec<Component> {
            match self.0.load(Relaxed) {
                true => vec![Component::good("raft", String::new())],
                false => vec![Component::bad("raft", "no_leader", String::new())],
            }
        }
        fn metrics(&self) -> String {
            String::new()
        }
    }

    #[tokio::test]
    async fn it_says_what_readyz_says() {
        let switch = Arc::new(Switch::default());
        let reporter = HealthReporter::new();
        let service = HealthService::from_health_reporter(reporter.clone());
        let keeper = tokio::spawn(keep(reporter, switch.clone()));
        for (is_ready, status) in [(false, ServingStatus::NotServing), (true, ServingStatus::Serving)] {
            switch.0.store(is_ready, Relaxed);
            for name in SERVICES {
                let asked = || async {
                    let request = HealthCheckRequest { service: name.to_owned() };
                    service.check(tonic::Request::new(request)).await.map(|reply| reply.into_inner().status)
                };
                while asked().await.ok() != Some(status as i32) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        keeper.abort();
    }
}
