//! Notices a disk that hangs. A leader whose disk hangs still sends heartbeats, so nobody else would lead.
//! Comes in: since when the log's sync thread and `commit` have been busy. Goes out: an attempt to hand the leadership
//! over, then one call of `on_hung`. Runs on a thread of its own, because the async runtime may be what hangs.

use std::io;
use std::sync::Weak;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cloudai_types::limits::DISK_HANG;

/// What to do about a hung disk.
pub struct Watchdog {
    /// One fsync or one commit that takes longer than this is a hung disk.
    pub limit: Duration,
    /// Called once, from the watchdog's thread, after the leadership was offered to another master. Should end the
    /// process.
    pub on_hung: Box<dyn FnOnce(Hung) + Send + 'static>,
}

/// What hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung {
    pub what: HungPart,
    pub for_at_least: Duration,
}

/// Where the disk hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungPart {
    LogSync,
    Commit,
}

impl Watchdog {
    /// The default limit.
    pub fn new(on_hung: impl FnOnce(Hung) + Send + 'static) -> Watchdog {
        Watchdog { limit: Duration::from_millis(DISK_HANG.0), on_hung: Box::new(on_hung) }
    }
}

/// What the watchdog looks at, and what it may try before it calls `on_hung`.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Since when each part has been inside one operation.
    fn busy_since(&self) -> [(HungPart, Option<Instant>); 2];

    /// Try to hand the leadership over; say when that is done or given up. The runtime may hang too: do not wait.
    fn offer_leadership(&self, done: mpsc::Sender<()>);
}

/// How long a hand-over may take before the process ends all the same.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// Watch until `watched` is gone.
pub(crate) fn spawn<W: Watched>(watchdog: Watchdog, watched: Weak<W>) -> io::Result<()> {
    let pause = (watchdog.limit / 20).clamp(Duration::from_millis(5), Duration::from_millis(250));
    std::thread::Builder::new().name("raft-watchdog".into()).spawn(move || {
        loop {
            std::thread::sleep(pause);
            let Some(w) = watched.upgrade() else { return };
            let now = Instant::now();
            let hung = w.busy_since().into_iter().find_map(|(what, since)| {
                let busy = now.saturating_duration_since(since?);
                (busy > watchdog.limit).then_some(Hung { what, for_at_least: busy })
            });
            let Some(hung) = hung else { continue };
            tracing::error!(what = ?hung.what, for_ms = hung.for_at_least.as_millis() as u64,
                "the disk hangs; this master hands over and stops");
            let (tx, rx) = mpsc::channel();
            w.offer_leadership(tx);
            let _handed_over_or_not = rx.recv_timeout(HAND_OVER_MAX);
            drop(w);
            (watchdog.on_hung)(hung);
            return;
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Disk {
        since: Mutex<Option<Instant>>,
        offered: mpsc::Sender<()>,
    }

    impl Watched for Disk {
        fn busy_since(&self) -> [(HungPart, Option<Instant>); 2] {
            [(HungPart::LogSync, None), (HungPart::Commit, *self.since.lock().unwrap())]
        }

        fn offer_leadership(&self, done: mpsc::Sender<()>) {
            self.offered.send(()).unwrap();
            done.send(()).unwrap();
        }
    }

    #[test]
    fn offers_the_leadership_and_then_tells_once() {
        let (offered, offers) = mpsc::channel();
        let (told, tells) = mpsc::channel();
        let disk = Arc::new(Disk { since: Mutex::new(None), offered });
        let dog = Watchdog { limit: Duration::from_millis(20), on_hung: Box::new(move |h| told.send(h).unwrap()) };
        spawn(dog, Arc::downgrade(&disk)).unwrap();
        *disk.since.lock().unwrap() = Some(Instant::now());
        let hung = tells.recv().unwrap();
        assert_eq!(hung.what, HungPart::Commit);
        assert!(hung.for_at_least > Duration::from_millis(20));
        assert_eq!(offers.try_iter().count(), 1, "offered before it told");
        assert!(tells.recv().is_err(), "told once, then the thread ended");
    }

    #[test]
    fn ends_with_what_it_watches_and_tells_nothing() {
        let (offered, _offers) = mpsc::channel();
        let (told, tells) = mpsc::channel::<Hung>();
        let disk = Arc::new(Disk { since: Mutex::new(None), offered });
        let dog = Watchdog { limit: Duration::from_millis(20), on_hung: Box::new(move |h| told.send(h).unwrap()) };
        spawn(dog, Arc::downgrade(&disk)).unwrap();
        drop(disk);
        assert!(tells.recv().is_err());
    }
}
