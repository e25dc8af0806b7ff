//! Images that are fetched now: one pull per image, however many attempts wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::query_parameters::CreateImageOptions;
use cloudai_types::{EndReason, ReasonKind};
use futures::StreamExt;
use tokio::sync::watch;

use super::{Shared, UNPOISONED, faults};

/// A pull without any progress for this long has failed.
const SILENCE: Duration = Duration::from_secs(300);
/// A failure is remembered this long, so that an array of a thousand tasks does not ask a registry a thousand times.
const FAILURE_MEMORY: Duration = Duration::from_secs(5);

type Outcome = Option<Result<(), EndReason>>;

#[derive(Default)]
pub struct Pulls {
    running: Mutex<BTreeMap<String, watch::Receiver<Outcome>>>,
    failed: Mutex<BTreeMap<String, (Instant, EndReason)>>,
}

/// Waits for the image, joining a pull that runs already.
pub async fn pull(shared: &Arc<Shared>, image: &str) -> Result<(), EndReason> {
    {
        let mut failed = shared.pulls.failed.lock().expect(UNPOISONED);
        failed.retain(|_, (at, _)| at.elapsed() < FAILURE_MEMORY);
        if let Some((_, reason)) = failed.get(image) {
            return Err(reason.clone());
        }
    }
    let mut outcome = {
        let mut running = shared.pulls.running.lock().expect(UNPOISONED);
        running.entry(image.to_owned()).or_insert_with(|| begin(shared.clone(), image.to_owned())).clone()
    };
    let done = outcome.wait_for(Option::is_some).await;
    match done {
        Ok(result) => result.clone().expect("waited for it"),
        Err(_) => Err(EndReason::new(ReasonKind::ImagePullFailed, format!("{image}: the pull was given up"))),
    }
}

/// A task of its own: it goes on when the attempt that asked first is cancelled.
fn begin(shared: Arc<Shared>, image: String) -> watch::Receiver<Outcome> {
    let (tx, rx) = watch::channel(None);
    shared.tasks.clone().spawn(async move {
        tracing::info!(image, "pulling an image");
        let begun = Instant::now();
        let result = fetch(&shared, &image).await;
        let label = if result.is_ok() { "ok" } else { "error" };
        shared.engine.metrics.pulls.with_label_values(&[label]).inc();
        match &result {
            Ok(()) => tracing::info!(image, seconds = begun.elapsed().as_secs_f32(), "the image is here"),
            Err(reason) => {
                tracing::warn!(image, %reason, "an image could not be pulled");
                let mut failed = shared.pulls.failed.lock().expect(UNPOISONED);
                failed.insert(image.clone(), (Instant::now(), reason.clone()));
            }
        }
        shared.pulls.running.lock().expect(UNPOISONED).remove(&image);
        tx.send_replace(Some(result));
    });
    rx
}

async fn fetch(shared: &Shared, image: &str) -> Result<(), EndReason> {
    let options = CreateImageOptions { from_image: Some(with_tag(image)), ..Default::default() };
    let mut progress = shared.engine.docker.create_image(Some(options), None, None);
    loop {
        match tokio::time::timeout(SILENCE, progress.next()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(faults::of_pull(&error, image)),
            Ok(None) => return Ok(()),
            Err(_) => {
                let text = format!("{image}: no progress for {} s", SILENCE.as_secs());
                return Err(EndReason::new(ReasonKind::ImagePullFailed, text));
            }
        }
    }
}

/// Without a tag the engine would fetch every tag there is.
fn with_tag(image: &str) -> String {
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
