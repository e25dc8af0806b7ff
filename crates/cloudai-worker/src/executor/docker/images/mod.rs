//! The images of this worker's engine, and that they do not fill its disk. Comes in: pulls, uses, the operator's bounds. Goes out: images that are
//! removed. Which: [`choice`]. What is known of them: [`ledger`]. Never one that a container has, whoever made it and whether it runs or not; never
//! one that somebody else put there; none at all without bounds.

mod choice;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bollard::errors::Error;
use bollard::models::ImageSummary;
use cloudai_types::{Timestamp, image, limits};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::{Shared, UNPOISONED};
use crate::clock;
use crate::config::ImagesConfig;
use choice::{Bounds, Held, victims};
use ledger::Ledger;

pub struct Images {
    file: PathBuf,
    bounds: Bounds,
    ledger: Mutex<Ledger>,
    /// The ledger differs from its file.
    is_changed: AtomicBool,
    /// Names that attempts wait for or are about to use, and how many.
    held: Mutex<BTreeMap<String, usize>>,
    /// Something was pulled.
    look: Notify,
    /// Fingerprints of what the engine had when it was looked at last.
    here: Mutex<Arc<[u16]>>,
}

/// An image that an attempt is about to use.
pub struct Hold {
    shared: Arc<Shared>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.shared.options.images.held.lock().expect(UNPOISONED);
        if let Some(count) = held.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.name);
            }
        }
    }
}

/// As long as the answer lives, the image is not removed.
pub fn hold(shared: &Arc<Shared>, name: &str) -> Hold {
    *shared.options.images.held.lock().expect(UNPOISONED).entry(name.to_owned()).or_default() += 1;
    Hold { shared: shared.clone(), name: name.to_owned() }
}

impl Images {
    pub fn open(file: &Path, config: &ImagesConfig) -> Images {
        let ledger = Ledger::read(file).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "it is not known which images this worker pulled; those stay");
            Ledger::default()
        });
        let bound = |bytes: u64| (bytes > 0).then_some(bytes);
        Images {
            file: file.to_owned(),
            bounds: Bounds { cache_bytes: bound(config.cache_bytes), min_free_bytes: bound(config.min_free_bytes) },
            ledger: Mutex::new(ledger),
            is_changed: AtomicBool::new(false),
            held: Mutex::default(),
            look: Notify::new(),
            here: Mutex::new(Arc::default()),
        }
    }

    /// Fingerprints of what the engine has.
    pub fn here(&self) -> Arc<[u16]> {
        self.here.lock().expect(UNPOISONED).clone()
    }

    fn set_here(&self, all: &[ImageSummary]) {
        let now = fingerprints(all);
        let mut here = self.here.lock().expect(UNPOISONED);
        if **here != *now {
            *here = now.into();
        }
    }

    /// `before`: what the name meant before the pull.
    pub fn pulled(&self, before: Option<&str>, id: &str, name: &str, at: Timestamp) {
        self.ledger.lock().expect(UNPOISONED).pulled(before, id, name, at);
        self.is_changed.store(true, Relaxed);
        // A crash must not make somebody else's of it.
        self.write();
        self.look.notify_one();
    }

    pub fn used(&self, id: &str, at: Timestamp) {
        if self.ledger.lock().expect(UNPOISONED).used(id, at) {
            self.is_changed.store(true, Relaxed);
        }
    }

    /// What is lost is when some images were last used.
    pub fn write(&self) {
        if !self.is_changed.swap(false, Relaxed) {
            return;
        }
        let ledger = self.ledger.lock().expect(UNPOISONED).clone();
        if let Err(error) = ledger.write(&self.file) {
            tracing::warn!(%error, file = %self.file.display(), "the list of pulled images cannot be written");
            self.is_changed.store(true, Relaxed);
        }
    }

    /// An attempt is about to use it.
    fn is_wanted(&self, id: &str) -> bool {
        let ledger = self.ledger.lock().expect(UNPOISONED);
        ledger.has_name(id, &self.held.lock().expect(UNPOISONED))
    }

    fn held(&self, image: ImageSummary, in_use: &BTreeSet<String>) -> Held {
        let ledger = self.ledger.lock().expect(UNPOISONED);
        let last_use = ledger.last_use(&image.id, &image.repo_tags, &image.repo_digests);
        drop(ledger);
        Held {
            bytes: u64::try_from(image.size).unwrap_or(0),
            used: last_use.unwrap_or_default(),
            is_ours: last_use.is_some(),
            is_in_use: self.is_wanted(&image.id) || in_use.contains(&image.id),
            id: image.id,
        }
    }
}

/// Of all names and digests, in order; of the first [`limits::IMAGES_TOLD_MAX`].
fn fingerprints(all: &[ImageSummary]) -> Vec<u16> {
    let names = all.iter().flat_map(|image| image.repo_tags.iter().chain(&image.repo_digests));
    let mut all: Vec<u16> =
        names.filter(|name| !name.starts_with("<none>")).map(|name| image::fingerprint(name)).collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(limits::IMAGES_TOLD_MAX);
    all
}

/// Looks after each pull, and now and then.
pub fn watch(shared: &Arc<Shared>) {
    let here = shared.clone();
    shared.tasks.spawn(async move {
        let images = &here.options.images;
        let mut written = tokio::time::interval(limits::IMAGES_WRITTEN_EVERY.as_duration());
        let mut looked = tokio::time::interval(limits::IMAGES_LOOKED_AT_EVERY.as_duration());
        written.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = written.tick() => {
                    images.write();
                    continue;
                }
                _ = looked.tick() => {}
                () = images.look.notified() => {}
            }
            let looked = clock::wall();
            let made = match here.engine.images().await {
                Ok(all) => {
                    images.set_here(&all);
                    if images.bounds.is_none() {
                        continue;
                    }
                    make_room(&here, all, looked).await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = made {
                tracing::warn!(%error, "images cannot be looked at or removed now; it is tried again");
            }
        }
    });
}

/// `all`: what the engine had at `looked`, or a moment later.
async fn make_room(shared: &Shared, all: Vec<ImageSummary>, looked: Timestamp) -> Result<(), Error> {
    let images = &shared.options.images;
    // After the images: a container that comes between keeps its image.
    let in_use = shared.engine.images_in_use().await?;
    let ids = all.iter().map(|i| i.id.as_str()).collect();
    if images.ledger.lock().expect(UNPOISONED).forget_all_but(&ids, looked) {
        images.is_changed.store(true, Relaxed);
    }
    let names: BTreeMap<String, Vec<String>> = all.iter().map(|i| (i.id.clone(), names_of(i))).collect();
    let held: Vec<Held> = all.into_iter().map(|i| images.held(i, &in_use)).collect();
    let free = free_bytes(&shared.engine.storage.root);
    for victim in victims(&held, images.bounds, free) {
        if images.is_wanted(&victim.id) {
            continue;
        }
        tracing::info!(image = victim.id, names = ?names[&victim.id], bytes = victim.bytes, "an image is removed to make room");
        let mut is_gone = true;
        for name in &names[&victim.id] {
            // One that is used since then stays: the engine removes nothing that a container has.
            if let Err(error) = shared.engine.remove_image(name).await {
                tracing::info!(image = victim.id, name, %error, "an image stays");
                is_gone = false;
                break;
            }
        }
        if is_gone {
            shared.engine.metrics.images_removed.inc();
        }
    }
    Ok(())
}

/// What is taken from it until nothing is left: tags first, because the engine drops a repository's digests with its last tag.
fn names_of(image: &ImageSummary) -> Vec<String> {
    let real = |name: &&String| !name.starts_with("<none>");
    let mut names: Vec<String> = image.repo_tags.iter().chain(&image.repo_digests).filter(real).cloned().collect();
    if names.is_empty() {
        names.push(image.id.clone());
    }
    names
}

/// Of the engine's disk; `None` where it is not this machine's, or cannot be seen.
fn free_bytes(root: &str) -> Option<u64> {
    let stat = rustix::fs::statvfs(root).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
