//! How this machine is, as its worker tells the leader. Comes in: the disk of the data directory, the certificate, what the executor says of its
//! engine. Goes out: a few words for the next heartbeat, where they are due. Nothing is decided by them: they are for `cluster doctor`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_net::ReloadingTls;
use cloudai_proto::v1::MachineCondition;
use cloudai_telemetry::{Disk, disk_of};
use cloudai_types::limits;
use tokio::time::Instant;

use crate::clock;
use crate::tasks::Tasks;

const UNPOISONED: &str = "nothing panics under this lock";

pub struct ConditionWatch {
    tls: Arc<ReloadingTls>,
    disk: Arc<Mutex<Option<Disk>>>,
}

/// What the leader of a session was told last, and when.
#[derive(Default)]
pub struct Told(Option<(Instant, String)>);

impl ConditionWatch {
    /// Looks at the disk for as long as the worker runs, beside its loop: a file system that hangs must not take the lease with it.
    pub fn start(data_dir: PathBuf, tls: Arc<ReloadingTls>, tasks: &Tasks) -> Self {
        let disk = Arc::new(Mutex::new(None));
        let seen = disk.clone();
        tasks.spawn(async move {
            loop {
                let dir = data_dir.clone();
                if let Ok(now) = tokio::task::spawn_blocking(move || disk_of(&dir)).await {
                    *seen.lock().expect(UNPOISONED) = now;
                }
                tokio::time::sleep(limits::CONDITION_EVERY.as_duration() / 2).await;
            }
        });
        ConditionWatch { tls, disk }
    }

    /// For the next heartbeat, if it is time or the engine came or went.
    pub fn news(&self, engine_trouble: String, told: &mut Told) -> Option<MachineCondition> {
        if !told.is_due(&engine_trouble, limits::CONDITION_EVERY.as_duration()) {
            return None;
        }
        let disk = self.disk.lock().expect(UNPOISONED).unwrap_or_default();
        Some(MachineCondition {
            now_ms: clock::wall().0,
            software: env!("CARGO_PKG_VERSION").to_owned(),
            certificate_end_ms: self.tls.not_after().0,
            disk_free_bytes: disk.free,
            disk_bytes: disk.total,
            engine_trouble,
        })
    }
}

impl Told {
    fn is_due(&mut self, engine_trouble: &str, every: Duration) -> bool {
        let now = Instant::now();
        let is_known = self.0.as_ref().is_some_and(|(at, said)| now < *at + every && said == engine_trouble);
        if !is_known {
            self.0 = Some((now, engine_trouble.to_owned()));
        }
        !is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_at_first_now_and_then_and_when_the_engine_comes_or_goes() {
        let (mut told, every) = (Told::default(), Duration::from_secs(60));
        assert!(told.is_due("", every), "the first heartbeat of a session");
        assert!(!told.is_due("", every));
        assert!(told.is_due("gone", every));
        assert!(!told.is_due("gone", every));
        assert!(told.is_due("", every), "back");
        tokio::time::advance(every).await;
        assert!(told.is_due("", every));
    }
}
