//! Images that are fetched now: one pull per image and login, however many attempts wait for it. Comes in: an image's name, perhaps a stored login.
//! Goes out: the image is with the engine, or why not. Which images are needed, and which go again, is not known here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use cloudai_proto::v1::worker_message::ImagePull;
use cloudai_types::{EndReason, ReasonKind, RegistryLogin, image as names, limits};
use futures::StreamExt;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::progress::Progress;
use super::{Shared, UNPOISONED, faults};
use crate::clock;

/// Each tick is told to the leader, and every so many to this worker's log.
const TICKS_PER_LINE: u32 = 5;

type Pulled = Result<(), EndReason>;
/// `None`: it runs still.
type Outcome = Option<Pulled>;
/// An image, and the login that opens it: who has none must not share another's.
type Key = (String, Option<(String, String)>);

#[derive(Default)]
pub struct Pulls {
    running: Mutex<BTreeMap<Key, watch::Receiver<Outcome>>>,
    /// How the last ones ended, and when.
    ended: Mutex<BTreeMap<Key, (Instant, Pulled)>>,
    /// How far the running ones are, by image.
    told: Mutex<BTreeMap<String, ImagePull>>,
}

impl Pulls {
    /// For people, through the leader.
    pub fn told(&self) -> Vec<ImagePull> {
        self.told.lock().expect(UNPOISONED).values().take(limits::HEARTBEAT_PULLS_MAX).cloned().collect()
    }

    fn tell(&self, image: &str, progress: &Progress, bytes_per_second: u64) {
        let (bytes, bytes_total) = progress.bytes();
        let pull = ImagePull { image: image.to_owned(), bytes, bytes_total, bytes_per_second };
        self.told.lock().expect(UNPOISONED).insert(image.to_owned(), pull);
    }
}

/// Waits for the image, joining a pull that runs already. `stored` is the login that the job's namespace has for the image's registry; without one
/// the worker's own is shown. `looked`: when the caller saw that it needs the image; a pull that has succeeded since then is as good as a new one.
pub async fn pull(
    shared: &Arc<Shared>,
    image: &str,
    stored: Option<RegistryLogin>,
    looked: Instant,
) -> Result<(), EndReason> {
    let login = match stored {
        Some(login) => Some(login),
        None => shared
            .options
            .logins
            .login(names::registry_host(image))
            .map_err(|e| EndReason::new(ReasonKind::ImagePullFailed, format!("{image}: {e}")))?,
    };
    let key: Key = (image.to_owned(), login.as_ref().map(|l| (l.username.clone(), l.password.clone())));
    let mut outcome = {
        // Held over both: a pull that ends is among the ended ones before it leaves the running ones.
        let mut running = shared.pulls.running.lock().expect(UNPOISONED);
        {
            let mut ended = shared.pulls.ended.lock().expect(UNPOISONED);
            ended.retain(|_, (at, _)| at.elapsed() < limits::PULL_FAILURE_MEMORY.as_duration());
            match ended.get(&key) {
                Some((_, Err(reason))) => return Err(reason.clone()),
                Some((at, Ok(()))) if *at >= looked => return Ok(()),
                Some((_, Ok(()))) | None => {}
            }
        }
        running.entry(key.clone()).or_insert_with(|| begin(shared.clone(), key, login)).clone()
    };
    let done = outcome.wait_for(Option::is_some).await;
    match done {
        Ok(result) => result.clone().expect("waited for it"),
        Err(_) => Err(EndReason::new(ReasonKind::ImagePullFailed, format!("{image}: the pull was given up"))),
    }
}

/// A task of its own: it goes on when the attempt that asked first is cancelled.
fn begin(shared: Arc<Shared>, key: Key, login: Option<RegistryLogin>) -> watch::Receiver<Outcome> {
    let (tx, rx) = watch::channel(None);
    shared.tasks.clone().spawn(async move {
        let image = key.0.as_str();
        tracing::info!(image, login = login.as_ref().map(|l| l.username.as_str()), "pulling an image");
        let begun = Instant::now();
        let metrics = &shared.engine.metrics;
        metrics.pulls_running.inc();
        let result = fetch_and_note(&shared, image, login).await;
        metrics.pulls_running.dec();
        shared.pulls.told.lock().expect(UNPOISONED).remove(image);
        let label = if result.is_ok() { "ok" } else { "error" };
        metrics.pulls.with_label_values(&[label]).inc();
        match &result {
            Ok(()) => tracing::info!(image, seconds = begun.elapsed().as_secs_f32(), "the image is here"),
            Err(reason) => tracing::warn!(image, %reason, "an image could not be pulled"),
        }
        let end = (Instant::now(), result.clone());
        shared.pulls.ended.lock().expect(UNPOISONED).insert(key.clone(), end);
        shared.pulls.running.lock().expect(UNPOISONED).remove(&key);
        tx.send_replace(Some(result));
    });
    rx
}

/// What was here before is not this worker's, and stays.
async fn fetch_and_note(shared: &Shared, image: &str, login: Option<RegistryLogin>) -> Result<(), EndReason> {
    let before = id_of(shared, image).await;
    fetch(shared, image, login).await?;
    if let Some(after) = id_of(shared, image).await {
        shared.options.images.pulled(before.as_deref(), &after, image, clock::wall());
    }
    Ok(())
}

async fn id_of(shared: &Shared, image: &str) -> Option<String> {
    shared.engine.image(image).await.ok().flatten().map(|image| image.id)
}

async fn fetch(shared: &Shared, image: &str, login: Option<RegistryLogin>) -> Result<(), EndReason> {
    let options = CreateImageOptions { from_image: Some(with_tag(image)), ..Default::default() };
    let name = login.as_ref().map(|l| l.username.clone());
    let credentials = login.map(|login| DockerCredentials {
        username: Some(login.username),
        password: Some(login.password),
        serveraddress: Some(names::registry_host(image).to_owned()),
        ..Default::default()
    });
    let mut steps = shared.engine.docker.create_image(Some(options), None, credentials);
    let silence = shared.options.pull_silence;
    let mut give_up = tokio::time::Instant::now() + silence.as_duration();
    let mut progress = Progress::default();
    shared.pulls.tell(image, &progress, 0);
    let every = limits::PULL_TOLD_EVERY.as_duration();
    let mut telling = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut told_at, mut ticks) = (0, Instant::now(), 0u32);
    loop {
        tokio::select! {
            step = tokio::time::timeout_at(give_up, steps.next()) => match step {
                Ok(Some(Ok(step))) => {
                    let fetched = progress.fetched;
                    if progress.on(&step) {
                        give_up = tokio::time::Instant::now() + silence.as_duration();
                    }
                    shared.engine.metrics.pull_bytes.inc_by(progress.fetched - fetched);
                }
                Ok(Some(Err(error))) => return Err(faults::of_pull(&error, image, name.as_deref())),
                Ok(None) => return Ok(()),
                // The engine gives up as well, once nobody listens.
                Err(_) => {
                    let so_far = progress.bytes();
                    let text = format!(
                        "{image}: no progress for {} s ({} of {} bytes are here): look at the registry and the way to it",
                        silence.0 / 1_000, so_far.0, so_far.1
                    );
                    return Err(EndReason::new(ReasonKind::ImagePullFailed, text));
                }
            },
            _ = telling.tick() => {
                let fetched = progress.fetched - told;
                let speed = (fetched as f64 / told_at.elapsed().as_secs_f64().max(0.001)) as u64;
                shared.pulls.tell(image, &progress, speed);
                ticks += 1;
                if ticks % TICKS_PER_LINE == 0 {
                    let (bytes, all) = progress.bytes();
                    tracing::info!(image, "pulling: {}", names::pull_text(bytes, all, speed));
                }
                (told, told_at) = (progress.fetched, Instant::now());
            }
        }
    }
}

/// Without a tag the engine would fetch every tag there is.
pub fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("reg:5000/team/x"), "reg:5000/team/x:latest");
        for full in ["busybox:1", "reg:5000/x:1", "x@sha256:abc"] {
            assert_eq!(with_tag(full), full);
        }
    }
}
